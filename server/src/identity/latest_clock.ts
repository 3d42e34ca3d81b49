import type { Clock } from "../kernel/clock.ts";
import type { Storage } from "../storage/contract.ts";
import { raiseLatestTime, selectLatestTime } from "./link_store.ts";

/**
 * The time that expiry is judged by: never earlier than any that was judged by before, by any process over this
 * database. A host whose clock is set back, and a restart after it, bring no expired token, task or link to life.
 */
export class LatestClock implements Clock {
  readonly #clock: Clock;
  readonly #storage: Storage;
  /** What the store says at least; undefined until it was read. */
  #kept: number | undefined;
  #latest = 0;

  constructor(clock: Clock, storage: Storage) {
    this.#clock = clock;
    this.#storage = storage;
  }

  now(): number {
    this.#latest = Math.max(this.#latest, this.#clock.now());
    return this.#latest;
  }

  monotonic(): number {
    return this.#clock.monotonic();
  }

  after(ms: number, fn: () => void): () => void {
    return this.#clock.after(ms, fn);
  }

  every(ms: number, fn: () => void): () => void {
    return this.#clock.every(ms, fn);
  }

  /** Call before `now` decides about an expiry; reads once. */
  async ready(): Promise<void> {
    if (this.#kept !== undefined) return;
    this.#kept = await selectLatestTime(this.#storage);
    this.#latest = Math.max(this.#latest, this.#kept);
  }

  /**
   * Call when something was found to have expired at `at`: from here on it stays so. Writes at most once for each
   * time, so what has expired long ago costs nothing.
   */
  async passed(at: number): Promise<void> {
    if (this.#kept !== undefined && at <= this.#kept) return;
    const now = this.now();
    await this.#storage.write((tx) => raiseLatestTime(tx, now));
    this.#kept = Math.max(this.#kept ?? 0, now);
  }
}
