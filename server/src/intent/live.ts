import type { Ticket } from "./admission.ts";
import type { Outward } from "./passage.ts";
import type { RunLog } from "./run_log.ts";
import type { Override, RunRow } from "./store.ts";

/** A promise with its ends in our hands. Nobody has to wait for it: a rejection that no one sees is no fault. */
export interface Deferred<T> {
  promise: Promise<T>;
  resolve(value: T): void;
  reject(error: unknown): void;
}

export function deferred<T>(): Deferred<T> {
  let resolve: (value: T) => void = () => {};
  let reject: (error: unknown) => void = () => {};
  const promise = new Promise<T>((yes, no) => {
    resolve = yes;
    reject = no;
  });
  promise.catch(() => {});
  return { promise, resolve, reject };
}

/**
 * A run that has not ended, as this process knows it.
 * `waiting`: for a slot. `starting`: has one. `running`: its process has begun with it. `ending`: its end is being written.
 */
export interface Live {
  /** The row as it is durable, or is about to be. */
  row: RunRow;
  ticket: Ticket;
  phase: "waiting" | "starting" | "running" | "ending";
  downgraded: boolean;
  /** As the row says while the run waits. */
  holder: string;
  /** Its row may be another's by now: whatever is to be known of it stands there. */
  lost: boolean;
  /** When its process began with it, milliseconds UTC; in the row when that has ended. */
  started_at: number | null;
  /** Milliseconds on the monotonic clock. */
  submitted: number;
  admitted: number;
  /** From admission until the guest was about to be called; null until it was executed. */
  startup_ms: number | null;
  /** The actor who asked for its end. */
  cancelled_by: string | null;
  override: Override | null;
  /** Aborting it ends the execution. */
  abort: AbortController;
  log: RunLog;
  /** Of the attempt that goes on; undefined: it has none. */
  outward: Outward | undefined;
  /** The row is durable, so the run may be named to a caller. Rejects `EVIDENCE_UNAVAILABLE`. */
  accepted: Deferred<void>;
  /** The end is durable, so the result may be shown. Rejects `EVIDENCE_UNAVAILABLE`. */
  settled: Deferred<RunRow>;
  /** The process shuts down while the run waits, or the run is lost: whoever waits for it here is answered otherwise. */
  parked: Deferred<undefined>;
}
