import type { IncomingMessage } from "node:http";
import { describe, expect, it } from "vitest";
import { EGRESS_HEADER_BYTES_MAX } from "../contract.ts";
import { answerHeaders, isVerifiable, readHead } from "./headers.ts";

const head = (fields: [string, string][], more: Partial<IncomingMessage> = {}) =>
  readHead({
    ...{ httpVersion: "1.1", method: "POST", url: "https://a.example/x" },
    rawHeaders: fields.flat(),
    ...more,
  } as IncomingMessage);
const refused = (fields: [string, string][], more: Partial<IncomingMessage> = {}): void =>
  void expect(() => head(fields, more)).toThrow(/EGRESS_BAD_REQUEST/);

describe("the head of a call", () => {
  it("is refused for what Node may let through one day", () => {
    refused([
      ["Content-Length", "1"],
      ["content-length", "1"],
    ]);
    refused([
      ["Content-Length", "1"],
      ["Transfer-Encoding", "chunked"],
    ]);
    refused([
      ["Transfer-Encoding", "chunked"],
      ["transfer-encoding", "chunked"],
    ]);
    refused([["Transfer-Encoding", "chunked, identity"]]);
    refused([["Content-Length", "1, 1"]]);
    refused([["Content-Length", "0x1"]]);
    for (const value of ["a\r\nb", "a\nb", "a\0b", "\x7f", "\u0100"]) refused([["X-A", value]]);
    refused([["Host", "b.example"]]);
    refused([["Host", "a.example:80"]]);
    refused([
      ["Host", "a.example"],
      ["Host", "a.example"],
    ]);
    refused([["Host", "user@a.example"]]);
    refused([], { httpVersion: "1.0" });
    refused([], { url: "//b.example/" });
    refused([], { url: "*" });
    refused([
      ["gantry-redirect", "follow"],
      ["gantry-redirect", "follow"],
    ]);
  });

  it(`has at most ${EGRESS_HEADER_BYTES_MAX} bytes`, () => {
    const value = (bytes: number): [string, string] => ["x", "v".repeat(bytes - 5)];
    expect(head([value(EGRESS_HEADER_BYTES_MAX)]).headers).toHaveLength(1);
    refused([value(EGRESS_HEADER_BYTES_MAX + 1)]);
  });

  it("says which body there is", () => {
    expect(head([["Content-Length", "7"]]).body).toBe(7);
    expect(head([["Content-Length", "0"]]).body).toBeNull();
    expect(head([["Transfer-Encoding", "Chunked"]]).body).toBe("chunked");
    expect(head([]).body).toBeNull();
  });

  it("is the URL's where both are the same, and plain HTTP's where there is a host alone", () => {
    expect(head([["Host", "A.example"]]).target).toMatchObject({ protocol: "https", host: "a.example", port: 443 });
    expect(head([["Host", "a.example:443"]]).target.port).toBe(443);
    expect(head([["Host", "b.example"]], { url: "/y?z" }).target).toMatchObject({
      ...{ protocol: "http", host: "b.example", port: 80, path: "/y", query: "?z" },
    });
    refused([], { url: "/y" });
  });

  it("keeps order, spelling and repetition of what goes on", () => {
    const fields: [string, string][] = [
      ["X-B", "1"],
      ["Accept", "a"],
      ["accept", "b"],
      ["Connection", "Close, X-B"],
    ];
    expect(head(fields).headers).toEqual([
      ["Accept", "a"],
      ["accept", "b"],
    ]);
    expect(
      answerHeaders([
        ["Gantry-Egress", "x"],
        ["Trailer", "y"],
        ["Content-Length", "1"],
      ]),
    ).toEqual([["Content-Length", "1"]]);
  });
});

it("an answer's end can be told from a cut by its framing, or by having no body", () => {
  expect(isVerifiable("GET", 200, [["Content-Length", "1"]])).toBe(true);
  expect(isVerifiable("GET", 200, [["Transfer-Encoding", "chunked"]])).toBe(true);
  expect([isVerifiable("HEAD", 200, []), isVerifiable("GET", 304, []), isVerifiable("GET", 200, [])]).toEqual([
    true,
    true,
    false,
  ]);
});
