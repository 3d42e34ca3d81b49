import { GantryError } from "../kernel/errors.ts";
import type { TenantId } from "../kernel/ids.ts";
import {
  type Actor,
  HUMAN_SCOPES,
  type MintedToken,
  OPERATOR_SCOPES,
  type Principal,
  SCOPES,
  type Tenant,
  TOKEN_LIFE_MAX_MS,
  tenant_errors,
} from "./contract.ts";
import type { Desk } from "./desk.ts";
import { actorsOf, recordActor, recordTenant, recordTenantState, recordToken } from "./records.ts";
import { demandScope, ownToken } from "./standing.ts";
import { selectTenant, selectTenantBySlug } from "./store.ts";

/** A DNS label: tenants become part of host names. */
const SLUG = /^[a-z](?:[a-z0-9-]{0,61}[a-z0-9])?$/;

export interface MadeTenant {
  tenant: Tenant;
  owner: Actor;
  token: MintedToken;
}

/**
 * A further tenant with a human `owner` and a token of its own, with the caller's scopes except `OPERATOR_SCOPES`
 * and no longer than the caller's token. What only a human decides comes by a login link, and not to who made the tenant.
 * @throws SCOPE_MISSING TENANT_SLUG TENANT_EXISTS TOKEN_REVOKED TOKEN_EXPIRED
 */
export function createTenant(desk: Desk, who: Principal, slug: string): Promise<MadeTenant> {
  demandScope(who, "tenant:manage");
  if (!SLUG.test(slug)) {
    throw new GantryError(tenant_errors.SLUG, {
      detail: "A slug has 1 to 63 of a-z, 0-9 and -, starts with a letter and does not end with -.",
    });
  }
  const { ids, storage } = desk;
  const by = actorsOf(who.chain);
  return storage.write(async (tx) => {
    const parent = await ownToken(tx, who, desk.clock);
    if ((await selectTenantBySlug(tx, slug)) !== undefined) {
      throw new GantryError(tenant_errors.EXISTS, { detail: `The tenant ${slug} exists.` });
    }
    const tenant = recordTenant(desk, tx, { id: ids("ten"), slug }, by);
    const human = { tenant: tenant.id, kind: "human" as const, name: "owner", subject: "owner" };
    const owner = recordActor(desk, tx, { ...human, id: ids("act"), owner: null, parent: null, ceiling: null }, by);
    const id = ids("tok");
    const kept = SCOPES.filter((scope) => !OPERATOR_SCOPES.includes(scope) && !HUMAN_SCOPES.includes(scope));
    const token = recordToken(
      desk,
      tx,
      {
        id,
        tenant: tenant.id,
        actor: owner.id,
        kind: "human",
        origin: "owner",
        scopes: kept.filter((scope) => who.scopes.has(scope)),
        parent: null,
        chain: [{ actor: owner.id, kind: "human", via: "token", ref: id }],
        expires_at: Math.min(parent.expires_at, tenant.created_at + TOKEN_LIFE_MAX_MS),
      },
      by,
    );
    return { tenant, owner, token };
  });
}

/** @throws SCOPE_MISSING TENANT_UNKNOWN TENANT_SELF */
export async function setTenantState(
  desk: Desk,
  who: Principal,
  id: TenantId,
  state: "active" | "suspended",
): Promise<void> {
  demandScope(who, "tenant:manage");
  if (who.tenant === id) {
    throw new GantryError(tenant_errors.SELF, { detail: "Nobody could then undo it through this server." });
  }
  await desk.storage.write(async (tx) => {
    const before = await selectTenant(tx, id);
    if (before === undefined || before.state === "closed") {
      throw new GantryError(tenant_errors.UNKNOWN, { detail: `There is no tenant ${id}.` });
    }
    if (before.state !== state) recordTenantState(desk, tx, before, state, actorsOf(who.chain));
  });
  desk.cache.clear();
}
