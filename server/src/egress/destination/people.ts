import { GantryError } from "../../kernel/errors.ts";
import type { Contract } from "../../policy/contract.ts";
import { type EgressIdentity, lease_errors } from "../contract.ts";
import type { Call } from "../parts.ts";
import { callerOf, decided, requestOf } from "./rules.ts";

/**
 * Does a person have to stand behind each such call? Then what people approved for the run is asked once more with the
 * call itself, and counts it: an approval that has ended, or a glass that was broken for a while, ends the calls too.
 */
export function isHeldByPeople({ class: of_class, gates }: Contract, action: "egress.request" | "lease.use"): boolean {
  return of_class === "privileged" || gates.some(({ on }) => on === action || on === "*");
}

/** Nobody is given a credential whom people did not approve, where the contract wants that. @throws LEASE_APPROVAL */
export function demandApproved({ view, approval }: EgressIdentity): void {
  if (approval !== null || !isHeldByPeople(view.contract, "lease.use")) return;
  throw new GantryError(lease_errors.APPROVAL, {
    detail:
      `Contract ${view.ref.name}@${view.ref.version} has people approve the use of its secrets: its leases are issued for a ` +
      "request that they approved, and this one has no approval.",
  });
}

/**
 * What the contract says of the use of a secret in a call that it lets out: a gate of its own, a rule of its author's.
 * @throws LEASE_APPROVAL, or the code of the first reason of the policy, with all of them
 */
export function demandLeaseUse(call: Call, secret: string): void {
  const { who, rule, target } = call;
  const asked = requestOf(callerOf(who), call, rule);
  const context = { ...asked.context, secret };
  const decision = who.view.decide({ ...asked, action: "lease.use", resource: `secret:${secret}`, context });
  if (decision.verdict === "allow") return;
  if (decision.verdict === "deny") throw decided(decision, target.host);
  throw new GantryError(lease_errors.APPROVAL, {
    detail: `The use of ${secret} waits for people, and what was approved for this run does not hold that open.`,
    reasons: decision.gates.map(({ name }) => ({
      code: lease_errors.APPROVAL.code,
      detail: `The gate ${name} must be approved first.`,
    })),
  });
}
