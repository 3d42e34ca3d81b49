import { existsSync } from "node:fs";
import { mkdir, open, readdir, rename, rm } from "node:fs/promises";
import { basename, dirname, join, resolve, sep } from "node:path";
import { parseArgs } from "node:util";
import { type Config, readConfig, UsageError } from "../config.ts";
import { LATEST_FILE } from "../evidence/log/history.ts";
import { PUBLIC_KEYS_FILE } from "../evidence/log/key.ts";
import { OWNER_TOKEN_FILE } from "../identity/bootstrap.ts";
import { systemClock } from "../kernel/clock.ts";
import { systemRandom } from "../kernel/random.ts";
import { isErrno, syncDirectory } from "../storage/adapters/files.ts";
import { openPrivateFiles } from "../storage/adapters/private_files.ts";
import { copySqlite, demandRoom, sqliteBytes } from "../storage/adapters/sqlite_copy.ts";
import { VERSION } from "../version.ts";
import { type BackupReport, checkBackup } from "./backup_check.ts";
import { bytesOf, copyFiles, filesBelow, hashFile, type Source } from "./backup_files.ts";
import { type BackupFile, MANIFEST_FILE, type Manifest, writeManifest } from "./backup_manifest.ts";
import { heldAs, newestInDatabase, newestStored } from "./checkpoints_known.ts";
import { placed, print, type Say, say, told } from "./command_line.ts";
import { DATABASE_FILE } from "./opening.ts";

/** Keys are copied anew when they changed while the database was; a second change meanwhile is somebody's mistake. */
const KEYS_TRIES_MAX = 5;

/** `server.js backup` and `server.js backup-verify`. NDJSON: `{progress}` lines, then `{result}`. @throws UsageError */
export async function backup(args: string[]): Promise<number> {
  const { config, target } = readOptions(args);
  return told(async () => {
    print({ result: { path: target, ...(await makeBackup(config, target, say)) } });
  });
}

/** As `backup`. */
export async function verifyBackup([directory = "", ...more]: string[]): Promise<number> {
  if (directory === "" || more.length > 0) throw new UsageError("backup-verify takes one directory.");
  return told(async () => {
    const { manifest, ...found } = await checkBackup(resolve(directory), say);
    print({ result: { path: resolve(directory), ...summaryOf(manifest), ...found } });
  });
}

/** What the command says of a backup: all but its files. */
export function summaryOf({ files, ...rest }: Manifest): Omit<Manifest, "files"> & { files: number } {
  return { ...rest, files: files.length };
}

/** What is copied. `database`: another file than that of the data directory, as a copy from before an upgrade. */
export type BackupOf = Pick<Config, "data" | "blobs" | "store"> & { database?: string };

type Made = Omit<Manifest, "files"> & { files: number } & Pick<BackupReport, "bytes">;

/**
 * Copies what a restored server needs, while a server may run and write: the database first, then the blobs, which only
 * ever come and are written before a row names them. The copy grows beside the target and takes its name when it is
 * whole and synced, so that what has the name is a backup.
 */
export async function makeBackup(config: BackupOf, target: string, say: Say): Promise<Made> {
  await demandPlace(config, target);
  const partial = join(dirname(target), `.${basename(target)}.partial-${process.pid}`);
  await mkdir(partial, { mode: 0o700 });
  try {
    const created_at = systemClock().now();
    const files = await copyState(config, partial, say);
    const blobs = await filesBelow(config.blobs, "blobs");
    const named = blobs.filter(({ path }) => /^blobs\/[0-9a-f]{2}\/[0-9a-f]{64}$|^blobs\/[^/]+$/.test(path));
    await demandRoom(dirname(target), await bytesOf(named), "The copy of the blobs");
    files.push(...(await copyFiles(named, partial, (done) => say("blobs", done, named.length))));
    const log = await logOf(config, partial, files);
    const { engine } = config.store;
    const manifest = { version: VERSION, created_at, engine, log, files };
    await writeManifest(partial, manifest);
    await syncFile(join(partial, MANIFEST_FILE));
    await syncDirectory(partial);
    await rename(partial, target);
    await syncDirectory(dirname(target));
    const bytes = files.reduce((sum, one) => sum + one.bytes, 0);
    return { ...summaryOf({ format: 1, ...manifest }), bytes };
  } catch (error) {
    await rm(partial, { recursive: true, force: true });
    throw error;
  }
}

