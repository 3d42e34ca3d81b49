import { createHash } from "node:crypto";
import { createReadStream } from "node:fs";
import { chmod, mkdir, open, readdir, stat } from "node:fs/promises";
import { dirname, join } from "node:path";
import { isErrno, syncDirectory } from "../storage/adapters/files.ts";
import type { BackupFile } from "./backup_manifest.ts";

/** Where a file comes from. */
export interface Source {
  /** Relative, in the copy. */
  path: string;
  /** Absolute. */
  from: string;
}

/** Hidden, and unfinished: a crash leaves these behind. */
const LEFT_OUT = /^\.|\.tmp$/;

/**
 * Every plain file below a directory, by name; none when it is absent. Symbolic links are not followed.
 * @param prefix  put before each path.
 */
export async function filesBelow(directory: string, prefix: string): Promise<Source[]> {
  const entries = await readdir(directory, { withFileTypes: true }).catch((error: unknown) => {
    if (isErrno(error, "ENOENT")) return [];
    throw error;
  });
  const found: Source[] = [];
  for (const entry of entries.sort((a, b) => (a.name < b.name ? -1 : 1))) {
    const from = join(directory, entry.name);
    const path = `${prefix}/${entry.name}`;
    if (entry.isDirectory()) found.push(...(await filesBelow(from, path)));
    else if (entry.isFile() && !LEFT_OUT.test(entry.name)) found.push({ path, from });
  }
  return found;
}

/** Bytes of all files; one that is absent has none. */
export async function bytesOf(sources: readonly Source[]): Promise<number> {
  let sum = 0;
  for (const { from } of sources) sum += (await stat(from)).size;
  return sum;
}

/** Copies and syncs each file, 0600 in folders of 0700. @returns what was copied */
export async function copyFiles(sources: readonly Source[], to: string, say: (done: number) => void) {
  const copied: BackupFile[] = [];
  const folders = new Set<string>();
  for (const { path, from } of sources) {
    const target = join(to, path);
    const folder = dirname(target);
    if (!folders.has(folder)) await mkdir(folder, { recursive: true, mode: 0o700 });
    folders.add(folder);
    copied.push({ path, ...(await copyFile(from, target)) });
    say(copied.length);
  }
  for (const folder of folders) await syncDirectory(folder);
  await syncDirectory(to);
  return copied;
}

async function copyFile(from: string, to: string): Promise<{ bytes: number; sha256: string }> {
  const hash = createHash("sha256");
  let bytes = 0;
  const file = await open(to, "wx", 0o600);
  try {
    for await (const chunk of createReadStream(from) as AsyncIterable<Buffer>) {
      hash.update(chunk);
      bytes += chunk.byteLength;
      await file.writeFile(chunk);
    }
    await file.sync();
  } finally {
    await file.close();
  }
  await chmod(to, 0o600); // whatever the umask took
  return { bytes, sha256: hash.digest("hex") };
}

/** @returns undefined when there is no such file. */
export async function hashFile(path: string): Promise<{ bytes: number; sha256: string } | undefined> {
  const hash = createHash("sha256");
  let bytes = 0;
  try {
    for await (const chunk of createReadStream(path) as AsyncIterable<Buffer>) {
      hash.update(chunk);
      bytes += chunk.byteLength;
    }
  } catch (error) {
    if (isErrno(error, "ENOENT", "ENOTDIR", "EISDIR")) return undefined;
    throw error;
  }
  return { bytes, sha256: hash.digest("hex") };
}
