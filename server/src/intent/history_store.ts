import { z } from "zod";
import type { RunCounts } from "../policy/contract.ts";
import type { Reader } from "../storage/contract.ts";

/** What earlier runs of a contract say about the next. The table is `store.ts`'s. */

const FAILED = [
  ...["threw", "load_failed", "cpu_exceeded", "memory_exceeded", "wall_exceeded", "output_exceeded", "log_exceeded"],
  ...["node_lost", "runner_lost"],
];

const approvedRow = z.object({ id: z.string(), code_hash: z.string(), snapshot: z.string() });
export type ApprovedRun = z.output<typeof approvedRow>;

/** The newest run of the contract, of any of its versions, that people approved and that completed. */
export async function lastApproved(reader: Reader, tenant: string, contract: string): Promise<ApprovedRun | undefined> {
  const sql = `SELECT id, code_hash, snapshot FROM runs
    WHERE tenant = ? AND contract = ? AND approval IS NOT NULL AND termination = 'completed' ORDER BY id DESC LIMIT 1`;
  const row = await reader.get(sql, [tenant, contract]);
  return row === undefined ? undefined : approvedRow.parse(row);
}

const sum = (condition: string, name: string) =>
  `COALESCE(SUM(CASE WHEN ${condition} THEN 1 ELSE 0 END), 0) AS ${name}`;
const COUNT = `SELECT COUNT(*) AS runs, ${[
  sum("termination = 'denied'", "denied"),
  sum(`termination IN (${FAILED.map((name) => `'${name}'`).join(", ")})`, "failed"),
  sum("override IS NOT NULL", "overridden"),
  sum("blocked IS NOT NULL AND blocked <> '[]'", "drifted"),
].join(
  ", ",
)} FROM runs WHERE tenant = ? AND contract = ? AND contract_version = ? AND ended_at IS NOT NULL AND ended_at >= ?`;
/** PostgreSQL says sums as text when they may be large. */
const counted = z.union([z.int(), z.string().regex(/^\d+$/)]).transform(Number);
const countRow = z.object({ runs: counted, denied: counted, failed: counted, overridden: counted, drifted: counted });

/** Counts the runs of a contract's version for what watches it. */
export const run_counts: RunCounts = {
  async count(reader, { tenant, contract, version, since }) {
    return countRow.parse(await reader.get(COUNT, [tenant, contract, version, since]));
  },
};
