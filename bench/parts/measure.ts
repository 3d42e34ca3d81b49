/** Shared by all benches: pacing and statistics. Times are milliseconds. */

export interface Summary {
  n: number;
  p50: number;
  p95: number;
  p99: number;
}

export function summarise(times: readonly number[]): Summary {
  const sorted = [...times].sort((a, b) => a - b);
  const at = (q: number): number => sorted[Math.min(sorted.length - 1, Math.floor(q * sorted.length))] ?? Number.NaN;
  return { n: sorted.length, p50: at(0.5), p95: at(0.95), p99: at(0.99) };
}

export function median(values: readonly number[]): number {
  return summarise(values).p50;
}

/** Open loop: starts a call every `1000 / per_second` ms, whether or not earlier ones have ended. */
export async function openLoop(per_second: number, calls: number, call: () => Promise<unknown>): Promise<number[]> {
  const began = performance.now();
  const times: Promise<number>[] = [];
  for (let i = 0; i < calls; i++) {
    const due = began + (i * 1000) / per_second;
    await sleep(Math.max(0, due - performance.now()));
    const from = performance.now();
    times.push(call().then(() => performance.now() - from));
  }
  return Promise.all(times);
}

/** Closed loop: `workers` callers without pause. @returns calls per second. */
export async function closedLoop(workers: number, ms: number, call: () => Promise<unknown>): Promise<number> {
  const began = performance.now();
  let calls = 0;
  await Promise.all(
    Array.from({ length: workers }, async () => {
      while (performance.now() - began < ms) {
        await call();
        calls += 1;
      }
    }),
  );
  return (calls * 1000) / (performance.now() - began);
}

export function sleep(ms: number): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, ms));
}

/** Prints rows with aligned columns; numbers have one decimal. */
export function table(head: string[], rows: (string | number)[][]): void {
  const cells = [head, ...rows.map((row) => row.map((cell) => (typeof cell === "number" ? cell.toFixed(1) : cell)))];
  const widths = head.map((_, i) => Math.max(...cells.map((row) => row[i]?.length ?? 0)));
  for (const row of cells) {
    console.log(
      row.map((cell, i) => (i === 0 ? cell.padEnd(widths[i] ?? 0) : cell.padStart(widths[i] ?? 0))).join("  "),
    );
  }
  console.log();
}
