import { createHash } from "node:crypto";
import { type FileHandle, mkdir, open, readdir, rename, rm, stat, unlink } from "node:fs/promises";
import { assert } from "../../kernel/assert.ts";
import { GantryError } from "../../kernel/errors.ts";
import { sha256Hex } from "../../kernel/hash.ts";
import type { Random } from "../../kernel/random.ts";
import { BLOB_BYTES_MAX, type BlobInfo, type Blobs, errors } from "../contract.ts";
import { isErrno, syncDirectory } from "./files.ts";
import { FULL_DETAIL } from "./sqlite_errors.ts";

/**
 * Blobs as files `<aa>/<sha256>` under `directory`. A blob appears under its name only when its bytes are synced, and
 * `put` resolves only when the name is too. What a crash leaves behind lies in `tmp/` and goes at the next start.
 * @param fatal  called when a sync fails: what the disk holds is unknown then.
 * @param stale_before  where other processes may share the directory: only what was written before this time, in
 *   milliseconds UTC, was left behind.
 */
export async function openBlobs(
  directory: string,
  random: Random,
  fatal: (error: unknown) => void,
  stale_before?: number,
): Promise<Blobs> {
  await mkdir(`${directory}/tmp`, { recursive: true, mode: 0o700 });
  for (const left of await readdir(`${directory}/tmp`)) {
    const path = `${directory}/tmp/${left}`;
    if (stale_before === undefined || (await writtenAt(path)) < stale_before) await rm(path, { force: true });
  }

  const pathOf = (sha256: string): string => {
    assert(/^[0-9a-f]{64}$/.test(sha256), "a blob is named by 64 hex digits");
    return `${directory}/${sha256.slice(0, 2)}/${sha256}`;
  };

  return {
    async put(content, o) {
      assert(o.bytes_max <= BLOB_BYTES_MAX, `no blob may be larger than ${BLOB_BYTES_MAX} bytes`);
      const temporary = `${directory}/tmp/${Buffer.from(random.bytes(16)).toString("hex")}`;
      try {
        const info = await writeSynced(temporary, content, o.bytes_max);
        const folder = `${directory}/${info.sha256.slice(0, 2)}`;
        if ((await mkdir(folder, { recursive: true, mode: 0o700 })) !== undefined) await syncDirectory(directory);
        await rename(temporary, pathOf(info.sha256));
        await syncDirectory(folder);
        return info;
      } catch (error) {
        await rm(temporary, { force: true });
        if (isErrno(error, "ENOSPC", "EDQUOT")) {
          throw new GantryError(errors.FULL, { detail: FULL_DETAIL, cause: error });
        }
        if (isErrno(error, "EIO")) fatal(error);
        throw error;
      }
    },

    async get(sha256, range) {
      let file: FileHandle;
      try {
        file = await open(pathOf(sha256), "r");
      } catch (error) {
        if (isErrno(error, "ENOENT")) return undefined;
        throw error;
      }
      try {
        if (range !== undefined) return await readRange(file, range);
        const bytes = new Uint8Array(await file.readFile());
        assert(sha256Hex(bytes) === sha256, `blob ${sha256} has the bytes that it was put with`);
        return bytes;
      } finally {
        await file.close();
      }
    },

    async delete(sha256) {
      const path = pathOf(sha256);
      try {
        await unlink(path);
      } catch (error) {
        if (isErrno(error, "ENOENT")) return;
        throw error;
      }
      await syncDirectory(path.slice(0, path.lastIndexOf("/")));
    },
  };
}

/** Milliseconds UTC; never, when the file has just gone. */
async function writtenAt(path: string): Promise<number> {
  try {
    return (await stat(path)).mtimeMs;
  } catch (error) {
    if (isErrno(error, "ENOENT")) return Number.POSITIVE_INFINITY;
    throw error;
  }
}

async function writeSynced(
  path: string,
  content: Uint8Array | AsyncIterable<Uint8Array>,
  bytes_max: number,
): Promise<BlobInfo> {
  const hash = createHash("sha256");
  const file = await open(path, "wx", 0o600);
  let size = 0;
  try {
    for await (const chunk of content instanceof Uint8Array ? [content] : content) {
      size += chunk.byteLength;
      if (size > bytes_max) {
        throw new GantryError(errors.BLOB_TOO_LARGE, { detail: `The content has more than ${bytes_max} bytes.` });
      }
      hash.update(chunk);
      await file.writeFile(chunk);
    }
    await file.sync();
  } finally {
    await file.close();
  }
  return { sha256: hash.digest("hex"), size };
}

/** Reads what there is of the range: past the end there is nothing. */
async function readRange(file: FileHandle, range: { start: number; end: number }): Promise<Uint8Array> {
  const { size } = await file.stat();
  const start = Math.min(Math.max(range.start, 0), size);
  const end = Math.min(Math.max(range.end, start), size);
  const bytes = new Uint8Array(end - start);
  let filled = 0;
  while (filled < bytes.byteLength) {
    const { bytesRead } = await file.read(bytes, filled, bytes.byteLength - filled, start + filled);
    assert(bytesRead > 0, "a blob does not shrink");
    filled += bytesRead;
  }
  return bytes;
}
