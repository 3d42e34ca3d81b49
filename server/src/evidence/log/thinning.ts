import type { Clock } from "../../kernel/clock.ts";
import type { Storage } from "../../storage/contract.ts";
import { CHECKPOINTS_WHOLE_MS } from "../contract.ts";
import { deleteCheckpoints, selectOldCheckpoints } from "./store.ts";

const HOUR_MS = 3_600_000;
/** How often a step is made, and how many rows one looks at: more than are made meanwhile at the highest rate. */
const STEP_MS = 60_000;
const STEP_ROWS = 1_000;

/**
 * Of checkpoints that are older than `CHECKPOINTS_WHOLE_MS` only the last of each hour is kept, in small steps beside
 * the sealing. Proofs need none of them: a tree of any size is in the tiles.
 */
export class Thinning {
  readonly #storage: Storage;
  readonly #clock: Clock;
  /** Sizes below are thinned. */
  #from = 0;
  #next_at = 0;

  constructor(storage: Storage, clock: Clock) {
    this.#storage = storage;
    this.#clock = clock;
  }

  /** One step, if it is time for one. */
  async step(): Promise<void> {
    const now = this.#clock.monotonic();
    if (now < this.#next_at) return;
    this.#next_at = now + STEP_MS;
    const before = this.#clock.now() - CHECKPOINTS_WHOLE_MS;
    const old = await selectOldCheckpoints(this.#storage, this.#from, before, STEP_ROWS);
    // The last of an hour is known when one of a later hour follows: the last row of a step begins the next.
    const hours: { from: number; last: number; hour: number }[] = [];
    for (const { size, at } of old) {
      const hour = Math.floor(at / HOUR_MS);
      const open = hours.at(-1);
      if (open?.hour === hour) open.last = size;
      else hours.push({ from: size, last: size, hour });
    }
    const thick = hours.filter(({ from, last }) => from < last);
    if (thick.length > 0) {
      await this.#storage.write((tx) => {
        for (const { from, last } of thick) deleteCheckpoints(tx, from, last);
      });
    }
    this.#from = old.at(-1)?.size ?? this.#from;
  }
}
