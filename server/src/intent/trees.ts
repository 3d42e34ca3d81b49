import { type ChainLink, chain_errors, type Principal } from "../identity/contract.ts";
import { GantryError } from "../kernel/errors.ts";
import type { Reader, Tx } from "../storage/contract.ts";
import { addToTree, addTreeCpu, findParent, type ParentRow, readTree } from "./budget_store.ts";
import { overrun } from "./budgets.ts";
import { run_errors, SPAWN_DEPTH_MAX, TREE_CPU_MS_MAX, TREE_RUNS_MAX } from "./contract.ts";
import type { RunRow } from "./store.ts";

/** Where a run stands among those that started each other. Nobody says it of itself: it follows from the credential. */
export type TreePlace = Pick<RunRow, "parent" | "root" | "depth">;

/** The run that a chain's credential was made for; of several, the last. */
export function spawnerOf(chain: readonly ChainLink[]): string | undefined {
  return chain.findLast(({ via }) => via === "spawn")?.ref;
}

/**
 * @returns undefined for a run that no run starts.
 * @throws CHAIN_INVALID RUN_PARENT_ENDED RUN_SPAWN_DEPTH
 */
export async function placeInTree(reader: Reader, who: Principal): Promise<TreePlace | undefined> {
  const parent = spawnerOf(who.chain);
  if (parent === undefined) return undefined;
  const row = await livingParent(reader, parent, who);
  const root = row.root ?? parent;
  const depth = (row.depth ?? 0) + 1;
  if (depth > SPAWN_DEPTH_MAX) {
    throw overrun(run_errors.SPAWN_DEPTH, {
      detail: `The run would be ${depth} below ${root}, the first of its tree; at most ${SPAWN_DEPTH_MAX} are allowed.`,
      of: { budget: "spawn_depth", used: depth, limit: SPAWN_DEPTH_MAX, key: root, parent, root, depth },
    });
  }
  return { parent, root, depth };
}

/**
 * May the tree have one run more? Asked before the run takes a slot, and in the unit of its first row.
 * @throws CHAIN_INVALID RUN_PARENT_ENDED RUN_TREE_BUDGET
 */
export async function demandTree(reader: Reader, row: RunRow): Promise<void> {
  const { parent, root, depth } = row;
  if (parent === null || root === null || depth === null) return;
  await livingParent(reader, parent, row);
  await demandTreeBudget(reader, row);
}

/** As `demandTree`, of a run that is in the tree: its parent may have ended while it waited. @throws RUN_TREE_BUDGET */
export async function demandTreeCpu(reader: Reader, row: RunRow): Promise<void> {
  if (row.root !== null) await demandTreeBudget(reader, row, true);
}

async function demandTreeBudget(reader: Reader, row: RunRow, counted = false): Promise<void> {
  const { parent, root, depth } = row;
  if (parent === null || root === null || depth === null) return;
  const { runs, cpu_ms } = await readTree(reader, root);
  const place = { key: root, parent, root, depth };
  if (!counted && runs >= TREE_RUNS_MAX) {
    throw overrun(run_errors.TREE_BUDGET, {
      detail: `The tree of ${root} has ${runs} runs; at most ${TREE_RUNS_MAX} are allowed.`,
      of: { budget: "tree_runs", used: runs, limit: TREE_RUNS_MAX, ...place },
    });
  }
  if (cpu_ms < TREE_CPU_MS_MAX) return;
  throw overrun(run_errors.TREE_BUDGET, {
    detail: `The runs of the tree of ${root} have used ${cpu_ms} ms of CPU; from ${TREE_CPU_MS_MAX} on none is added.`,
    of: { budget: "tree_cpu_ms", used: cpu_ms, limit: TREE_CPU_MS_MAX, ...place },
  });
}

/** In the unit of the run's first row. */
export function growTree(tx: Tx, { root, tenant }: RunRow): void {
  if (root !== null) addToTree(tx, root, tenant);
}

/** In the unit of the run's end. */
export function chargeTree(tx: Tx, { root, cpu_us }: RunRow): void {
  if (root !== null && cpu_us !== null) addTreeCpu(tx, root, Math.round(cpu_us / 1_000));
}

async function livingParent(
  reader: Reader,
  parent: string,
  child: { tenant: string; chain: readonly ChainLink[] },
): Promise<ParentRow> {
  const row = await findParent(reader, parent);
  const for_whom = child.chain[0]?.actor;
  if (row?.tenant !== child.tenant || row.chain[0]?.actor !== for_whom) {
    const detail = `The credential names the run ${parent}, which is not one of its principal's.`;
    throw new GantryError(chain_errors.INVALID, { detail });
  }
  if (row.state === "ended") {
    const detail = `${parent}, for which the credential was made, has ended; it starts nothing any more.`;
    throw new GantryError(run_errors.PARENT_ENDED, { detail });
  }
  return row;
}
