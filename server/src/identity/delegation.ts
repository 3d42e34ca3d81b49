import { GantryError } from "../kernel/errors.ts";
import {
  type ActorKind,
  actor_errors,
  CHAIN_LINKS_MAX,
  type ChainLink,
  chain_errors,
  HUMAN_SCOPES,
  type Principal,
  SCOPES,
  type Scope,
  scope_errors,
} from "./contract.ts";
import { type ActorRow, readCeiling, readScopes, type TokenRow } from "./store.ts";

const LINK_STEP = "Only a human's own login has it: make a login link, and `gantry login` with it";

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
export function grantScopes(
  who: Principal,
  actor: ActorRow,
  asked: readonly Scope[],
  chain: readonly ChainLink[],
): Scope[] {
  const ceiling = readCeiling(actor.ceiling_json);
  const is_human = isOneHuman(chain);
  const refused = asked.filter(
    (scope) =>
      !who.scopes.has(scope) ||
      (ceiling !== null && !ceiling.includes(scope)) ||
      (!is_human && HUMAN_SCOPES.includes(scope)),
  );
  if (refused.length > 0) {
    const human = refused.some((scope) => HUMAN_SCOPES.includes(scope));
    throw new GantryError(scope_errors.NOT_GRANTABLE, {
      detail: `Not grantable to ${actor.id} by this token: ${[...new Set(refused)].join(", ")}.`,
      ...(human
        ? { next_steps: [{ kind: "command", text: LINK_STEP, command: "gantry admin login-link" } as const] }
        : {}),
    });
  }
  return SCOPES.filter((scope) => asked.includes(scope));
}

/** Is this one person, acting for nobody else? */
export function isOneHuman(chain: readonly ChainLink[]): boolean {
  return chain.length === 1 && chain[0]?.kind === "human" && chain[0].via === "token";
}

/**
 * What a token's scopes are worth when it is used: those of `HUMAN_SCOPES` only to one human by a `hum` token, and
 * never by the token of a file, whatever a row says.
 */
export function usableScopes(row: Pick<TokenRow, "kind" | "origin" | "scopes_json">, chain: ChainLink[]): Set<Scope> {
  const may_decide = row.kind === "hum" && row.origin !== "owner" && isOneHuman(chain);
  return new Set(readScopes(row.scopes_json).filter((scope) => may_decide || !HUMAN_SCOPES.includes(scope)));
}

/**
 * The chain of what is minted for a live run: the run's own, its last link renewed, so that runs started with it are
 * the run's children.
 * @throws CHAIN_INVALID  the minter's chain is not where the run's begins: it would act for others than its own.
 */
export function spawnChain(who: Principal, run: readonly ChainLink[], ref: string): ChainLink[] {
  const last = run.at(-1);
  const begins = who.chain.every((link, i) => run[i]?.actor === link.actor);
  if (last === undefined || !begins) {
    throw new GantryError(chain_errors.INVALID, {
      detail: "Only who the run acts for, or the run's own actor, mints tokens for the run.",
    });
  }
  return [...run.slice(0, -1), { actor: last.actor, kind: last.kind, via: "spawn", ref }];
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
