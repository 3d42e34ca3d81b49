import { expect, it } from "vitest";
import { CountingMetrics } from "../../../tests/fixtures/runs_ground.ts";
import { contract_errors, type Decision, type PolicyRequest } from "./contract.ts";
import { countDecisions } from "./counted.ts";

const asked = { action: "run.submit", resource: "code:0", context: {} } as PolicyRequest;
const decision = (parts: Partial<Decision>) => ({ verdict: "allow", reasons: [], ...parts }) as unknown as Decision;

it("each decision counts under its action, its verdict and the code of its first reason", () => {
  const metrics = new CountingMetrics();
  const decided = countDecisions(metrics);
  decided(asked, decision({}));
  decided(asked, decision({}));
  const reasons = [
    { code: contract_errors.LIMIT.code, detail: "" },
    { code: "POLICY_TOOL", detail: "" },
  ];
  decided(asked, decision({ verdict: "deny", reasons }));
  expect([...metrics.counts]).toEqual([
    ["gantry_policy_decisions_total run.submit allow ", 2],
    ["gantry_policy_decisions_total run.submit deny CONTRACT_LIMIT", 1],
  ]);
});

it("codes that a contract made up, and actions that are none, share one label", () => {
  const metrics = new CountingMetrics();
  const decided = countDecisions(metrics);
  for (let i = 0; i < 5; i++) {
    const action = `made.up${i}` as PolicyRequest["action"];
    decided({ ...asked, action }, decision({ verdict: "deny", reasons: [{ code: `MINE_${i}`, detail: "" }] }));
  }
  expect([...metrics.counts]).toEqual([["gantry_policy_decisions_total other deny other", 5]]);
});
