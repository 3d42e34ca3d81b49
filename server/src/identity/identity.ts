import { assert } from "../kernel/assert.ts";
import { GantryError } from "../kernel/errors.ts";
import type { ActorId, TenantId, TokenId } from "../kernel/ids.ts";
import type { Storage, Tx } from "../storage/contract.ts";
import { PrincipalCache } from "./cache.ts";
import {
  ACTORS_PER_TENANT_MAX,
  type Actor,
  type ActorKind,
  actor_errors,
  auth_errors,
  type ChainLink,
  type Identity,
  type MintedToken,
  NAME_CHARS_MAX,
  OPERATOR_SCOPES,
  type Principal,
  SCOPES,
  type Scope,
  scope_errors,
  type Tenant,
  TOKEN_LIFE_MAX_MS,
  TOKEN_LIFE_MS,
  TOKENS_PER_ACTOR_MAX,
  tenant_errors,
  token_errors,
} from "./contract.ts";
import { extendChain, grantScopes, judgeOwner } from "./delegation.ts";
import {
  actorsOf,
  chainHash,
  type RecordParts,
  recordActor,
  recordActorState,
  recordTenant,
  recordTenantState,
  recordToken,
} from "./records.ts";
import { revokeTree } from "./revocation.ts";
import {
  type ActorRow,
  countActors,
  countLiveTokens,
  readChain,
  readScopes,
  selectActor,
  selectActorBySubject,
  selectStates,
  selectTenant,
  selectTenantBySlug,
  selectToken,
  selectTokenByHash,
  type TokenRow,
} from "./store.ts";
import { tokenHash } from "./token.ts";

/** A DNS label: tenants become part of host names. */
const SLUG = /^[a-z](?:[a-z0-9-]{0,61}[a-z0-9])?$/;

export interface IdentityParts extends RecordParts {
  storage: Storage;
}

export interface ActorRequest {
  kind: ActorKind;
  /** 1 to `NAME_CHARS_MAX` characters. */
  name: string;
  /** Whom or what it stands for, unique per tenant and kind: one person is one vote. Default: the name. */
  subject?: string;
  /** Agents: a human or a service, default the caller. Services: a human, default the caller. Humans: none. */
  owner?: ActorId;
  /** Scopes that no token of it may exceed. */
  ceiling?: Scope[];
}

export interface TokenRequest {
  /** Default: the caller. */
  actor?: ActorId;
  scopes: Scope[];
  /** Milliseconds, above 0; cut to `TOKEN_LIFE_MAX_MS` and to what is left of the caller's own token. */
  life_ms?: number;
}

/** Who exists, who asks, and what a token of theirs may do. Each change commits together with its ledger entry. */
export class IdentityRegistry implements Identity {
  readonly #parts: IdentityParts;
  readonly #cache = new PrincipalCache();

  constructor(parts: IdentityParts) {
    this.#parts = parts;
  }

