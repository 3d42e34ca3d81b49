import { assert } from "../kernel/assert.ts";
import { GantryError } from "../kernel/errors.ts";
import type { ActorId, TokenId } from "../kernel/ids.ts";
import type { Tx } from "../storage/contract.ts";
import {
  actor_errors,
  type ChainLink,
  chain_errors,
  type LiveRunOf,
  type MintedToken,
  type Principal,
  type Scope,
  SPAWN_SCOPES,
  scope_errors,
  TOKEN_LIFE_MAX_MS,
  TOKEN_LIFE_MS,
  TOKENS_PER_ACTOR_MAX,
  token_errors,
} from "./contract.ts";
import { extendChain, grantScopes, spawnChain } from "./delegation.ts";
import type { Desk } from "./desk.ts";
import { actorsOf, recordToken } from "./records.ts";
import { revokeTree } from "./revocation.ts";
import { demandActiveChain, demandScope, knownActor, ownToken } from "./standing.ts";
import { type ActorRow, countLiveTokens, readChain, selectToken } from "./store.ts";

export interface TokenRequest {
  /** Default: the caller. With a run: the run's own actor, and no other. */
  actor?: ActorId;
  scopes: Scope[];
  /** Milliseconds, above 0; cut to `TOKEN_LIFE_MAX_MS` and to what is left of the caller's own token. */
  life_ms?: number;
  /** A live run, which the token starts further runs for: those are its children, and the token ends with its time. */
  run?: string;
}

/** For whom the token is, and until when at most. */
interface Bearer {
  actor: ActorRow;
  chain: ChainLink[];
  until: number;
}

/**
 * A token with scopes that the caller holds, for the caller, an actor that it owns, or (with `actor:manage`) any
 * actor of the tenant. The new chain is the caller's with the actor behind it, so delegation never gets shorter.
 * @throws SCOPE_MISSING SCOPE_NOT_GRANTABLE ACTOR_UNKNOWN ACTOR_SUSPENDED CHAIN_INVALID TOKEN_LIMIT TOKEN_REVOKED TOKEN_EXPIRED
 */
export function mintToken(
  desk: Desk,
  who: Principal,
  request: TokenRequest,
  live_run: LiveRunOf,
): Promise<MintedToken> {
  demandScope(who, "token:mint");
  const { life_ms = TOKEN_LIFE_MS } = request;
  assert(Number.isSafeInteger(life_ms) && life_ms > 0, "a token's life is a whole number of milliseconds above 0");
  const { clock, ids, storage } = desk;
  return storage.write(async (tx) => {
    const parent = await ownToken(tx, who, clock);
    const id = ids("tok");
    const { actor, chain, until } =
      request.run === undefined
        ? await bearerOf(tx, who, request, id)
        : await spawnOf(tx, who, { ...request, run: request.run }, live_run);
    if (actor.state !== "active") {
      throw new GantryError(actor_errors.SUSPENDED, { detail: `The actor ${actor.id} is ${actor.state}.` });
    }
    const now = clock.now();
    if ((await countLiveTokens(tx, actor.id, now)) >= TOKENS_PER_ACTOR_MAX) {
      throw new GantryError(token_errors.LIMIT, {
        detail: `The actor ${actor.id} has ${TOKENS_PER_ACTOR_MAX} live tokens: revoke one, or wait until one expires.`,
      });
    }
    const token = {
      id,
      tenant: who.tenant,
      actor: actor.id,
      kind: actor.kind,
      origin: "minted" as const,
      scopes: grantScopes(who, actor, request.scopes, chain),
      parent: parent.id,
      chain,
      expires_at: Math.min(parent.expires_at, until, now + Math.min(life_ms, TOKEN_LIFE_MAX_MS)),
    };
    return recordToken(desk, tx, token, actorsOf(who.chain));
  });
}

async function bearerOf(tx: Tx, who: Principal, request: TokenRequest, id: TokenId): Promise<Bearer> {
  const actor = await knownActor(tx, who.tenant, request.actor ?? who.actor);
  if (actor.id !== who.actor && actor.owner_actor_id !== who.actor) demandScope(who, "actor:manage");
  return { actor, chain: extendChain(who.chain, actor, id), until: Number.MAX_SAFE_INTEGER };
}

async function spawnOf(
  tx: Tx,
  who: Principal,
  request: TokenRequest & { run: string },
  live_run: LiveRunOf,
): Promise<Bearer> {
  const past = request.scopes.filter((scope) => !SPAWN_SCOPES.includes(scope));
  if (past.length > 0) {
    throw new GantryError(scope_errors.NOT_GRANTABLE, {
      detail: `A run is given ${SPAWN_SCOPES.join(", ")} at most, not ${past.join(", ")}.`,
    });
  }
  const run = await live_run(tx, who.tenant, request.run);
  if (run === undefined) {
    throw new GantryError(chain_errors.INVALID, {
      detail: "No run of this id is alive: it has not started, or has ended.",
    });
  }
  const chain = spawnChain(who, run.chain, request.run);
  const actor = await knownActor(tx, who.tenant, chain.at(-1)?.actor ?? who.actor);
  if (request.actor !== undefined && request.actor !== actor.id) {
    throw new GantryError(chain_errors.INVALID, { detail: `The run acts as ${actor.id}, and so does its token.` });
  }
  await demandActiveChain(tx, who.tenant, chain);
  return { actor, chain, until: run.deadline_at };
}

/**
 * Revokes the token and all that were minted below it; asking again ends what a crash interrupted.
 * @returns how many were revoked; 0 when there was nothing left to revoke.
 * @throws TOKEN_ABSENT; SCOPE_MISSING without `actor:manage`, unless the caller is in the token's chain.
 */
export async function revokeToken(desk: Desk, who: Principal, id: TokenId): Promise<number> {
  const by_human = who.chain.at(-1)?.kind === "human";
  let overrides = 0;
  try {
    return await revokeTree(desk, id, "asked", actorsOf(who.chain), {
      async allow(tx) {
        overrides = 0;
        const named = await selectToken(tx, who.tenant, id);
        if (named === undefined) throw new GantryError(token_errors.ABSENT, { detail: `There is no token ${id}.` });
        if (!readChain(named.chain_json).some((link) => link.actor === who.actor)) demandScope(who, "actor:manage");
      },
      // A person stops an agent: one act, however many tokens it takes away.
      overrides(row) {
        const counts = by_human && row.id === id && row.kind === "agt" && row.expires_at > desk.clock.now();
        if (counts) overrides = 1;
        return counts;
      },
    });
  } finally {
    // Also after a failure: part of the tree may be revoked.
    desk.cache.clear();
    if (overrides > 0) desk.metrics.add("gantry_override_total", { kind: "early_revoke", class: "none" });
  }
}
