import type { Row, Storage } from "../storage/contract.ts";

/**
 * What `stats.ts` counts. The table is `store.ts`'s; each statement reads from an index of its own, and all of them away
 * from the event loop.
 */

/** The newest ended runs of the tenant, page by page, out of the index `runs_by_end` alone. */
export function scanEnded(
  storage: Pick<Storage, "scan">,
  { tenant, since, limit }: { tenant: string; since: number; limit: number },
): AsyncIterable<Row[]> {
  const sql = `SELECT ended_at, lane, termination, startup_us, completion_us, created_at, queued_at, admitted_at FROM runs
    WHERE tenant = ? AND ended_at IS NOT NULL AND ended_at >= ? ORDER BY ended_at DESC NULLS FIRST LIMIT ?`;
  return storage.scan(sql, [tenant, since, limit]);
}

/** The newest of those that were denied or called something; the condition is that of the index `runs_refused`. */
export function scanRefused(
  storage: Pick<Storage, "scan">,
  { tenant, since, limit }: { tenant: string; since: number; limit: number },
): AsyncIterable<Row[]> {
  const sql = `SELECT termination, error, blocked, egress FROM runs
    WHERE tenant = ? AND ended_at IS NOT NULL AND ended_at >= ?
      AND (termination = 'denied' OR blocked <> '[]' OR egress <> '[]')
    ORDER BY ended_at DESC NULLS FIRST LIMIT ?`;
  return storage.scan(sql, [tenant, since, limit]);
}

/**
 * The tenant's runs that have not ended, by state and lane. As an expression, the tenant keeps the planner from the index
 * of all its runs: those that have not ended, of all tenants, are few.
 */
export function scanLive(storage: Pick<Storage, "scan">, tenant: string): AsyncIterable<Row[]> {
  const sql = `SELECT state, lane, COUNT(*) AS runs, MIN(COALESCE(queued_at, created_at)) AS since FROM runs
    WHERE state <> 'ended' AND tenant || '' = ? GROUP BY state, lane`;
  return storage.scan(sql, [tenant]);
}
