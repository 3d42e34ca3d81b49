import { z } from "zod";
import { defineErrors } from "../kernel/errors.ts";
import type { ActorId, TenantId, TokenId } from "../kernel/ids.ts";
import type { Reader, Tx } from "../storage/contract.ts";

export const ACTOR_KINDS = ["human", "agent", "service"] as const;
export type ActorKind = (typeof ACTOR_KINDS)[number];
export type TokenKind = "hum" | "agt" | "svc";
/** `lnk`: a login link, of the same shape. It is no bearer token. */
export type SecretKind = TokenKind | "lnk";

/** What an actor's key may sign. */
export const KEY_USES = ["task", "code"] as const;
export type KeyUse = (typeof KEY_USES)[number];

/** What a token may do. A scope is never implied by another. */
export const SCOPES = [
  "run:submit",
  "run:read",
  "run:cancel",
  "contract:read",
  "contract:propose",
  "gate:read",
  "gate:approve",
  "gate:break_glass",
  "webhook:manage",
  "secret:manage",
  "egress:read",
  "egress:manage",
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

/** What only a human decides, by a token of their own: a chain of one link, at minting and at use. In no token file. */
export const HUMAN_SCOPES: readonly Scope[] = ["gate:approve", "gate:break_glass"];

/** What a token may do that was minted for a live run: start further runs, and look after them. */
export const SPAWN_SCOPES: readonly Scope[] = ["run:submit", "run:read", "run:cancel"];

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
  /** Null: the request came as a signed task, which is good for itself alone. */
  token: TokenId | null;
  scopes: ReadonlySet<Scope>;
}

/** The settings of a tenant. Each has a direction that loosens; a change that way waits for people. */
export interface TenantSettings {
  /** Who may not approve; see `INDEPENDENCE_LEVELS` of gates. `independent -> principal` loosens. */
  approval_independence: "principal" | "independent";
  /** What all runs of the tenant may use in one UTC day; null: unbounded. Raising it loosens. */
  run_ms_day: number | null;
  /** Host patterns that no call of the tenant goes to, whatever its contracts grant; a set. Taking one out loosens. */
  egress_deny: string[];
}
export interface TenantView {
  id: TenantId;
  slug: string;
  state: Tenant["state"];
  settings: TenantSettings;
  settings_rev: number;
}

/** A signed task, verified against its key and its clock; the hashes are for `intent` to compare. */
export interface VerifiedTask {
  jti: string;
  /** Milliseconds UTC. */
  expires_at: number;
  contract: string;
  snapshot: string | undefined;
  code_hash: string;
  input_hash: string;
}

/** What the middleware of `http/` gives every route. */
export interface RouteEnv {
  Variables: {
    who: Principal;
    request: string;
    /** The signed task that the request came with; `who` is its issuer. */
    task?: VerifiedTask;
  };
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
  /** By which reports group. */
  team: string | null;
  state: "active" | "suspended" | "gone";
}

export interface MintedToken {
  id: TokenId;
  /** Shown once; only its SHA-256 is kept. */
  secret: string;
  expires_at: number;
}

/** A public key of an actor, by which tasks and code are signed. */
export interface ActorKey {
  /** `key_…`, the `kid` of what it signs. */
  kid: string;
  actor: ActorId;
  uses: KeyUse[];
  /** Ed25519 (RFC 8037, 2). */
  public_jwk: { kty: "OKP"; crv: "Ed25519"; x: string };
  state: "active" | "revoked";
  created_at: number;
}

/**
 * Is the run alive, and of this tenant? Answered by the room that has the runs.
 * @returns its chain, and when its wall time is over at the latest, milliseconds UTC; undefined: it is not alive.
 */
export type LiveRunOf = (
  reader: Reader,
  tenant: TenantId,
  run: string,
) => Promise<{ chain: ChainLink[]; deadline_at: number } | undefined>;

/** Somebody who could vote. */
export interface Human {
  actor: ActorId;
  name: string;
}

