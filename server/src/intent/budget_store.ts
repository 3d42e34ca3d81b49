import { z } from "zod";
import type { ChainLink } from "../identity/contract.ts";
import type { Reader, Tx } from "../storage/contract.ts";

/** What trees of runs, and tenants and contracts in a day, have used. The tables are `store.ts`'s. */

const parentRow = z.object({
  tenant: z.string(),
  state: z.string(),
  root: z.string().nullable(),
  depth: z.int().nullable(),
  chain: z.string().transform((text) => JSON.parse(text) as ChainLink[]), // our own JSON
});
export type ParentRow = z.output<typeof parentRow>;

/** What a run hands on to those that it starts. */
export async function findParent(reader: Reader, id: string): Promise<ParentRow | undefined> {
  const row = await reader.get("SELECT tenant, state, root, depth, chain FROM runs WHERE id = ?", [id]);
  return row === undefined ? undefined : parentRow.parse(row);
}

const treeRow = z.object({ runs: z.int(), cpu_ms: z.int() });
export type TreeUse = z.output<typeof treeRow>;

/** Runs of the tree, its root included, and the CPU time of those that have ended. */
export async function readTree(reader: Reader, root: string): Promise<TreeUse> {
  // The root's own time is in its row alone: most runs start no others, and are charged to no tree for nothing.
  const row = await reader.get(
    `SELECT COALESCE(t.runs, 1) AS runs, COALESCE(t.cpu_ms, 0) + COALESCE(r.cpu_us, 0) / 1000 AS cpu_ms
       FROM runs r LEFT JOIN run_trees t ON t.root = r.id WHERE r.id = ?`,
    [root],
  );
  return row === undefined ? { runs: 0, cpu_ms: 0 } : treeRow.parse(row);
}

/** One run more in the tree. */
export function addToTree(tx: Tx, root: string, tenant: string): void {
  tx.run(
    `INSERT INTO run_trees (root, tenant, runs, cpu_ms) VALUES (?, ?, 2, 0)
       ON CONFLICT (root) DO UPDATE SET runs = run_trees.runs + 1`,
    [root, tenant],
    1,
  );
}

export function addTreeCpu(tx: Tx, root: string, cpu_ms: number): void {
  tx.run("UPDATE run_trees SET cpu_ms = cpu_ms + ? WHERE root = ?", [cpu_ms, root]);
}

/** Stands for all contracts of a tenant; no contract has the name. */
export const ALL_CONTRACTS = "*";

const dayRow = z.object({
  run_ms: z.int(),
  /** Null in rows that are older than the column. */
  effects: z
    .int()
    .nullable()
    .transform((effects) => effects ?? 0),
});
export type DayUse = z.output<typeof dayRow>;

/** What the tenant's ended runs of the contract have used in the day. */
export async function readDay(reader: Reader, tenant: string, contract: string, day: string): Promise<DayUse> {
  const sql = "SELECT run_ms, effects FROM run_days WHERE tenant = ? AND contract = ? AND day = ?";
  const row = await reader.get(sql, [tenant, contract, day]);
  return row === undefined ? { run_ms: 0, effects: 0 } : dayRow.parse(row);
}

/** For its contract and for its tenant. @param use.runs  1 of a run that has ended, 0 of an attempt that was lost. */
export function addToDay(
  tx: Tx,
  tenant: string,
  contract: string,
  day: string,
  { runs, run_ms, effects }: DayUse & { runs: 0 | 1 },
): void {
  tx.run(
    `INSERT INTO run_days (tenant, contract, day, runs, run_ms, effects) VALUES (?, ?, ?, ?, ?, ?), (?, ?, ?, ?, ?, ?)
       ON CONFLICT (tenant, contract, day) DO UPDATE SET runs = run_days.runs + excluded.runs,
         run_ms = run_days.run_ms + excluded.run_ms, effects = COALESCE(run_days.effects, 0) + excluded.effects`,
    [tenant, ALL_CONTRACTS, day, runs, run_ms, effects, tenant, contract, day, runs, run_ms, effects],
    2,
  );
}
