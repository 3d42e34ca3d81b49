import { z } from "zod";
import type { AuditedTable } from "../evidence/contract.ts";
import type { ActorId, ApprovalId, BreakGlassId, TenantId } from "../kernel/ids.ts";
import type { Reader, Row, Tx } from "../storage/contract.ts";

const glassRow = z.object({
  id: z.custom<BreakGlassId>(),
  tenant_id: z.custom<TenantId>(),
  approval_id: z.custom<ApprovalId>(),
  actor_id: z.custom<ActorId>(),
  reason: z.string(),
  until_at: z.int(),
  debt: z.enum(["open", "closed"]),
  closed_by: z.custom<ActorId>().nullable(),
  closed_note: z.string().nullable(),
  at: z.int(),
});
export type GlassRow = z.infer<typeof glassRow>;

/** As with votes: what people wrote is in no digest. */
export function auditedGlass({ reason: _reason, closed_note: _note, ...row }: GlassRow): Row {
  return { ...row };
}

const WRITTEN: readonly string[] = ["reason", "closed_note"];
const glass_columns = Object.keys(glassRow.shape).filter((name) => !WRITTEN.includes(name));

const attendanceRow = z.object({
  actor_id: z.custom<ActorId>(),
  tenant_id: z.custom<TenantId>(),
  until_at: z.int(),
});
export type AttendanceRow = z.infer<typeof attendanceRow>;

export const glass_tables: AuditedTable[] = [
  { table: "break_glass", id: "id", columns: glass_columns, columnsOf: (row) => row },
  { table: "attendances", id: "actor_id", columns: Object.keys(attendanceRow.shape), columnsOf: (row) => row },
];

export function insertGlass(tx: Tx, row: GlassRow): void {
  tx.run(
    `INSERT INTO break_glass (id, tenant_id, approval_id, actor_id, reason, until_at, debt, closed_by, closed_note, at)
     VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)`,
    [
      row.id,
      row.tenant_id,
      row.approval_id,
      row.actor_id,
      row.reason,
      row.until_at,
      row.debt,
      row.closed_by,
      row.closed_note,
      row.at,
    ],
    1,
  );
}

/** Expects that the debt is open. */
export function updateDebtClosed(tx: Tx, before: GlassRow, by: ActorId, note: string): GlassRow {
  tx.run(
    "UPDATE break_glass SET debt = 'closed', closed_by = ?, closed_note = ? WHERE id = ? AND debt = 'open'",
    [by, note, before.id],
    1,
  );
  return { ...before, debt: "closed", closed_by: by, closed_note: note };
}

export async function selectGlass(reader: Reader, tenant: TenantId, id: string): Promise<GlassRow | undefined> {
  const row = await reader.get("SELECT * FROM break_glass WHERE tenant_id = ? AND id = ?", [tenant, id]);
  return row === undefined ? undefined : glassRow.parse(row);
}

export async function selectGlassOf(reader: Reader, approval: ApprovalId): Promise<GlassRow | undefined> {
  const row = await reader.get("SELECT * FROM break_glass WHERE approval_id = ?", [approval]);
  return row === undefined ? undefined : glassRow.parse(row);
}

/** Open debts, oldest first, `limit` at most. */
export async function selectDebts(reader: Reader, tenant: TenantId, limit: number): Promise<GlassRow[]> {
  const rows = await reader.all("SELECT * FROM break_glass WHERE tenant_id = ? AND debt = 'open' ORDER BY id LIMIT ?", [
    tenant,
    limit,
  ]);
  return rows.map((row) => glassRow.parse(row));
}

export function upsertAttendance(tx: Tx, row: AttendanceRow): void {
  tx.run(
    `INSERT INTO attendances (actor_id, tenant_id, until_at) VALUES (?, ?, ?)
     ON CONFLICT (actor_id) DO UPDATE SET until_at = excluded.until_at`,
    [row.actor_id, row.tenant_id, row.until_at],
    1,
  );
}

/** Who says to watch at `now`, the freshest word first, `limit` at most. */
export async function selectAttending(
  reader: Reader,
  tenant: TenantId,
  now: number,
  limit: number,
): Promise<ActorId[]> {
  const rows = await reader.all(
    "SELECT * FROM attendances WHERE tenant_id = ? AND until_at > ? ORDER BY until_at DESC, actor_id LIMIT ?",
    [tenant, now, limit],
  );
  return rows.map((row) => attendanceRow.parse(row).actor_id);
}
