import { z } from "zod";
import { GantryError } from "../../kernel/errors.ts";
import type { PrivateFiles } from "../../storage/contract.ts";
import { secrets_errors } from "../contract.ts";
import { KEY_BYTES, type KeyWrap, secretKeys } from "./key_wrap.ts";

/** Beside the state key, so that a copy of the folder `keys` opens everything. Not there until keys were changed once. */
export const SECRETS_KEY_FILE = "keys/secrets.key";
/** The one in use, and during a change the one before it. */
const KEYS_MAX = 2;

const keyText = z.base64().transform((text) => new Uint8Array(Buffer.from(text, "base64")));
const keyFile = z.strictObject({ v: z.literal(1), keys: z.array(keyText).min(1).max(KEYS_MAX) });

/** The newest first; none before the first change. @throws SECRETS_KEY_FILE */
export async function readKeyFile(files: Pick<PrivateFiles, "read">): Promise<Uint8Array[]> {
  const bytes = await files.read(SECRETS_KEY_FILE);
  if (bytes === undefined) return [];
  const keys = parsed(bytes);
  if (keys?.every((key) => key.byteLength === KEY_BYTES)) return keys;
  throw new GantryError(secrets_errors.KEY_FILE, {
    detail: `${SECRETS_KEY_FILE} is not as Gantry writes it, and is not replaced: the secrets open with what it holds. Restore it from a backup, or copy it from another node of this database.`,
  });
}

function parsed(bytes: Uint8Array): Uint8Array[] | undefined {
  try {
    return keyFile.parse(JSON.parse(Buffer.from(bytes).toString("utf8"))).keys;
  } catch {
    // What a parser says of a key may hold a part of it.
    return undefined;
  }
}

/** All or nothing, and durable. */
export function writeKeyFile(files: Pick<PrivateFiles, "replace">, keys: readonly Uint8Array[]): Promise<void> {
  const texts = keys.map((key) => Buffer.from(key).toString("base64"));
  return files.replace(SECRETS_KEY_FILE, `${JSON.stringify({ v: 1, keys: texts })}\n`);
}

/** Every key that this node has for secrets. @throws SECRETS_KEY_FILE STORAGE_FILE_MODE */
export async function openSecretKeys(files: Pick<PrivateFiles, "read">, state_key: Uint8Array): Promise<KeyWrap> {
  return secretKeys(state_key, await readKeyFile(files));
}
