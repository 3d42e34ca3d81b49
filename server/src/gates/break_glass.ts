import type { Principal } from "../identity/contract.ts";
import { GantryError } from "../kernel/errors.ts";
import { maskText } from "../kernel/mask.ts";
import type { Tx } from "../storage/contract.ts";
import { break_glass_errors, GLASS_MINUTES_MAX, REASON_CHARS_MAX, REASON_CHARS_MIN } from "./contract.ts";
import { demandNoDebt } from "./debt.ts";
import { auditedGlass, type GlassRow, insertGlass } from "./glass_store.ts";
import { demandHuman } from "./humans.ts";
import { demandApproval, demandSeen, notVotable } from "./judge.ts";
import type { GateRoom } from "./parts.ts";
import { CLOCK_TIMER, entryOf, notifyOf, subjectData } from "./records.ts";
import { refused } from "./refusals.ts";
import { updateApproval } from "./store.ts";
import { DECIDING_UNIT, settle, type Told, tellSubject } from "./telling.ts";

/** How many humans one notice names. */
const NOTIFIED_MAX = 200;
const MINUTE_MS = 60_000;

export interface Glass {
  /** `REASON_CHARS_MIN` to `REASON_CHARS_MAX` characters. */
  reason: string;
  /** 1 to `GLASS_MINUTES_MAX`. */
  minutes: number;
  statement_hash: string;
}

/**
 * One human, in place of the quorum and of nothing else: policy, limits and ledger stay. Who asked may. It opens a debt.
 * Refusals, in this order: APPROVAL_UNKNOWN, APPROVAL_NOT_HUMAN, SCOPE_MISSING, what identity says of the token,
 * BREAK_GLASS_REASON, APPROVAL_HASH_MISMATCH, the status as for a vote, and REVIEW_DEBT_OPEN when the action is
 * privileged and an earlier glass is not reviewed. Each about an existing approval is recorded.
 */
export async function breakTheGlass(room: GateRoom, who: Principal, id: string, glass: Glass): Promise<void> {
  let told: Told;
  let privileged: boolean;
  try {
    ({ told, privileged } = await room.storage.write((tx) => breakIn(room, tx, who, id, glass), DECIDING_UNIT));
  } catch (error) {
    throw await refused(room, error, who, id, "break_glass");
  }
  room.metrics.add("gantry_break_glass_total");
  // What is not privileged has a class too, which is the asking room's knowledge.
  room.metrics.add("gantry_override_total", { kind: "break_glass", class: privileged ? "privileged" : "none" });
  settle(room, told);
}

interface Broken {
  told: Told;
  privileged: boolean;
}

async function breakIn(room: GateRoom, tx: Tx, who: Principal, id: string, glass: Glass): Promise<Broken> {
  const held = await demandApproval(tx, who.tenant, id);
  await demandHuman(room, tx, who, "gate:break_glass");
  demandReason(glass);
  demandSeen(held, glass.statement_hash);
  const now = room.clock.now();
  const barred = notVotable(held.row, now, false);
  if (barred !== undefined) throw barred;
  if (held.row.privileged === 1) await demandNoDebt(tx, who.tenant);
  const after = updateApproval(tx, held.row, { status: "broken_glass", decided_at: now });
  const row: GlassRow = {
    id: room.ids("bgl"),
    tenant_id: who.tenant,
    approval_id: after.id,
    actor_id: who.actor,
    reason: maskText(glass.reason),
    until_at: now + glass.minutes * MINUTE_MS,
    debt: "open",
    closed_by: null,
    closed_note: null,
    at: now,
  };
  insertGlass(tx, row);
  room.storage.timers.cancel(tx, CLOCK_TIMER, after.id);
  const broken = { ...held, row: after };
  room.ledger.append(tx, {
    ...entryOf(broken, "glass.broken", who.chain),
    refs: [after.id, after.subject_id, row.id],
    subjects: [
      { table: "approvals", id: after.id, row: { ...after } },
      { table: "break_glass", id: row.id, row: auditedGlass(row) },
    ],
    data: {
      ...subjectData(after),
      glass: row.id,
      statement_hash: after.statement_hash,
      until_at: row.until_at,
      override: "break_glass",
    },
    private: { reason: { class: "prompts", value: glass.reason, redaction: "mask" } },
  });
  const humans = await room.identity.voters(tx, who.tenant);
  const notified = humans.slice(0, NOTIFIED_MAX).map(({ actor }) => actor);
  await notifyOf(room, tx, "glass.broken", broken, { glass: row.id, by: who.actor, until_at: row.until_at, notified });
  const told = await tellSubject(room, tx, broken, "broken_glass", who.chain);
  return { told, privileged: held.row.privileged === 1 };
}

/** @throws BREAK_GLASS_REASON */
function demandReason({ reason, minutes }: Glass): void {
  const said = reason.trim().length;
  const is_time = Number.isInteger(minutes) && minutes >= 1 && minutes <= GLASS_MINUTES_MAX;
  if (said >= REASON_CHARS_MIN && reason.length <= REASON_CHARS_MAX && is_time) return;
  throw new GantryError(break_glass_errors.REASON, {
    detail:
      `The reason has ${REASON_CHARS_MIN} to ${REASON_CHARS_MAX} characters that say something, and the time is a ` +
      `whole number of minutes from 1 to ${GLASS_MINUTES_MAX}.`,
  });
}