  async authenticate(bearer: string | undefined): Promise<Principal> {
    if (bearer === undefined || bearer === "") {
      throw new GantryError(auth_errors.REQUIRED, {
        detail: "Send the header `Authorization: Bearer gtr_…`.",
        next_steps: [{ kind: "read", text: "The owner's token is in the file owner.token of the data directory." }],
      });
    }
    const hash = tokenHash(bearer);
    const now = this.#parts.clock.now();
    const known = this.#cache.get(hash, now);
    if (known !== undefined) {
      if (known.expires_at <= now) throw expired(known.expires_at);
      return known.principal;
    }
    const { epoch } = this.#cache;
    const row = await selectTokenByHash(this.#parts.storage, hash);
    if (row === undefined) throw new GantryError(token_errors.UNKNOWN, { detail: "No tenant here has this token." });
    this.#judgeToken(row);
    const chain = readChain(row.chain_json);
    assert(chain.at(-1)?.actor === row.actor_id, "a token's chain ends with its actor");
    await this.#judgeStates(row, chain);
    const principal: Principal = Object.freeze({
      tenant: row.tenant_id,
      actor: row.actor_id,
      chain,
      chain_hash: chainHash(chain),
      token: row.id,
      scopes: new Set(readScopes(row.scopes_json)),
    });
    this.#cache.put(hash, principal, row.expires_at, now, epoch);
    return principal;
  }

  #judgeToken(row: TokenRow): void {
    if (row.revoked_at !== null) {
      throw new GantryError(token_errors.REVOKED, { detail: `The token ${row.id} was revoked.` });
    }
    if (row.expires_at <= this.#parts.clock.now()) throw expired(row.expires_at);
  }

  async #judgeStates(row: TokenRow, chain: ChainLink[]): Promise<void> {
    const actors = chain.map((link) => link.actor);
    const states = await selectStates(this.#parts.storage, row.tenant_id, actors);
    if (states.active !== actors.length) {
      throw new GantryError(actor_errors.SUSPENDED, { detail: "An actor of the token's chain is suspended or gone." });
    }
    if (states.tenant !== "active") {
      throw new GantryError(tenant_errors.SUSPENDED, { detail: "Nothing is done for this tenant at the moment." });
    }
  }

  demand(who: Principal, scope: Scope): void {
    if (who.scopes.has(scope)) return;
    throw new GantryError(scope_errors.MISSING, {
      detail: `This needs the scope ${scope}, which the token ${who.token} does not have.`,
      next_steps: [{ kind: "change", text: `Use a token with ${scope}; a token mints only scopes that it holds.` }],
    });
  }

  /**
   * A further tenant with a human `owner` and a token of its own, with the caller's scopes except `OPERATOR_SCOPES`
   * and no longer than the caller's token.
   * @throws SCOPE_MISSING TENANT_SLUG TENANT_EXISTS TOKEN_REVOKED TOKEN_EXPIRED
   */
  createTenant(who: Principal, slug: string): Promise<{ tenant: Tenant; owner: Actor; token: MintedToken }> {
    this.demand(who, "tenant:manage");
    if (!SLUG.test(slug)) {
      throw new GantryError(tenant_errors.SLUG, {
        detail: "A slug has 1 to 63 of a-z, 0-9 and -, starts with a letter and does not end with -.",
      });
    }
    const { ids, storage } = this.#parts;
    const by = actorsOf(who.chain);
    return storage.write(async (tx) => {
      const parent = await this.#ownToken(tx, who);
      if ((await selectTenantBySlug(tx, slug)) !== undefined) {
        throw new GantryError(tenant_errors.EXISTS, { detail: `The tenant ${slug} exists.` });
      }
      const tenant = recordTenant(this.#parts, tx, { id: ids("ten"), slug }, by);
      const owner = recordActor(
        this.#parts,
        tx,
        {
          id: ids("act"),
          tenant: tenant.id,
          kind: "human",
          name: "owner",
          subject: "owner",
          owner: null,
          parent: null,
          ceiling: null,
        },
        by,
      );
      const id = ids("tok");
      const token = recordToken(
        this.#parts,
        tx,
        {
          id,
          tenant: tenant.id,
          actor: owner.id,
          kind: "human",
          origin: "owner",
          scopes: SCOPES.filter((scope) => who.scopes.has(scope) && !OPERATOR_SCOPES.includes(scope)),
          parent: null,
          chain: [{ actor: owner.id, kind: "human", via: "token", ref: id }],
          expires_at: Math.min(parent.expires_at, tenant.created_at + TOKEN_LIFE_MAX_MS),
        },
        by,
      );
      return { tenant, owner, token };
    });
  }

  /** @throws SCOPE_MISSING ACTOR_INVALID ACTOR_UNKNOWN ACTOR_EXISTS ACTOR_LIMIT */
  createActor(who: Principal, request: ActorRequest): Promise<Actor> {
    this.demand(who, "actor:manage");
    const { kind, name, subject = request.name, ceiling = null } = request;
    for (const [what, text] of Object.entries({ name, subject })) {
      if (text.length === 0 || text.length > NAME_CHARS_MAX) {
        throw new GantryError(actor_errors.INVALID, { detail: `The ${what} has 1 to ${NAME_CHARS_MAX} characters.` });
      }
    }
    if (kind === "human" && request.owner !== undefined) {
      throw new GantryError(actor_errors.INVALID, { detail: "A human answers for itself and has no owner." });
    }
    const owner = kind === "human" ? null : (request.owner ?? who.actor);
    return this.#parts.storage.write(async (tx) => {
      if (kind !== "human" && owner !== null) judgeOwner(kind, await this.#actor(tx, who.tenant, owner));
      if ((await countActors(tx, who.tenant)) >= ACTORS_PER_TENANT_MAX) {
        throw new GantryError(actor_errors.LIMIT, { detail: `A tenant has at most ${ACTORS_PER_TENANT_MAX} actors.` });
      }
      if ((await selectActorBySubject(tx, who.tenant, kind, subject)) !== undefined) {
        throw new GantryError(actor_errors.EXISTS, { detail: `The tenant has a ${kind} with the subject ${subject}.` });
      }
      const id = this.#parts.ids("act");
      const actor = { id, tenant: who.tenant, kind, name, subject, owner, parent: who.actor, ceiling };
      return recordActor(this.#parts, tx, actor, actorsOf(who.chain));
    });
  }

  /**
   * A token with scopes that the caller holds, for the caller, an actor that it owns, or (with `actor:manage`) any
   * actor of the tenant. The new chain is the caller's with the actor behind it, so delegation never gets shorter.
   * @throws SCOPE_MISSING SCOPE_NOT_GRANTABLE ACTOR_UNKNOWN ACTOR_SUSPENDED CHAIN_INVALID TOKEN_LIMIT TOKEN_REVOKED TOKEN_EXPIRED
   */
  mintToken(who: Principal, request: TokenRequest): Promise<MintedToken> {
    this.demand(who, "token:mint");
    const { life_ms = TOKEN_LIFE_MS } = request;
    assert(Number.isSafeInteger(life_ms) && life_ms > 0, "a token's life is a whole number of milliseconds above 0");
    const { clock, ids, storage } = this.#parts;
    return storage.write(async (tx) => {
      const parent = await this.#ownToken(tx, who);
      const actor = await this.#actor(tx, who.tenant, request.actor ?? who.actor);
      if (actor.state !== "active") {
        throw new GantryError(actor_errors.SUSPENDED, { detail: `The actor ${actor.id} is ${actor.state}.` });
      }
      if (actor.id !== who.actor && actor.owner_actor_id !== who.actor) this.demand(who, "actor:manage");
      const now = clock.now();
      if ((await countLiveTokens(tx, actor.id, now)) >= TOKENS_PER_ACTOR_MAX) {
        throw new GantryError(token_errors.LIMIT, {
          detail: `The actor ${actor.id} has ${TOKENS_PER_ACTOR_MAX} live tokens: revoke one, or wait until one expires.`,
        });
      }
      const id = ids("tok");
      const token = {
        id,
        tenant: who.tenant,
        actor: actor.id,
        kind: actor.kind,
        origin: "minted" as const,
        scopes: grantScopes(who, actor, request.scopes),
        parent: parent.id,
        chain: extendChain(who.chain, actor, id),
        expires_at: Math.min(parent.expires_at, now + Math.min(life_ms, TOKEN_LIFE_MAX_MS)),
      };
      return recordToken(this.#parts, tx, token, actorsOf(who.chain));
    });
  }

  /**
   * Revokes the token and all that were minted below it; asking again ends what a crash interrupted.
   * @returns how many were revoked; 0 when there was nothing left to revoke.
   * @throws TOKEN_ABSENT; SCOPE_MISSING without `actor:manage`, unless the caller is in the token's chain.
   */
  async revokeToken(who: Principal, id: TokenId): Promise<number> {
    try {
      return await revokeTree(this.#parts, id, "asked", actorsOf(who.chain), async (tx) => {
        const named = await selectToken(tx, who.tenant, id);
        if (named === undefined) throw new GantryError(token_errors.ABSENT, { detail: `There is no token ${id}.` });
        if (!readChain(named.chain_json).some((link) => link.actor === who.actor)) this.demand(who, "actor:manage");
      });
    } finally {
      // Also after a failure: part of the tree may be revoked.
      this.#cache.clear();
    }
  }

  /**
   * While suspended, an actor has no live token, and no token has it in its chain. Saying it twice changes nothing.
   * @throws SCOPE_MISSING ACTOR_UNKNOWN ACTOR_SELF
   */
  async setActorState(who: Principal, id: ActorId, state: "active" | "suspended"): Promise<void> {
    this.demand(who, "actor:manage");
    if (who.chain.some((link) => link.actor === id)) {
      throw new GantryError(actor_errors.SELF, { detail: "The actor is part of the chain that asks." });
    }
    await this.#parts.storage.write(async (tx) => {
      const before = await this.#actor(tx, who.tenant, id);
      if (before.state !== state) recordActorState(this.#parts, tx, before, state, actorsOf(who.chain));
    });
    this.#cache.clear();
  }

  /** @throws SCOPE_MISSING TENANT_UNKNOWN TENANT_SELF */
  async setTenantState(who: Principal, id: TenantId, state: "active" | "suspended"): Promise<void> {
    this.demand(who, "tenant:manage");
    if (who.tenant === id) {
      throw new GantryError(tenant_errors.SELF, { detail: "Nobody could then undo it through this server." });
    }
    await this.#parts.storage.write(async (tx) => {
      const before = await selectTenant(tx, id);
      if (before === undefined || before.state === "closed") {
        throw new GantryError(tenant_errors.UNKNOWN, { detail: `There is no tenant ${id}.` });
      }
      if (before.state !== state) recordTenantState(this.#parts, tx, before, state, actorsOf(who.chain));
    });
    this.#cache.clear();
  }

  /** The caller's own token as it is now: what was authenticated may have ended since. */
  async #ownToken(tx: Tx, who: Principal): Promise<TokenRow> {
    const row = await selectToken(tx, who.tenant, who.token);
    assert(row !== undefined, "the token of a principal has a row");
    this.#judgeToken(row);
    return row;
  }

  async #actor(tx: Tx, tenant: TenantId, id: ActorId): Promise<ActorRow> {
    const row = await selectActor(tx, tenant, id);
    if (row === undefined || row.state === "gone") {
      throw new GantryError(actor_errors.UNKNOWN, { detail: `The tenant has no actor ${id}.` });
    }
    return row;
  }
}

function expired(at: number): GantryError {
  return new GantryError(token_errors.EXPIRED, { detail: `The token expired at ${new Date(at).toISOString()}.` });
}
