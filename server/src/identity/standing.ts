import { GantryError } from "../kernel/errors.ts";
import type { ActorId, TenantId } from "../kernel/ids.ts";
import type { Reader, Tx } from "../storage/contract.ts";
import {
  actor_errors,
  type ChainLink,
  type Principal,
  type Scope,
  scope_errors,
  tenant_errors,
  token_errors,
} from "./contract.ts";
import { usableScopes } from "./delegation.ts";
import type { LatestClock } from "./latest_clock.ts";
import { type ActorRow, readChain, selectActor, selectStates, selectToken, type TokenRow } from "./store.ts";

/** @throws SCOPE_MISSING */
export function demandScope(who: Principal, scope: Scope): void {
  if (who.scopes.has(scope)) return;
  const by = who.token === null ? "a signed task" : `the token ${who.token}`;
  throw new GantryError(scope_errors.MISSING, {
    detail: `This needs the scope ${scope}, which ${by} does not have.`,
    next_steps: [{ kind: "change", text: stepFor(scope) }],
  });
}

function stepFor(scope: Scope): string {
  if (scope !== "gate:approve" && scope !== "gate:break_glass")
    return `Use a token with ${scope}; a token mints only scopes that it holds.`;
  return "A human's own login has it: `gantry login LINK`, with the link that `gantry admin login-link` prints.";
}

/** @throws TOKEN_REVOKED TOKEN_EXPIRED */
export function judgeToken(row: TokenRow, now: number): void {
  if (row.revoked_at !== null) {
    throw new GantryError(token_errors.REVOKED, { detail: `The token ${row.id} was revoked.` });
  }
  if (row.expires_at <= now) throw tokenExpired(row.expires_at);
}

export function tokenExpired(at: number): GantryError {
  return new GantryError(token_errors.EXPIRED, { detail: `The token expired at ${new Date(at).toISOString()}.` });
}

/** Is every actor of the chain active, and the tenant? @throws ACTOR_SUSPENDED TENANT_SUSPENDED */
export async function demandActiveChain(reader: Reader, tenant: TenantId, chain: readonly ChainLink[]): Promise<void> {
  const actors = [...new Set(chain.map((link) => link.actor))];
  const states = await selectStates(reader, tenant, actors);
  if (actors.length === 0 || states.active !== actors.length) {
    throw new GantryError(actor_errors.SUSPENDED, { detail: "An actor of the chain is suspended or gone." });
  }
  if (states.tenant !== "active") {
    throw new GantryError(tenant_errors.SUSPENDED, { detail: "Nothing is done for this tenant at the moment." });
  }
}

/**
 * The caller's own token as it is now: what was authenticated may have ended since.
 * @throws TOKEN_REVOKED TOKEN_EXPIRED TOKEN_UNKNOWN  a signed task stands for itself alone, and has no token.
 */
export async function ownToken(tx: Reader, who: Principal, clock: LatestClock): Promise<TokenRow> {
  const row = who.token === null ? undefined : await selectToken(tx, who.tenant, who.token);
  if (row === undefined) {
    throw new GantryError(token_errors.UNKNOWN, {
      detail: "This needs a token; a signed task is good for its run alone.",
    });
  }
  judgeToken(row, clock.now());
  return row;
}

/** The token, its scopes and the states of its chain, once more. @throws as `Identity.authenticate`, SCOPE_MISSING */
export async function confirmPrincipal(reader: Reader, who: Principal, clock: LatestClock): Promise<void> {
  if (who.token !== null) {
    const row = await ownToken(reader, who, clock);
    const held = usableScopes(row, readChain(row.chain_json));
    for (const scope of who.scopes) if (!held.has(scope)) demandScope({ ...who, scopes: held }, scope);
  }
  await demandActiveChain(reader, who.tenant, who.chain);
}

/** @throws ACTOR_UNKNOWN  absent, gone, or another tenant's. */
export async function knownActor(reader: Reader | Tx, tenant: TenantId, id: ActorId): Promise<ActorRow> {
  const row = await selectActor(reader, tenant, id);
  if (row === undefined || row.state === "gone") {
    throw new GantryError(actor_errors.UNKNOWN, { detail: `The tenant has no actor ${id}.` });
  }
  return row;
}
