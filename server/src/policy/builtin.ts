import { LIMIT_NAMES, type LimitTable, RUN_LIMITS } from "../kernel/limits.ts";
import {
  type Contract,
  EXECUTE_BEFORE_MS_DEFAULT,
  NOT_AFTER_MS_DEFAULT,
  REDACTION_DEFAULT,
  REQUIREMENTS,
} from "./contract.ts";

/** What a run gets that names no contract. */
export const DEFAULT_CONTRACT = "scratch";
/** Built-in contracts are versioned with the product: any change of one makes another snapshot id. */
export const BUILTIN_VERSION = 4;
/** Of the built-in contracts, those whose heirs list no hosts either. */
export const NO_NETWORK: readonly string[] = [DEFAULT_CONTRACT, "temporary"];
const EGRESS_CALLS_MAX = 200;
const EGRESS_BYTES_MAX = 10 * 1024 * 1024;

/** The hard ceilings of every limit. */
export function ceilings(): LimitTable {
  return Object.fromEntries(LIMIT_NAMES.map((name) => [name, RUN_LIMITS[name].max])) as LimitTable;
}

/** A contract that grants nothing: what every built-in one starts from, and what an older row lacks. */
export function nothingGranted(name: string): Contract {
  return {
    kind: "Contract",
    name,
    extends: null,
    class: "read-only",
    targets: [],
    data: { reads: ["public"], writes: [] },
    require: [],
    tools: [],
    egress: [],
    bindings: {},
    isolation: "process",
    isolation_floor: "pooled",
    jail: "optional",
    idempotent: false,
    redaction: { ...REDACTION_DEFAULT },
    retention: null,
    budgets: { egress_calls_max: EGRESS_CALLS_MAX, egress_bytes_max: EGRESS_BYTES_MAX },
    limits: ceilings(),
    gates: [],
    attended: null,
    phase: null,
    budgets_day: {},
    dlp: { action: "log" },
    shadow_mcp: "log",
    cedar: [],
  };
}

/**
 * The contracts that exist without being applied, by name. `scratch`: no network, no mutation, so that nothing but
 * the limits is left to decide; its runs share processes with runs of the same authority unless they ask otherwise.
 * The others list no hosts: a tenant's contract extends one of them and lists its own.
 */
export function builtinContracts(): ReadonlyMap<string, Contract> {
  const all: Contract[] = [
    { ...nothingGranted(DEFAULT_CONTRACT), isolation: "pooled", idempotent: true },
    { ...nothingGranted("read-only"), idempotent: true },
    { ...nothingGranted("staging-mutation"), class: "controlled-mutation", targets: ["staging"] },
    {
      ...nothingGranted("production"),
      class: "privileged",
      targets: ["*"],
      require: [...REQUIREMENTS],
      isolation_floor: "process",
      jail: "required",
      gates: [
        {
          on: "*",
          name: "production",
          quorum: 1,
          not_after_ms: NOT_AFTER_MS_DEFAULT,
          execute_before_ms: EXECUTE_BEFORE_MS_DEFAULT,
        },
      ],
    },
    { ...nothingGranted("temporary"), class: "controlled-mutation" },
  ];
  return new Map(all.map((contract) => [contract.name, contract]));
}
