import { z } from "zod";
import { defineErrors } from "../kernel/errors.ts";
import type { ActorId, TenantId, TokenId } from "../kernel/ids.ts";

export const ACTOR_KINDS = ["human", "agent", "service"] as const;
export type ActorKind = (typeof ACTOR_KINDS)[number];
export type TokenKind = "hum" | "agt" | "svc";

/** What a token may do. A scope is never implied by another. */
export const SCOPES = [
  "run:submit",
  "run:read",
  "run:cancel",
  "contract:read",
  "evidence:read",
  "evidence:export",
  "evidence:audit",
  "evidence:rotate",
  "token:mint",
  "actor:manage",
  "tenant:manage",
  "ops:read",
] as const;
export type Scope = (typeof SCOPES)[number];
/** Reach past one tenant; the owner of a further tenant never gets them. */
export const OPERATOR_SCOPES: readonly Scope[] = ["evidence:audit", "evidence:rotate", "tenant:manage", "ops:read"];

/** One link of a delegation chain; the accountable principal is first. */
export interface ChainLink {
  actor: ActorId;
  kind: ActorKind;
  via: "token" | "key" | "spawn" | "schedule";
  /** The token, key, run or schedule that made the link. */
  ref: string;
}

/** Who asks. Everything below `http/` takes this and never a token. */
export interface Principal {
  tenant: TenantId;
  /** The last actor of the chain. */
  actor: ActorId;
  chain: ChainLink[];
  /** SHA-256 of the chain's canonical JSON, hex. */
  chain_hash: string;
  token: TokenId;
  scopes: ReadonlySet<Scope>;
}

/** What the middleware of `http/` gives every route. */
export interface RouteEnv {
  Variables: { who: Principal; request: string };
}

export interface Tenant {
  id: TenantId;
  slug: string;
  state: "active" | "suspended" | "closed";
  created_at: number;
}

export interface Actor {
  id: ActorId;
  tenant: TenantId;
  kind: ActorKind;
  name: string;
  /** Who answers for an agent or a service. */
  owner: ActorId | null;
  state: "active" | "suspended" | "gone";
}

export interface MintedToken {
  id: TokenId;
  /** Shown once; only its SHA-256 is kept. */
  secret: string;
  expires_at: number;
}

/** Identity's promises to the rooms above. */
export interface Identity {
  /**
   * The principal behind a bearer token. Shape and checksum are judged before any lookup.
   * @throws AUTH_REQUIRED TOKEN_MALFORMED TOKEN_UNKNOWN TOKEN_EXPIRED TOKEN_REVOKED ACTOR_SUSPENDED TENANT_SUSPENDED
   */
  authenticate(bearer: string | undefined): Promise<Principal>;
  /** @throws SCOPE_MISSING */
  demand(who: Principal, scope: Scope): void;
}

/** The ledger kinds of this room. No entry carries a secret, nor the hash of one. */
export const kinds = {
  "tenant.created": z.strictObject({ tenant: z.string(), slug: z.string() }),
  "tenant.suspended": z.strictObject({ tenant: z.string() }),
  "tenant.resumed": z.strictObject({ tenant: z.string() }),
  "actor.created": z.strictObject({
    actor: z.string(),
    kind: z.enum(ACTOR_KINDS),
    name: z.string(),
    /** Who answers for it. */
    owner: z.string().nullable(),
  }),
  "actor.suspended": z.strictObject({ actor: z.string() }),
  "actor.resumed": z.strictObject({ actor: z.string() }),
  "token.minted": z.strictObject({
    token: z.string(),
    actor: z.string(),
    scopes: z.array(z.enum(SCOPES)),
    /** The token that minted it; null when Gantry did, for the owner of a tenant. */
    parent: z.string().nullable(),
    chain_hash: z.string(),
    expires_at: z.int(),
  }),
  "token.revoked": z.strictObject({
    token: z.string(),
    actor: z.string(),
    /** `asked`: it was named; `parent`: one above it was; `replaced`: the owner token has a successor. */
    cause: z.enum(["asked", "parent", "replaced"]),
  }),
} as const;

const refused401 = { status: 401, retry: "never", whose: "caller" } as const;

export const auth_errors = defineErrors("AUTH", {
  REQUIRED: { ...refused401, title: "A bearer token is required." },
});
export const token_errors = defineErrors("TOKEN", {
  MALFORMED: { ...refused401, title: "This is not a Gantry token." },
  UNKNOWN: { ...refused401, title: "The token is not known." },
  EXPIRED: { ...refused401, title: "The token has expired." },
  REVOKED: { ...refused401, title: "The token was revoked." },
  LIMIT: { status: 409, retry: "never", whose: "caller", title: "The actor has as many tokens as it may have." },
  ABSENT: { status: 404, retry: "never", whose: "caller", title: "The tenant has no token of this id." },
});
export const scope_errors = defineErrors("SCOPE", {
  MISSING: { status: 403, retry: "never", whose: "caller", title: "The token lacks a scope." },
  NOT_GRANTABLE: { status: 403, retry: "never", whose: "caller", title: "The token may not grant this scope." },
});
export const chain_errors = defineErrors("CHAIN", {
  INVALID: { status: 403, retry: "never", whose: "caller", title: "The delegation chain is not allowed." },
});
export const actor_errors = defineErrors("ACTOR", {
  INVALID: { status: 400, retry: "never", whose: "caller", title: "The actor is not valid." },
  EXISTS: { status: 409, retry: "never", whose: "caller", title: "An actor of this kind has this subject." },
  LIMIT: { status: 409, retry: "never", whose: "caller", title: "The tenant has as many actors as it may have." },
  SELF: { status: 409, retry: "never", whose: "caller", title: "Nobody suspends an actor that it acts through." },
  SUSPENDED: { status: 403, retry: "never", whose: "policy", title: "The actor is suspended." },
  UNKNOWN: { status: 404, retry: "never", whose: "caller", title: "There is no such actor." },
});
export const tenant_errors = defineErrors("TENANT", {
  SUSPENDED: { status: 403, retry: "later", whose: "policy", title: "The tenant is suspended." },
  EXISTS: { status: 409, retry: "never", whose: "caller", title: "A tenant with this slug exists." },
  UNKNOWN: { status: 404, retry: "never", whose: "caller", title: "There is no such tenant." },
  SELF: { status: 409, retry: "never", whose: "caller", title: "Nobody suspends its own tenant." },
  SLUG: { status: 400, retry: "never", whose: "caller", title: "The slug is not valid." },
});

/** Live tokens of one actor. */
export const TOKENS_PER_ACTOR_MAX = 100;
export const ACTORS_PER_TENANT_MAX = 10_000;
export const TOKEN_CACHE_MAX = 10_000;
/** How long another process may still honour a revoked token. */
export const TOKEN_CACHE_MS = 5_000;
export const CHAIN_LINKS_MAX = 8;
export const NAME_CHARS_MAX = 128;
/** How long a minted token lives unless asked otherwise. */
export const TOKEN_LIFE_MS = 30 * 86_400_000;
export const TOKEN_LIFE_MAX_MS = 365 * 86_400_000;
/** The owner token in the data directory: it goes with the directory, not with the calendar. */
export const OWNER_TOKEN_LIFE_MS = 3_650 * 86_400_000;
