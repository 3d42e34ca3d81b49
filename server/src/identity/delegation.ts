import { GantryError } from "../kernel/errors.ts";
import {
  type ActorKind,
  actor_errors,
  CHAIN_LINKS_MAX,
  type ChainLink,
  chain_errors,
  type Principal,
  SCOPES,
  type Scope,
  scope_errors,
} from "./contract.ts";
import { type ActorRow, readCeiling } from "./store.ts";

/**
 * May `owner` answer for an actor of this kind?
 * @throws ACTOR_INVALID
 */
export function judgeOwner(kind: "agent" | "service", owner: ActorRow): void {
  const allowed: ActorKind[] = kind === "agent" ? ["human", "service"] : ["human"];
  if (allowed.includes(owner.kind) && owner.state === "active") return;
  throw new GantryError(actor_errors.INVALID, {
    detail: `The owner of this ${kind} must be ${allowed.join(" or ")} and active; ${owner.id} is ${owner.kind}, ${owner.state}.`,
  });
}

/**
 * @returns the scopes asked for, without repeats, in the order of `SCOPES`.
 * @throws SCOPE_NOT_GRANTABLE  the caller does not hold one, or it is past the actor's ceiling.
 */
export function grantScopes(who: Principal, actor: ActorRow, asked: readonly Scope[]): Scope[] {
  const ceiling = readCeiling(actor.ceiling_json);
  const refused = asked.filter((scope) => !who.scopes.has(scope) || (ceiling !== null && !ceiling.includes(scope)));
  if (refused.length > 0) {
    throw new GantryError(scope_errors.NOT_GRANTABLE, {
      detail: `Not grantable to ${actor.id} by this token: ${[...new Set(refused)].join(", ")}.`,
    });
  }
  return SCOPES.filter((scope) => asked.includes(scope));
}

/**
 * The chain of a token that the last actor of `chain` mints: the same chain with `actor` behind it, or with its last
 * link renewed when an actor mints for itself. Never shorter, so no one sheds the principal that it acts for.
 * @param ref  the new token.
 * @throws CHAIN_INVALID  a repeat, or more than `CHAIN_LINKS_MAX` links.
 */
export function extendChain(chain: ChainLink[], actor: Pick<ActorRow, "id" | "kind">, ref: string): ChainLink[] {
  const link: ChainLink = { actor: actor.id, kind: actor.kind, via: "token", ref };
  const before = chain.at(-1)?.actor === actor.id ? chain.slice(0, -1) : chain;
  if (before.some((earlier) => earlier.actor === actor.id)) {
    throw new GantryError(chain_errors.INVALID, { detail: `${actor.id} is in the chain already.` });
  }
  if (before.length >= CHAIN_LINKS_MAX) {
    throw new GantryError(chain_errors.INVALID, { detail: `A chain has at most ${CHAIN_LINKS_MAX} links.` });
  }
  return [...before, link];
}