/** The database and the files that must fit it: a rotation of the log's key meanwhile would leave either without the other. */
async function copyState(config: BackupOf, partial: string, say: Say): Promise<BackupFile[]> {
  const from = config.database ?? join(config.data, DATABASE_FILE);
  const database = join(partial, DATABASE_FILE);
  for (let tries = 1; ; tries++) {
    const before = await privateFiles(config.data);
    await rm(join(partial, "keys"), { recursive: true, force: true });
    for (const { path } of before) await rm(join(partial, path), { force: true });
    const copied = await copyFiles(before, partial, (done) => say("keys", done, before.length));
    if (config.store.engine === "sqlite") {
      const bytes = await sqliteBytes(from);
      await demandRoom(partial, bytes, "The copy of the database");
      say("database", 0, bytes);
      await copySqlite(from, database);
      say("database", bytes, bytes);
    }
    if (await isSame(copied, await privateFiles(config.data))) {
      const hashed = config.store.engine === "sqlite" ? await hashFile(database) : undefined;
      return hashed === undefined ? copied : [{ path: DATABASE_FILE, ...hashed }, ...copied];
    }
    if (tries === KEYS_TRIES_MAX) throw new UsageError("The key files change again and again while they are copied.");
  }
}

/** Secrets, and what belongs to them. `checkpoint.latest` may be ahead of the copy, and is made from it. */
async function privateFiles(data: string): Promise<Source[]> {
  const named = [OWNER_TOKEN_FILE, PUBLIC_KEYS_FILE].map((path) => ({ path, from: join(data, path) }));
  return [...(await filesBelow(join(data, "keys"), "keys")), ...named.filter(({ from }) => existsSync(from))];
}

async function isSame(copied: readonly BackupFile[], now: readonly Source[]): Promise<boolean> {
  if (copied.length !== now.length) return false;
  for (const [at, { path, from }] of now.entries()) {
    if (copied[at]?.path !== path || copied[at]?.sha256 !== (await hashFile(from))?.sha256) return false;
  }
  return true;
}

/**
 * Where the log of the copy ends; writes the copy's `checkpoint.latest`. With PostgreSQL, where the log is now: a dump
 * that was made before has no more, and a server that starts on it finds by this file that it has less.
 */
async function logOf({ store, data }: BackupOf, partial: string, files: BackupFile[]): Promise<Manifest["log"]> {
  const note =
    store.engine === "sqlite"
      ? await newestStored(join(partial, DATABASE_FILE))
      : await newestInDatabase(store.url, data);
  const held = note === undefined ? undefined : heldAs(LATEST_FILE, note);
  if (note === undefined || held === undefined) return null;
  await openPrivateFiles(partial, systemRandom()).replace(LATEST_FILE, note);
  const hashed = await hashFile(join(partial, LATEST_FILE));
  if (hashed !== undefined) files.push({ path: LATEST_FILE, ...hashed });
  return { origin: held.origin, size: held.size, root: held.root };
}

/** @throws UsageError */
async function demandPlace({ data, store, blobs }: BackupOf, target: string): Promise<void> {
  const has_store = existsSync(join(data, store.engine === "sqlite" ? DATABASE_FILE : "keys"));
  if (!has_store) throw new UsageError(`There is no store in ${data}. Say --data DIR.`);
  if (existsSync(target)) throw new UsageError(`${target} exists already. Name a new directory for each backup.`);
  if ([data, blobs].some((inside) => `${target}${sep}`.startsWith(`${inside}${sep}`))) {
    throw new UsageError(`${target} lies in ${data}, and would be lost with it. Name a place outside of it.`);
  }
  await mkdir(dirname(target), { recursive: true, mode: 0o700 });
  await removeLeft(target);
}

/** Backups to this name that a kill has ended. Their process is in their name; another's that goes on is left alone. */
async function removeLeft(target: string): Promise<void> {
  const prefix = `.${basename(target)}.partial-`;
  for (const name of await readdir(dirname(target))) {
    if (name.startsWith(prefix) && !isAlive(Number(name.slice(prefix.length)))) {
      await rm(join(dirname(target), name), { recursive: true, force: true });
    }
  }
}

function isAlive(pid: number): boolean {
  try {
    process.kill(pid, 0);
    return true;
  } catch (error) {
    return isErrno(error, "EPERM");
  }
}

async function syncFile(path: string): Promise<void> {
  const file = await open(path, "r+");
  try {
    await file.sync();
  } finally {
    await file.close();
  }
}

/** @throws UsageError */
function readOptions(args: string[]): { config: Config; target: string } {
  const text = { type: "string" } as const;
  const options = { data: text, store: text, config: text };
  try {
    const { values, positionals } = parseArgs({ args, strict: true, allowPositionals: true, options });
    const [target, ...more] = positionals;
    if (target === undefined || more.length > 0) throw new Error("backup takes one directory that is not there yet");
    return { config: readConfig(placed(values)), target: resolve(target) };
  } catch (error) {
    if (error instanceof UsageError) throw error;
    throw new UsageError(`${(error as Error).message}. Options are --data DIR, --store URL, --config FILE.`);
  }
}
