import { z } from "zod";
import { assert } from "../kernel/assert.ts";
import { GantryError, hasCode } from "../kernel/errors.ts";
import type { ActorId, TenantId } from "../kernel/ids.ts";
import type { Reader, Tx } from "../storage/contract.ts";
import {
  CHAIN_LINKS_MAX,
  type ChainLink,
  chain_errors,
  JTI_CHARS_MAX,
  type Principal,
  TASK_LIFE_MAX_MS,
  TASK_SKEW_MS,
  task_errors,
  type VerifiedTask,
} from "./contract.ts";
import { openJws, type PublicKeys } from "./jws.ts";
import { deleteEndedClaims, insertClaim, type KeyRow, selectClaim } from "./key_store.ts";
import type { LatestClock } from "./latest_clock.ts";
import { chainHash } from "./records.ts";
import { demandActiveChain } from "./standing.ts";
import { type ActorRow, readCeiling, selectActor } from "./store.ts";
import { selectAccountable } from "./tenant_store.ts";

const sha256 = z.string().regex(/^[0-9a-f]{64}$/, "is not a SHA-256 as 64 hex digits");

/** Seconds, as JWTs have them (RFC 7519, 2). */
const seconds = z.int().min(0).max(253_402_300_799);

const taskClaims = z.strictObject({
  iss: z.string().max(64),
  aud: z.string().max(128),
  iat: seconds,
  exp: seconds,
  jti: z
    .string()
    .regex(/^[\x21-\x7e]+$/)
    .max(JTI_CHARS_MAX),
  tid: z.string().max(64),
  act: z.unknown(),
  contract: z.string().regex(/^[a-z][a-z0-9-]{0,62}$/),
  snapshot: z.string().max(128).optional(),
  code_hash: sha256,
  input_hash: sha256,
});
type TaskClaims = z.infer<typeof taskClaims>;

/** One level of `act`. Here and not where it is used: to make a schema costs more than all the rest of a task. */
const actClaim = z.strictObject({ sub: z.string().max(64), act: z.unknown().optional() });

const codeClaims = z.strictObject({ code_hash: sha256, iat: seconds });

/**
 * Verifies a signed task: its key, its claims, its time, its chain.
 * @param instance  the audience that it must name.
 * @throws TASK_SIGNATURE TASK_CLAIMS TASK_EXPIRED CHAIN_INVALID ACTOR_SUSPENDED TENANT_SUSPENDED
 */
export async function verifyTask(
  reader: Reader,
  keys: PublicKeys,
  clock: LatestClock,
  jws: string,
  instance: string,
): Promise<{ who: Principal; task: VerifiedTask }> {
  const { key, claims: raw } = await openJws(reader, keys, jws, "task");
  const parsed = taskClaims.safeParse(raw);
  if (!parsed.success) throw claimsRefused(parsed.error.issues.map(said).join("; "));
  const claims = parsed.data;
  judgeNames(claims, key, instance);
  await judgeTimes(claims, clock);
  const accountable = await judgeChain(reader, claims, key);
  const chain = accountable.map(({ id, kind }): ChainLink => ({ actor: id, kind, via: "key", ref: key.kid }));
  await demandActiveChain(reader, key.tenant_id, chain);
  const { contract, snapshot, code_hash, input_hash, jti } = claims;
  // With the skew, for that long a replay of it would be taken for the first.
  const expires_at = claims.exp * 1_000 + TASK_SKEW_MS;
  return {
    who: principalOf(key, chain, accountable.at(-1)),
    task: { jti, expires_at, contract, snapshot, code_hash, input_hash },
  };
}

function said({ path, message }: { path: PropertyKey[]; message: string }): string {
  return `${path.map(String).join(".") || "the claims"}: ${message}`;
}

function judgeNames(claims: TaskClaims, key: KeyRow, instance: string): void {
  if (claims.iss !== key.actor_id) throw claimsRefused("iss is not the actor whose key signed it");
  if (claims.tid !== key.tenant_id) throw claimsRefused("tid is not the tenant of the actor whose key signed it");
  if (claims.aud !== instance) throw claimsRefused("aud is not this instance, which GET /v1/me names");
}

