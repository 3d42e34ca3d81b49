import { z } from "zod";
import type { BlockedCallId, TenantId } from "../../kernel/ids.ts";
import type { Reader, Tx } from "../../storage/contract.ts";
import { BLOCKED_CALLS_MAX } from "../contract.ts";

/** Calls that policy stopped. The table is `store.ts`'s; what is sealed opens with a key that is not in the database. */

const bytes = z.custom<Uint8Array>((value) => value instanceof Uint8Array);
const blockedRow = z.object({
  id: z.custom<BlockedCallId>(),
  tenant_id: z.custom<TenantId>(),
  subject: z.string(),
  scope: z.string(),
  key: z.string(),
  contract: z.string(),
  contract_version: z.int(),
  code: z.string(),
  method: z.string(),
  host: z.string(),
  target_sealed: bytes,
  body_bytes: z.int(),
  state: z.enum(["waiting", "sent", "failed", "dropped", "expired"]),
  status: z.int().nullable(),
  created_at: z.int(),
  expires_at: z.int(),
});
export type BlockedRow = z.infer<typeof blockedRow>;
const COLUMNS = `id, tenant_id, subject, scope, key, contract, contract_version, code, method, host, target_sealed,
  body_bytes, state, status, created_at, expires_at`;

/** What is sent again, while it may be: gone once the call is settled. */
const contentRow = z.object({
  head_sealed: bytes,
  body_sealed: bytes.nullable(),
});
export type BlockedContent = z.infer<typeof contentRow>;

/** Expects that the tenant has room for it, and that it is not kept already. */
export function insertBlocked(tx: Tx, row: BlockedRow & BlockedContent): void {
  tx.run(
    `INSERT INTO egress_blocked (id, tenant_id, subject, scope, key, contract, contract_version, code, method, host,
       target_sealed, head_sealed, body_sealed, body_bytes, state, created_at, expires_at)
     SELECT ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, 'waiting', ?, ?
       WHERE (SELECT count(*) FROM egress_blocked
         WHERE tenant_id = ? AND state IN ('waiting', 'failed')) < ${BLOCKED_CALLS_MAX}
     ON CONFLICT (scope, key) DO NOTHING`,
    [
      ...[row.id, row.tenant_id, row.subject, row.scope, row.key, row.contract, row.contract_version, row.code],
      ...[row.method, row.host, row.target_sealed, row.head_sealed, row.body_sealed, row.body_bytes],
      ...[row.created_at, row.expires_at, row.tenant_id],
    ],
    1,
  );
}

/** Newest first. */
export async function selectBlocked(reader: Reader, tenant: TenantId): Promise<BlockedRow[]> {
  const rows = await reader.all(
    `SELECT ${COLUMNS} FROM egress_blocked WHERE tenant_id = ? ORDER BY id DESC LIMIT ${BLOCKED_CALLS_MAX}`,
    [tenant],
  );
  return rows.map((row) => blockedRow.parse(row));
}

export async function selectBlockedCall(reader: Reader, id: string): Promise<BlockedRow | undefined> {
  const row = await reader.get(`SELECT ${COLUMNS} FROM egress_blocked WHERE id = ?`, [id]);
  return row === undefined ? undefined : blockedRow.parse(row);
}

export async function selectContent(reader: Reader, id: string): Promise<BlockedContent | undefined> {
  const row = await reader.get(
    "SELECT head_sealed, body_sealed FROM egress_blocked WHERE id = ? AND head_sealed IS NOT NULL",
    [id],
  );
  return row === undefined ? undefined : contentRow.parse(row);
}

/** The end of a call: what would be sent is gone with it. Expects that it had none. */
export function settleBlocked(tx: Tx, id: string, state: "sent" | "dropped" | "expired", status: number | null): void {
  tx.run(
    `UPDATE egress_blocked SET state = ?, status = ?, head_sealed = NULL, body_sealed = NULL
     WHERE id = ? AND state IN ('waiting', 'failed')`,
    [state, status, id],
    1,
  );
}

/** A retry that came to nothing; there may be another. Expects that the call had no end. */
export function failBlocked(tx: Tx, id: string, status: number | null): void {
  tx.run(
    "UPDATE egress_blocked SET state = 'failed', status = ? WHERE id = ? AND state IN ('waiting', 'failed')",
    [status, id],
    1,
  );
}

export function deleteBlocked(tx: Tx, id: string): void {
  tx.run("DELETE FROM egress_blocked WHERE id = ?", [id]);
}
