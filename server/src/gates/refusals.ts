import type { Principal } from "../identity/contract.ts";
import { GantryError, isGantryError } from "../kernel/errors.ts";
import type { ApprovalId, RunId, TenantId } from "../kernel/ids.ts";
import type { Tx } from "../storage/contract.ts";
import { approval_errors, gate_errors, REFUSALS_RECORDED_MAX } from "./contract.ts";
import { expireNow } from "./expiry.ts";
import { altered } from "./judge.ts";
import { actorsOf, type GateParts, type GateRoom } from "./parts.ts";
import type { Held } from "./records.ts";
import { isOwnText, readStatement } from "./statement.ts";
import { type ApprovalRow, addCount, selectApproval, selectCounts } from "./store.ts";

export interface Refusal {
  what: "vote" | "break_glass" | "execute" | "effect";
  code: string;
  /** Who was refused. */
  by: Principal["chain"];
  run?: RunId;
}

/**
 * The approval that an action refers to, or why it stands behind nothing: absent, or not what was made, which is recorded.
 * For what is answered and not thrown, because the refusal is part of the caller's unit.
 */
export async function openApproval(
  parts: GateParts,
  tx: Tx,
  asked: { tenant: TenantId; approval: ApprovalId; run: RunId },
  what: "execute" | "effect",
): Promise<{ held: Held } | { error: GantryError }> {
  const row = await selectApproval(tx, asked.tenant, asked.approval);
  if (row === undefined) {
    return { error: new GantryError(approval_errors.UNKNOWN, { detail: "The tenant has no such approval." }) };
  }
  if (isOwnText(row)) return { held: { row, statement: readStatement(row) } };
  const error = altered(row);
  await recordRefusal(parts, tx, row, { what, code: error.code, by: [], run: asked.run });
  return { error };
}

/** Records what was refused about an approval, as long as there are not too many of it. */
export async function recordRefusal(parts: GateParts, tx: Tx, row: ApprovalRow, refusal: Refusal): Promise<void> {
  const { refusals } = await selectCounts(tx, row.id);
  if (refusals >= REFUSALS_RECORDED_MAX) return;
  addCount(tx, row.id, "refusals");
  const { what, code, by, run } = refusal;
  parts.ledger.append(tx, {
    kind: "approval.refused",
    tenant: row.tenant_id,
    actor: actorsOf(by),
    refs: [row.id, row.subject_id, ...(run === undefined ? [] : [run])],
    data: { approval: row.id, what, code, ...(run === undefined ? {} : { run }) },
  });
}

/** What says that the store cannot be had, and nothing of the approval. */
const STORE_CODES: readonly string[] = [
  "STORAGE_BUSY",
  "STORAGE_CLOSED",
  "STORAGE_DEADLINE",
  "STORAGE_FULL",
  "STORAGE_UNREACHABLE",
];

/**
 * After the unit of a vote was rolled back: a unit of its own records that, and ends what was found overdue.
 * @returns what the caller is answered.
 */
export async function refused(
  room: GateRoom,
  error: unknown,
  who: Principal,
  id: string,
  what: "vote" | "break_glass",
): Promise<unknown> {
  if (!isGantryError(error)) return error;
  const { code } = error.kind;
  if (STORE_CODES.includes(code)) {
    const detail = "Nothing was decided. Send the same again; it counts once.";
    return new GantryError(gate_errors.STORE_DOWN, { detail, cause: error });
  }
  if (error.kind.whose === "gantry") return error;
  try {
    if (code === "APPROVAL_EXPIRED" || code === "APPROVAL_EXECUTE_EXPIRED") await expireNow(room, id);
    await room.storage.write(async (tx) => {
      const row = await selectApproval(tx, who.tenant, id);
      if (row !== undefined) await recordRefusal(room, tx, row, { what, code, by: who.chain });
    });
  } catch (failure) {
    // The refusal stands whether it is recorded or not: nothing came of what was asked.
    room.log.warn({ approval: id, code, error: String(failure) }, "a refused decision could not be recorded");
  }
  return error;
}
