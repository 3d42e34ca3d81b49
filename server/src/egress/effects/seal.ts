import { createCipheriv, createDecipheriv, hkdfSync } from "node:crypto";
import type { Random } from "../../kernel/random.ts";

const KEY_BYTES = 32;
const NONCE_BYTES = 12;
const TAG_BYTES = 16;
/** Of the sealed form: version 1 is AES-256-GCM. */
const VERSION = 1;

/** What answers that may be replayed, and calls that were blocked, are sealed with in the database. */
export interface EffectKeys {
  answers: Uint8Array;
  blocked: Uint8Array;
}

/**
 * Derived (HKDF, RFC 5869) from the state key, which each node of a database has and must have.
 * @param state_key  32 bytes.
 */
export function effectKeys(state_key: Uint8Array): EffectKeys {
  const derive = (info: string) => new Uint8Array(hkdfSync("sha256", state_key, "", info, KEY_BYTES));
  return { answers: derive("gantry.egress.answers.v1"), blocked: derive("gantry.egress.blocked.v1") };
}

/**
 * @param of  what the bytes belong to: they open only with the same, so that no row can be given another's.
 * @returns version, nonce, ciphertext and tag.
 */
export function seal(key: Uint8Array, random: Random, of: string, bytes: Uint8Array): Uint8Array {
  const nonce = random.bytes(NONCE_BYTES);
  const cipher = createCipheriv("aes-256-gcm", key, nonce);
  cipher.setAAD(Buffer.from(of, "utf8"));
  return Buffer.concat([Buffer.from([VERSION]), nonce, cipher.update(bytes), cipher.final(), cipher.getAuthTag()]);
}

/** @throws Error  they were sealed with another key, belong to something else, or were changed. */
export function unseal(key: Uint8Array, of: string, sealed: Uint8Array): Buffer {
  if (sealed[0] !== VERSION || sealed.byteLength < 1 + NONCE_BYTES + TAG_BYTES) throw new Error("nothing sealed");
  const decipher = createDecipheriv("aes-256-gcm", key, sealed.subarray(1, 1 + NONCE_BYTES), {
    authTagLength: TAG_BYTES,
  });
  decipher.setAAD(Buffer.from(of, "utf8"));
  decipher.setAuthTag(sealed.subarray(-TAG_BYTES));
  return Buffer.concat([decipher.update(sealed.subarray(1 + NONCE_BYTES, -TAG_BYTES)), decipher.final()]);
}
