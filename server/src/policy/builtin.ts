import { LIMIT_NAMES, type LimitTable, RUN_LIMITS } from "../kernel/limits.ts";
import type { Contract } from "./contract.ts";

/** What a run gets that names no contract. */
export const DEFAULT_CONTRACT = "scratch";
/** Built-in contracts are versioned with the product: any change of one makes another snapshot id. */
export const BUILTIN_VERSION = 2;

/** The hard ceilings of every limit. */
export function ceilings(): LimitTable {
  return Object.fromEntries(LIMIT_NAMES.map((name) => [name, RUN_LIMITS[name].max])) as LimitTable;
}

/**
 * The contracts that exist without being applied, by name. `scratch`: no network, no mutation, so that nothing but
 * the limits is left to decide. Its runs share processes with runs of the same authority unless they ask otherwise.
 */
export function builtinContracts(): ReadonlyMap<string, Contract> {
  const scratch: Contract = {
    kind: "Contract",
    name: DEFAULT_CONTRACT,
    extends: null,
    class: "read-only",
    isolation: "pooled",
    isolation_floor: "pooled",
    jail: "optional",
    idempotent: true,
    limits: ceilings(),
  };
  return new Map([[scratch.name, scratch]]);
}
