import { GantryError, hasCode } from "../kernel/errors.ts";
import { sha256Hex } from "../kernel/hash.ts";
import type { Random } from "../kernel/random.ts";
import { type Agreements, type PrivateFiles, errors as storage_errors } from "../storage/contract.ts";
import { errors } from "./contract.ts";

const STATE_KEY_FILE = "keys/state.key";
const STATE_KEY_BYTES = 32;
const AGREEMENT = "evidence.state_key";

/**
 * The key of the state digests; made at the first start. Without the file, digests of older entries can no longer be
 * checked, so it belongs into every backup.
 * @returns 32 bytes.
 * @throws EVIDENCE_KEY  the file has another length: it is never overwritten. STORAGE_FILE_MODE from the port.
 */
export async function loadStateKey(files: PrivateFiles, random: Random): Promise<Uint8Array> {
  const kept = await files.read(STATE_KEY_FILE);
  if (kept !== undefined) return checked(kept);
  const fresh = random.bytes(STATE_KEY_BYTES);
  try {
    await files.create(STATE_KEY_FILE, fresh);
  } catch (error) {
    if (!hasCode(error, storage_errors.FILE_EXISTS)) throw error;
    // Somebody made it between our look and our write: theirs is the key.
    return checked((await files.read(STATE_KEY_FILE)) ?? new Uint8Array());
  }
  return checked(fresh);
}

/**
 * The state key, which must be the one that the database's digests were made with: its fingerprint is kept there.
 * @throws EVIDENCE_KEY  also when the file is missing, or is another key, while the database knows a fingerprint.
 */
export async function openStateKey(agreements: Agreements, files: PrivateFiles, random: Random): Promise<Uint8Array> {
  const agreed = await agreements.find(AGREEMENT);
  if (agreed !== undefined && (await files.read(STATE_KEY_FILE)) === undefined) {
    throw foreign("is missing, and is not made anew, because it must be the key");
  }
  const key = await loadStateKey(files, random);
  const print = fingerprint(key);
  if ((await agreements.agree(AGREEMENT, print)) !== print) throw foreign("is not the key");
  return key;
}

/**
 * As `openStateKey`, of a store that is only read: nothing is made and nothing agreed on.
 * @throws EVIDENCE_KEY
 */
export async function readStateKey(
  agreements: Pick<Agreements, "find">,
  files: Pick<PrivateFiles, "read">,
): Promise<Uint8Array> {
  const kept = await files.read(STATE_KEY_FILE);
  if (kept === undefined) throw foreign("is missing, and must be the key");
  const key = checked(kept);
  const agreed = await agreements.find(AGREEMENT);
  if (agreed !== undefined && agreed !== fingerprint(key)) throw foreign("is not the key");
  return key;
}

function fingerprint(key: Uint8Array): string {
  return sha256Hex(Buffer.concat([Buffer.from("gantry.state.fingerprint.v1\0"), key]));
}

/** @param how  what the file is, as the end of a sentence. */
function foreign(how: string): GantryError {
  return new GantryError(errors.KEY, {
    detail:
      `${STATE_KEY_FILE} ${how} that this database was written with. Copy the folder keys from the data directory of ` +
      "another node of this database, or from its backup, or name that directory with --data.",
  });
}

function checked(key: Uint8Array): Uint8Array {
  if (key.byteLength === STATE_KEY_BYTES) return new Uint8Array(key);
  throw new GantryError(errors.KEY, {
    detail: `${STATE_KEY_FILE} has ${key.byteLength} bytes and must have ${STATE_KEY_BYTES}: restore it from a backup.`,
  });
}
