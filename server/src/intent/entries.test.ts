import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { plain_facts } from "../../../tests/fixtures/run_facts.ts";
import { ENTRY_BYTES_MAX } from "../evidence/contract.ts";
import type { BlockedCall, CodeFacts } from "../execution/contract.ts";
import { canonicalJson } from "../kernel/canonical.ts";
import { ENTRY_PART_BYTES_MAX } from "./contract.ts";
import { boundedCalls, boundedFacts } from "./entries.ts";

const facts = (more: Partial<CodeFacts> = {}): CodeFacts => ({ ...plain_facts, ...more });

describe("what a guest can make long", () => {
  it("fits into one entry, and what does not fit is counted", () => {
    const hosts = Array.from({ length: 32 }, (_, i) => `${i}.${"x".repeat(251)}`);
    const bounded = boundedFacts(facts({ hosts, imports: ["node:fs"], secrets: ["aws"] }));
    expect(bounded).toMatchObject({ imports: ["node:fs"], secrets: ["aws"] });
    expect(bounded.hosts.length + bounded.dropped).toBe(32);
    expect(bounded.dropped).toBeGreaterThan(0);
    const calls = boundedCalls(hosts.map((host) => ({ host, method: "GET", count: 3 })));
    expect(calls.reduce((sum, { count }) => sum + count, 0)).toBe(96);
    expect(calls.at(-1)?.host).toBe("*");
    expect(2 * ENTRY_PART_BYTES_MAX).toBeLessThan(ENTRY_BYTES_MAX);
  });

  it("is complete exactly up to the limit", () => {
    const row = Buffer.byteLength(JSON.stringify("")) + 1;
    const fits = "x".repeat(ENTRY_PART_BYTES_MAX - row);
    expect(boundedFacts(facts({ hosts: [fits] })).dropped).toBe(0);
    expect(boundedFacts(facts({ hosts: [`${fits}x`] })).dropped).toBe(1);
  });

  it("always has a canonical form, whatever the guest wrote, and no call is lost", () => {
    const text = fc.string({ unit: "binary", maxLength: 600 });
    const call: fc.Arbitrary<BlockedCall> = fc.record({ host: text, method: text, count: fc.nat(1_000) });
    fc.assert(
      fc.property(fc.array(call, { maxLength: 33 }), fc.array(text, { maxLength: 40 }), (calls, names) => {
        const rows = boundedCalls(calls);
        const told = boundedFacts(facts({ hosts: names, imports: names }));
        expect(Buffer.byteLength(canonicalJson(rows))).toBeLessThan(ENTRY_PART_BYTES_MAX + 200);
        expect(Buffer.byteLength(canonicalJson(told))).toBeLessThan(ENTRY_PART_BYTES_MAX + 200);
        const sum = (all: { count: number }[]) => all.reduce((total, { count }) => total + count, 0);
        expect(sum(rows)).toBe(sum(calls));
      }),
      { numRuns: 30 },
    );
  });
});
