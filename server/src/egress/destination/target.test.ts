import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { HOSTILE_URLS, LOOKALIKE_URLS } from "../../../../tests/fixtures/hostile_urls.ts";
import { isGantryError } from "../../kernel/errors.ts";
import { EGRESS_URL_BYTES_MAX } from "../contract.ts";
import type { Target } from "../parts.ts";
import { hrefOf, parseAuthority, parseTarget } from "./target.ts";

const read = (url: string, is_upgrade = false): Target | undefined => {
  try {
    return parseTarget(url, is_upgrade);
  } catch (error) {
    if (isGantryError(error) && error.code === "EGRESS_BAD_REQUEST") return undefined;
    throw error;
  }
};

/** What is sent reads as exactly what was judged, for us and for anybody who reads URLs. */
function demandOneReading(target: Target): void {
  const href = hrefOf(target);
  expect(parseTarget(href, target.protocol.startsWith("ws"))).toEqual(target);
  const url = new URL(href);
  expect(url.href).toBe(href);
  const port =
    url.port === "" ? { "http:": 80, "ws:": 80, "https:": 443, "wss:": 443 }[url.protocol] : Number(url.port);
  expect({
    protocol: url.protocol.slice(0, -1),
    host: url.hostname,
    port,
    path: url.pathname,
    // The parser's `search` does not tell `/?` from `/`; its `href` above does.
    query: url.search === "" && href.endsWith("?") ? "?" : url.search,
  }).toEqual(target);
  expect([url.username, url.password, url.hash]).toEqual(["", "", ""]);
  expect(href).toMatch(/^[\x21-\x7e]+$/);
}

// Pieces of which trouble is made.
const pieces = fc.constantFrom(
  ...["http", "https", "ws", "://", "/", "//", "\\", "@", ":", "?", "#", "%", "%2f", "%2e", "%00", "..", ".", "[", "]"],
  ...["example.com", "127.0.0.1", "0x7f", "::1", "a", "localhost", "80", "443", "0", "65536", " ", "\t", "\n", "*"],
  ...["é", "１", "①", "。", "\u00ad", "\u0000", "ß", "ⓐ", "&", "=", "'", '"', "<", "|", "{", "\ud800", "😀"],
);
const trouble = fc.array(pieces, { maxLength: 12 }).map((list) => list.join(""));
const url = fc
  .tuple(
    fc.constantFrom("http", "https", "HTTP", "wss", "ftp"),
    fc.oneof(
      fc.domain(),
      fc.ipV4(),
      fc.ipV6().map((ip) => `[${ip}]`),
      fc.constantFrom("ex_a.example", "bücher.example", "A.b."),
    ),
    fc.oneof(
      fc.constant(""),
      fc.integer({ min: 0, max: 70_000 }).map((port) => `:${port}`),
    ),
    fc.oneof(trouble, fc.webPath(), fc.constant("")),
    fc.oneof(
      trouble.map((text) => `?${text}`),
      fc.constant(""),
    ),
  )
  .map(([scheme, host, port, path, query]) => `${scheme}://${host}${port}/${path}${query}`);

