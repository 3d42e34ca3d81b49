import type { Fire, Tx } from "../storage/contract.ts";
import type { Decided, Outcome } from "./contract.ts";
import type { GateRoom } from "./parts.ts";
import { CLOCK_TIMER, type Held, markExpired } from "./records.ts";
import { readStatement } from "./statement.ts";
import { type ApprovalRow, selectApprovalById } from "./store.ts";
import { DECIDING_UNIT, settle, type Told, tellSubject } from "./telling.ts";

/** Of the timers that tell a room that its approval was superseded by another room's unit. */
export const SETTLE_TIMER = "gates.settle";

/** The clock that has run out for what waits or is approved, or undefined. */
export function overdue(row: ApprovalRow, now: number): "APPROVAL_EXPIRED" | "APPROVAL_EXECUTE_EXPIRED" | undefined {
  if (row.status === "pending" && now >= row.not_after_at) return "APPROVAL_EXPIRED";
  if (row.status === "approved" && row.execute_before_at !== null && now >= row.execute_before_at) {
    return "APPROVAL_EXECUTE_EXPIRED";
  }
  return undefined;
}

/** Expires it if a clock has run out, and tells its room. A clock that does not say so changes nothing. */
async function expire(room: GateRoom, tx: Tx, row: ApprovalRow): Promise<Told | undefined> {
  const code = overdue(row, room.clock.now());
  if (code === undefined) return undefined;
  const held: Held = { row, statement: readStatement(row) };
  return tellSubject(room, tx, await markExpired(room, tx, held, code), "expired", []);
}

/** What a check has found overdue ends at once, in a unit of its own; the timer finds nothing to do then. */
export async function expireNow(room: GateRoom, id: string): Promise<void> {
  const told = await room.storage.write(async (tx) => {
    const row = await selectApprovalById(tx, id);
    return row === undefined ? undefined : expire(room, tx, row);
  }, DECIDING_UNIT);
  if (told !== undefined) settle(room, told);
}

/** Registers the handlers of this room's timers. A late one changes nothing: every check reads the clock itself. */
export function onTimers(room: GateRoom): void {
  const { timers } = room.storage;
  timers.on(CLOCK_TIMER, (fire) => ring(room, fire));
  timers.on(SETTLE_TIMER, async (fire) => {
    const told = await room.storage.write(async (tx) => {
      const row = await selectApprovalById(tx, fire.key);
      timers.done(tx, fire);
      return row === undefined ? undefined : toldAgain(row);
    });
    if (told !== undefined) settle(room, told);
  });
}

async function ring(room: GateRoom, fire: Fire): Promise<void> {
  const { timers } = room.storage;
  const told = await room.storage.write(async (tx) => {
    const row = await selectApprovalById(tx, fire.key);
    timers.done(tx, fire);
    if (row === undefined) return undefined;
    const expired = await expire(room, tx, row);
    // Another node's clock may be ahead of ours: the approval waits on by ours.
    const due_at = row.status === "pending" ? row.not_after_at : row.execute_before_at;
    if (expired === undefined && (row.status === "pending" || row.status === "approved") && due_at !== null) {
      timers.set(tx, { owner: CLOCK_TIMER, key: row.id, due_at });
    }
    return expired;
  }, DECIDING_UNIT);
  if (told !== undefined) settle(room, told);
}

const OUTCOMES: Partial<Record<ApprovalRow["status"], Outcome>> = {
  declined: "declined",
  expired: "expired",
  superseded: "superseded",
};

function toldAgain(row: ApprovalRow): Told | undefined {
  const outcome = OUTCOMES[row.status];
  if (outcome === undefined) return undefined;
  const decided: Decided = {
    id: row.id,
    tenant: row.tenant_id,
    subject_id: row.subject_id,
    run: row.run_id,
    outcome,
    statement: readStatement(row),
    by: [],
    at: row.decided_at ?? row.created_at,
  };
  return { subject: row.subject, decided };
}
