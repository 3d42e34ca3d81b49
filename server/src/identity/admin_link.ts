import { GantryError } from "../kernel/errors.ts";
import type { ActorId, TenantId } from "../kernel/ids.ts";
import type { Reader, Storage } from "../storage/contract.ts";
import { type ActorKind, actor_errors, SCOPES, type Scope, scope_errors, tenant_errors } from "./contract.ts";
import { LatestClock } from "./latest_clock.ts";
import { loginScopes, makeLink } from "./links.ts";
import type { RecordParts } from "./records.ts";
import { DEFAULT_TENANT } from "./settings.ts";
import { type ActorRow, selectActor, selectActorBySubject, selectTenantBySlug, type TenantRow } from "./store.ts";

const OWNER_SUBJECT = "owner";
const HUMAN: ActorKind = "human";

export interface LinkAsked {
  /** A slug; default the first tenant. */
  tenant: string | undefined;
  /** The id or the subject of a human; default the tenant's owner. */
  actor: string | undefined;
  /** Default: all that a login may have. */
  scopes: Scope[] | undefined;
}

export interface ActorLink {
  link: string;
  expires_at: number;
  tenant: string;
  actor: string;
  name: string;
  scopes: Scope[];
}

/**
 * A login link for any human of any tenant, for who has the store in their hands. Recorded as Gantry's own act: who it
 * was is not known here.
 * @throws TENANT_UNKNOWN ACTOR_UNKNOWN ACTOR_INVALID SCOPE_NOT_GRANTABLE LOGIN_LINKS_LIMIT
 */
export async function linkFor(parts: RecordParts & { storage: Storage }, asked: LinkAsked): Promise<ActorLink> {
  const clock = new LatestClock(parts.clock, parts.storage);
  await clock.ready();
  return parts.storage.write(async (tx) => {
    const slug = asked.tenant ?? DEFAULT_TENANT;
    const tenant = await selectTenantBySlug(tx, slug);
    if (tenant === undefined) {
      throw new GantryError(tenant_errors.UNKNOWN, { detail: `There is no tenant ${slug.slice(0, 64)}.` });
    }
    const actor = await humanOf(tx, tenant, asked.actor ?? OWNER_SUBJECT);
    const is_operator = tenant.slug === DEFAULT_TENANT && actor.subject === OWNER_SUBJECT;
    const allowed = loginScopes(actor, is_operator);
    const past = (asked.scopes ?? []).filter((scope) => !allowed.includes(scope));
    if (past.length > 0) {
      throw new GantryError(scope_errors.NOT_GRANTABLE, {
        detail: `A login of ${actor.name} may not have ${past.join(", ")}.`,
      });
    }
    const scopes = asked.scopes === undefined ? allowed : SCOPES.filter((scope) => asked.scopes?.includes(scope));
    const link = await makeLink({ ...parts, clock }, tx, actor, { scopes, by: [] });
    const { secret, expires_at } = link;
    return { link: secret, expires_at, tenant: tenant.slug, actor: actor.id, name: actor.name, scopes };
  });
}

/**
 * A human by id or subject, for who has the store in their hands; default the owner of the first tenant.
 * @throws TENANT_UNKNOWN ACTOR_UNKNOWN
 */
export async function humanFor(
  reader: Reader,
  asked: Pick<LinkAsked, "tenant" | "actor">,
): Promise<{ id: ActorId; tenant: TenantId; name: string }> {
  const slug = asked.tenant ?? DEFAULT_TENANT;
  const tenant = await selectTenantBySlug(reader, slug);
  if (tenant === undefined) {
    throw new GantryError(tenant_errors.UNKNOWN, { detail: `There is no tenant ${slug.slice(0, 64)}.` });
  }
  const { id, name, kind } = await humanOf(reader, tenant, asked.actor ?? OWNER_SUBJECT);
  if (kind !== HUMAN) throw new GantryError(actor_errors.UNKNOWN, { detail: `${name} is no human.` });
  return { id, tenant: tenant.id, name };
}

async function humanOf(reader: Reader, tenant: TenantRow, named: string): Promise<ActorRow> {
  const row =
    (await selectActor(reader, tenant.id, named)) ?? (await selectActorBySubject(reader, tenant.id, HUMAN, named));
  if (row !== undefined) return row;
  throw new GantryError(actor_errors.UNKNOWN, {
    detail: `The tenant ${tenant.slug} has no human with the id or the subject ${named.slice(0, 64)}.`,
    next_steps: [{ kind: "command", text: "Add one", command: "gantry actors create --kind human --name NAME" }],
  });
}
