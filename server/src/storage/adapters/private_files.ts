import { constants } from "node:fs";
import { type FileHandle, link, mkdir, open, rename, rm, unlink } from "node:fs/promises";
import { dirname } from "node:path";
import { assert } from "../../kernel/assert.ts";
import { GantryError } from "../../kernel/errors.ts";
import type { Random } from "../../kernel/random.ts";
import { errors, type PrivateFiles } from "../contract.ts";
import { isErrno, syncDirectory } from "./files.ts";

/** Keys and tokens are small: a larger file is not one of ours. */
export const PRIVATE_FILE_BYTES_MAX = 1024 * 1024;
const GROUP_AND_OTHERS = 0o077;

/**
 * Files that only their owner may read, under `directory`.
 * A name has one or more parts, as `keys/log-ed25519.pem`; folders are made with mode 0700.
 */
export function openPrivateFiles(directory: string, random: Random): PrivateFiles {
  const pathOf = (name: string): { path: string; folder: string } => {
    assert(/^[a-z0-9][a-z0-9._-]*(\/[a-z0-9][a-z0-9._-]*)*$/.test(name), "a private file has a plain relative name");
    const path = `${directory}/${name}`;
    return { path, folder: path.slice(0, path.lastIndexOf("/")) };
  };
  /** Writes beside the target, so that the name never leads to a part of the content. */
  const writeBeside = async (
    name: string,
    content: string | Uint8Array,
    place: (temporary: string, path: string) => Promise<void>,
  ) => {
    const { path, folder } = pathOf(name);
    assert(Buffer.byteLength(content) <= PRIVATE_FILE_BYTES_MAX, "a private file is small");
    const made = await mkdir(folder, { recursive: true, mode: 0o700 });
    if (made !== undefined) await syncDirectory(dirname(made));
    const temporary = `${path}.${Buffer.from(random.bytes(8)).toString("hex")}.tmp`;
    try {
      const file = await open(temporary, "wx", 0o600);
      try {
        await file.writeFile(content);
        await file.sync();
      } finally {
        await file.close();
      }
      await place(temporary, path);
    } finally {
      await rm(temporary, { force: true });
    }
    await syncDirectory(folder);
  };

  return {
    create: (name, content) =>
      writeBeside(name, content, async (temporary, path) => {
        try {
          await link(temporary, path); // Unlike rename it does not replace what is there.
        } catch (error) {
          if (!isErrno(error, "EEXIST")) throw error;
          throw new GantryError(errors.FILE_EXISTS, { detail: `The file ${path} exists and is not replaced.` });
        }
      }),
    replace: (name, content) => writeBeside(name, content, rename),
    remove: (name) => removeDurably(pathOf(name)),
    async read(name) {
      const { path } = pathOf(name);
      let file: FileHandle;
      try {
        file = await open(path, constants.O_RDONLY | constants.O_NOFOLLOW);
      } catch (error) {
        if (isErrno(error, "ENOENT")) return undefined;
        throw error;
      }
      try {
        const { mode, size } = await file.stat();
        if ((mode & GROUP_AND_OTHERS) !== 0) {
          throw new GantryError(errors.FILE_MODE, {
            detail: `The file ${path} is open to others (mode ${(mode & 0o777).toString(8)}) and is not used.`,
            next_steps: [{ kind: "command", text: "Close it", command: `chmod 600 ${path}` }],
          });
        }
        assert(size <= PRIVATE_FILE_BYTES_MAX, "a private file is small");
        return new Uint8Array(await file.readFile());
      } finally {
        await file.close();
      }
    },
  };
}

async function removeDurably({ path, folder }: { path: string; folder: string }): Promise<void> {
  try {
    await unlink(path);
  } catch (error) {
    if (isErrno(error, "ENOENT")) return;
    throw error;
  }
  await syncDirectory(folder);
}
