import type { EgressDoor, EgressIdentity, EgressSummary, PreparedLeases } from "../egress/contract.ts";
import type { Tx } from "../storage/contract.ts";

/** The way out of one attempt; there is none under a contract without rules for what leaves. */
export interface Outward {
  readonly who: EgressIdentity;
  readonly leases: PreparedLeases;
  /** Opened when a runner takes the attempt. */
  door: EgressDoor | undefined;
  /** It is asked to close once. */
  closing: Promise<EgressSummary> | undefined;
}

/** What is left of a way out that is closed; its log is written in the unit that ends the run. */
export interface Departed {
  readonly outward: Outward;
  readonly summary: EgressSummary | undefined;
  /** SHA-256 of the private log, hex; undefined when there is none. */
  readonly log_hash: string | undefined;
  readonly writeLog: (tx: Tx) => void;
}

/** How the run stands to its way out. */
export interface Passage {
  /** Of a row that starts. */
  outward?: Outward | undefined;
  /** Of a row that ends after a door of its own. */
  departed?: Departed | undefined;
  /** The attempt that somebody else may still act for. */
  lost?: number;
}
