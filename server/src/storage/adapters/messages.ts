import type { Row, Value } from "../contract.ts";
import type { Query, Step } from "../unit.ts";
import type { WireError } from "./sqlite_errors.ts";

/** A unit on its way to the writer. With `query` it is one that reads: the writer keeps it open after the answer. */
export interface UnitMessage {
  id: number;
  steps: Step[];
  query?: Query;
  /** Against `GROUP_BYTES_MAX`. */
  bytes: number;
}

export type ToWriter =
  | { type: "units"; units: UnitMessage[] }
  | { type: "read"; id: number; steps: Step[]; query: Query }
  /** `bytes` is the weight of the whole unit. */
  | { type: "end"; id: number; steps: Step[]; bytes: number }
  | { type: "abort"; id: number }
  | { type: "probe" }
  | { type: "close" };

export interface UnitResult {
  id: number;
  /** Absent when the unit is durable. */
  error?: WireError;
}

export type FromWriter =
  | { type: "ready" }
  | { type: "refused"; error: WireError }
  | { type: "rows"; id: number; rows: Row[] }
  /** Units that have ended. `commit_ms` is the time of one COMMIT and `units` what it held; absent when there was none. */
  | { type: "ended"; results: UnitResult[]; commit?: { commit_ms: number; units: number } }
  | { type: "full"; full: boolean }
  | { type: "fatal"; error: WireError }
  | { type: "closed" };

export type ToReader =
  /** Fixes a state under `id`. */
  | { type: "begin"; id: number }
  | { type: "scan"; id: number; sql: string; params: Value[] }
  | { type: "page"; id: number }
  | { type: "end"; id: number }
  | { type: "close" };

/** Each message to the reader but `end` has exactly one answer, in order per `id`. */
export type FromReader =
  | { type: "ready" }
  | { type: "refused"; error: WireError }
  | { type: "answer"; id: number; rows: Row[]; done: boolean; error?: WireError }
  | { type: "fatal"; error: WireError }
  | { type: "closed" };

/** What a thread is started with. */
export interface ThreadStart {
  path: string;
}
