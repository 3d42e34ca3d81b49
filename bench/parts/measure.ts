/** Shared by all benches: pacing and statistics. Times are milliseconds. */
import { availableParallelism, loadavg } from "node:os";

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

/**
 * Open loop: call `i` is due `i * 1000 / per_second` ms after the first, whether or not earlier ones have ended, so
 * that a slow server is not asked less. @returns the time of each call from when it was due, not from when it began.
 */
export async function openLoop(per_second: number, calls: number, call: () => Promise<unknown>): Promise<number[]> {
  const began = performance.now();
  const times: Promise<number>[] = [];
  for (let i = 0; i < calls; i++) {
    const due = began + (i * 1000) / per_second;
    await until(due);
    times.push(call().then(() => performance.now() - due));
  }
  return Promise.all(times);
}

/** Timers are late by up to a millisecond, which would be counted as ours: the last one is waited for turn by turn. */
async function until(due: number): Promise<void> {
  const early = Math.floor(due - performance.now()) - 1;
  if (early > 0) await sleep(early);
  while (performance.now() < due) await new Promise((resolve) => setImmediate(resolve));
}

/**
 * Closed loop: `callers` without pause, each told its number. A call that began in time is waited for.
 * @returns calls per second.
 */
export async function closedLoop(
  callers: number,
  ms: number,
  call: (caller: number) => Promise<unknown>,
): Promise<number> {
  const began = performance.now();
  let calls = 0;
  await Promise.all(
    Array.from({ length: callers }, async (_, caller) => {
      while (performance.now() - began < ms) {
        await call(caller);
        calls += 1;
      }
    }),
  );
  return (calls * 1000) / (performance.now() - began);
}

export function sleep(ms: number): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, ms));
}

/** What the numbers below it depend on. A load above the cores' number says that somebody else uses the machine. */
export function printMachine(): void {
  const load = loadavg().map((each) => each.toFixed(1));
  console.log(`${availableParallelism()} cores, Node ${process.versions.node}, load average ${load.join(" ")}\n`);
}

/** Prints rows with aligned columns; numbers have one decimal. A row of one cell is a sentence. */
export function table(head: string[], rows: (string | number)[][]): void {
  const cells = [head, ...rows.map((row) => row.map((cell) => (typeof cell === "number" ? cell.toFixed(1) : cell)))];
  const widths = head.map((_, i) => Math.max(...cells.map((row) => (row.length === 1 ? 0 : (row[i]?.length ?? 0)))));
  for (const row of cells) {
    console.log(
      row
        .map((cell, i) => (i === 0 ? cell.padEnd(widths[i] ?? 0) : cell.padStart(widths[i] ?? 0)))
        .join("  ")
        .trimEnd(),
    );
  }
  console.log();
}
