import { createPublicKey, sign } from "node:crypto";
import { GantryError, hasCode } from "../../kernel/errors.ts";
import type { Random } from "../../kernel/random.ts";
import { type PrivateFiles, errors as storage_errors } from "../../storage/contract.ts";
import { errors } from "../contract.ts";
import { type NoteSigner, parseVkey, vkeyOf } from "./note.ts";
import { createKey, parsePrivateKey } from "./private_key.ts";

/** The key that signs checkpoints, and nothing else. */
export const LOG_KEY_FILE = "keys/log-ed25519.pem";
/** Its successor, while a rotation is under way. */
export const NEXT_KEY_FILE = "keys/log-ed25519.next.pem";
/** Verifier keys for whoever asks, one a line: what stands here is secret to nobody. */
export const PUBLIC_KEYS_FILE = "log.pub";

/**
 * What signs with a private key under the log's name.
 * @throws EVIDENCE_KEY  it is no Ed25519 key.
 */
export function signerOf(origin: string, pem: string): NoteSigner {
  const key = parsePrivateKey(LOG_KEY_FILE, pem);
  const { x } = createPublicKey(key).export({ format: "jwk" });
  const vkey = vkeyOf(origin, Buffer.from(x ?? "", "base64url"));
  return { name: origin, vkey, sign: (text) => sign(null, text, key) };
}

/** Both files as they are, by what they hold; absent ones are undefined. */
export interface KeyFiles {
  current: string | undefined;
  next: string | undefined;
}

/** @throws EVIDENCE_KEY_MODE  others may read a private key, so anybody may have signed with it. */
export async function readKeyFiles(files: PrivateFiles): Promise<KeyFiles> {
  const read = async (name: string): Promise<string | undefined> => {
    const bytes = await files.read(name);
    return bytes === undefined ? undefined : Buffer.from(bytes).toString("utf8");
  };
  try {
    return { current: await read(LOG_KEY_FILE), next: await read(NEXT_KEY_FILE) };
  } catch (error) {
    if (!hasCode(error, storage_errors.FILE_MODE)) throw error;
    const { detail, next_steps } = error.parts;
    throw new GantryError(errors.KEY_MODE, { detail, ...(next_steps === undefined ? {} : { next_steps }) });
  }
}

/**
 * The key of a log that is about to begin: the file's, or a new one. A file that an earlier start left before it could
 * name the log is used.
 */
export async function firstKey(files: PrivateFiles, random: Random): Promise<string> {
  const { current } = await readKeyFiles(files);
  if (current !== undefined) return current;
  return createKey(files, LOG_KEY_FILE, random);
}

/** The new key takes the old one's place, which is the end of the old one's file. */
export async function promoteNext(files: PrivateFiles, next: string): Promise<void> {
  await files.replace(LOG_KEY_FILE, next);
  await files.remove(NEXT_KEY_FILE);
}

export async function writePublicKeys(files: PrivateFiles, vkeys: readonly string[]): Promise<void> {
  await files.replace(PUBLIC_KEYS_FILE, vkeys.map((vkey) => `${vkey}\n`).join(""));
}

/**
 * The keys of a log that this directory has seen: after a database was restored, it may know more than the database.
 * @param origins  the log's name, and those that it had before.
 */
export async function readPublicKeys(files: PrivateFiles, origins: readonly string[]): Promise<string[]> {
  const bytes = await files.read(PUBLIC_KEYS_FILE);
  const lines = bytes === undefined ? [] : Buffer.from(bytes).toString("utf8").split("\n");
  return lines.filter((line) => origins.includes(parseVkey(line)?.name ?? ""));
}
