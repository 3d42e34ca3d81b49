import { z } from "zod";
import type { Reader, Tx } from "../storage/contract.ts";

/** Idempotency keys. The table is `store.ts`'s. */

export interface KeyRow {
  request_hash: string;
  run: string;
}
const keyRow = z.object({ request_hash: z.string(), run: z.string() });

export async function findKey(
  reader: Reader,
  tenant: string,
  actor: string,
  key: string,
  now: number,
): Promise<KeyRow | undefined> {
  const sql = "SELECT request_hash, run FROM run_keys WHERE tenant = ? AND actor = ? AND key = ? AND expires_at > ?";
  const row = await reader.get(sql, [tenant, actor, key, now]);
  return row === undefined ? undefined : keyRow.parse(row);
}

/** Binds the key to the run, unless it is bound: then the unit rolls back. */
export function insertKey(tx: Tx, k: KeyRow & { tenant: string; actor: string; key: string }, at: number, ttl: number) {
  tx.run(
    `INSERT INTO run_keys (tenant, actor, key, request_hash, run, expires_at) VALUES (?, ?, ?, ?, ?, ?)
     ON CONFLICT (tenant, actor, key) DO UPDATE SET request_hash = excluded.request_hash, run = excluded.run,
       expires_at = excluded.expires_at WHERE run_keys.expires_at <= ?`,
    [k.tenant, k.actor, k.key, k.request_hash, k.run, at + ttl, at],
    1,
  );
}

export function deleteKeys(tx: Tx, expired_by: number): void {
  tx.run("DELETE FROM run_keys WHERE expires_at <= ?", [expired_by]);
}
