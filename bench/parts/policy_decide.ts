/** `policy-decide`: decisions under fifty rules, against the same policies asked of Cedar alone. */
import { createRequire } from "node:module";
import type * as cedar_wasm from "@cedar-policy/cedar-wasm/nodejs";
import { Decider } from "../../server/src/policy/decide.ts";
import { PolicyEngine } from "../../server/src/policy/engine/engine.ts";
import { CEDAR_SCHEMA } from "../../server/src/policy/engine/schema.ts";
import { snapshotOf } from "../../server/src/policy/snapshot.ts";
import { median, table } from "./measure.ts";
import { callOf, fiftyRules, rounds } from "./policy_ground.ts";

const CALLS = 500;
const STARTS = 9;

export async function decisions(): Promise<void> {
  const contract = fiftyRules("PLAIN");
  const gated = fiftyRules("GATED", true);
  const [plain_id, gated_id] = [snapshotOf(contract).id, snapshotOf(gated).id];
  const decider = new Decider();
  const known = callOf(0);
  for (const [verdict, each] of [
    ["allow", decider.decide(contract, plain_id, known)],
    ["needs_human", decider.decide(gated, gated_id, known)],
  ] as const) {
    if (each.verdict !== verdict) throw new Error(`decided ${each.verdict}: ${JSON.stringify(each.reasons)}`);
  }
  const bare = bareCedar(contract);
  const rows = await rounds(
    [
      { name: "bare statefulIsAuthorized", call: (n) => bare(n, false) },
      { name: "the same, the request held to the schema", call: (n) => bare(n, true) },
      { name: "ours", call: (n) => decider.decide(contract, plain_id, callOf(n)) },
      { name: "ours, a gate asks for a person", call: (n) => decider.decide(gated, gated_id, callOf(n)) },
      { name: "ours, asked before", call: () => decider.decide(contract, plain_id, known) },
    ],
    CALLS,
  );
  console.log("A decision under 50 rules (µs)");
  table(["", "p50", "p99", "ratio"], rows);
  starts();
}

/** As its manual says: parsed once, asked many times. */
function bareCedar(contract: ReturnType<typeof fiftyRules>) {
  const cedar = createRequire(import.meta.url)("@cedar-policy/cedar-wasm/nodejs") as typeof cedar_wasm;
  const { policies } = new PolicyEngine().prepare(contract).compiled;
  cedar.preparseSchema("schema", CEDAR_SCHEMA);
  cedar.preparsePolicySet("bench", { staticPolicies: policies });
  return (n: number, validate: boolean) => {
    const { resource, context } = callOf(n);
    const answer = cedar.statefulIsAuthorized({
      principal: { type: "Agent", id: "act_1" },
      action: { type: "Action", id: "egress.request" },
      resource: { type: "Resource", id: resource },
      context: {
        ...(context as Record<string, string>),
        gates: [],
        resource,
        rule: "0",
        mutating: false,
        data_rank: 0,
      },
      ...(validate ? { preparsedSchemaName: "schema", validateRequest: true } : {}),
      preparsedPolicySetId: "bench",
      entities: [],
    });
    if (answer.type !== "success" || answer.response.decision !== "allow") throw new Error("bare Cedar denied");
  };
}

/** A new instance, as after one that has thrown, and a set of fifty policies that no slot holds. */
function starts(): void {
  const loads: number[] = [];
  const firsts: number[] = [];
  for (let i = 0; i < STARTS; i++) {
    const from = performance.now();
    const decider = new Decider();
    loads.push(performance.now() - from);
    const contract = fiftyRules(`START_${i}`);
    const { id } = snapshotOf(contract);
    const asked = performance.now();
    decider.decide(contract, id, callOf(i));
    firsts.push(performance.now() - asked);
  }
  console.log("Cold (ms)");
  table(
    ["", "p50", "first"],
    [
      ["another instance of the engine", median(loads), loads[0] ?? 0],
      ["first decision of a contract of 50 rules", median(firsts), firsts[0] ?? 0],
    ],
  );
}
