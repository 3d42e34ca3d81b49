import { z } from "zod";
import type { ActorId, Id, TenantId } from "../kernel/ids.ts";
import type { Reader, Tx } from "../storage/contract.ts";
import { JTIS_SWEPT_MAX, KEY_USES, type KeyUse } from "./contract.ts";

/** A public key. Only `x` of the JWK is kept: the rest is the same for every Ed25519 key (RFC 8037, 2). */
export const keyRow = z.object({
  kid: z.custom<Id<"key">>(),
  tenant_id: z.custom<TenantId>(),
  actor_id: z.custom<ActorId>(),
  public_x: z.string(),
  uses_json: z.string(),
  state: z.enum(["active", "revoked"]),
  created_at: z.int(),
  revoked_at: z.int().nullable(),
  revoked_by: z.string().nullable(),
});
export type KeyRow = z.infer<typeof keyRow>;

/** One that this version does not know permits nothing. */
export function readUses(json: string): KeyUse[] {
  const known: readonly string[] = KEY_USES;
  return z
    .array(z.string())
    .parse(JSON.parse(json))
    .filter((use): use is KeyUse => known.includes(use));
}

export function insertKey(tx: Tx, row: KeyRow): void {
  tx.run(
    `INSERT INTO actor_keys (kid, tenant_id, actor_id, public_x, uses_json, state, created_at, revoked_at, revoked_by)
     VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)`,
    [
      row.kid,
      row.tenant_id,
      row.actor_id,
      row.public_x,
      row.uses_json,
      row.state,
      row.created_at,
      row.revoked_at,
      row.revoked_by,
    ],
    1,
  );
}

/** Expects that nobody has revoked it yet. */
export function updateKeyRevoked(tx: Tx, before: KeyRow, at: number, by: string): KeyRow {
  tx.run(
    "UPDATE actor_keys SET state = 'revoked', revoked_at = ?, revoked_by = ? WHERE kid = ? AND state = 'active'",
    [at, by, before.kid],
    1,
  );
  return { ...before, state: "revoked", revoked_at: at, revoked_by: by };
}

/** Of any tenant: a `kid` is looked up before it is known who asks. */
export async function selectKey(reader: Reader, kid: string): Promise<KeyRow | undefined> {
  const row = await reader.get("SELECT * FROM actor_keys WHERE kid = ?", [kid]);
  return row === undefined ? undefined : keyRow.parse(row);
}

export async function selectKeyOf(reader: Reader, actor: ActorId, public_x: string): Promise<KeyRow | undefined> {
  const row = await reader.get("SELECT * FROM actor_keys WHERE actor_id = ? AND public_x = ?", [actor, public_x]);
  return row === undefined ? undefined : keyRow.parse(row);
}

export async function countActiveKeys(reader: Reader, actor: ActorId): Promise<number> {
  const row = await reader.get("SELECT count(*) AS n FROM actor_keys WHERE actor_id = ? AND state = 'active'", [actor]);
  return z.int().parse(row?.["n"]);
}

/** By `kid`, after the cursor. */
export async function listKeys(
  reader: Reader,
  tenant: TenantId,
  o: { actor: string | undefined; after: string; limit: number },
): Promise<KeyRow[]> {
  const narrowed = o.actor === undefined ? "" : "AND actor_id = ?";
  const rows = await reader.all(
    `SELECT * FROM actor_keys WHERE tenant_id = ? AND kid > ? ${narrowed} ORDER BY kid LIMIT ?`,
    [tenant, o.after, ...(o.actor === undefined ? [] : [o.actor]), o.limit],
  );
  return rows.map((row) => keyRow.parse(row));
}

/** The run that the task's id was claimed for, if it was. */
export async function selectClaim(reader: Reader, tenant: TenantId, jti: string): Promise<string | undefined> {
  const row = await reader.get("SELECT run_id FROM task_jtis WHERE tenant_id = ? AND jti = ?", [tenant, jti]);
  return row === undefined ? undefined : z.string().parse(row["run_id"]);
}

export function insertClaim(tx: Tx, row: { tenant: TenantId; jti: string; run: string; expires_at: number }): void {
  tx.run(
    "INSERT INTO task_jtis (tenant_id, jti, run_id, expires_at) VALUES (?, ?, ?, ?)",
    [row.tenant, row.jti, row.run, row.expires_at],
    1,
  );
}

/** Claims of tasks that are over, a few at a time: each new claim takes some old ones away. */
export function deleteEndedClaims(tx: Tx, now: number): void {
  tx.run(
    `DELETE FROM task_jtis WHERE (tenant_id, jti) IN (
       SELECT tenant_id, jti FROM task_jtis WHERE expires_at <= ? ORDER BY expires_at, tenant_id, jti LIMIT ?)`,
    [now, JTIS_SWEPT_MAX],
  );
}
