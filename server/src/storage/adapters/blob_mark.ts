import { GantryError, hasCode } from "../../kernel/errors.ts";
import type { Random } from "../../kernel/random.ts";
import { agreedOn, agreeOn } from "../agreements.ts";
import { errors, type Storage } from "../contract.ts";
import { openPrivateFiles } from "./private_files.ts";

/** In the directory of the blobs: which of all such directories it is. */
const MARK_FILE = "blobs.id";
const AGREEMENT = "storage.blobs";

/**
 * Sees to it that all processes over one database keep their blobs in one directory: what one of them has put, every
 * other must find. The directory has a mark, and the database knows it.
 * @throws STORAGE_BLOBS  this directory is another one.
 */
export async function demandSharedBlobs(storage: Storage, directory: string, random: Random): Promise<void> {
  const files = openPrivateFiles(directory, random);
  const read = async () =>
    Buffer.from((await files.read(MARK_FILE)) ?? "")
      .toString("utf8")
      .trim();
  const agreed = await agreedOn(storage, AGREEMENT);
  let mark = await read();
  if (mark === "" && agreed === undefined) {
    const fresh = Buffer.from(random.bytes(16)).toString("hex");
    await files.create(MARK_FILE, `${fresh}\n`).catch((error: unknown) => {
      if (!hasCode(error, errors.FILE_EXISTS)) throw error; // else another process was faster: its mark is the one
    });
    mark = await read();
  }
  if (mark !== "" && (await agreeOn(storage, AGREEMENT, mark)) === mark) return;
  throw new GantryError(errors.BLOBS, {
    detail:
      `The blobs of this database are in another directory than ${directory}. Say in the config file of every node, ` +
      "as `blobs: DIR`, the one directory that they share; after a restore, bring its file blobs.id along.",
  });
}
