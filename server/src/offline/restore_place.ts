import { existsSync } from "node:fs";
import { mkdir, readdir, rename, rm } from "node:fs/promises";
import { basename, dirname, join } from "node:path";
import { UsageError } from "../config.ts";
import { isErrno, syncDirectory } from "../storage/adapters/files.ts";
import { takeNodeLock } from "../storage/adapters/node_lock.ts";
import { demandRoom } from "../storage/adapters/sqlite_copy.ts";
import { demandSame } from "./backup_check.ts";
import { copyFiles } from "./backup_files.ts";
import type { Manifest } from "./backup_manifest.ts";
import type { Say } from "./command_line.ts";
import { DATABASE_FILE } from "./opening.ts";

const BLOBS = "blobs/";
/** What an empty directory may have: that of a mounted disk, and what a restore left that was killed. */
const NOTHING = /^lost\+found$|^\.restoring-\d+$/;

/** Where a backup is to go. */
export interface Place {
  data: string;
  /** Something is there, which is moved aside. */
  is_taken: boolean;
  /** Where files are put first. */
  staging: string;
  /** Ends the lock on what is there. */
  release(): void;
}

/**
 * Looks at the data directory, and keeps a server from starting on what is there.
 * @throws UsageError  it is not empty and not to be replaced, no data directory of Gantry's, or a server runs on it.
 */
export async function openPlace(data: string, replace: boolean): Promise<Place> {
  const beside = join(dirname(data), `.${basename(data)}.restoring-${process.pid}`);
  const names = await readdir(data).catch((error: unknown) => {
    if (isErrno(error, "ENOENT")) return undefined;
    throw error;
  });
  if (names === undefined) return { data, is_taken: false, staging: beside, release: () => undefined };
  const found = names.filter((name) => !NOTHING.test(name));
  if (found.length === 0) {
    // It may be a disk of its own, which cannot be renamed over.
    for (const left of names.filter((name) => name.startsWith("."))) await rm(join(data, left), { recursive: true });
    return { data, is_taken: false, staging: join(data, `.restoring-${process.pid}`), release: () => undefined };
  }
  if (!replace) {
    throw new UsageError(
      `${data} is not empty. Name another directory with --data, or say --replace: then what is there is moved to ${data}.before-<time>, and nothing is deleted.`,
    );
  }
  if (!existsSync(join(data, "keys")) && !existsSync(join(data, DATABASE_FILE))) {
    throw new UsageError(
      `${data} is no data directory of Gantry's: it has neither keys nor ${DATABASE_FILE}. It is left alone.`,
    );
  }
  const lock = await takeNodeLock(data).catch(() => {
    throw new UsageError(`A server runs on ${data}. Stop it first.`);
  });
  return { data, is_taken: true, staging: beside, release: () => lock.release() };
}

/**
 * Copies every file of a backup, and reads it again.
 * @param blobs  where they go when that is not in the data directory: those that are there already stay.
 */
export async function stage(
  { staging }: Place,
  { from, manifest, blobs }: { from: string; manifest: Manifest; blobs: string | undefined },
  say: Say,
): Promise<void> {
  const { files } = manifest;
  await mkdir(dirname(staging), { recursive: true, mode: 0o700 });
  await mkdir(staging, { mode: 0o700 });
  const inside = files.filter(({ path }) => blobs === undefined || !path.startsWith(BLOBS));
  const apart = files.filter((file) => !inside.includes(file));
  const sum = (some: typeof files): number => some.reduce((total, { bytes }) => total + bytes, 0);
  await demandRoom(staging, sum(inside), "The restored data directory");
  const sources = inside.map(({ path }) => ({ path, from: join(from, path) }));
  await copyFiles(sources, staging, (done) => say("placing files", done, sources.length));
  await demandSame(staging, inside, (_, done, total) => say("reading them again", done, total));
  if (blobs === undefined || apart.length === 0) return;
  await mkdir(blobs, { recursive: true, mode: 0o700 });
  const lacking = apart
    .map(({ path, bytes }) => ({ path: path.slice(BLOBS.length), bytes, from: join(from, path) }))
    .filter(({ path }) => !existsSync(join(blobs, path)));
  await demandRoom(
    blobs,
    lacking.reduce((total, { bytes }) => total + bytes, 0),
    "The blobs",
  );
  await copyFiles(lacking, blobs, (done) => say("placing blobs", done, lacking.length));
}

/** Gives what was staged its name. @returns where what was there is now. */
export async function settle({ data, is_taken, staging }: Place, now: number): Promise<string | undefined> {
  const aside = is_taken ? `${data}.before-${now}` : undefined;
  if (aside !== undefined) await moveAside(data, aside);
  if (dirname(staging) === data) {
    // The database last: without it nothing starts on the rest as if it were a store.
    const names = (await readdir(staging)).sort((a, b) => Number(a === DATABASE_FILE) - Number(b === DATABASE_FILE));
    for (const name of names) await rename(join(staging, name), join(data, name));
    await rm(staging, { recursive: true });
    await syncDirectory(data);
  } else {
    await rename(staging, data);
  }
  await syncDirectory(dirname(data));
  return aside;
}

async function moveAside(data: string, aside: string): Promise<void> {
  try {
    await rename(data, aside);
  } catch (error) {
    if (!isErrno(error, "EBUSY", "EXDEV")) throw error;
    throw new UsageError(
      `${data} is a disk of its own and cannot be moved. Move what is in it elsewhere, and restore into it.`,
    );
  }
}