describe("a URL", () => {
  it("has one reading, which is what is sent, whatever it is made of", () => {
    let right = 0;
    fc.assert(
      fc.property(
        fc.oneof(
          url,
          trouble,
          trouble.map((text) => `http://${text}`),
        ),
        fc.boolean(),
        (text, is_upgrade) => {
          const target = read(text, is_upgrade);
          if (target === undefined) return;
          right += 1;
          demandOneReading(target);
          // Nobody who follows the URL standard reads another place in what was asked for.
          const asked = new URL(text);
          expect(asked.hostname.replace(/\.$/, "")).toBe(target.host);
          expect([asked.pathname, asked.search]).toEqual([target.path, target.query.replace(/^\?$/, "")]);
        },
      ),
      { numRuns: 5_000 },
    );
    expect(right).toBeGreaterThan(500);
  });

  it("of the tables has one reading, too", () => {
    for (const { url: text } of [...HOSTILE_URLS, ...LOOKALIKE_URLS]) {
      const target = read(text);
      if (target !== undefined) demandOneReading(target);
    }
  });

  it("is kept byte for byte when it is canonical", () => {
    fc.assert(
      fc.property(fc.webUrl({ withQueryParameters: true }), (text) => {
        const target = read(text);
        if (target !== undefined && new URL(text).href === text) expect(hrefOf(target)).toBe(text);
      }),
    );
  });

  it("of a WebSocket may have either scheme, and of a request only its own", () => {
    const protocols = (is_upgrade: boolean) =>
      ["http", "https", "ws", "wss"].map((scheme) => read(`${scheme}://a.example/`, is_upgrade)?.protocol);
    expect(protocols(true)).toEqual(["ws", "wss", "ws", "wss"]);
    expect(protocols(false)).toEqual(["http", "https", undefined, undefined]);
    expect(read("http://a.example:443/", true)).toMatchObject({ protocol: "ws", port: 443 });
    expect(hrefOf(parseTarget("https://a.example:443/", true))).toBe("wss://a.example/");
  });

  it("has EGRESS_URL_BYTES_MAX bytes and not one more, as it was asked for and as it is sent", () => {
    const of = (bytes: number) => `http://a.example/${"a".repeat(bytes - "http://a.example/".length)}`;
    expect(read(of(EGRESS_URL_BYTES_MAX))).toBeDefined();
    expect(read(of(EGRESS_URL_BYTES_MAX + 1))).toBeUndefined();
    // Two bytes each as they are asked for, six as they are sent.
    expect(read(`http://a.example/${"é".repeat(1_000)}`)).toBeDefined();
    expect(read(`http://a.example/${"é".repeat(2_000)}`)).toBeUndefined();
  });

  it("that is refused is not repeated in the refusal", () => {
    for (const text of ["http://user:hunter2@a.example/", "http://a.example/hunter2 x", "ftp://hunter2/", "hunter2"]) {
      expect(() => parseTarget(text, false)).toThrow(/^EGRESS_BAD_REQUEST: (?!.*hunter2)/);
    }
  });
});

describe("where a tunnel goes", () => {
  const at = (raw: string) => {
    try {
      const { host, port } = parseAuthority(raw, "tcp");
      return `${host} ${port}`;
    } catch (error) {
      if (isGantryError(error)) return error.code;
      throw error;
    }
  };

  it.each([
    ["db.example.com:5432", "db.example.com 5432"],
    ["DB.example.com.:5432", "db.example.com 5432"],
    ["10.0.0.5:443", "10.0.0.5 443"],
    ["0x7f.1:80", "127.0.0.1 80"],
    ["[2001:DB8:0::1]:5432", "[2001:db8::1] 5432"],
    ["bücher.example:1", "xn--bcher-kva.example 1"],
    ["a:65535", "a 65535"],
  ])("is %s", (raw, target) => expect(at(raw)).toBe(target));

  it.each([
    ...["", "a", "a:", ":80", "a:0", "a:65536", "a:123456", "a:-1", "a:8o", "a:80:80", "::1:80", "[::1]", "[::1]80"],
    ...[
      "[::1%25lo]:80",
      "a@b:80",
      "a/b:80",
      "a?b:80",
      "a#b:80",
      "a\\b:80",
      "a b:80",
      "a\n:80",
      "a%2eb:80",
      "https://a:80",
    ],
    ...["*.example:80", "a..b:80", "[a]:80", "[127.0.0.1]:80", "256.1.1.1:80", `${"a".repeat(9_000)}:80`],
  ])("is not %j", (raw) => expect(at(raw)).toBe("EGRESS_BAD_REQUEST"));

  it("is written as a text, too", () => {
    expect(hrefOf(parseAuthority("db.example.com:443", "tls"))).toBe("tls://db.example.com:443");
    expect(hrefOf(parseAuthority("[::1]:5432", "tcp"))).toBe("tcp://[::1]:5432");
  });
});
