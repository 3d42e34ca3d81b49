import type { EntryDraft, Kind } from "../evidence/contract.ts";
import type { ChainLink } from "../identity/contract.ts";
import type { ApprovalId } from "../kernel/ids.ts";
import type { Tx } from "../storage/contract.ts";
import type { Statement, WebhookEvent } from "./contract.ts";
import { actorsOf, type GateParts } from "./parts.ts";
import { type ApprovalChange, type ApprovalRow, updateApproval } from "./store.ts";

/** Of the timers of both clocks: until when it waits for people, then until when it may start. */
export const CLOCK_TIMER = "gates.clock";

/** An approval in a unit: its row and what it is for. */
export interface Held {
  row: ApprovalRow;
  statement: Statement;
}

/** What of an entry is the same for every kind of this room. */
export function entryOf({ row, statement }: Held, kind: Kind, by: readonly ChainLink[]): EntryDraft {
  const { contract, snapshot } = statement;
  return {
    kind,
    tenant: row.tenant_id,
    actor: actorsOf([...by]),
    refs: [row.id, row.subject_id],
    ...(snapshot === null ? {} : { snapshot }),
    ...(contract === null ? {} : { contract: { name: contract.name, version: contract.version } }),
    data: {},
  };
}

/** The members by which each entry names what was decided about. */
export function subjectData({ id, subject, subject_id }: ApprovalRow): Record<string, unknown> {
  return { approval: id, subject, subject_id };
}

/** Tells the outside. What it is told is what an entry says, no more. */
export function notifyOf(parts: GateParts, tx: Tx, event: WebhookEvent, held: Held, more: object = {}): Promise<void> {
  const { row, statement } = held;
  return parts.notifier.notify(tx, {
    tenant: row.tenant_id,
    event,
    at: parts.clock.now(),
    data: {
      ...subjectData(row),
      gate: row.gate,
      action: statement.action.name,
      resource: statement.action.resource,
      target: statement.target,
      requester: statement.requester,
      status: row.status,
      statement_hash: row.statement_hash,
      ...more,
    },
  });
}

/** Every change of status: the row, its entry, its clock, its notice, in the caller's unit. */
async function change(
  parts: GateParts,
  tx: Tx,
  held: Held,
  changes: ApprovalChange,
  told: { event: WebhookEvent & Kind; by: readonly ChainLink[]; data?: object },
): Promise<Held> {
  const row = updateApproval(tx, held.row, changes);
  const next = { ...held, row };
  parts.ledger.append(tx, {
    ...entryOf(next, told.event, told.by),
    subjects: [{ table: "approvals", id: row.id, row: { ...row } }],
    data: { ...subjectData(row), ...told.data },
  });
  if (row.status === "approved" && row.execute_before_at !== null) {
    parts.storage.timers.set(tx, { owner: CLOCK_TIMER, key: row.id, due_at: row.execute_before_at });
  } else parts.storage.timers.cancel(tx, CLOCK_TIMER, row.id);
  await notifyOf(parts, tx, told.event, next, told.data);
  return next;
}

/** `pending -> approved`. The second clock starts now. */
export function markApproved(parts: GateParts, tx: Tx, held: Held, by: readonly ChainLink[], at: number) {
  const execute_before_at = at + held.row.execute_before_ms;
  return change(
    parts,
    tx,
    held,
    { status: "approved", decided_at: at, execute_before_at },
    { event: "approval.approved", by, data: { execute_before_at } },
  );
}

/** `pending | approved -> declined`. */
export function markDeclined(parts: GateParts, tx: Tx, held: Held, by: readonly ChainLink[], at: number) {
  const changes = { status: "declined", decided_at: at, code: "APPROVAL_DECLINED" } as const;
  return change(parts, tx, held, changes, { event: "approval.declined", by });
}

/** `pending | approved -> expired`, by the clock that `code` names. */
export function markExpired(parts: GateParts, tx: Tx, held: Held, code: string) {
  const { decided_at } = held.row;
  const changes = { status: "expired", code, decided_at: decided_at ?? parts.clock.now() } as const;
  return change(parts, tx, held, changes, { event: "approval.expired", by: [], data: { code } });
}

/** `pending | approved -> superseded`. @param by  the request that takes its place, if one does. */
export function markSuperseded(parts: GateParts, tx: Tx, held: Held, code: string, by: ApprovalId | null) {
  const { decided_at } = held.row;
  const changes = {
    status: "superseded",
    code,
    superseded_by: by,
    decided_at: decided_at ?? parts.clock.now(),
  } as const;
  return change(parts, tx, held, changes, { event: "approval.superseded", by: [], data: { code, by } });
}

/** `approved -> executed`; a broken glass keeps its status. */
export function markExecuted(parts: GateParts, tx: Tx, held: Held) {
  const status = held.row.status === "broken_glass" ? "broken_glass" : "executed";
  const { chain, action_hash } = held.statement;
  return change(
    parts,
    tx,
    held,
    { status, executed_at: parts.clock.now() },
    { event: "approval.executed", by: chain, data: { action_hash } },
  );
}