async function judgeTimes({ iat, exp }: TaskClaims, clock: LatestClock): Promise<void> {
  if (exp <= iat || exp * 1_000 > iat * 1_000 + TASK_LIFE_MAX_MS) {
    throw claimsRefused(`exp comes after iat, by ${TASK_LIFE_MAX_MS / 1_000} s at most`);
  }
  const now = clock.now();
  if (iat * 1_000 > now + TASK_SKEW_MS) throw claimsRefused("iat lies in the future; set the signer's clock");
  const ended_at = exp * 1_000 + TASK_SKEW_MS;
  if (ended_at > now) return;
  await clock.passed(ended_at);
  throw new GantryError(task_errors.EXPIRED, {
    detail: `The task expired at ${new Date(exp * 1_000).toISOString()}: sign it again.`,
  });
}

/**
 * The chain is the issuer's accountability as it is registered: each actor is owned by the one before it. The claim
 * `act` must say the same (RFC 8693, 4.1: the outermost is who acts, those inside are who it acts for).
 */
async function judgeChain(reader: Reader, { act }: TaskClaims, key: KeyRow): Promise<ActorRow[]> {
  const rows = await selectAccountable(reader, key.tenant_id, key.actor_id);
  const whole = rows.length > 0 && rows.length <= CHAIN_LINKS_MAX && rows[0]?.owner_actor_id === null;
  if (!whole) throw new GantryError(chain_errors.INVALID, { detail: `A chain has at most ${CHAIN_LINKS_MAX} links.` });
  const claimed = actorsClaimed(act);
  if (claimed.length === rows.length && claimed.every((actor, i) => actor === rows[i]?.id)) return rows;
  throw new GantryError(chain_errors.INVALID, {
    detail: "act does not name the issuer and who answers for it, as they are registered.",
  });
}

/** @returns the actors of a nested `act`, principal first. @throws TASK_CLAIMS */
function actorsClaimed(act: unknown): string[] {
  const actors: string[] = [];
  for (let next = act; next !== undefined; ) {
    const link = actClaim.safeParse(next);
    if (!link.success || actors.length >= CHAIN_LINKS_MAX) {
      throw claimsRefused(`act is {sub, act?}, nested at most ${CHAIN_LINKS_MAX} deep`);
    }
    actors.unshift(link.data.sub);
    next = link.data.act;
  }
  return actors;
}

/** A task may start its run and nothing else. */
function principalOf(key: KeyRow, chain: ChainLink[], actor: ActorRow | undefined): Principal {
  assert(actor?.id === key.actor_id, "a task's chain ends with its issuer");
  const ceiling = readCeiling(actor.ceiling_json);
  const may_submit = ceiling === null || ceiling.includes("run:submit");
  return Object.freeze({
    tenant: key.tenant_id,
    actor: key.actor_id,
    chain,
    chain_hash: chainHash(chain),
    token: null,
    scopes: new Set(may_submit ? (["run:submit"] as const) : []),
  });
}

function claimsRefused(why: string): GantryError {
  return new GantryError(task_errors.CLAIMS, { detail: `The task's claims are refused: ${why}.`.slice(0, 1_000) });
}

/** @throws TASK_REPLAYED */
export async function claimTask(
  tx: Tx,
  clock: LatestClock,
  tenant: TenantId,
  task: VerifiedTask,
  run: string,
): Promise<void> {
  const first = await selectClaim(tx, tenant, task.jti);
  if (first !== undefined) {
    throw new GantryError(task_errors.REPLAYED, { detail: `The task was submitted before, as ${first}.`, run: first });
  }
  deleteEndedClaims(tx, clock.now());
  insertClaim(tx, { tenant, jti: task.jti, run, expires_at: task.expires_at });
}

/** Who signed this code; undefined when the signature does not hold. */
export async function codeSigner(
  reader: Reader,
  keys: PublicKeys,
  clock: LatestClock,
  asked: { tenant: TenantId; code_hash: string; jws: string },
): Promise<ActorId | undefined> {
  try {
    const { key, claims } = await openJws(reader, keys, asked.jws, "code");
    const parsed = codeClaims.safeParse(claims);
    if (!parsed.success || key.tenant_id !== asked.tenant || parsed.data.code_hash !== asked.code_hash)
      return undefined;
    if (parsed.data.iat * 1_000 > clock.now() + TASK_SKEW_MS) return undefined;
    const actor = await selectActor(reader, key.tenant_id, key.actor_id);
    return actor?.state === "active" ? actor.id : undefined;
  } catch (error) {
    if (hasCode(error, task_errors.SIGNATURE)) return undefined;
    throw error;
  }
}
