import { canonicalJson } from "../kernel/canonical.ts";
import { sha256Hex } from "../kernel/hash.ts";
import type { RunRow } from "./store.ts";

type Authority = Pick<
  RunRow,
  "tenant" | "chain_hash" | "contract" | "contract_version" | "snapshot" | "session" | "isolation"
>;

/**
 * Names who may share a process with the run: everything that gives a run its authority, and its session. Runs with
 * equal keys may do the same, so a guest that outlives its isolate gains nothing by what runs after it.
 * @returns SHA-256, hex; undefined for a run that shares its process with nobody.
 */
export function runnerKey(row: Authority): string | undefined {
  if (row.isolation === "process") return undefined;
  const { tenant, chain_hash, contract, contract_version, snapshot, session } = row;
  return sha256Hex(canonicalJson([tenant, chain_hash, contract, contract_version, snapshot, session]));
}
