import { z } from "zod";
import type { ActorId, TenantId } from "../kernel/ids.ts";
import type { Reader, Tx } from "../storage/contract.ts";

const linkRow = z.object({
  hash: z.string(),
  tenant_id: z.custom<TenantId>(),
  actor_id: z.custom<ActorId>(),
  scopes_json: z.string(),
  created_at: z.int(),
  expires_at: z.int(),
  used_at: z.int().nullable(),
});
export type LinkRow = z.infer<typeof linkRow>;

export function insertLink(tx: Tx, row: LinkRow): void {
  tx.run(
    `INSERT INTO login_links (hash, tenant_id, actor_id, scopes_json, created_at, expires_at, used_at)
     VALUES (?, ?, ?, ?, ?, ?, ?)`,
    [row.hash, row.tenant_id, row.actor_id, row.scopes_json, row.created_at, row.expires_at, row.used_at],
    1,
  );
}

/** Expects that nobody has used it: of two at once, one has the row. */
export function updateLinkUsed(tx: Tx, hash: string, at: number): void {
  tx.run("UPDATE login_links SET used_at = ? WHERE hash = ? AND used_at IS NULL", [at, hash], 1);
}

export async function selectLink(reader: Reader, hash: string): Promise<LinkRow | undefined> {
  const row = await reader.get("SELECT * FROM login_links WHERE hash = ?", [hash]);
  return row === undefined ? undefined : linkRow.parse(row);
}

const countsRow = z.object({ n: z.int(), open: z.int() });

/** How many links the actor ever had, and how many are open now. */
export async function countLinks(reader: Reader, actor: ActorId, now: number): Promise<{ all: number; open: number }> {
  const row = await reader.get(
    `SELECT count(*) AS n, coalesce(sum(CASE WHEN used_at IS NULL AND expires_at > ? THEN 1 ELSE 0 END), 0) AS open
     FROM login_links WHERE actor_id = ?`,
    [now, actor],
  );
  const { n, open } = countsRow.parse(row);
  return { all: n, open };
}

/** The largest time that any process over this database has judged an expiry by; 0 when none has. */
export async function selectLatestTime(reader: Reader): Promise<number> {
  const row = await reader.get("SELECT at FROM latest_times WHERE name = 'latest'", []);
  return row === undefined ? 0 : z.int().parse(row["at"]);
}

/** Never goes back. */
export function raiseLatestTime(tx: Tx, at: number): void {
  tx.run(
    `INSERT INTO latest_times (name, at) VALUES ('latest', ?)
     ON CONFLICT (name) DO UPDATE SET at = excluded.at WHERE latest_times.at < excluded.at`,
    [at],
  );
}
