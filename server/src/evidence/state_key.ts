import { GantryError, hasCode } from "../kernel/errors.ts";
import type { Random } from "../kernel/random.ts";
import { type PrivateFiles, errors as storage_errors } from "../storage/contract.ts";
import { errors } from "./contract.ts";

const STATE_KEY_FILE = "keys/state.key";
const STATE_KEY_BYTES = 32;

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

function checked(key: Uint8Array): Uint8Array {
  if (key.byteLength === STATE_KEY_BYTES) return new Uint8Array(key);
  throw new GantryError(errors.KEY, {
    detail: `${STATE_KEY_FILE} has ${key.byteLength} bytes and must have ${STATE_KEY_BYTES}: restore it from a backup.`,
  });
}
