import { GantryError } from "../kernel/errors.ts";
import type { ActorId } from "../kernel/ids.ts";
import type { ApprovalDraft, ApprovalRef } from "../policy/contract.ts";
import type { Tx } from "../storage/contract.ts";
import { APPROVALS_PENDING_MAX, gate_errors, type Independence } from "./contract.ts";
import { demandNoDebt } from "./debt.ts";
import { excludedActors } from "./eligibility.ts";
import { SETTLE_TIMER } from "./expiry.ts";
import type { GateRoom } from "./parts.ts";
import { CLOCK_TIMER, entryOf, type Held, markSuperseded, notifyOf, subjectData } from "./records.ts";
import { actionKey, buildStatement, namedPreview, readStatement } from "./statement.ts";
import { type ApprovalRow, countPending, insertApproval, insertPreview, selectLiveByKey } from "./store.ts";
import { tellSubject } from "./telling.ts";

const NONCE_BYTES = 16;

/**
 * Asks people, in the unit of the state that waits for them. What was asked before about the same action is superseded
 * in the same unit, and the room that asked is told.
 * @throws GATE_UNSATISFIABLE GATE_PENDING_MAX GATE_TOO_LARGE REVIEW_DEBT_OPEN
 */
export async function requestApproval(room: GateRoom, tx: Tx, draft: ApprovalDraft): Promise<ApprovalRef> {
  const { identity, clock, ids, random } = room;
  room.subjects.of(draft.subject);
  if (draft.privileged) await demandNoDebt(tx, draft.tenant);
  const now = clock.now();
  const id = ids("apr");
  const preview = namedPreview(draft.preview);
  const { approval_independence: independence } = await identity.settings(tx, draft.tenant);
  const { statement, json, hash } = buildStatement(draft, {
    approval: id,
    independence,
    preview_hash: preview.hash,
    now,
    nonce: Buffer.from(random.bytes(NONCE_BYTES)).toString("hex"),
  });
  const excluded = await excludedActors(room, tx, draft.tenant, statement);
  await demandSatisfiable(room, tx, draft, excluded, independence);
  const action_key = actionKey(draft);
  const older = await selectLiveByKey(tx, draft.tenant, action_key);
  for (const row of older) {
    const held = await markSuperseded(room, tx, heldOf(row), "APPROVAL_SUPERSEDED", id);
    await tellSubject(room, tx, held, "superseded", []);
    // Whose unit this is, we do not know; when it is durable, the timer tells that room once more.
    room.storage.timers.set(tx, { owner: SETTLE_TIMER, key: row.id, due_at: now });
  }
  if ((await countPending(tx, draft.tenant)) >= APPROVALS_PENDING_MAX) {
    throw new GantryError(gate_errors.PENDING_MAX, {
      detail: `${APPROVALS_PENDING_MAX} approvals of the tenant wait for people. Decide some, or withdraw what nobody needs.`,
    });
  }
  const row: ApprovalRow = {
    id,
    tenant_id: draft.tenant,
    run_id: draft.subject === "run" ? (draft.subject_id as ApprovalRow["run_id"]) : null,
    subject: draft.subject,
    subject_id: draft.subject_id,
    gate: draft.gate.name,
    action: draft.action.name,
    contract: draft.contract?.name ?? null,
    action_key,
    status: "pending",
    statement_json: json,
    statement_hash: hash,
    excluded_json: JSON.stringify(excluded),
    quorum: draft.gate.quorum,
    privileged: draft.privileged ? 1 : 0,
    not_after_at: statement.not_after,
    execute_before_ms: statement.execute_before,
    execute_before_at: null,
    code: null,
    created_at: now,
    decided_at: null,
    executed_at: null,
    superseded_by: null,
    rev: 1,
  };
  insertApproval(tx, row);
  insertPreview(tx, id, preview.head_json, preview.json);
  await record(room, tx, { row, statement }, draft);
  return { id, statement_hash: hash, not_after_at: row.not_after_at };
}

async function record(room: GateRoom, tx: Tx, held: Held, draft: ApprovalDraft): Promise<void> {
  const { row, statement } = held;
  room.ledger.append(tx, {
    ...entryOf(held, "approval.requested", draft.requester.chain),
    subjects: [{ table: "approvals", id: row.id, row: { ...row } }],
    data: {
      ...subjectData(row),
      gate: row.gate,
      action_hash: statement.action_hash,
      statement_hash: row.statement_hash,
      quorum: row.quorum,
      independence: statement.independence,
      not_after_at: row.not_after_at,
    },
  });
  room.storage.timers.set(tx, { owner: CLOCK_TIMER, key: row.id, due_at: row.not_after_at });
  await notifyOf(room, tx, "approval.requested", held, { quorum: row.quorum, not_after_at: row.not_after_at });
}

/** An approval of an earlier unit, as it is read again. */
export function heldOf(row: ApprovalRow): Held {
  return { row, statement: readStatement(row) };
}

/** A wait that nobody can end is refused at once. */
async function demandSatisfiable(
  room: GateRoom,
  tx: Tx,
  { tenant, gate }: ApprovalDraft,
  excluded: readonly ActorId[],
  independence: Independence,
): Promise<void> {
  const voters = await room.identity.voters(tx, tenant);
  const eligible = voters.filter(({ actor }) => !excluded.includes(actor)).length;
  if (eligible >= gate.quorum) return;
  throw new GantryError(gate_errors.UNSATISFIABLE, {
    detail:
      `The gate ${gate.name} asks for ${gate.quorum} different humans, and ${eligible} may decide about this: nobody ` +
      `decides about what they asked for or wrote (independence: ${independence}).`,
    next_steps: [
      { kind: "change", text: "Let an agent that a human owns ask, so that its human may decide, or add a human." },
    ],
  });
}
