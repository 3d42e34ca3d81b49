import { GantryError } from "../kernel/errors.ts";
import type { ActorId } from "../kernel/ids.ts";
import type { Tx } from "../storage/contract.ts";
import { type ActorKey, actor_errors, KEYS_PER_ACTOR_MAX, type KeyUse, type Principal } from "./contract.ts";
import { isOneHuman } from "./delegation.ts";
import type { Desk } from "./desk.ts";
import {
  countActiveKeys,
  insertKey,
  type KeyRow,
  readUses,
  selectKey,
  selectKeyOf,
  updateKeyRevoked,
} from "./key_store.ts";
import { actorsOf } from "./records.ts";
import { demandScope, knownActor, ownToken } from "./standing.ts";
import type { ActorRow } from "./store.ts";

/** 32 bytes in base64url without padding: the last character carries 4 bits. */
const X = /^[A-Za-z0-9_-]{42}[AEIMQUYcgkosw048]$/;

export interface KeyRequest {
  /** Default: the caller. */
  actor?: ActorId;
  /** An Ed25519 public key as a JWK (RFC 8037, 2). */
  public_jwk: { kty: string; crv: string; x: string };
  /** At least one. */
  uses: KeyUse[];
}

/**
 * Registers a public key. A key outlives tokens, so it takes `actor:manage`, or a human with `token:mint` who registers
 * one for themselves or for an actor of their own.
 * @throws SCOPE_MISSING ACTOR_UNKNOWN ACTOR_SUSPENDED ACTOR_KEY_INVALID ACTOR_KEY_EXISTS ACTOR_KEY_LIMIT
 */
export async function registerKey(desk: Desk, who: Principal, request: KeyRequest): Promise<ActorKey> {
  const { kty, crv, x } = request.public_jwk;
  if (kty !== "OKP" || crv !== "Ed25519" || !X.test(x)) {
    throw new GantryError(actor_errors.KEY_INVALID, {
      detail: 'A key is {"kty":"OKP","crv":"Ed25519","x":…}, x being 32 bytes in base64url; nothing else is taken.',
    });
  }
  if (request.uses.length === 0) {
    throw new GantryError(actor_errors.KEY_INVALID, { detail: "uses says what it may sign: task, code or both." });
  }
  return desk.storage.write(async (tx) => {
    await ownToken(tx, who, desk.clock);
    const actor = await knownActor(tx, who.tenant, request.actor ?? who.actor);
    demandKeeper(who, actor);
    if (actor.state !== "active") {
      throw new GantryError(actor_errors.SUSPENDED, { detail: `The actor ${actor.id} is ${actor.state}.` });
    }
    if ((await selectKeyOf(tx, actor.id, x)) !== undefined) {
      throw new GantryError(actor_errors.KEY_EXISTS, {
        detail: "A key is registered once, and never again after it was revoked.",
      });
    }
    if ((await countActiveKeys(tx, actor.id)) >= KEYS_PER_ACTOR_MAX) {
      throw new GantryError(actor_errors.KEY_LIMIT, {
        detail: `An actor has at most ${KEYS_PER_ACTOR_MAX} active keys: revoke one.`,
      });
    }
    return keyOf(recordKey(desk, tx, who, { actor: actor.id, x, uses: request.uses }));
  });
}

function recordKey(desk: Desk, tx: Tx, who: Principal, key: { actor: ActorId; x: string; uses: KeyUse[] }): KeyRow {
  const uses = [...new Set(key.uses)].sort();
  const row: KeyRow = {
    kid: desk.ids("key"),
    tenant_id: who.tenant,
    actor_id: key.actor,
    public_x: key.x,
    uses_json: JSON.stringify(uses),
    state: "active",
    created_at: desk.clock.now(),
    revoked_at: null,
    revoked_by: null,
  };
  insertKey(tx, row);
  desk.ledger.append(tx, {
    kind: "key.registered",
    tenant: row.tenant_id,
    actor: actorsOf(who.chain),
    refs: [row.kid, row.actor_id],
    subjects: [{ table: "actor_keys", id: row.kid, row: { ...row } }],
    data: { key: row.kid, actor: row.actor_id, uses },
  });
  return row;
}

/**
 * What it signs is refused from now on. Saying it twice changes nothing.
 * @throws ACTOR_KEY_UNKNOWN SCOPE_MISSING
 */
export function revokeKey(desk: Desk, who: Principal, kid: string): Promise<void> {
  return desk.storage.write(async (tx) => {
    const before = await selectKey(tx, kid);
    if (before === undefined || before.tenant_id !== who.tenant) {
      throw new GantryError(actor_errors.KEY_UNKNOWN, { detail: "The tenant has no key of this id." });
    }
    const actor = await knownActor(tx, who.tenant, before.actor_id);
    if (actor.id !== who.actor) demandKeeper(who, actor);
    if (before.state === "revoked") return;
    const row = updateKeyRevoked(tx, before, desk.clock.now(), who.actor);
    desk.ledger.append(tx, {
      kind: "key.revoked",
      tenant: row.tenant_id,
      actor: actorsOf(who.chain),
      refs: [row.kid, row.actor_id],
      subjects: [{ table: "actor_keys", id: row.kid, row: { ...row } }],
      data: { key: row.kid, actor: row.actor_id },
    });
  });
}

function demandKeeper(who: Principal, actor: ActorRow): void {
  const own = actor.id === who.actor || actor.owner_actor_id === who.actor;
  demandScope(who, own && isOneHuman(who.chain) ? "token:mint" : "actor:manage");
}

export function keyOf(row: KeyRow): ActorKey {
  return {
    kid: row.kid,
    actor: row.actor_id,
    uses: readUses(row.uses_json),
    public_jwk: { kty: "OKP", crv: "Ed25519", x: row.public_x },
    state: row.state,
    created_at: row.created_at,
  };
}
