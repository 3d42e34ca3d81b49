import type { ActorRef, EntryDraft, Ledger } from "../../evidence/contract.ts";
import { assert } from "../../kernel/assert.ts";
import type { Tx } from "../../storage/contract.ts";
import { snapshotOf } from "../snapshot.ts";
import {
  auditedRow,
  bumpChanges,
  type ContractRow,
  insertSnapshot,
  readContract,
  subjectOf,
  updateState,
} from "../store.ts";

/** A contract's row as a subject of an entry. */
export function contractSubject(row: ContractRow): NonNullable<EntryDraft["subjects"]>[number] {
  return { table: "contracts", id: subjectOf(row), row: auditedRow({ ...row }) };
}

/**
 * Puts a version in the place of the one that is active, with its `contract.applied`, in the caller's unit.
 * @param row  as it is stored.
 * @returns it as it is then.
 */
export function activate(
  tx: Tx,
  ledger: Ledger,
  row: ContractRow,
  active: ContractRow | undefined,
  by: { by: ActorRef[]; approval?: string },
): ContractRow {
  const contract = readContract(row.doc_json);
  const snapshot = snapshotOf(contract);
  // First the old one goes: two of a name are never active, not even for a statement.
  const retired = active === undefined ? [] : [updateState(tx, active, { state: "retired", suspension_json: null })];
  const now = updateState(tx, row, { state: "active" });
  insertSnapshot(tx, row.tenant_id, snapshot.id, snapshot.body);
  bumpChanges(tx);
  const ref = { name: row.name, version: row.version };
  assert(contract.extends !== null, "a contract that is applied extends a built-in one");
  ledger.append(tx, {
    kind: "contract.applied",
    tenant: row.tenant_id,
    actor: by.by,
    refs: by.approval === undefined ? [snapshot.id] : [snapshot.id, by.approval],
    snapshot: snapshot.id,
    contract: ref,
    subjects: [...retired, now].map(contractSubject),
    data: {
      ...ref,
      hash: row.hash,
      extends: contract.extends,
      class: contract.class,
      replaces: active?.version ?? null,
      ...(by.approval === undefined ? {} : { approval: by.approval }),
    },
  });
  return now;
}

/** Ends a proposed version that comes to nothing, with its `contract.retired`. */
export function retirePending(
  tx: Tx,
  ledger: Ledger,
  pending: ContractRow,
  { by, code }: { by: ActorRef[]; code: string },
): void {
  const retired = updateState(tx, pending, { state: "retired" });
  const { name, version, approval_id } = pending;
  assert(approval_id !== null, "what waits, waits for an approval");
  ledger.append(tx, {
    kind: "contract.retired",
    tenant: pending.tenant_id,
    actor: by,
    refs: [approval_id],
    contract: { name, version },
    subjects: [contractSubject(retired)],
    data: { name, version, approval: approval_id, code },
  });
}
