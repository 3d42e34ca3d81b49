import type { Principal } from "../identity/contract.ts";
import { GantryError } from "../kernel/errors.ts";
import type { TenantId } from "../kernel/ids.ts";
import type { Reader } from "../storage/contract.ts";
import { ROWS_MAX } from "../storage/contract.ts";
import { ATTENDANCE_MS, gate_errors } from "./contract.ts";
import { type AttendanceRow, selectAttending, upsertAttendance } from "./glass_store.ts";
import { demandHuman } from "./humans.ts";
import { actorsOf, type GateParts } from "./parts.ts";

/** @throws APPROVAL_NOT_HUMAN SCOPE_MISSING and those of `confirm` */
export function stateAttendance(parts: GateParts, who: Principal): Promise<{ until_at: number }> {
  return parts.storage.write(async (tx) => {
    await demandHuman(parts, tx, who, "gate:approve");
    const until_at = parts.clock.now() + ATTENDANCE_MS;
    const row: AttendanceRow = { actor_id: who.actor, tenant_id: who.tenant, until_at };
    upsertAttendance(tx, row);
    parts.ledger.append(tx, {
      kind: "attendance.stated",
      tenant: who.tenant,
      actor: actorsOf(who.chain),
      refs: [who.actor],
      subjects: [{ table: "attendances", id: who.actor, row: { ...row } }],
      data: { until_at },
    });
    return { until_at };
  });
}

/** @throws GATE_UNATTENDED */
export async function demandAttended(parts: GateParts, reader: Reader, tenant: TenantId): Promise<void> {
  const attending = await selectAttending(reader, tenant, parts.clock.now(), ROWS_MAX);
  if (attending.length > 0) {
    const voters = new Set((await parts.identity.voters(reader, tenant)).map(({ actor }) => actor));
    if (attending.some((actor) => voters.has(actor))) return;
  }
  throw new GantryError(gate_errors.UNATTENDED, {
    detail: `Nobody who may approve has said within ${ATTENDANCE_MS / 60_000} minutes that they watch.`,
    next_steps: [{ kind: "command", text: "Somebody who may approve says so.", command: "gantry approvals attend" }],
  });
}
