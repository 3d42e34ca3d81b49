import type { Principal } from "../identity/contract.ts";
import { GantryError } from "../kernel/errors.ts";
import type { TenantId } from "../kernel/ids.ts";
import { maskText } from "../kernel/mask.ts";
import type { Reader } from "../storage/contract.ts";
import { type BreakGlassView, DEBTS_PAGE_MAX, review_errors } from "./contract.ts";
import { auditedGlass, type GlassRow, selectDebts, selectGlass, updateDebtClosed } from "./glass_store.ts";
import { demandHuman } from "./humans.ts";
import { actorsOf, type GateParts } from "./parts.ts";
import { selectApproval } from "./store.ts";

/** @throws REVIEW_DEBT_OPEN */
export async function demandNoDebt(reader: Reader, tenant: TenantId): Promise<void> {
  const [debt] = await selectDebts(reader, tenant, 1);
  if (debt === undefined) return;
  throw new GantryError(review_errors.DEBT_OPEN, {
    detail: `The glass ${debt.id} was broken and nobody has reviewed it. Nothing privileged goes on before that.`,
    next_steps: [
      { kind: "command", text: "Another human looks at what was done.", command: `gantry reviews close ${debt.id}` },
    ],
  });
}

/** Open debts of the tenant, oldest first, at most `DEBTS_PAGE_MAX`. */
export async function openDebts({ storage }: Pick<GateParts, "storage">, tenant: TenantId): Promise<BreakGlassView[]> {
  return (await selectDebts(storage, tenant, DEBTS_PAGE_MAX)).map(viewGlass);
}

/**
 * A review by another human.
 * @param note  1 to `NOTE_CHARS_MAX` characters: what was found.
 * @throws REVIEW_UNKNOWN APPROVAL_NOT_HUMAN SCOPE_MISSING REVIEW_DEBT_SELF REVIEW_CLOSED and those of `confirm`
 */
export function closeDebt(parts: GateParts, who: Principal, id: string, note: string): Promise<BreakGlassView> {
  return parts.storage.write(async (tx) => {
    const before = await selectGlass(tx, who.tenant, id);
    if (before === undefined) throw new GantryError(review_errors.UNKNOWN, { detail: "The tenant has no such debt." });
    await demandHuman(parts, tx, who, "gate:approve");
    if (before.actor_id === who.actor) {
      throw new GantryError(review_errors.DEBT_SELF, {
        detail: `You broke the glass ${before.id}. Another human reviews it and closes it with a note.`,
      });
    }
    if (before.debt === "closed") {
      throw new GantryError(review_errors.CLOSED, { detail: `The actor ${before.closed_by} has closed this review.` });
    }
    const approval = await selectApproval(tx, who.tenant, before.approval_id);
    const row = updateDebtClosed(tx, before, who.actor, maskText(note));
    parts.ledger.append(tx, {
      kind: "debt.closed",
      tenant: row.tenant_id,
      actor: actorsOf(who.chain),
      // With what it was about, so that the story of a run tells of its review.
      refs: [row.id, row.approval_id, ...(approval === undefined ? [] : [approval.subject_id])],
      subjects: [{ table: "break_glass", id: row.id, row: auditedGlass(row) }],
      data: { glass: row.id, approval: row.approval_id },
      private: { note: { class: "prompts", value: note, redaction: "mask" } },
    });
    const data = { glass: row.id, approval: row.approval_id, by: who.actor };
    await parts.notifier.notify(tx, { tenant: row.tenant_id, event: "debt.closed", at: parts.clock.now(), data });
    return viewGlass(row);
  });
}

export function viewGlass(row: GlassRow): BreakGlassView {
  return {
    id: row.id,
    approval: row.approval_id,
    actor: row.actor_id,
    reason: row.reason,
    until_at: row.until_at,
    debt: row.debt,
    closed_by: row.closed_by,
    closed_note: row.closed_note,
    at: row.at,
  };
}
