import type { Clock } from "../../kernel/clock.ts";

/** A clock that is set by another's: several processes go by one time. It goes on by itself, and never back. */
export class SharedClock implements Clock {
  readonly own: Clock;
  /** What the other clock is ahead of ours. */
  offset_ms = 0;
  #latest = 0;

  constructor(own: Clock) {
    this.own = own;
  }

  now(): number {
    this.#latest = Math.max(this.#latest, this.own.now() + this.offset_ms);
    return this.#latest;
  }

  monotonic(): number {
    return this.own.monotonic();
  }

  after(ms: number, fn: () => void): () => void {
    return this.own.after(ms, fn);
  }

  every(ms: number, fn: () => void): () => void {
    return this.own.every(ms, fn);
  }
}
