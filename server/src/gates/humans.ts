import type { Principal, Scope } from "../identity/contract.ts";
import { GantryError } from "../kernel/errors.ts";
import type { Reader } from "../storage/contract.ts";
import { approval_errors } from "./contract.ts";
import type { GateParts } from "./parts.ts";

/**
 * A human, by a token of their own, which holds the scope and is good at this moment: no delegation, no signed task, no
 * cache.
 * @throws APPROVAL_NOT_HUMAN SCOPE_MISSING, then those of `confirm`
 */
export async function demandHuman(
  { identity }: Pick<GateParts, "identity">,
  reader: Reader,
  who: Principal,
  scope: Scope,
): Promise<void> {
  const [link] = who.chain;
  const is_own = who.chain.length === 1 && link?.kind === "human" && link.via === "token" && link.actor === who.actor;
  if (!is_own || who.token === null) {
    throw new GantryError(approval_errors.NOT_HUMAN, {
      detail:
        "This is decided by a human with a token of their own. Tokens that were delegated, agents, services and signed tasks do not count.",
      next_steps: [{ kind: "command", text: "Make yourself a token from a login link.", command: "gantry login LINK" }],
    });
  }
  identity.demand(who, scope);
  await identity.confirm(reader, who);
}
