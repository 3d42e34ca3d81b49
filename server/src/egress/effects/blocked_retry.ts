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
  if (decision.verdict !== "allow") throw refusalOf(view, decision, id);
}

function refusalOf({ ref, snapshot }: PolicyView, { verdict, reasons, gates }: Decision, id: string): GantryError {
  if (verdict === "needs_human") {
    const gate = `The gate ${gates[0]?.name} of the contract ${ref.name}`;
    return new GantryError(policy_errors.FORBIDDEN, {
      detail: `${gate} holds retries too, and people approve runs, not one call without a run. Make the call again in a run under the contract as it is now: people are asked about that.`,
      next_steps: [
        {
          kind: "command",
          text: "When it was made otherwise, erase this one",
          command: `gantry egress blocked drop ${id}`,
        },
      ],
      snapshot,
    });
  }
  const kind = KINDS.find(({ code }) => code === reasons[0]?.code) ?? policy_errors.FORBIDDEN;
  const detail = reasons.map((reason) => reason.detail).join(" ") || kind.title;
  return new GantryError(kind, { detail, reasons, snapshot });
}
