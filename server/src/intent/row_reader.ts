import { assert } from "../kernel/assert.ts";
import type { Clock } from "../kernel/clock.ts";
import { GantryError } from "../kernel/errors.ts";
import type { Storage } from "../storage/contract.ts";
import { LOG_FOLLOWERS_MAX, type LogLine, PEER_POLL_MS, run_errors } from "./contract.ts";
import { readLog } from "./log_store.ts";
import { findRun, type RunRow } from "./store.ts";

export interface RowReaderDeps {
  storage: Storage;
  clock: Clock;
}

/** Runs that another node has, or had: all that is known of them here is their rows. */
export class RowReader {
  readonly #d: RowReaderDeps;
  readonly #followers = new Map<string, number>();
  /** Whoever waits for a run, by the run. */
  readonly #sleepers = new Map<string, Set<() => void>>();
  #closed = false;

  constructor(deps: RowReaderDeps) {
    this.#d = deps;
  }

  /**
   * @param row  of a run.
   * @param is_here  says when this process has the run, and with it knows more than the row.
   * @returns the row when the run has ended, when it is here, or as it is after `wait_ms`.
   */
  async awaitEnd(row: RunRow, wait_ms: number, is_here: () => boolean = () => false): Promise<RunRow> {
    const { clock } = this.#d;
    const until = clock.monotonic() + wait_ms;
    for (; ; row = await this.#row(row.id)) {
      const left = until - clock.monotonic();
      if (row.state === "ended" || is_here() || left <= 0 || this.#closed) return row;
      await this.#sleep(row.id, Math.min(PEER_POLL_MS, left));
    }
  }

  /** The run has changed: whoever waits looks at once. */
  wake(id: string): void {
    for (const wakeUp of this.#sleepers.get(id) ?? []) wakeUp();
  }

  /** The lines of the run's log with `seq > after`, until the run has ended. @throws RUN_FOLLOWERS at once */
  follow(id: string, after: number, signal?: AbortSignal): AsyncIterable<LogLine> {
    const followers = this.#followers.get(id) ?? 0;
    if (followers >= LOG_FOLLOWERS_MAX) {
      throw new GantryError(run_errors.FOLLOWERS, {
        detail: `${LOG_FOLLOWERS_MAX} readers follow this log already.`,
        retry_after_ms: 1_000,
      });
    }
    return this.#lines(id, after, signal);
  }

  /** Whoever waits is answered with what the rows say now. */
  close(): void {
    this.#closed = true;
  }

  async *#lines(id: string, after: number, signal?: AbortSignal): AsyncGenerator<LogLine> {
    this.#followers.set(id, (this.#followers.get(id) ?? 0) + 1);
    let at = after;
    try {
      for (;;) {
        // The state first: the unit that ends a run brings its last lines.
        const { state } = await this.#row(id);
        for (;;) {
          const lines = await readLog(this.#d.storage, id, at);
          for (const line of lines) {
            if (signal?.aborted) return;
            yield line;
            at = line.seq;
          }
          if (lines.length === 0) break;
        }
        if (state === "ended" || signal?.aborted || this.#closed) return;
        await this.#pause(PEER_POLL_MS);
      }
    } finally {
      const left = (this.#followers.get(id) ?? 1) - 1;
      if (left === 0) this.#followers.delete(id);
      else this.#followers.set(id, left);
    }
  }

  async #row(id: string): Promise<RunRow> {
    const row = await findRun(this.#d.storage, id);
    assert(row !== undefined, "the row of a run is never deleted");
    return row;
  }

  #sleep(id: string, ms: number): Promise<void> {
    return new Promise((done) => {
      const sleepers = this.#sleepers.get(id) ?? new Set();
      this.#sleepers.set(id, sleepers);
      const wakeUp = () => {
        stop();
        sleepers.delete(wakeUp);
        if (sleepers.size === 0 && this.#sleepers.get(id) === sleepers) this.#sleepers.delete(id);
        done();
      };
      const stop = this.#d.clock.after(ms, wakeUp);
      sleepers.add(wakeUp);
    });
  }

  #pause(ms: number): Promise<void> {
    return new Promise((done) => {
      this.#d.clock.after(ms, done);
    });
  }
}