/** Identity's promises to the rooms above. */
export interface Identity {
  /**
   * The principal behind a signed task: its chain ends with the issuer, `via: "key"`, and it may `run:submit`.
   * @param jws  compact JWS, EdDSA, `typ: gantry-task+jwt`.
   * @param from  as `authenticate` has it.
   * @throws TASK_SIGNATURE TASK_CLAIMS TASK_EXPIRED ACTOR_SUSPENDED TENANT_SUSPENDED CHAIN_INVALID AUTH_RATE
   *   IDENTITY_UNAVAILABLE
   */
  authenticateTask(jws: string, from?: string): Promise<{ who: Principal; task: VerifiedTask }>;
  /**
   * Claims the task's id for a run, in the unit that creates the run.
   * @throws TASK_REPLAYED  with the first run's id
   */
  claimTask(tx: Tx, who: Principal, task: VerifiedTask, run: string): Promise<void>;
  /**
   * Who signed this code: a compact JWS of `typ: gantry-code+jwt` over `{code_hash}`, by a registered key with the use `code`.
   * @returns the signing actor, or undefined when the signature does not hold.
   */
  verifyCodeSignature(tenant: TenantId, code_hash: string, jws: string): Promise<ActorId | undefined>;
  /** Reads the token and the states of the chain once more, past every cache: before a vote or an effect. */
  confirm(reader: Reader, who: Principal): Promise<void>;
  /** Is every actor of the chain active, and the tenant? @throws ACTOR_SUSPENDED TENANT_SUSPENDED */
  demandActive(reader: Reader, tenant: TenantId, chain: readonly ChainLink[]): Promise<void>;
  /** Active humans of the tenant whose ceiling allows `gate:approve`, by id. */
  voters(reader: Reader, tenant: TenantId): Promise<Human[]>;
  /** `actor` and all that it owns, at any depth, by id. */
  ownedBy(reader: Reader, tenant: TenantId, actor: ActorId): Promise<ActorId[]>;
  settings(reader: Reader, tenant: TenantId): Promise<TenantSettings>;
  /** The setting `egress_deny`, from memory or a read: a change by any process is known within `EGRESS_DENY_CACHE_MS`. */
  deniedHosts(tenant: TenantId): Promise<readonly string[]>;
  /**
   * Tells when this process has changed settings of a tenant, at once when that is durable.
   * @param listener  does not throw.
   * @returns what ends it.
   */
  watchSettings(listener: (tenant: TenantId) => void): () => void;
  /**
   * The principal behind a bearer token. Shape and checksum are judged before any lookup.
   * @param from  whose failures are counted together; undefined: nobody's are.
   * @throws AUTH_REQUIRED AUTH_RATE TOKEN_MALFORMED TOKEN_UNKNOWN TOKEN_EXPIRED TOKEN_REVOKED ACTOR_SUSPENDED
   *   TENANT_SUSPENDED IDENTITY_UNAVAILABLE
   */
  authenticate(bearer: string | undefined, from?: string): Promise<Principal>;
  /** What `authenticate` would give back without a lookup; undefined where it has to look, or would throw. */
  recognise(bearer: string): Principal | undefined;
  /** @throws SCOPE_MISSING */
  demand(who: Principal, scope: Scope): void;
}

/** The port through which a change of settings that loosens asks for people. */
export interface SettingGate {
  /** In the unit that would make the change. */
  request(
    tx: Tx,
    ask: {
      who: Principal;
      before: TenantView;
      after: TenantSettings;
      /** What the approval is for, as `action.params_hash`. */
      params_hash: string;
    },
  ): Promise<{ approval: string; statement_hash: string }>;
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
  "tenant.changed": z.strictObject({
    tenant: z.string(),
    rev: z.int(),
    changed: z.array(z.string()),
    approval: z.string().optional(),
  }),
  "key.registered": z.strictObject({ key: z.string(), actor: z.string(), uses: z.array(z.enum(KEY_USES)) }),
  "key.revoked": z.strictObject({ key: z.string(), actor: z.string() }),
  "link.made": z.strictObject({ actor: z.string(), scopes: z.array(z.enum(SCOPES)), expires_at: z.int() }),
  "link.used": z.strictObject({ actor: z.string(), token: z.string() }),
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
    /** A human ended an agent's token before its time. */
    override: z.literal("early_revoke").optional(),
  }),
} as const;

const refused401 = { status: 401, retry: "never", whose: "caller" } as const;

