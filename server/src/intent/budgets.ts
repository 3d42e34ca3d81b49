import { type ErrorKind, GantryError, isGantryError } from "../kernel/errors.ts";
import { run_errors } from "./contract.ts";

/** What a run would have overrun. */
export const BUDGETS = [
  "spawn_depth",
  "tree_runs",
  "tree_cpu_ms",
  "contract_run_ms",
  "contract_effects",
  "tenant_run_ms",
] as const;
export type Budget = (typeof BUDGETS)[number];

export interface Overrun {
  budget: Budget;
  used: number;
  limit: number;
  /** The tree, or the tenant and contract, whose refusals are recorded together. */
  key: string;
  parent?: string;
  root?: string;
  depth?: number;
}

const KINDS: readonly ErrorKind[] = [run_errors.SPAWN_DEPTH, run_errors.TREE_BUDGET, run_errors.TENANT_BUDGET];

/** The refusal of a run past a budget. */
export function overrun(
  kind: ErrorKind,
  { detail, retry_after_ms, of }: { detail: string; retry_after_ms?: number; of: Overrun },
): GantryError {
  return new GantryError(kind, { detail, internal: of, ...(retry_after_ms === undefined ? {} : { retry_after_ms }) });
}

/** What a refusal says was overrun; undefined for every other error. */
export function overrunOf(error: unknown): Overrun | undefined {
  if (!isGantryError(error) || !KINDS.some(({ code }) => code === error.code)) return undefined;
  return error.parts.internal as Overrun;
}
