import { canonicalJson } from "../kernel/canonical.ts";
import { sha256Hex } from "../kernel/hash.ts";
import type { SnapshotId } from "../kernel/ids.ts";
import type { Contract, SnapshotBody } from "./contract.ts";

/** Raised when a contract may say something new, or the Cedar schema changes. */
export const SCHEMA_VERSION = "gantry.contract.v5";
/** Raised when the same contract would be decided in another way. */
export const ENGINE_VERSION = "gantry.cedar.v1";

export interface Snapshot {
  id: SnapshotId;
  /** Canonical JSON of a `SnapshotBody`. */
  body: string;
}

/** The immutable state that a run is decided against, and its name: `snp_` and the SHA-256 of the body, hex. */
export function snapshotOf(contract: Contract): Snapshot {
  const state: SnapshotBody = { policies: [], schema: SCHEMA_VERSION, contract, engine: ENGINE_VERSION };
  const body = canonicalJson(state);
  return { id: `snp_${sha256Hex(body)}` as SnapshotId, body };
}