export const auth_errors = defineErrors("AUTH", {
  REQUIRED: { ...refused401, title: "A bearer token is required." },
  RATE: { status: 429, retry: "later", whose: "capacity", title: "Too many failed logins from this address." },
});
export const identity_errors = defineErrors("IDENTITY", {
  UNAVAILABLE: { status: 503, retry: "safe", whose: "gantry", title: "It cannot be told who asks at the moment." },
});
export const token_errors = defineErrors("TOKEN", {
  MALFORMED: { ...refused401, title: "This is not a Gantry token." },
  UNKNOWN: { ...refused401, title: "The token is not known." },
  EXPIRED: { ...refused401, title: "The token has expired." },
  REVOKED: { ...refused401, title: "The token was revoked." },
  LIMIT: { status: 409, retry: "never", whose: "caller", title: "The actor has as many tokens as it may have." },
  ABSENT: { status: 404, retry: "never", whose: "caller", title: "The tenant has no token of this id." },
});
export const task_errors = defineErrors("TASK", {
  CLAIMS: { status: 400, retry: "never", whose: "caller", title: "The signed task does not say what a task says." },
  SIGNATURE: { ...refused401, title: "The task's signature does not hold." },
  EXPIRED: { ...refused401, title: "The task has expired." },
  REQUIRED: { status: 403, retry: "never", whose: "policy", title: "The contract asks for a signed task." },
  REPLAYED: { status: 409, retry: "never", whose: "caller", title: "The task was submitted before." },
  HASH_MISMATCH: { status: 409, retry: "never", whose: "caller", title: "The task names other code or input." },
});
export const login_errors = defineErrors("LOGIN", {
  LINKS_LIMIT: {
    status: 409,
    retry: "never",
    whose: "caller",
    title: "The actor has as many open links as it may have.",
  },
  LINK_SPENT: { status: 410, retry: "never", whose: "caller", title: "The login link is spent." },
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
  KEY_INVALID: {
    status: 400,
    retry: "never",
    whose: "caller",
    title: "This is not a public key that can be registered.",
  },
  KEY_EXISTS: { status: 409, retry: "never", whose: "caller", title: "The actor has registered this key before." },
  KEY_LIMIT: { status: 409, retry: "never", whose: "caller", title: "The actor has as many keys as it may have." },
  KEY_UNKNOWN: { status: 404, retry: "never", whose: "caller", title: "The tenant has no key of this id." },
});
export const tenant_errors = defineErrors("TENANT", {
  SUSPENDED: { status: 403, retry: "later", whose: "policy", title: "The tenant is suspended." },
  EXISTS: { status: 409, retry: "never", whose: "caller", title: "A tenant with this slug exists." },
  UNKNOWN: { status: 404, retry: "never", whose: "caller", title: "There is no such tenant." },
  CONFLICT: { status: 412, retry: "never", whose: "caller", title: "The settings have another revision by now." },
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
/** A login link works once, and so long. */
export const LINK_LIFE_MS = 15 * 60_000;
/** Login links of one actor that are neither used nor expired. */
export const LINKS_OPEN_MAX = 10;
/** The token that a login link gives. */
export const LOGIN_LIFE_MS = 12 * 3_600_000;
/** Active keys of one actor. */
export const KEYS_PER_ACTOR_MAX = 20;
/** Public keys that are kept ready to verify with. */
export const KEYS_IMPORTED_MAX = 1_024;
/** UTF-8 bytes of a compact JWS, before any of it is decoded. */
export const JWS_BYTES_MAX = 8_192;
/** From `iat` to `exp` of a signed task. */
export const TASK_LIFE_MAX_MS = 300_000;
/** How far the clocks of a signer and of Gantry may differ. */
export const TASK_SKEW_MS = 30_000;
export const JTI_CHARS_MAX = 128;
/** Claims that have ended and that one new claim removes. */
export const JTIS_SWEPT_MAX = 100;
/** Failed attempts to authenticate by one address in `AUTH_WINDOW_MS`. */
export const AUTH_FAILURES_MAX = 20;
export const AUTH_WINDOW_MS = 60_000;
/** Addresses whose failures are remembered; the oldest is forgotten first. */
export const AUTH_ADDRESSES_MAX = 10_000;
/** Lists of tenants, actors, tokens and keys. */
export const IDENTITY_PAGE_DEFAULT = 50;
export const IDENTITY_PAGE_MAX = 200;
/** Items of the setting `egress_deny`. */
export const EGRESS_DENY_MAX = 256;
/** How long another process may still let calls out to a host that a tenant has come to deny. */
export const EGRESS_DENY_CACHE_MS = 2_000;
/** What all runs of a tenant may be allowed for one day, milliseconds: a slot for each of 1,024 runs, all day. */
export const RUN_MS_DAY_MAX = 1_024 * 86_400_000;
