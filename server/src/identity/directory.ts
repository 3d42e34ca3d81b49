import { GantryError } from "../kernel/errors.ts";
import type { Storage } from "../storage/contract.ts";
import {
  type Actor,
  type ActorKey,
  type ActorKind,
  type ChainLink,
  type Principal,
  type Scope,
  type Tenant,
  type TenantView,
  token_errors,
} from "./contract.ts";
import { usableScopes } from "./delegation.ts";
import { listKeys } from "./key_store.ts";
import { keyOf } from "./keys.ts";
import { type After, listActors, listTenants, listTokens, namesOf } from "./list_store.ts";
import { readTenant, tenantView } from "./settings.ts";
import { demandScope, knownActor } from "./standing.ts";
import { type ActorRow, readCeiling, readChain, selectToken, type TenantRow, type TokenRow } from "./store.ts";

export interface ActorView extends Actor {
  /** Whom or what it stands for, unique per tenant and kind. */
  subject: string;
  /** Scopes that no token of it may exceed; null: none is set. */
  ceiling: Scope[] | null;
  created_at: number;
}

/** A token without its secret. */
export interface TokenView {
  id: string;
  actor: string;
  kind: "hum" | "agt" | "svc";
  /** Of the secret, to tell tokens apart. */
  last4: string;
  scopes: Scope[];
  parent: string | null;
  chain: ChainLink[];
  state: "live" | "expired" | "revoked";
  created_at: number;
  expires_at: number;
  revoked_at: number | null;
}

/** Who asks, as they may see themselves. */
export interface Me {
  tenant: { id: string; slug: string };
  actor: { id: string; kind: ActorKind; name: string; team: string | null };
  /** Accountable principal first. */
  chain: (ChainLink & { name: string })[];
  scopes: Scope[];
  /** Null for a signed task. */
  token: { id: string; kind: "hum" | "agt" | "svc"; expires_at: number } | null;
  /** The audience of signed tasks. */
  instance: string;
}

export interface DirectoryParts {
  storage: Storage;
  clock: { now(): number };
  instance(): Promise<string>;
}

/** Reading who exists. Others than oneself, and what is one's own, takes `actor:manage`; tenants take `tenant:manage`. */
export class Directory {
  readonly #parts: DirectoryParts;

  constructor(parts: DirectoryParts) {
    this.#parts = parts;
  }

  async me(who: Principal): Promise<Me> {
    const { storage } = this.#parts;
    const tenant = await readTenant(storage, who.tenant);
    const actor = await knownActor(storage, who.tenant, who.actor);
    const names = await namesOf(storage, who.tenant, [...new Set(who.chain.map((link) => link.actor))]);
    const row = who.token === null ? undefined : await selectToken(storage, who.tenant, who.token);
    return {
      tenant: { id: tenant.id, slug: tenant.slug },
      actor: { id: actor.id, kind: actor.kind, name: actor.name, team: actor.team },
      chain: who.chain.map((link) => ({ ...link, name: names.get(link.actor) ?? link.actor })),
      scopes: [...who.scopes],
      token: row === undefined ? null : { id: row.id, kind: row.kind, expires_at: row.expires_at },
      instance: await this.#parts.instance(),
    };
  }

  /** @throws SCOPE_MISSING */
  async actors(
    who: Principal,
    o: After & { kind?: ActorKind | undefined; state?: Actor["state"] | undefined },
  ): Promise<ActorView[]> {
    demandScope(who, "actor:manage");
    const rows = await listActors(this.#parts.storage, who.tenant, { ...o, kind: o.kind, state: o.state });
    return rows.map(actorView);
  }

  /** @throws ACTOR_UNKNOWN SCOPE_MISSING */
  async actor(who: Principal, id: string): Promise<ActorView> {
    const row = await knownActor(this.#parts.storage, who.tenant, id as Actor["id"]);
    if (row.id !== who.actor && row.owner_actor_id !== who.actor) demandScope(who, "actor:manage");
    return actorView(row);
  }

  /** Without `actor:manage`: one's own. @throws SCOPE_MISSING */
  async tokens(who: Principal, o: After & { actor?: string | undefined }): Promise<TokenView[]> {
    const actor = this.#asked(who, o.actor);
    const rows = await listTokens(this.#parts.storage, who.tenant, { ...o, actor });
    const now = this.#parts.clock.now();
    return rows.map((row) => tokenView(row, now));
  }

  /** @throws TOKEN_ABSENT SCOPE_MISSING */
  async token(who: Principal, id: string): Promise<TokenView> {
    const row = await selectToken(this.#parts.storage, who.tenant, id);
    if (row === undefined)
      throw new GantryError(token_errors.ABSENT, { detail: "The tenant has no token of this id." });
    if (row.actor_id !== who.actor) demandScope(who, "actor:manage");
    return tokenView(row, this.#parts.clock.now());
  }

  /** Without `actor:manage`: one's own. @throws SCOPE_MISSING */
  async keys(who: Principal, o: After & { actor?: string | undefined }): Promise<ActorKey[]> {
    const rows = await listKeys(this.#parts.storage, who.tenant, { ...o, actor: this.#asked(who, o.actor) });
    return rows.map(keyOf);
  }

  /** @throws SCOPE_MISSING */
  async tenant(who: Principal): Promise<TenantView> {
    return tenantView(await readTenant(this.#parts.storage, who.tenant));
  }

  /** @throws SCOPE_MISSING */
  async tenants(who: Principal, o: After): Promise<Tenant[]> {
    demandScope(who, "tenant:manage");
    return (await listTenants(this.#parts.storage, o)).map(tenantOf);
  }

  /** @throws SCOPE_MISSING TENANT_UNKNOWN */
  async someTenant(who: Principal, id: Tenant["id"]): Promise<Tenant> {
    demandScope(who, "tenant:manage");
    return tenantOf(await readTenant(this.#parts.storage, id));
  }

  #asked(who: Principal, actor: string | undefined): string | undefined {
    if (who.scopes.has("actor:manage")) return actor;
    if (actor !== undefined && actor !== who.actor) demandScope(who, "actor:manage");
    return who.actor;
  }
}

function tenantOf({ id, slug, state, created_at }: TenantRow): Tenant {
  return { id, slug, state, created_at };
}

export function actorView(row: ActorRow): ActorView {
  const { id, kind, name, subject, team, state, created_at } = row;
  const ceiling = readCeiling(row.ceiling_json);
  return {
    id,
    tenant: row.tenant_id,
    kind,
    name,
    subject,
    owner: row.owner_actor_id,
    team,
    ceiling,
    state,
    created_at,
  };
}

function tokenView(row: TokenRow, now: number): TokenView {
  const chain = readChain(row.chain_json);
  const { id, kind, last4, created_at, expires_at, revoked_at } = row;
  return {
    id,
    actor: row.actor_id,
    kind,
    last4,
    scopes: [...usableScopes(row, chain)],
    parent: row.parent_token_id,
    chain,
    state: revoked_at !== null ? "revoked" : expires_at <= now ? "expired" : "live",
    created_at,
    expires_at,
    revoked_at,
  };
}
