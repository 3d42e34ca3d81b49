import { describe, expect, it } from "vitest";
import { EGRESS_HOST_CHARS, EGRESS_LOG_BYTES_MAX, EGRESS_ROWS_MAX } from "../contract.ts";
import { type EndedCall, maskedUrl, Summary } from "./summary.ts";

const ended = (more: Partial<EndedCall> = {}): EndedCall => ({
  ...{ host: "a.example", method: "GET", path: "*", rule: "0", verdict: "allowed", code: null },
  ...{ request_bytes: 1, response_bytes: 2, effect: false, line: { at: 0, ms: 1, url: "http://a.example/" } },
  ...more,
});

describe("a summary", () => {
  it("adds up calls alike", () => {
    const summary = new Summary();
    for (let n = 0; n < 3; n += 1) summary.add(ended({ effect: n === 0 }));
    expect(summary.take()).toMatchObject({ effects: 1, rows: [{ count: 3, request_bytes: 3, response_bytes: 6 }] });
  });

  it(`has at most ${EGRESS_ROWS_MAX} rows: what there is no row for is one with the rest, denied if any of it was`, () => {
    const summary = new Summary();
    const add = (n: number, more: Partial<EndedCall> = {}): void => summary.add(ended({ host: `h${n}`, ...more }));
    for (let n = 0; n < EGRESS_ROWS_MAX - 1; n += 1) add(n);
    expect(summary.take().rows.map(({ host }) => host)).not.toContain("*");
    add(EGRESS_ROWS_MAX);
    expect(summary.take().rows).toHaveLength(EGRESS_ROWS_MAX);
    add(EGRESS_ROWS_MAX + 1, { verdict: "denied", code: "EGRESS_HOST" });
    add(0);
    const { rows } = summary.take();
    expect(rows).toHaveLength(EGRESS_ROWS_MAX);
    expect(rows.at(-1)).toMatchObject({ host: "*", method: "*", verdict: "denied", count: 2, response_bytes: 4 });
    expect(rows[0]?.count).toBe(2);
  });

  it(`cuts hosts to ${EGRESS_HOST_CHARS} characters`, () => {
    const summary = new Summary();
    summary.add(ended({ host: "h".repeat(EGRESS_HOST_CHARS) }));
    summary.add(ended({ host: "h".repeat(EGRESS_HOST_CHARS + 1) }));
    expect(summary.take().rows).toMatchObject([{ count: 2, host: "h".repeat(EGRESS_HOST_CHARS) }]);
  });

  it(`logs up to ${EGRESS_LOG_BYTES_MAX} bytes, and counts what is left out`, () => {
    const summary = new Summary();
    const line = { at: 0, ms: 1, url: "" };
    const of = (bytes: number): EndedCall => ended({ line: { ...line, url: "u".repeat(bytes) } });
    summary.add(of(0));
    const empty = Buffer.byteLength(summary.take().log);
    summary.add(of(EGRESS_LOG_BYTES_MAX - 2 * empty));
    expect(Buffer.byteLength(summary.take().log)).toBe(EGRESS_LOG_BYTES_MAX);
    summary.add(of(0));
    expect(summary.take()).toMatchObject({ log_dropped: 1 });
    const past = new Summary();
    past.add(of(EGRESS_LOG_BYTES_MAX - empty + 1));
    expect(past.take()).toMatchObject({ log: "", log_dropped: 1 });
  });

  it("leaves out what a query says, and what may be all it says", () => {
    expect(maskedUrl("https://a.example/p?key=secret&b=1=2&flag&=x")).toBe("https://a.example/p?key=*&b=*&*&=*");
    expect(maskedUrl("https://a.example/p")).toBe("https://a.example/p");
  });
});
