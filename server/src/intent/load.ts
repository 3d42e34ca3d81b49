import type { Clock } from "../kernel/clock.ts";
import { COST_MS_DEFAULT, COST_TENANTS_MAX, COST_WEIGHT, DRAIN_WINDOW_MS } from "./contract.ts";

/** What a run of a tenant costs: a moving average of the slot time of its runs, milliseconds. */
export class Costs {
  readonly #by_tenant = new Map<string, number>();

  of(tenant: string): number {
    return this.#by_tenant.get(tenant) ?? COST_MS_DEFAULT;
  }

  settle(tenant: string, slot_ms: number): void {
    const before = this.of(tenant);
    this.#by_tenant.delete(tenant);
    this.#by_tenant.set(tenant, before + COST_WEIGHT * (slot_ms - before));
    if (this.#by_tenant.size <= COST_TENANTS_MAX) return;
    for (const oldest of this.#by_tenant.keys()) {
      this.#by_tenant.delete(oldest);
      return;
    }
  }
}

const BUCKETS = 10;
const BUCKET_MS = DRAIN_WINDOW_MS / BUCKETS;

/** How much run time ends, over the last `DRAIN_WINDOW_MS`. */
export class Drain {
  readonly #clock: Clock;
  readonly #sums = new Array<number>(BUCKETS).fill(0);
  #first_at: number | undefined;
  /** Number of the newest bucket since the clock's start. */
  #newest = 0;

  constructor(clock: Clock) {
    this.#clock = clock;
  }

  add(slot_ms: number): void {
    this.#advance();
    this.#first_at ??= this.#clock.monotonic() - slot_ms;
    const index = this.#newest % BUCKETS;
    this.#sums[index] = (this.#sums[index] ?? 0) + slot_ms;
  }

  /** Run-ms per ms; 0 when nothing ended in the window. A younger history than the window counts as it is. */
  rate(): number {
    this.#advance();
    const sum = this.#sums.reduce((a, b) => a + b, 0);
    if (sum === 0 || this.#first_at === undefined) return 0;
    const age = this.#clock.monotonic() - this.#first_at;
    return sum / Math.min(DRAIN_WINDOW_MS, Math.max(BUCKET_MS, age));
  }

  #advance(): void {
    const now = Math.floor(this.#clock.monotonic() / BUCKET_MS);
    for (let n = Math.max(this.#newest + 1, now - BUCKETS + 1); n <= now; n++) this.#sums[n % BUCKETS] = 0;
    this.#newest = Math.max(now, this.#newest);
  }
}
