import { BUILTIN_VERSION } from "../builtin.ts";
import type { ContractSummary, ContractVersion } from "../contract.ts";
import { snapshotOf } from "../snapshot.ts";
import { type ContractRow, readContract, readSuspension } from "../store.ts";
import type { Opened } from "./opened.ts";

/** A stored version, as its readers see it. */
export function versionOf(row: ContractRow): ContractVersion {
  const contract = readContract(row.doc_json);
  const suspension = readSuspension(row);
  return {
    name: row.name,
    version: row.version,
    class: contract.class,
    built_in: false,
    state: suspension === null ? row.state : "suspended",
    suspension,
    snapshot: snapshotOf(contract).id,
    contract,
    hash: row.hash,
    source: row.source_text,
    approval: row.approval_id,
    created_by: row.created_by,
    created_at: row.created_at,
  };
}

/** A built-in contract has one version, that of the product. */
export function builtinVersion({ ref, contract, contract_hash, snapshot }: Opened): ContractVersion {
  return {
    name: ref.name,
    version: BUILTIN_VERSION,
    class: contract.class,
    built_in: true,
    state: "active",
    suspension: null,
    snapshot: snapshot.id,
    contract,
    hash: contract_hash,
    source: null,
    approval: null,
    created_by: null,
    created_at: null,
  };
}

export function summaryOf(version: ContractVersion, pending: ContractSummary["pending"]): ContractSummary {
  const { name, built_in, suspension, snapshot, contract } = version;
  const state = suspension === null ? "active" : "suspended";
  return {
    name,
    version: version.version,
    class: contract.class,
    built_in,
    state,
    suspension,
    pending,
    snapshot,
    contract,
  };
}
