import type {
  Actor,
  ActorKey,
  ActorKind,
  ActorRequest,
  KeyRequest,
  Login,
  MadeTenant,
  Me,
  MintedToken,
  OwnTenant,
  PendingSettings,
  Tenant,
  TenantSettings,
  Token,
  TokenRequest,
} from "./identity_types.ts";
import { pagesOf, type Transport } from "./transport.ts";
import type { Page } from "./types.ts";

/** Which part of a list. */
export interface ListQuery {
  /** The `next` of the page before. */
  cursor?: string;
  /** 1-200, default 50. */
  limit?: number;
}
export interface ActorQuery extends ListQuery {
  kind?: ActorKind;
  state?: Actor["state"];
}
/** Of one actor; without `actor:manage` one sees one's own, whatever is asked. */
export interface OwnedQuery extends ListQuery {
  actor?: string;
}

/** Oneself, and how one becomes somebody. Every method of these classes throws `GantryApiError` or `GantryConnectionError`. */
export class Session {
  readonly #transport: Transport;

  constructor(transport: Transport) {
    this.#transport = transport;
  }

  /** Who the token says that one is. */
  me(): Promise<Me> {
    return this.#transport.json({ method: "GET", path: "/v1/me" });
  }

  /**
   * Uses a login link: it works once. Needs no token.
   * @throws GantryApiError `LOGIN_LINK_SPENT` `TOKEN_MALFORMED` `AUTH_RATE`
   */
  login(link: string): Promise<Login> {
    return this.#transport.json({ method: "POST", path: "/v1/login", body: { link } });
  }
}

/** Humans, agents and services. */
export class Actors {
  readonly #transport: Transport;

  constructor(transport: Transport) {
    this.#transport = transport;
  }

  /** One page, oldest first. */
  list(query: ActorQuery = {}): Promise<Page<Actor>> {
    return this.#transport.json({ method: "GET", path: "/v1/actors", query: { ...query } });
  }

  /** All pages from `query.cursor` on. */
  pages(query: ActorQuery = {}): AsyncGenerator<Page<Actor>, void, undefined> {
    return pagesOf((cursor) => this.list(cursor === undefined ? query : { ...query, cursor }), query.cursor);
  }

  /** @throws GantryApiError `ACTOR_UNKNOWN` */
  get(id: string): Promise<Actor> {
    return this.#transport.json({ method: "GET", path: `/v1/actors/${encodeURIComponent(id)}` });
  }

  create(request: ActorRequest): Promise<Actor> {
    return this.#transport.json({ method: "POST", path: "/v1/actors", body: request });
  }

  /** While suspended, no token that has it in its chain is good. */
  setState(id: string, state: "active" | "suspended"): Promise<Actor> {
    return this.#transport.json({ method: "PATCH", path: `/v1/actors/${encodeURIComponent(id)}`, body: { state } });
  }
}

/** Bearer tokens. */
export class Tokens {
  readonly #transport: Transport;

  constructor(transport: Transport) {
    this.#transport = transport;
  }

  /** One page, oldest first, ended ones too; without secrets. */
  list(query: OwnedQuery = {}): Promise<Page<Token>> {
    return this.#transport.json({ method: "GET", path: "/v1/tokens", query: { ...query } });
  }

  /** All pages from `query.cursor` on. */
  pages(query: OwnedQuery = {}): AsyncGenerator<Page<Token>, void, undefined> {
    return pagesOf((cursor) => this.list(cursor === undefined ? query : { ...query, cursor }), query.cursor);
  }

  /** @returns the secret, which is shown once. @throws GantryApiError `SCOPE_NOT_GRANTABLE` `CHAIN_INVALID` `TOKEN_LIMIT` */
  mint(request: TokenRequest): Promise<MintedToken> {
    return this.#transport.json({ method: "POST", path: "/v1/tokens", body: request });
  }

  /** Revokes it and all that were minted below it. @returns how many ended now. */
  async revoke(id: string): Promise<number> {
    const path = `/v1/tokens/${encodeURIComponent(id)}`;
    return (await this.#transport.json<{ revoked: number }>({ method: "DELETE", path })).revoked;
  }
}

/** Public keys by which actors sign tasks and code. */
export class ActorKeys {
  readonly #transport: Transport;

  constructor(transport: Transport) {
    this.#transport = transport;
  }

  /** One page, oldest first, revoked ones too. */
  list(query: OwnedQuery = {}): Promise<Page<ActorKey>> {
    return this.#transport.json({ method: "GET", path: "/v1/actor-keys", query: { ...query } });
  }

  /** All pages from `query.cursor` on. */
  pages(query: OwnedQuery = {}): AsyncGenerator<Page<ActorKey>, void, undefined> {
    return pagesOf((cursor) => this.list(cursor === undefined ? query : { ...query, cursor }), query.cursor);
  }

  /** @throws GantryApiError `ACTOR_KEY_INVALID` `ACTOR_KEY_EXISTS` `ACTOR_KEY_LIMIT` */
  register(request: KeyRequest): Promise<ActorKey> {
    return this.#transport.json({ method: "POST", path: "/v1/actor-keys", body: request });
  }

  /** What it signs is refused from now on. */
  async revoke(kid: string): Promise<void> {
    await this.#transport.json({ method: "DELETE", path: `/v1/actor-keys/${encodeURIComponent(kid)}` });
  }
}

/** One's own tenant, and for who operates the installation all of them. */
export class Tenants {
  readonly #transport: Transport;

  constructor(transport: Transport) {
    this.#transport = transport;
  }

  own(): Promise<OwnTenant> {
    return this.#transport.json({ method: "GET", path: "/v1/tenant" });
  }

  /**
   * Changes settings of one's own tenant. What tightens holds at once; a change in which anything loosens waits for people.
   * @param rev  the `settings_rev` that was read.
   * @throws GantryApiError `TENANT_CONFLICT` when there is another revision by now.
   */
  change(settings: Partial<TenantSettings>, rev: number): Promise<OwnTenant | PendingSettings> {
    const headers = { "if-match": `"${rev}"` };
    return this.#transport.json({ method: "PATCH", path: "/v1/tenant", headers, body: settings });
  }

  /** One page, oldest first. */
  list(query: ListQuery = {}): Promise<Page<Tenant>> {
    return this.#transport.json({ method: "GET", path: "/v1/tenants", query: { ...query } });
  }

  /** All pages from `query.cursor` on. */
  pages(query: ListQuery = {}): AsyncGenerator<Page<Tenant>, void, undefined> {
    return pagesOf((cursor) => this.list(cursor === undefined ? query : { ...query, cursor }), query.cursor);
  }

  /** @param slug  a DNS label. @throws GantryApiError `TENANT_EXISTS` `TENANT_SLUG` */
  create(slug: string): Promise<MadeTenant> {
    return this.#transport.json({ method: "POST", path: "/v1/tenants", body: { slug } });
  }

  setState(id: string, state: "active" | "suspended"): Promise<Tenant> {
    return this.#transport.json({ method: "PATCH", path: `/v1/tenants/${encodeURIComponent(id)}`, body: { state } });
  }
}
