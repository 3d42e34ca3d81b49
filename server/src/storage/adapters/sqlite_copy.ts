import { chmod, open, rm, stat, statfs } from "node:fs/promises";
import { pathToFileURL } from "node:url";
import { GantryError } from "../../kernel/errors.ts";
import { errors } from "../contract.ts";
import { type Driver, openDriver } from "./driver.ts";
import { isErrno } from "./files.ts";
import { fromWire, judge } from "./sqlite_errors.ts";

/** A copy waits for a start or a checkpoint of the server at most this long. */
const BUSY_MS = 10_000;
/** What a file system needs beside the bytes of the files. */
const ROOM_SPARE_BYTES = 4 * 1024 * 1024;
/** Faults of a damaged database that are read; one is enough to refuse it. */
const FAULTS_READ_MAX = 5;

/**
 * Copies one state of a database, whoever writes to it meanwhile: all that was committed before the call is in it. The
 * copy has no WAL, is synced, and only its owner may read it. Room is what the caller sees to.
 * @param to  a path where nothing is, or a copy that was not ended.
 */
export async function copySqlite(from: string, to: string): Promise<void> {
  const db = await openDriver(from, { read_only: false, busy_ms: BUSY_MS });
  try {
    await copyInto(db, to);
  } catch (error) {
    const { scope, error: wire } = judge(error);
    if (scope !== "full") throw fromWire(wire);
    throw new GantryError(errors.FULL, { detail: `The disk of ${to} is full: the database could not be copied.` });
  } finally {
    db.close();
  }
}

/** SQLite does not sync what VACUUM INTO writes (https://www.sqlite.org/lang_vacuum.html), so we do. */
export async function copyInto(db: Driver, to: string): Promise<void> {
  await rm(to, { force: true });
  db.run("VACUUM INTO ?", [to]);
  await chmod(to, 0o600);
  const file = await open(to, "r+");
  try {
    await file.sync();
  } finally {
    await file.close();
  }
}

/** Of a database with its WAL: a copy is at most about so large. */
export async function sqliteBytes(path: string): Promise<number> {
  const sizes = await Promise.all([path, `${path}-wal`].map(sizeOf));
  return sizes.reduce((sum, one) => sum + one, 0);
}

/**
 * What is wrong with the file of a database that nobody uses, as SQLite itself sees it; nothing when it is whole.
 * The file is only read, and nothing is made beside it.
 */
export async function sqliteFaults(path: string): Promise<string[]> {
  const url = pathToFileURL(path);
  url.searchParams.set("immutable", "1");
  try {
    const db = await openDriver(url, { read_only: true, busy_ms: BUSY_MS });
    try {
      const rows = db.all(`PRAGMA integrity_check(${FAULTS_READ_MAX})`, [], FAULTS_READ_MAX + 1);
      return rows.flatMap((row) => Object.values(row).map(String)).filter((said) => said !== "ok");
    } finally {
      db.close();
    }
  } catch (error) {
    return [(error as Error).message];
  }
}

/**
 * @param directory  of the disk.
 * @param what  what the room is for, as the subject of a sentence.
 * @throws STORAGE_FULL
 */
export async function demandRoom(directory: string, bytes: number, what: string): Promise<void> {
  const { bavail, bsize } = await statfs(directory);
  const free = bavail * bsize;
  if (free >= bytes + ROOM_SPARE_BYTES) return;
  const mb = (n: number): string => `${Math.ceil(n / 1024 / 1024)} MB`;
  throw new GantryError(errors.FULL, {
    detail: `${what} needs ${mb(bytes + ROOM_SPARE_BYTES)} in ${directory}, and ${mb(free)} are free there. Free some, or name another place.`,
  });
}

async function sizeOf(path: string): Promise<number> {
  try {
    return (await stat(path)).size;
  } catch (error) {
    if (isErrno(error, "ENOENT")) return 0;
    throw error;
  }
}
