import { assert } from "../kernel/assert.ts";
import type { ActorId, TenantId } from "../kernel/ids.ts";
import type { PrivateFiles, Storage, Tx } from "../storage/contract.ts";
import { HUMAN_SCOPES, type MintedToken, OWNER_TOKEN_LIFE_MS, SCOPES } from "./contract.ts";
import { LatestClock } from "./latest_clock.ts";
import { countLinks, raiseLatestTime } from "./link_store.ts";
import { type LoginLink, loginScopes, makeLink } from "./links.ts";
import { type RecordParts, recordActor, recordRevocation, recordTenant, recordToken } from "./records.ts";
import { revokeTree } from "./revocation.ts";
import { DEFAULT_TENANT } from "./settings.ts";
import {
  insertNodeToken,
  readScopes,
  selectActor,
  selectActorBySubject,
  selectNodeTokens,
  selectOwnerTokens,
  selectTenantBySlug,
  selectTokenByHash,
  type TokenRow,
} from "./store.ts";
import { isToken, tokenHash } from "./token.ts";

const OWNER_SUBJECT = "owner";
const AGENT_SUBJECT = "local";
/** What a file may do: who finds it can work, and decide nothing that takes a human. */
export const FILE_SCOPES = SCOPES.filter((scope) => !HUMAN_SCOPES.includes(scope));
/** Nobody waits for the writer at a start, and a host that is just coming up may be slow. */
const START_UNIT = { deadline_ms: 10_000 };
/** In the data directory, 0600: whoever may read the directory is the owner. */
export const OWNER_TOKEN_FILE = "owner.token";

export interface BootstrapParts extends RecordParts {
  storage: Storage;
  files: PrivateFiles;
  /** The node, where several share the database: each has an owner token of its own. */
  node?: string | undefined;
}

export interface Bootstrapped {
  tenant: TenantId;
  owner: ActorId;
  agent: ActorId;
  /** True when this start wrote a new `owner.token`. */
  minted: boolean;
  /** A login link for the owner: there once, at the first start that had none before. */
  link: LoginLink | undefined;
}

/**
 * Makes sure that tenant `default`, its human `owner`, its agent `local`, and a working token in `owner.token` exist.
 * The first start hands out one login link: the file's token has every scope but `HUMAN_SCOPES`.
 * Call at each start. A second call changes nothing. If the file is missing or holds no live owner token, all earlier
 * owner tokens are revoked with what was minted below them (a lost file may be a stolen one), and a new one is minted.
 * A token of an earlier version, which lacks scopes that there are now, has a successor and ends; what was minted below
 * it lives on, because nothing was lost.
 * Where several nodes share the database, a node replaces only what was minted for itself: the others' files are not lost.
 * The file is written after the commits: a crash on the way leaves it without a live token, so that the next start
 * does all of it again.
 */
export async function bootstrap(given: BootstrapParts): Promise<Bootstrapped> {
  const { files, storage, node } = given;
  const clock = new LatestClock(given.clock, storage);
  await clock.ready();
  const parts = { ...given, clock };
  const kept = await files.read(OWNER_TOKEN_FILE);
  const text = kept === undefined ? "" : Buffer.from(kept).toString("utf8").trim();
  const hash = isToken(text) ? tokenHash(text) : undefined;
  const write = (token: MintedToken): Promise<void> => {
    const content = `${token.secret}\n`;
    return kept === undefined ? files.create(OWNER_TOKEN_FILE, content) : files.replace(OWNER_TOKEN_FILE, content);
  };
  const { works, successor, ...owned } = await storage.write<Looked>(async (tx) => {
    const found = { ...((await findOwner(tx)) ?? createOwner(parts, tx)), link: undefined as LoginLink | undefined };
    found.link = await firstLink(parts, tx, found);
    raiseLatestTime(tx, clock.now());
    const row = hash === undefined ? undefined : await selectTokenByHash(tx, hash);
    const works = row !== undefined && isLive(row, found.owner, parts.clock.now());
    if (!works || hasFileScopes(row)) return { ...found, works };
    recordRevocation(parts, tx, row, "replaced", [{ actor: found.owner, kind: "human" }]);
    return { ...found, works, successor: mintOwnerToken(parts, tx, found) };
  }, START_UNIT);
  if (successor !== undefined) {
    await write(successor);
    return { ...owned, minted: true };
  }
  if (works) return { ...owned, minted: false };
  const by = [{ actor: owned.owner, kind: "human" as const }];
  const earlier =
    node === undefined
      ? await selectOwnerTokens(storage, owned.tenant)
      : await selectNodeTokens(storage, owned.tenant, node);
  for (const id of earlier) {
    await revokeTree(parts, id, "replaced", by, { allow: async () => {} });
  }
  await write(await storage.write((tx) => mintOwnerToken(parts, tx, owned)));
  return { ...owned, minted: true };
}

