import { GantryError } from "../kernel/errors.ts";
import type { ActorId } from "../kernel/ids.ts";
import {
  ACTORS_PER_TENANT_MAX,
  type Actor,
  type ActorKind,
  actor_errors,
  NAME_CHARS_MAX,
  type Principal,
  type Scope,
} from "./contract.ts";
import { judgeOwner } from "./delegation.ts";
import type { Desk } from "./desk.ts";
import { actorsOf, recordActor, recordActorState } from "./records.ts";
import { demandScope, knownActor } from "./standing.ts";
import { countActors, selectActorBySubject } from "./store.ts";

export interface ActorRequest {
  kind: ActorKind;
  /** 1 to `NAME_CHARS_MAX` characters. */
  name: string;
  /** Whom or what it stands for, unique per tenant and kind: one person is one vote. Default: the name. */
  subject?: string;
  /** Agents: a human or a service, default the caller. Services: a human, default the caller. Humans: none. */
  owner?: ActorId;
  /** Scopes that no token of it may exceed. */
  ceiling?: Scope[];
  /** By which reports group; 1 to `NAME_CHARS_MAX` characters. */
  team?: string;
}

/** @throws SCOPE_MISSING ACTOR_INVALID ACTOR_UNKNOWN ACTOR_EXISTS ACTOR_LIMIT */
export function createActor(desk: Desk, who: Principal, request: ActorRequest): Promise<Actor> {
  demandScope(who, "actor:manage");
  const { kind, name, subject = request.name, ceiling = null, team = null } = request;
  for (const [what, text] of Object.entries({ name, subject, team: team ?? "-" })) {
    if (text.length === 0 || text.length > NAME_CHARS_MAX) {
      throw new GantryError(actor_errors.INVALID, { detail: `The ${what} has 1 to ${NAME_CHARS_MAX} characters.` });
    }
  }
  if (kind === "human" && request.owner !== undefined) {
    throw new GantryError(actor_errors.INVALID, { detail: "A human answers for itself and has no owner." });
  }
  const owner = kind === "human" ? null : (request.owner ?? who.actor);
  return desk.storage.write(async (tx) => {
    if (kind !== "human" && owner !== null) judgeOwner(kind, await knownActor(tx, who.tenant, owner));
    if ((await countActors(tx, who.tenant)) >= ACTORS_PER_TENANT_MAX) {
      throw new GantryError(actor_errors.LIMIT, { detail: `A tenant has at most ${ACTORS_PER_TENANT_MAX} actors.` });
    }
    if ((await selectActorBySubject(tx, who.tenant, kind, subject)) !== undefined) {
      throw new GantryError(actor_errors.EXISTS, { detail: `The tenant has a ${kind} with the subject ${subject}.` });
    }
    const id = desk.ids("act");
    const actor = { id, tenant: who.tenant, kind, name, subject, owner, parent: who.actor, ceiling, team };
    return recordActor(desk, tx, actor, actorsOf(who.chain));
  });
}

/**
 * While suspended, an actor has no live token, and no token has it in its chain. Saying it twice changes nothing.
 * @throws SCOPE_MISSING ACTOR_UNKNOWN ACTOR_SELF
 */
export async function setActorState(
  desk: Desk,
  who: Principal,
  id: ActorId,
  state: "active" | "suspended",
): Promise<void> {
  demandScope(who, "actor:manage");
  if (who.chain.some((link) => link.actor === id)) {
    throw new GantryError(actor_errors.SELF, { detail: "The actor is part of the chain that asks." });
  }
  await desk.storage.write(async (tx) => {
    const before = await knownActor(tx, who.tenant, id);
    if (before.state !== state) recordActorState(desk, tx, before, state, actorsOf(who.chain));
  });
  desk.cache.clear();
}
