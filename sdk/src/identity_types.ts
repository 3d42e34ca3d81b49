/** The wire types of tenants, actors, tokens and keys; a contract test holds them against the server's schemas. */

export type ActorKind = "human" | "agent" | "service";
/** `hum`, `agt` and `svc` stand for a human, an agent and a service. */
export type TokenKind = "hum" | "agt" | "svc";
/** What an actor's key may sign. */
export type KeyUse = "task" | "code";

/** One link of a delegation chain. */
export interface ChainLink {
  actor: string;
  kind: ActorKind;
  via: "token" | "key" | "spawn" | "schedule";
  /** The token, key, run or schedule that made the link. */
  ref: string;
}

/** Who the token says that one is. */
export interface Me {
  tenant: { id: string; slug: string };
  actor: { id: string; kind: ActorKind; name: string; team: string | null };
  /** Accountable principal first. */
  chain: (ChainLink & { name: string })[];
  scopes: string[];
  token: { id: string; kind: TokenKind; expires_at: number } | null;
  /** The audience of signed tasks. */
  instance: string;
}

export interface Actor {
  id: string;
  tenant: string;
  kind: ActorKind;
  name: string;
  /** Whom or what it stands for, unique per tenant and kind: one person is one vote. */
  subject: string;
  /** Who answers for an agent or a service. */
  owner: string | null;
  /** By which reports group. */
  team: string | null;
  /** Scopes that no token of it may exceed; null: none is set. */
  ceiling: string[] | null;
  state: "active" | "suspended" | "gone";
  created_at: number;
}

export interface ActorRequest {
  kind: ActorKind;
  /** 1-128 characters. */
  name: string;
  /** Default: the name. */
  subject?: string;
  /** Default for agents and services: the caller. Humans have none. */
  owner?: string;
  ceiling?: string[];
  team?: string;
}

/** A token without its secret. */
export interface Token {
  id: string;
  actor: string;
  kind: TokenKind;
  /** Of the secret, to tell tokens apart. */
  last4: string;
  scopes: string[];
  /** The token that minted it. */
  parent: string | null;
  chain: ChainLink[];
  state: "live" | "expired" | "revoked";
  created_at: number;
  expires_at: number;
  revoked_at: number | null;
}

export interface TokenRequest {
  /** Default: the caller; with a run, the run's own actor. */
  actor?: string;
  /** At most those of the caller's own token. */
  scopes: string[];
  /** Milliseconds, default 30 days; never longer than the caller's own token. */
  life_ms?: number;
  /** A live run, which the token starts further runs for: those are its children. */
  run?: string;
}

export interface MintedToken {
  id: string;
  /** Shown now and never again. */
  secret: string;
  expires_at: number;
}

/** What a login link gives. */
export interface Login {
  token: MintedToken;
  tenant: string;
  actor: string;
  scopes: string[];
}

/** Ed25519 (RFC 8037, 2). */
export interface PublicJwk {
  kty: "OKP";
  crv: "Ed25519";
  x: string;
}

/** A registered public key. */
export interface ActorKey {
  kid: string;
  actor: string;
  uses: KeyUse[];
  public_jwk: PublicJwk;
  state: "active" | "revoked";
  created_at: number;
}

export interface KeyRequest {
  /** Default: the caller. */
  actor?: string;
  public_jwk: PublicJwk;
  uses: KeyUse[];
}

export interface TenantSettings {
  /** Who may not approve: the requester and what it owns, or also the human whom a requesting agent acts for. */
  approval_independence: "principal" | "independent";
  /** What all runs of the tenant may use in one UTC day; null: unbounded. */
  run_ms_day: number | null;
  /** Host patterns that no run of the tenant may call, whatever its contract says. */
  egress_deny: string[];
}

/** The caller's own tenant. */
export interface OwnTenant {
  id: string;
  slug: string;
  state: "active" | "suspended" | "closed";
  settings: TenantSettings;
  settings_rev: number;
}

/** A tenant as who operates the installation sees it. */
export interface Tenant {
  id: string;
  slug: string;
  state: "active" | "suspended" | "closed";
  created_at: number;
}

export interface MadeTenant {
  tenant: Tenant;
  owner: { id: string; kind: ActorKind; name: string };
  /** The owner's: it decides nothing that takes a human's own login. */
  token: MintedToken;
}

/** A change that loosens, and waits for people. */
export interface PendingSettings {
  state: "pending";
  approval: string;
  statement_hash: string;
  tenant: OwnTenant;
  next_steps: { kind: "command"; text: string; command: string }[];
}
