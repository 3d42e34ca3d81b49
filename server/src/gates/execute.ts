import { GantryError } from "../kernel/errors.ts";
import type { ApprovalId, RunId, TenantId } from "../kernel/ids.ts";
import type { Tx } from "../storage/contract.ts";
import { type ActionFacts, approval_errors, break_glass_errors, gate_errors } from "./contract.ts";
import { countApprovals, eligibleVoters } from "./eligibility.ts";
import { selectGlassOf } from "./glass_store.ts";
import { altered, demandApproval, notExecutable } from "./judge.ts";
import type { GateParts } from "./parts.ts";
import { type Held, markExecuted, markExpired, markSuperseded } from "./records.ts";
import { openApproval, recordRefusal } from "./refusals.ts";
import { findStale, isIntact } from "./statement.ts";
import { selectVotes } from "./store.ts";

export interface Execution {
  tenant: TenantId;
  approval: ApprovalId;
  run: RunId;
  facts: ActionFacts;
}
export type Executed = { ok: true } | { ok: false; error: GantryError };

/** A refusal, and what becomes of the approval by it. */
interface Fault {
  error: GantryError;
  ends?: "superseded" | "expired";
}

/**
 * Uses an approval up in the unit that starts what was approved. A refusal is returned and not thrown, because it is part
 * of that unit: the caller commits it together with the end of what did not start.
 */
export async function executeApproval(parts: GateParts, tx: Tx, asked: Execution): Promise<Executed> {
  const opened = await openApproval(parts, tx, asked, "execute");
  if ("error" in opened) return { ok: false, error: opened.error };
  const { held } = opened;
  const { row } = held;
  const fault = await findFault(parts, tx, held, asked);
  if (fault === undefined) {
    await markExecuted(parts, tx, held);
    return { ok: true };
  }
  const { error, ends } = fault;
  const { code } = error.kind;
  if (ends === "expired") await markExpired(parts, tx, held, code);
  // A broken glass keeps its status for ever, and is refused anew each time.
  if (ends === "superseded" && row.status === "approved") await markSuperseded(parts, tx, held, code, null);
  await recordRefusal(parts, tx, row, { what: "execute", code, by: held.statement.chain, run: asked.run });
  return { ok: false, error };
}

/** The first thing that is not as it was approved: whose, used, status and clocks, the record itself, hashes, voters. */
async function findFault(parts: GateParts, tx: Tx, held: Held, asked: Execution): Promise<Fault | undefined> {
  const { row, statement } = held;
  const now = parts.clock.now();
  if (row.run_id !== asked.run) {
    const detail = `The approval ${row.id} is for ${row.subject_id} and for nothing else.`;
    return { error: new GantryError(approval_errors.SCOPE, { detail }) };
  }
  const barred = notExecutable(row, now);
  if (barred !== undefined) {
    const is_late = row.status === "pending" || row.status === "approved";
    return { error: barred, ...(is_late && barred.code.endsWith("EXPIRED") ? { ends: "expired" } : {}) };
  }
  if (row.status === "broken_glass") {
    const ended = await glassEnded(tx, held, now);
    if (ended !== undefined) return { error: ended };
  }
  if (!isIntact(row, statement)) return { error: altered(row), ends: "superseded" };
  const stale = findStale(statement, asked.facts);
  if (stale !== undefined) {
    const detail = `${stale.title} What people approved was another action. Ask again, and they see this one.`;
    return { error: new GantryError(stale, { detail }), ends: "superseded" };
  }
  if (row.status !== "approved") return undefined;
  const eligible = await eligibleVoters(parts, tx, row, statement);
  const approvals = countApprovals(parts, row, await selectVotes(tx, row.id), eligible);
  if (approvals >= row.quorum) return undefined;
  const detail =
    `Of the approvals, ${approvals} still count and ${row.quorum} are needed: whoever gave the others may not decide ` +
    "about this any more, or there is no proof that they did. Ask again.";
  return { error: new GantryError(gate_errors.REQUIRED, { detail }), ends: "superseded" };
}

/** @returns BREAK_GLASS_ENDED once its time is over. */
export async function glassEnded(tx: Tx, { row }: Held, now: number): Promise<GantryError | undefined> {
  const glass = await selectGlassOf(tx, row.id);
  if (glass !== undefined && now < glass.until_at) return undefined;
  const until = new Date(glass?.until_at ?? row.not_after_at).toISOString();
  return new GantryError(break_glass_errors.ENDED, { detail: `The glass was broken until ${until}. Ask again.` });
}

/** Withdraws what waits or is approved. What has ended otherwise stays as it is. */
export async function withdrawApproval(
  parts: GateParts,
  tx: Tx,
  asked: { tenant: TenantId; approval: ApprovalId; code: string },
): Promise<void> {
  const held = await demandApproval(tx, asked.tenant, asked.approval);
  if (held.row.status !== "pending" && held.row.status !== "approved") return;
  await markSuperseded(parts, tx, held, asked.code, null);
}
