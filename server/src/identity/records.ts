import type { ActorRef, Ledger } from "../evidence/contract.ts";
import { canonicalJson } from "../kernel/canonical.ts";
import type { Clock } from "../kernel/clock.ts";
import { sha256Hex } from "../kernel/hash.ts";
import type { ActorId, Ids, TenantId, TokenId } from "../kernel/ids.ts";
import type { Random } from "../kernel/random.ts";
import type { Tx } from "../storage/contract.ts";
import type { Actor, ActorKind, ChainLink, MintedToken, Scope, Tenant, TokenKind } from "./contract.ts";
import {
  type ActorRow,
  digestedActor,
  insertActor,
  insertTenant,
  insertToken,
  type TenantRow,
  type TokenRow,
  updateActorState,
  updateTenantState,
  updateTokenRevoked,
} from "./store.ts";
import { makeToken, tokenHash } from "./token.ts";

/**
 * Every change of this room's tables: the row and its ledger entry, buffered in the caller's unit, so that neither
 * can exist without the other. Nothing here decides whether the change is allowed.
 */
export interface RecordParts {
  ledger: Ledger;
  clock: Clock;
  random: Random;
  ids: Ids;
}

const TOKEN_KINDS: Record<ActorKind, TokenKind> = { human: "hum", agent: "agt", service: "svc" };

/** SHA-256 of the chain's canonical JSON, hex. */
export function chainHash(chain: ChainLink[]): string {
  return sha256Hex(canonicalJson(chain));
}

/** A chain as an entry names it. */
export function actorsOf(chain: ChainLink[]): ActorRef[] {
  return chain.map(({ actor, kind }) => ({ actor, kind }));
}

export function recordTenant(
  parts: RecordParts,
  tx: Tx,
  tenant: Pick<TenantRow, "id" | "slug">,
  by: ActorRef[],
): Tenant {
  const row: TenantRow = {
    ...tenant,
    state: "active",
    settings_json: "{}",
    settings_rev: 1,
    created_at: parts.clock.now(),
  };
  insertTenant(tx, row);
  parts.ledger.append(tx, {
    kind: "tenant.created",
    tenant: row.id,
    actor: by,
    refs: [row.id],
    subjects: [{ table: "tenants", id: row.id, row: { ...row } }],
    data: { tenant: row.id, slug: row.slug },
  });
  return { id: row.id, slug: row.slug, state: row.state, created_at: row.created_at };
}

export interface NewActor {
  id: ActorId;
  tenant: TenantId;
  kind: ActorKind;
  name: string;
  subject: string;
  owner: ActorId | null;
  /** Who made it, when an actor of the tenant did. */
  parent: ActorId | null;
  /** Scopes that no token of it may exceed; null: no ceiling. */
  ceiling: Scope[] | null;
  team?: string | null;
}

export function recordActor(parts: RecordParts, tx: Tx, actor: NewActor, by: ActorRef[]): Actor {
  const { id, tenant, kind, name, owner, team = null } = actor;
  const row: ActorRow = {
    id,
    tenant_id: tenant,
    kind,
    name,
    subject: actor.subject,
    owner_actor_id: owner,
    parent_actor_id: actor.parent,
    state: "active",
    ceiling_json: JSON.stringify(actor.ceiling),
    created_at: parts.clock.now(),
    team,
  };
  insertActor(tx, row);
  parts.ledger.append(tx, {
    kind: "actor.created",
    tenant,
    actor: by,
    refs: [id],
    subjects: [{ table: "actors", id, row: digestedActor({ ...row }) }],
    data: { actor: id, kind, name, owner },
  });
  return { id, tenant, kind, name, owner, team, state: "active" };
}

export interface NewToken {
  id: TokenId;
  tenant: TenantId;
  actor: ActorId;
  kind: ActorKind;
  origin: TokenRow["origin"];
  scopes: Scope[];
  parent: TokenId | null;
  chain: ChainLink[];
  expires_at: number;
}

export function recordToken(parts: RecordParts, tx: Tx, token: NewToken, by: ActorRef[]): MintedToken {
  const kind = TOKEN_KINDS[token.kind];
  const secret = makeToken(kind, parts.random);
  const row: TokenRow = {
    id: token.id,
    tenant_id: token.tenant,
    actor_id: token.actor,
    kind,
    origin: token.origin,
    hash: tokenHash(secret),
    last4: secret.slice(-4),
    scopes_json: JSON.stringify(token.scopes),
    parent_token_id: token.parent,
    chain_json: canonicalJson(token.chain),
    expires_at: token.expires_at,
    revoked_at: null,
    revoked_by: null,
    created_at: parts.clock.now(),
  };
  insertToken(tx, row);
  parts.ledger.append(tx, {
    kind: "token.minted",
    tenant: row.tenant_id,
    actor: by,
    refs: [row.id, row.actor_id],
    subjects: [{ table: "tokens", id: row.id, row: { ...row } }],
    data: {
      token: row.id,
      actor: row.actor_id,
      scopes: token.scopes,
      parent: token.parent,
      chain_hash: chainHash(token.chain),
      expires_at: row.expires_at,
    },
  });
  return { id: row.id, secret, expires_at: row.expires_at };
}

/**
 * @param by  the chain that revokes; its last actor stands in the row.
 * @param override  a human ends an agent's token early.
 */
export function recordRevocation(
  parts: RecordParts,
  tx: Tx,
  token: TokenRow,
  cause: "asked" | "parent" | "replaced",
  by: ActorRef[],
  override = false,
): void {
  const row = updateTokenRevoked(tx, token, parts.clock.now(), by.at(-1)?.actor ?? "");
  parts.ledger.append(tx, {
    kind: "token.revoked",
    tenant: row.tenant_id,
    actor: by,
    refs: [row.id, row.actor_id],
    subjects: [{ table: "tokens", id: row.id, row: { ...row } }],
    data: { token: row.id, actor: row.actor_id, cause, ...(override ? { override: "early_revoke" } : {}) },
  });
}

export function recordActorState(
  parts: RecordParts,
  tx: Tx,
  before: ActorRow,
  state: "active" | "suspended",
  by: ActorRef[],
): void {
  const row = updateActorState(tx, before, state);
  parts.ledger.append(tx, {
    kind: state === "active" ? "actor.resumed" : "actor.suspended",
    tenant: row.tenant_id,
    actor: by,
    refs: [row.id],
    subjects: [{ table: "actors", id: row.id, row: digestedActor({ ...row }) }],
    data: { actor: row.id },
  });
}

export function recordTenantState(
  parts: RecordParts,
  tx: Tx,
  before: TenantRow,
  state: "active" | "suspended",
  by: ActorRef[],
): void {
  const row = updateTenantState(tx, before, state);
  parts.ledger.append(tx, {
    kind: state === "active" ? "tenant.resumed" : "tenant.suspended",
    tenant: row.id,
    actor: by,
    refs: [row.id],
    subjects: [{ table: "tenants", id: row.id, row: { ...row } }],
    data: { tenant: row.id },
  });
}