type Owned = Omit<Bootstrapped, "minted" | "link">;

/** What is there at the start; `works`: the file holds a live token, or held one that has just got a successor. */
interface Looked extends Owned {
  link: LoginLink | undefined;
  works: boolean;
  successor?: MintedToken;
}

async function findOwner(tx: Tx): Promise<Owned | undefined> {
  const tenant = await selectTenantBySlug(tx, DEFAULT_TENANT);
  if (tenant === undefined) return undefined;
  const owner = await selectActorBySubject(tx, tenant.id, "human", OWNER_SUBJECT);
  const agent = await selectActorBySubject(tx, tenant.id, "agent", AGENT_SUBJECT);
  assert(owner !== undefined && agent !== undefined, "the default tenant was committed with its owner and its agent");
  return { tenant: tenant.id, owner: owner.id, agent: agent.id };
}

function createOwner(parts: BootstrapParts, tx: Tx): Owned {
  const tenant = parts.ids("ten");
  const owner = parts.ids("act");
  const agent = parts.ids("act");
  // Whoever starts Gantry on the data directory is its owner, so the owner is who did all this.
  const by = [{ actor: owner, kind: "human" as const }];
  recordTenant(parts, tx, { id: tenant, slug: DEFAULT_TENANT }, by);
  const common = { tenant, parent: null, ceiling: null };
  recordActor(
    parts,
    tx,
    { ...common, id: owner, kind: "human", name: OWNER_SUBJECT, subject: OWNER_SUBJECT, owner: null },
    by,
  );
  recordActor(
    parts,
    tx,
    { ...common, id: agent, kind: "agent", name: AGENT_SUBJECT, subject: AGENT_SUBJECT, owner },
    by,
  );
  return { tenant, owner, agent };
}

function isLive(row: TokenRow, owner: ActorId, now: number): boolean {
  return row.origin === "owner" && row.actor_id === owner && row.revoked_at === null && row.expires_at > now;
}

function hasFileScopes(row: TokenRow): boolean {
  const held = new Set(readScopes(row.scopes_json));
  return FILE_SCOPES.every((scope) => held.has(scope));
}

/** A human decides by a login of their own, so whoever starts Gantry first is handed one link; later ones are asked for. */
async function firstLink(parts: BootstrapParts, tx: Tx, { tenant, owner }: Owned): Promise<LoginLink | undefined> {
  const { all } = await countLinks(tx, owner, parts.clock.now());
  if (all > 0) return undefined;
  const actor = await selectActor(tx, tenant, owner);
  assert(actor !== undefined, "the owner of the default tenant was committed with it");
  const by = [{ actor: owner, kind: "human" as const }];
  return makeLink(parts, tx, actor, { scopes: loginScopes(actor, true), by });
}

function mintOwnerToken(parts: BootstrapParts, tx: Tx, { tenant, owner }: Owned): MintedToken {
  const id = parts.ids("tok");
  const minted = recordToken(
    parts,
    tx,
    {
      id,
      tenant,
      actor: owner,
      kind: "human",
      origin: "owner",
      scopes: [...FILE_SCOPES],
      parent: null,
      chain: [{ actor: owner, kind: "human", via: "token", ref: id }],
      expires_at: parts.clock.now() + OWNER_TOKEN_LIFE_MS,
    },
    [{ actor: owner, kind: "human" }],
  );
  if (parts.node !== undefined) insertNodeToken(tx, id, parts.node);
  return minted;
}
