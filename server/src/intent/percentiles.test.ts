import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { percentile, spreadOf } from "./percentiles.ts";

const values = fc.array(fc.integer({ min: 0, max: 10_000_000 }), { minLength: 1, maxLength: 300 });
const percents = fc.integer({ min: 1, max: 100 });

describe("the nearest-rank percentile", () => {
  it("is the least of the values that at least so many per cent do not exceed", () => {
    fc.assert(
      fc.property(values, percents, (all, p) => {
        const sorted = [...all].sort((a, b) => a - b);
        const enough = (value: number) => all.filter((each) => each <= value).length * 100 >= p * all.length;
        expect(percentile(sorted, p)).toBe(sorted.find(enough));
      }),
    );
  });

  it("stands in the place that its definition counts to, where fractions would be one off", () => {
    const twenty = Array.from({ length: 20 }, (_, i) => i + 1);
    expect([5, 35, 55, 95, 100].map((p) => percentile(twenty, p))).toEqual([1, 7, 11, 19, 20]);
    expect([50, 95, 99].map((p) => percentile([7], p))).toEqual([7, 7, 7]);
    expect(percentile([], 50)).toBeNull();
  });
});

it("a spread does not depend on the order of what was measured, and rises", () => {
  fc.assert(
    fc.property(values, (all) => {
      const spread = spreadOf(all);
      expect(spreadOf([...all].reverse())).toEqual(spread);
      const { p50_ms, p95_ms, p99_ms } = spread;
      expect([p50_ms, p95_ms, p99_ms]).toEqual([p50_ms, p95_ms, p99_ms].sort((a, b) => Number(a) - Number(b)));
      expect(all.map((us) => us / 1_000)).toContain(p95_ms);
    }),
  );
  expect(spreadOf([])).toEqual({ p50_ms: null, p95_ms: null, p99_ms: null });
});
