import { existsSync } from "node:fs";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { parseArgs } from "node:util";
import { type Config, readConfig, UsageError } from "./config.ts";
import { EvidenceLedger } from "./evidence/ledger.ts";
import { openStateKey } from "./evidence/state_key.ts";
import { createLogger } from "./http/logging.ts";
import { type ActorLink, linkFor } from "./identity/admin_link.ts";
import { SCOPES, type Scope } from "./identity/contract.ts";
import { systemClock } from "./kernel/clock.ts";
import { isGantryError } from "./kernel/errors.ts";
import { createIds } from "./kernel/ids.ts";
import { systemRandom } from "./kernel/random.ts";
import { noMetrics } from "./kernel/telemetry.ts";
import { KINDS, MIGRATIONS } from "./schema.ts";
import { openPostgres } from "./storage/adapters/postgres.ts";
import { openPrivateFiles } from "./storage/adapters/private_files.ts";
import { openSqlite } from "./storage/adapters/sqlite.ts";
import { agreementsOf } from "./storage/agreements.ts";
import type { Storage } from "./storage/contract.ts";

/** What `login-link` was told. */
interface LinkOptions {
  config: Config;
  tenant: string | undefined;
  actor: string | undefined;
  scopes: Scope[] | undefined;
}

/**
 * `server.js login-link`: makes a login link for a human on the store itself, and records it. Whoever can open the store
 * is its operator; over HTTP nobody gets one. Prints one JSON line. The ledger entry is sealed by the server that runs
 * on the store next, or now.
 * @throws UsageError  the store cannot be used, or there is no such human.
 */
export async function loginLink(args: string[]): Promise<number> {
  const options = readOptions(args);
  try {
    process.stdout.write(`${JSON.stringify(await makeOn(options))}\n`);
    return 0;
  } catch (error) {
    if (isGantryError(error)) throw new UsageError(sentenceOf(error));
    throw error;
  }
}

async function makeOn({ config, ...asked }: LinkOptions): Promise<ActorLink> {
  const clock = systemClock();
  const random = systemRandom();
  const common = { clock, random, ids: createIds(clock, random), metrics: noMetrics };
  const opened = await open(config, common);
  const { storage } = opened;
  try {
    const files = openPrivateFiles(config.data, random);
    const state_key = await openStateKey(agreementsOf(storage), files, random);
    const ledger = new EvidenceLedger({ ...common, storage, state_key, kinds: KINDS });
    return await linkFor({ ...common, storage, ledger }, asked);
  } finally {
    await opened.close();
  }
}

/** SQLite has one process at a time; PostgreSQL is opened beside the servers that run on it. */
async function open(
  { store, data, blobs }: Config,
  common: Pick<Parameters<typeof openSqlite>[0], "clock" | "random" | "metrics">,
): Promise<{ storage: Storage; close(): Promise<void> }> {
  const ground = { ...common, blobs, logger: createLogger({ level: "error" }), migrations: MIGRATIONS };
  if (store.engine === "sqlite") {
    if (!existsSync(join(data, "gantry.db"))) {
      throw new UsageError(
        `There is no store in ${data}. Say --data DIR, or start it once: the first start prints a link.`,
      );
    }
    const storage = await openSqlite({ ...ground, directory: data });
    return { storage, close: () => storage.close() };
  }
  // The lock of the data directory is the server's; what this process keeps in files is nothing.
  const directory = await mkdtemp(join(tmpdir(), "gantry-link-"));
  const remove = (): Promise<void> => rm(directory, { recursive: true, force: true });
  try {
    const storage = await openPostgres({ ...ground, directory, url: store.url });
    return { storage, close: () => storage.close().finally(remove) };
  } catch (error) {
    await remove();
    throw error;
  }
}

function sentenceOf(error: { code?: string; message: string }): string {
  if (error.code !== "STORAGE_LOCKED") return error.message;
  return "A server runs on this data directory. Stop it, make the link, and start it again.";
}

/** @throws UsageError */
function readOptions(args: string[]): LinkOptions {
  const text = { type: "string" } as const;
  const options = { data: text, store: text, config: text, tenant: text, actor: text, scopes: text };
  const given = parsed(args, options);
  const placed = (["data", "store", "config"] as const).flatMap((name) => {
    const value = given[name];
    return value === undefined ? [] : [`--${name}`, value];
  });
  const { tenant, actor, scopes } = given;
  return { config: readConfig(placed), tenant, actor, scopes: scopes === undefined ? undefined : scopesOf(scopes) };
}

function parsed<T extends Record<string, { type: "string" }>>(args: string[], options: T) {
  try {
    return parseArgs({ args, strict: true, options }).values;
  } catch (error) {
    const names = Object.keys(options).map((name) => `--${name}`);
    throw new UsageError(`${(error as Error).message}. Options are ${names.join(", ")}.`);
  }
}

/** @throws UsageError */
function scopesOf(list: string): Scope[] {
  return list.split(",").map((name) => {
    const known = SCOPES.find((scope) => scope === name.trim());
    if (known === undefined) throw new UsageError(`"${name}" is no scope; there are ${SCOPES.join(", ")}.`);
    return known;
  });
}
