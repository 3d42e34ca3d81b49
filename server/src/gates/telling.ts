import type { ChainLink } from "../identity/contract.ts";
import type { ApprovalSubject } from "../policy/contract.ts";
import type { Tx } from "../storage/contract.ts";
import type { Decided, Outcome } from "./contract.ts";
import type { GateRoom } from "./parts.ts";
import { type Held, markExecuted, markSuperseded } from "./records.ts";

/** A decision reads a dozen rows, its subject's among them, each a message to the writer and back: more than other units. */
export const DECIDING_UNIT = { deadline_ms: 2_000 };

/** What a room is to be told once more when the unit is durable. */
export interface Told {
  subject: ApprovalSubject;
  decided: Decided;
}

/**
 * Tells the room that asked, in the deciding unit, and does what it answers: used up at once, or superseded, because the
 * action no longer fits.
 */
export async function tellSubject(
  room: GateRoom,
  tx: Tx,
  held: Held,
  outcome: Outcome,
  by: readonly ChainLink[],
): Promise<Told> {
  const { row, statement } = held;
  const decided: Decided = {
    id: row.id,
    tenant: row.tenant_id,
    subject_id: row.subject_id,
    run: row.run_id,
    outcome,
    statement,
    by: [...by],
    at: room.clock.now(),
  };
  const told: Told = { subject: row.subject, decided };
  const answer = await room.subjects.of(row.subject).decided(tx, decided);
  if (answer === undefined) return told;
  const may_start = outcome === "approved" || outcome === "broken_glass";
  if ("executed" in answer && may_start) {
    await markExecuted(room, tx, held);
    return told;
  }
  if (!("stale" in answer) || outcome !== "approved") return told;
  await markSuperseded(room, tx, held, answer.stale, null);
  return { ...told, decided: { ...decided, outcome: "superseded" } };
}

/** After the unit is durable. A room that fails here fails in memory only: what was decided stands. */
export function settle(room: GateRoom, { subject, decided }: Told): void {
  room.metrics.add("gantry_gate_outcomes_total", { outcome: decided.outcome });
  try {
    room.subjects.of(subject).settled(decided);
  } catch (error) {
    room.log.error({ approval: decided.id, error: String(error) }, "a decision could not be settled");
  }
}
