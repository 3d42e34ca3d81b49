import { z } from "zod";
import type { Reader } from "../storage/contract.ts";

/** Approvals of a tenant that wait for people. */
export interface PendingFigures {
  count: number;
  /** How long the first of them has waited; 0 when none waits. */
  oldest_ms: number;
  /** By what they are for; what nothing waits for is left out. */
  by_subject: Record<string, number>;
}

const pendingRow = z.object({ subject: z.string(), approvals: z.int(), since: z.int() });

/**
 * At most `APPROVALS_PENDING_MAX` rows are counted, out of the index by status.
 * @param now  milliseconds UTC.
 */
export async function pendingFigures(reader: Reader, tenant: string, now: number): Promise<PendingFigures> {
  const sql = `SELECT subject, COUNT(*) AS approvals, MIN(created_at) AS since FROM approvals
    WHERE tenant_id = ? AND status = 'pending' GROUP BY subject ORDER BY subject`;
  const figures: PendingFigures = { count: 0, oldest_ms: 0, by_subject: {} };
  for (const row of await reader.all(sql, [tenant])) {
    const { subject, approvals, since } = pendingRow.parse(row);
    figures.count += approvals;
    // Clocks of several nodes differ a little.
    figures.oldest_ms = Math.max(figures.oldest_ms, now - since, 0);
    figures.by_subject[subject] = approvals;
  }
  return figures;
}
