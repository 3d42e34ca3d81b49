/** What stands at three places of a sorted list of durations, in milliseconds; null of an empty one. */
export interface Spread {
  p50_ms: number | null;
  p95_ms: number | null;
  p99_ms: number | null;
}

/**
 * The nearest-rank percentile: of `n` values in ascending order, counted from 1, the one in the place `ceil(p / 100 * n)`.
 * It is always a value that was measured; nothing is interpolated. Of one value it is that value, whatever `p`.
 * @param sorted  ascending. @param p  above 0, at most 100. @returns null for no values.
 */
export function percentile(sorted: ArrayLike<number>, p: number): number | null {
  // In integers of the hundredth: 0.95 * 20 is 19 there and 18.999… or 19.000…1 in fractions.
  const place = Math.ceil((p * sorted.length) / 100);
  return sorted[place - 1] ?? null;
}

/** @param values_us  microseconds, in any order. @returns milliseconds */
export function spreadOf(values_us: readonly number[]): Spread {
  const sorted = Float64Array.from(values_us).sort();
  const ms = (p: number): number | null => {
    const us = percentile(sorted, p);
    return us === null ? null : us / 1_000;
  };
  return { p50_ms: ms(50), p95_ms: ms(95), p99_ms: ms(99) };
}
