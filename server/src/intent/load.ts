import type { Clock } from "../kernel/clock.ts";
import { DRAIN_WINDOW_MS } from "./contract.ts";

const BUCKETS = 10;
const BUCKET_MS = DRAIN_WINDOW_MS / BUCKETS;

interface Bucket {
  /** Slot time that runs had while something waited. */
  run_ms: number;
  /** Time during which something waited. */
  busy_ms: number;
}

/**
 * How quickly run time drains, over the last `DRAIN_WINDOW_MS`: only while something waits, since a node that nobody
 * asks for more drains less than it could. Slot time counts while it passes and not when a run ends, or the end of one
 * long run would look like a node of many slots.
 */
export class Drain {
  readonly #clock: Clock;
  readonly #buckets: Bucket[] = Array.from({ length: BUCKETS }, () => ({ run_ms: 0, busy_ms: 0 }));
  /** Number of the newest bucket since the clock's start. */
  #newest: number;
  #told_at: number;
  #active = 0;
  #busy = false;

  constructor(clock: Clock) {
    this.#clock = clock;
    this.#told_at = clock.monotonic();
    this.#newest = Math.floor(this.#told_at / BUCKET_MS);
  }

  /** From now on so many runs have slots, and something waits or not. */
  tell(active: number, busy: boolean): void {
    this.#catchUp();
    this.#active = active;
    this.#busy = busy;
  }

  /** Run-ms per ms; 0 when nothing has waited within the window. */
  rate(): number {
    this.#catchUp();
    const run_ms = this.#buckets.reduce((sum, bucket) => sum + bucket.run_ms, 0);
    const busy_ms = this.#buckets.reduce((sum, bucket) => sum + bucket.busy_ms, 0);
    return busy_ms === 0 ? 0 : run_ms / busy_ms;
  }

  #catchUp(): void {
    const now = this.#clock.monotonic();
    const last = Math.floor(now / BUCKET_MS);
    // What lies before the window is not looked at again.
    let from = Math.max(this.#told_at, (last - BUCKETS + 1) * BUCKET_MS);
    for (let n = Math.max(this.#newest + 1, last - BUCKETS + 1); n <= last; n++) {
      this.#add(Math.floor(from / BUCKET_MS), n * BUCKET_MS - from);
      from = Math.max(from, n * BUCKET_MS);
      this.#buckets[n % BUCKETS] = { run_ms: 0, busy_ms: 0 };
    }
    this.#add(last, now - from);
    this.#newest = last;
    this.#told_at = now;
  }

  #add(number: number, ms: number): void {
    const bucket = this.#buckets[number % BUCKETS];
    if (!this.#busy || ms <= 0 || bucket === undefined) return;
    bucket.busy_ms += ms;
    bucket.run_ms += ms * this.#active;
  }
}

/** What a run of this cost has probably left after so long: one that is past its guess may take as long again by half. */
export function leftOf(cost_ms: number, elapsed_ms: number): number {
  return Math.max(cost_ms - elapsed_ms, elapsed_ms / 2);
}

/**
 * How long until a slot is free for who stands behind `ahead_ms` of run time.
 * @param left_ms  what each of the runs that have slots has left.
 * @param pace  run-ms that one slot drains in a ms.
 */
export function waitBehind(ahead_ms: number, left_ms: readonly number[], pace: number): number {
  const ends = [...left_ms].sort((a, b) => a - b);
  let at = 0;
  let drained = 0;
  for (const [free, end] of ends.entries()) {
    const more = free * pace * (end - at);
    if (free > 0 && drained + more >= ahead_ms) break;
    drained += more;
    at = end;
  }
  const slots = Math.max(1, ends.filter((end) => end <= at).length);
  return at + Math.max(0, ahead_ms - drained) / (slots * pace);
}
