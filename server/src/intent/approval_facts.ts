import type { ActionFacts } from "../gates/contract.ts";
import { canonicalJson } from "../kernel/canonical.ts";
import { sha256Hex } from "../kernel/hash.ts";
import { type BlastRadius, type Contract, methodsOf, type PolicyView } from "../policy/contract.ts";
import type { RunRow } from "./store.ts";

/**
 * What a run is, as people approve it and as it must still be when it starts. Computed from the run's row and from the
 * state of policy at that moment: at the request for the statement, at the start to be compared with it.
 */
export function factsOf(row: RunRow, view: PolicyView, preview_hash: string): ActionFacts {
  return {
    action: { name: "run.submit", resource: resourceOf(row), params_hash: paramsHash(row) },
    code: { code_hash: row.code_hash },
    snapshot: view.snapshot,
    contract: { ...view.ref, hash: view.contract_hash },
    target: row.target,
    blast_radius: blastRadiusOf(view.contract),
    preview_hash,
    chain_hash: row.chain_hash,
  };
}

/** What policy and people call the code of a run. */
export function resourceOf({ code_hash }: { code_hash: string }): string {
  return `code:${code_hash}`;
}

/** SHA-256 over everything besides the code that changes what a run does. Hex. */
function paramsHash({ input_hash, vars, limits, isolation, session, target, contract }: RunRow): string {
  // Not canonical JSON, which refuses lone surrogates: a variable may hold any text.
  const vars_hash = sha256Hex(JSON.stringify(Object.entries(vars).sort(([a], [b]) => (a < b ? -1 : 1))));
  return sha256Hex(canonicalJson({ input_hash, vars_hash, limits, isolation, session, target, contract }));
}

/** How far a run under the contract can reach: its rules for what leaves, and how often. */
export function blastRadiusOf({ egress, budgets, bindings }: Contract): BlastRadius {
  return {
    hosts: sorted(egress.flatMap(({ hosts }) => hosts)),
    methods: sorted(egress.flatMap((rule) => [...methodsOf(rule)])),
    apps: bindings.flags === undefined ? [] : [bindings.flags.app],
    percent_max: null,
    effects_max: egress.length === 0 ? 0 : budgets.egress_calls_max,
    reversible: false,
    rollback: "Nothing undoes what a run has done outside; its code and its input are kept, so that people can.",
  };
}

/** Without repeats, by UTF-16 code units: the order is hashed. */
function sorted(names: string[]): string[] {
  return [...new Set(names)].sort();
}
