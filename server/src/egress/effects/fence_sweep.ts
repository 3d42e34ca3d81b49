import type { Clock } from "../../kernel/clock.ts";
import type { Fire, Storage, Tx } from "../../storage/contract.ts";
import { FENCE_KEPT_MS, FENCE_SKEW_MS, FENCE_SWEEP_MS, FENCES_SWEPT_MAX } from "../contract.ts";
import { ageFences, deleteFence, raiseMark, selectAgedFences } from "./fence_store.ts";
import { deleteEffects } from "./store.ts";

const TIMER = { owner: "egress.fences", key: "sweep" };

/**
 * Fences live for `FENCE_KEPT_MS` after they were moved last. An attempt that slept longer must still change nothing when
 * it wakes, and a statement of its own may be on its way already: so no clock of its machine is asked. The unit that
 * deletes fences raises one mark instead, past the beginning of every attempt that they held back, and an attempt that
 * began before the mark intends nothing. Attempts that may go on are younger by weeks. The mark comes from the fences'
 * own times, so that a clock that jumps ahead sweeps early and lets nobody through.
 */
export class FenceSweep {
  readonly #storage: Storage;
  readonly #clock: Clock;

  /** Before the timers start. */
  constructor({ storage, clock }: { storage: Storage; clock: Clock }) {
    this.#storage = storage;
    this.#clock = clock;
    storage.timers.on(TIMER.owner, (fire) => this.#fired(fire));
  }

  /** Sets the timer; the first sweep is at once, however short the server's lives are. */
  async start(): Promise<void> {
    await this.#storage.write((tx) => this.#storage.timers.set(tx, { ...TIMER, due_at: this.#clock.now() }));
  }

  /**
   * Sweeps once: at most `FENCES_SWEPT_MAX` fences, in one unit.
   * @param also  goes into the unit. @returns how many were swept.
   */
  async sweep(also?: (tx: Tx, swept: number) => void): Promise<number> {
    const now = this.#clock.now();
    // Read first, as a unit that reads has a wall; a fence that moves meanwhile is guarded, and the next sweep begins anew.
    const aged = await selectAgedFences(this.#storage, now - FENCE_KEPT_MS, FENCES_SWEPT_MAX);
    const last = aged.at(-1);
    await this.#storage.write((tx) => {
      for (const fence of aged) {
        deleteFence(tx, fence);
        deleteEffects(tx, fence.root);
      }
      if (last !== undefined) raiseMark(tx, last.moved_at + FENCE_SKEW_MS);
      ageFences(tx, now, FENCES_SWEPT_MAX);
      also?.(tx, aged.length);
    });
    return aged.length;
  }

  /** With as many fences as one sweep may have, the next follows at once. */
  async #fired(fire: Fire): Promise<void> {
    const { timers } = this.#storage;
    await this.sweep((tx, swept) => {
      const wait_ms = swept < FENCES_SWEPT_MAX ? FENCE_SWEEP_MS : 0;
      timers.done(tx, fire);
      timers.set(tx, { ...TIMER, due_at: this.#clock.now() + wait_ms });
    });
  }
}
