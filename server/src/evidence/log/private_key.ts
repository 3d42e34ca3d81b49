import { createPrivateKey, type KeyObject } from "node:crypto";
import { GantryError, hasCode } from "../../kernel/errors.ts";
import type { Random } from "../../kernel/random.ts";
import { type PrivateFiles, errors as storage_errors } from "../../storage/contract.ts";
import { errors } from "../contract.ts";

const SEED_BYTES = 32;
/** PKCS #8 around an Ed25519 seed (RFC 8410, 7). */
const PKCS8_PREFIX = Buffer.from("302e020100300506032b657004220420", "hex");

/** A new Ed25519 private key, as PKCS #8 in PEM. */
export function generateKey(random: Random): string {
  const der = Buffer.concat([PKCS8_PREFIX, random.bytes(SEED_BYTES)]);
  return createPrivateKey({ key: der, format: "der", type: "pkcs8" })
    .export({ format: "pem", type: "pkcs8" })
    .toString();
}

/** Makes the key of a file. Somebody may do so between our look and our write: then theirs is the key. */
export async function createKey(files: PrivateFiles, file: string, random: Random): Promise<string> {
  const pem = generateKey(random);
  try {
    await files.create(file, pem);
    return pem;
  } catch (error) {
    if (!hasCode(error, storage_errors.FILE_EXISTS)) throw error;
    return Buffer.from((await files.read(file)) ?? []).toString("utf8");
  }
}

/**
 * @param file  where it was read from.
 * @throws EVIDENCE_KEY  it is no Ed25519 key.
 */
export function parsePrivateKey(file: string, pem: string): KeyObject {
  let key: KeyObject | undefined;
  try {
    key = createPrivateKey(pem);
  } catch {
    // The message of OpenSSL says nothing that helps, and the content is a secret.
  }
  if (key?.asymmetricKeyType === "ed25519") return key;
  throw new GantryError(errors.KEY, {
    detail: `${file} is no Ed25519 private key in PEM (PKCS #8): restore it from a backup.`,
  });
}
