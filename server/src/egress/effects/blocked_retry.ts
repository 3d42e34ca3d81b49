import type { Principal } from "../../identity/contract.ts";
import { assert } from "../../kernel/assert.ts";
import { type ErrorKind, GantryError } from "../../kernel/errors.ts";
import { contract_errors, type Decision, type PolicyView, policy_errors } from "../../policy/contract.ts";
import type { Target } from "../parts.ts";

const KINDS: readonly ErrorKind[] = [...Object.values(policy_errors), ...Object.values(contract_errors)];

/**
 * May whoever asks let this call go on, under the contract as it is now? Where it goes is judged once more by its door.
 * @throws the refusal
 */
export function demandRetry(
  view: PolicyView,
  who: Principal,
  { id, target, method }: { id: string; target: Target; method: string },
): void {
  const { host, port, protocol, path } = target;
  const [first, last] = [who.chain[0], who.chain.at(-1)];
  assert(first !== undefined && last !== undefined, "a chain has at least one link");
  const decision = view.decide({
    action: "egress.retry",
    resource: `blocked:${id}`,
    principal: { actor: last.actor, kind: last.kind, for: first.actor },
    context: { host, port, protocol, method, path },
  });
  if (decision.verdict !== "allow") throw refusalOf(view, decision);
}

function refusalOf({ ref, snapshot }: PolicyView, { verdict, reasons, gates }: Decision): GantryError {
  if (verdict === "needs_human") {
    return new GantryError(policy_errors.FORBIDDEN, {
      detail: `The gate ${gates[0]?.name} of the contract ${ref.name} asks people about retries, which cannot be approved one by one. Take egress.retry out of the gate, or make the call in a run that people approve.`,
      snapshot,
    });
  }
  const kind = KINDS.find(({ code }) => code === reasons[0]?.code) ?? policy_errors.FORBIDDEN;
  const detail = reasons.map((reason) => reason.detail).join(" ") || kind.title;
  return new GantryError(kind, { detail, reasons, snapshot });
}
