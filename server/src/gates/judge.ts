import { unreachable } from "../kernel/assert.ts";
import { GantryError } from "../kernel/errors.ts";
import type { Reader } from "../storage/contract.ts";
import { approval_errors } from "./contract.ts";
import { overdue } from "./expiry.ts";
import type { Held } from "./records.ts";
import { isIntact, readStatement } from "./statement.ts";
import { type ApprovalRow, selectApproval } from "./store.ts";

/** @throws APPROVAL_UNKNOWN  also for another tenant's; APPROVAL_HASH_MISMATCH  the row is not what was asked. */
export async function demandApproval(reader: Reader, tenant: string, id: string): Promise<Held> {
  const row = await selectApproval(reader, tenant, id);
  if (row === undefined) throw new GantryError(approval_errors.UNKNOWN, { detail: "The tenant has no such approval." });
  return { row, statement: readStatement(row) };
}

/** @param seen  the hash of what the human was shown. @throws APPROVAL_HASH_MISMATCH */
export function demandSeen({ row, statement }: Held, seen: string): void {
  if (row.statement_hash !== seen) {
    throw new GantryError(approval_errors.HASH_MISMATCH, {
      detail: `This approval's statement has the hash ${row.statement_hash}. Read it again, and send that.`,
      next_steps: [{ kind: "command", text: "Read it.", command: `gantry approvals show ${row.id}` }],
    });
  }
  if (!isIntact(row, statement)) throw altered(row);
}

export function altered(row: ApprovalRow): GantryError {
  return new GantryError(approval_errors.HASH_MISMATCH, {
    detail: "The stored statement is not the one that was made. Nothing is decided or done by it; ask again.",
    internal: { approval: row.id },
  });
}

/** What stands in the way of a vote, or undefined. @param is_veto  a decline, which an approved one still takes. */
export function notVotable(row: ApprovalRow, now: number, is_veto: boolean): GantryError | undefined {
  const late = overdue(row, now);
  if (late !== undefined) return expiredError(row, late);
  switch (row.status) {
    case "pending":
      return undefined;
    case "approved":
      return is_veto ? undefined : decided("It is approved; a decline would still stop it.");
    case "declined":
      return decided("A human has declined it. Ask again, and it is another approval.");
    case "executed":
      return decided("It was approved, and what it was for has been done.");
    case "broken_glass":
      return decided("A broken glass has taken the place of the quorum.");
    case "expired":
      return expiredError(row, row.code);
    case "superseded":
      return superseded(row);
    default:
      return unreachable(row.status);
  }
}

/** What stands in the way of a start, or undefined; of a broken glass, its caller judges the time. */
export function notExecutable(row: ApprovalRow, now: number): GantryError | undefined {
  const late = overdue(row, now);
  if (late !== undefined) return expiredError(row, late);
  if (row.executed_at !== null || row.status === "executed") {
    return new GantryError(approval_errors.USED, { detail: "What was approved has been done; it is done once." });
  }
  switch (row.status) {
    case "approved":
    case "broken_glass":
      return undefined;
    case "pending":
      return new GantryError(approval_errors.PENDING, {
        detail: `${row.quorum} different humans have to approve it; they have not.`,
        next_steps: [{ kind: "wait", text: `It waits until ${new Date(row.not_after_at).toISOString()}.` }],
      });
    case "declined":
      return new GantryError(approval_errors.DECLINED, { detail: "A human has declined it." });
    case "expired":
      return expiredError(row, row.code);
    case "superseded":
      return superseded(row);
    default:
      return unreachable(row.status);
  }
}

function decided(detail: string): GantryError {
  return new GantryError(approval_errors.DECIDED, { detail });
}

function superseded(row: ApprovalRow): GantryError {
  const by = row.superseded_by === null ? "" : ` The newer one is ${row.superseded_by}.`;
  return new GantryError(approval_errors.SUPERSEDED, { detail: `It ended by ${row.code ?? "a newer request"}.${by}` });
}

function expiredError(row: ApprovalRow, code: string | null): GantryError {
  if (code === "APPROVAL_EXECUTE_EXPIRED") {
    const until = new Date(row.execute_before_at ?? row.not_after_at).toISOString();
    return new GantryError(approval_errors.EXECUTE_EXPIRED, {
      detail: `It was approved and had to start before ${until}. Ask again.`,
    });
  }
  return new GantryError(approval_errors.EXPIRED, {
    detail: `It waited for people until ${new Date(row.not_after_at).toISOString()}. Ask again.`,
  });
}
