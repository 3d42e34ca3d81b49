import type { Metrics } from "../kernel/telemetry.ts";
import { ACTIONS, contract_errors, type Decision, type PolicyRequest, policy_errors } from "./contract.ts";

const POINTS: ReadonlySet<string> = new Set(ACTIONS);
const CODES: ReadonlySet<string> = new Set(
  [...Object.values(policy_errors), ...Object.values(contract_errors)].map(({ code }) => code),
);
/** Of what a contract wrote itself, or a request that is not what its type says: a label has few values. */
const OTHER = "other";

/**
 * Counts each decision that something depends on by what was asked (the action), the verdict, and the code of the first
 * reason: empty for an allowance. Questions of people (`policy explain`, `policy test`) are not counted.
 */
export function countDecisions(metrics: Metrics): (request: PolicyRequest, decision: Decision) => void {
  return ({ action }, { verdict, reasons }) => {
    const code = verdict === "allow" ? "" : (reasons[0]?.code ?? OTHER);
    metrics.add("gantry_policy_decisions_total", {
      point: POINTS.has(action) ? action : OTHER,
      verdict,
      code: code === "" || CODES.has(code) ? code : OTHER,
    });
  };
}
