import { z } from "zod";
import type { Reader } from "../../storage/contract.ts";

const figuresRow = z.object({ size: z.int().nullable(), pending: z.int(), oldest_at: z.int().nullable() });

/**
 * How large the ledger is, and how far sealing is behind. At most `PENDING_MAX` rows are counted: what is sealed is the
 * log's size.
 * @param now  milliseconds UTC. @returns `lag_ms`: how long the oldest entry that is not sealed has waited.
 */
export async function ledgerFigures(
  reader: Reader,
  now: number,
): Promise<{ entries: number; sealed: number; lag_ms: number }> {
  const sql = `SELECT (SELECT MAX(size) FROM evidence_log) AS size, (SELECT COUNT(*) FROM evidence_pending) AS pending,
    (SELECT e.at FROM evidence_pending p JOIN evidence_entries e ON e.arrival = p.arrival ORDER BY p.arrival LIMIT 1)
      AS oldest_at`;
  const { size, pending, oldest_at } = figuresRow.parse(await reader.get(sql, []));
  const sealed = size ?? 0;
  return { entries: sealed + pending, sealed, lag_ms: oldest_at === null ? 0 : Math.max(0, now - oldest_at) };
}
