import type { SnapshotId } from "../kernel/ids.ts";
import type { Contract, ContractClass, DeltaLine, PhaseMetric } from "./shape.ts";

/** Loosening is what is not proved to be tightening. Lines: what loosens first. */
export interface ContractDelta {
  loosens: boolean;
  lines: DeltaLine[];
}

/** Why a contract has suspended itself. */
export interface Suspension {
  metric: PhaseMetric;
  /** Of `runs` runs in the window, so many counted. */
  counted: number;
  runs: number;
  /** The run's end that crossed the line. */
  entry: string;
  at: number;
}

/** A proposed version that waits for people. */
export interface Proposal {
  version: number;
  approval: string;
  statement_hash: string;
}

export const VERSION_STATES = ["pending", "active", "retired"] as const;

export interface ContractSummary {
  name: string;
  version: number;
  class: ContractClass;
  built_in: boolean;
  state: "active" | "suspended";
  suspension: Suspension | null;
  /** What would take its place if people agreed. */
  pending: Proposal | null;
  snapshot: SnapshotId;
  contract: Contract;
}

/** One version of a contract, whatever has become of it. */
export interface ContractVersion {
  name: string;
  version: number;
  class: ContractClass;
  built_in: boolean;
  state: (typeof VERSION_STATES)[number] | "suspended";
  suspension: Suspension | null;
  snapshot: SnapshotId;
  contract: Contract;
  /** SHA-256 of the complete contract's canonical JSON, hex. */
  hash: string;
  /** The document as it was applied; null for a built-in one, and for versions of before it was kept. */
  source: string | null;
  /** The approval that it needed. */
  approval: string | null;
  /** Who applied or proposed it; null for a built-in one. */
  created_by: string | null;
  created_at: number | null;
}

/** What became of a document that was applied. */
export interface Applied {
  /** The version of the document: active, or waiting. */
  contract: ContractVersion;
  /** False when the active version, or the waiting one, says the same already. */
  changed: boolean;
  /** There when the document loosens what holds, and waits. */
  proposal: Proposal | null;
  /** Against the version that it replaces or would replace. */
  delta: ContractDelta;
}
