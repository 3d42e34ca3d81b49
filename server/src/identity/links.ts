import type { ActorRef } from "../evidence/contract.ts";
import { GantryError } from "../kernel/errors.ts";
import type { Tx } from "../storage/contract.ts";
import {
  actor_errors,
  LINK_LIFE_MS,
  LINKS_OPEN_MAX,
  LOGIN_LIFE_MS,
  login_errors,
  type MintedToken,
  OPERATOR_SCOPES,
  type Principal,
  SCOPES,
  type Scope,
  TOKENS_PER_ACTOR_MAX,
  token_errors,
} from "./contract.ts";
import type { Desk } from "./desk.ts";
import type { LatestClock } from "./latest_clock.ts";
import { countLinks, insertLink, raiseLatestTime, selectLink, updateLinkUsed } from "./link_store.ts";
import { chainHash, type RecordParts, recordToken } from "./records.ts";
import { demandActiveChain } from "./standing.ts";
import { type ActorRow, countLiveTokens, readCeiling, readScopes, selectActor } from "./store.ts";
import { linkHash, makeToken } from "./token.ts";

export interface LoginLink {
  /** `gtr_lnk_…`, shown once. */
  secret: string;
  expires_at: number;
  scopes: Scope[];
}

/**
 * What a login gives a human: all that its ceiling allows, and of what reaches past a tenant only what the owner of the
 * installation has.
 */
export function loginScopes(actor: Pick<ActorRow, "ceiling_json">, is_operator: boolean): Scope[] {
  const ceiling = readCeiling(actor.ceiling_json);
  return SCOPES.filter(
    (scope) => (ceiling === null || ceiling.includes(scope)) && (is_operator || !OPERATOR_SCOPES.includes(scope)),
  );
}

/**
 * A login link for a human, made by who holds the store itself: there is no route for it.
 * @throws ACTOR_INVALID  not an active human. LOGIN_LINKS_LIMIT
 */
export async function makeLink(
  parts: RecordParts,
  tx: Tx,
  actor: ActorRow,
  o: { scopes: Scope[]; by: ActorRef[] },
): Promise<LoginLink> {
  if (actor.kind !== "human" || actor.state !== "active") {
    throw new GantryError(actor_errors.INVALID, {
      detail: `A login link is for an active human; ${actor.id} is ${actor.kind}, ${actor.state}.`,
    });
  }
  const now = parts.clock.now();
  const { open } = await countLinks(tx, actor.id, now);
  if (open >= LINKS_OPEN_MAX) {
    throw new GantryError(login_errors.LINKS_LIMIT, {
      detail: `${LINKS_OPEN_MAX} links of ${actor.id} are open: use one, or wait ${LINK_LIFE_MS / 60_000} minutes.`,
    });
  }
  const secret = makeToken("lnk", parts.random);
  const expires_at = now + LINK_LIFE_MS;
  insertLink(tx, {
    hash: linkHash(secret),
    tenant_id: actor.tenant_id,
    actor_id: actor.id,
    scopes_json: JSON.stringify(o.scopes),
    created_at: now,
    expires_at,
    used_at: null,
  });
  parts.ledger.append(tx, {
    kind: "link.made",
    tenant: actor.tenant_id,
    actor: o.by,
    refs: [actor.id],
    data: { actor: actor.id, scopes: o.scopes, expires_at },
  });
  return { secret, expires_at, scopes: o.scopes };
}

export interface Login {
  who: Principal;
  token: MintedToken;
}

/**
 * Uses a login link: a `hum` token for `LOGIN_LIFE_MS`. Of two at once, one gets it.
 * @throws TOKEN_MALFORMED LOGIN_LINK_SPENT  used, expired, or never made: they look alike. ACTOR_SUSPENDED
 *   TENANT_SUSPENDED TOKEN_LIMIT
 */
export async function useLink(desk: Desk, secret: string): Promise<Login> {
  const hash = linkHash(secret);
  await endIfExpired(desk, hash);
  return desk.storage.write(async (tx) => {
    const now = desk.clock.now();
    const link = await selectLink(tx, hash);
    if (link === undefined || link.used_at !== null || link.expires_at <= now) throw spent();
    const actor = await selectActor(tx, link.tenant_id, link.actor_id);
    if (actor === undefined || actor.kind !== "human") throw spent();
    const id = desk.ids("tok");
    const chain = [{ actor: actor.id, kind: "human", via: "token", ref: id } as const];
    await demandActiveChain(tx, link.tenant_id, chain);
    if ((await countLiveTokens(tx, actor.id, now)) >= TOKENS_PER_ACTOR_MAX) {
      throw new GantryError(token_errors.LIMIT, {
        detail: `The actor ${actor.id} has ${TOKENS_PER_ACTOR_MAX} live tokens: revoke one, or wait until one expires.`,
      });
    }
    const by: ActorRef[] = [{ actor: actor.id, kind: "human" }];
    const scopes = readScopes(link.scopes_json);
    const expires_at = now + LOGIN_LIFE_MS;
    const fresh = { id, tenant: actor.tenant_id, actor: actor.id, parent: null, chain, scopes, expires_at };
    const token = recordToken(desk, tx, { ...fresh, kind: "human", origin: "minted" }, by);
    updateLinkUsed(tx, hash, now);
    raiseLatestTime(tx, now);
    const data = { actor: actor.id, token: id };
    desk.ledger.append(tx, { kind: "link.used", tenant: actor.tenant_id, actor: by, refs: [actor.id, id], data });
    const who = { tenant: actor.tenant_id, actor: actor.id, chain, chain_hash: chainHash(chain), token: id };
    return { token, who: { ...who, scopes: new Set(scopes) } };
  });
}

/** Before the unit, which a refusal takes back with all that it wrote. */
async function endIfExpired(desk: Desk & { clock: LatestClock }, hash: string): Promise<void> {
  const link = await selectLink(desk.storage, hash);
  if (link !== undefined && link.expires_at <= desk.clock.now()) await desk.clock.passed(link.expires_at);
}

function spent(): GantryError {
  return new GantryError(login_errors.LINK_SPENT, {
    detail: "A login link works once, for 15 minutes. This one was used, has expired or was never made.",
    next_steps: [{ kind: "command", text: "Make another on the server's host", command: "gantry admin login-link" }],
  });
}
