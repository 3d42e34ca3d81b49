import { createCipheriv, createDecipheriv, hkdfSync } from "node:crypto";
import { sha256Hex } from "../../kernel/hash.ts";
import type { Random } from "../../kernel/random.ts";

/** Of every key here. */
export const KEY_BYTES = 32;
const NONCE_BYTES = 12;
const TAG_BYTES = 16;
const INFO = "gantry.egress.secrets.v1";
const KEY_ID_CHARS = 16;

/**
 * What opens the data keys of secrets. A data key never changes hands: it seals one version of one secret, and lies beside
 * it, wrapped.
 */
export interface KeyWrap {
  /** Of the key that wraps. It stands beside what was wrapped, so that another key is known before anything is tried. */
  readonly key_id: string;
  /** Of all keys that are here, that one first. */
  readonly key_ids: readonly string[];
  /** @returns base64 of nonce, ciphertext and tag. */
  wrap(random: Random, data_key: Uint8Array, of: Buffer): string;
  /** @returns whoever asks overwrites it after use. @throws Error  the key is not here, or wrapped it for something else. */
  unwrap(by: { key_id: string; wrapped_key: string }, of: Buffer): Buffer;
}

/** What a value is sealed for: it opens with the same alone, so that no row can be given another's, or an older, value. */
export interface SealedFor {
  tenant: string;
  name: string;
  version: number;
}

/** As it stands in a row. */
export interface Sealed {
  key_id: string;
  wrapped_key: string;
  nonce: string;
  ciphertext: string;
}

/**
 * The newest of `kept` wraps; without one, the key that is derived (HKDF, RFC 5869) from the state key, which each node of
 * a database has and must have: no further file that a backup could lack. See decision 16.
 * @param state_key  32 bytes.
 * @param kept  of `keys/secrets.key`, the newest first; 32 bytes each.
 */
export function secretKeys(state_key: Uint8Array, kept: readonly Uint8Array[] = []): KeyWrap {
  const derived = new Uint8Array(hkdfSync("sha256", state_key, "", INFO, KEY_BYTES));
  const keys = new Map([...kept, derived].map((key) => [keyIdOf(key), key]));
  const key = kept[0] ?? derived;
  return {
    key_id: keyIdOf(key),
    key_ids: [...keys.keys()],
    wrap(random, data_key, of) {
      const nonce = random.bytes(NONCE_BYTES);
      return Buffer.concat([nonce, encrypt(key, nonce, data_key, of)]).toString("base64");
    },
    unwrap({ key_id, wrapped_key }, of) {
      const by = keys.get(key_id);
      if (by === undefined) throw new Error("wrapped with a key that is not here");
      const bytes = Buffer.from(wrapped_key, "base64");
      return decrypt(by, bytes.subarray(0, NONCE_BYTES), bytes.subarray(NONCE_BYTES), of);
    },
  };
}

function keyIdOf(key: Uint8Array): string {
  return sha256Hex(key).slice(0, KEY_ID_CHARS);
}

/**
 * The same value under the same data key, wrapped with the key that wraps now. It is opened first: what does not open is
 * not carried on.
 * @throws Error  as `openValue`
 */
export function rewrapKey(
  keys: KeyWrap,
  random: Random,
  of: SealedFor,
  sealed: Sealed,
): Pick<Sealed, "key_id" | "wrapped_key"> {
  openValue(keys, of, sealed).fill(0);
  const bound = boundTo(of);
  const data_key = keys.unwrap(sealed, bound);
  try {
    return { key_id: keys.key_id, wrapped_key: keys.wrap(random, data_key, bound) };
  } finally {
    data_key.fill(0);
  }
}

/** AES-256-GCM under a data key of its own, which is wrapped and then overwritten. */
export function sealValue(keys: KeyWrap, random: Random, of: SealedFor, value: Uint8Array): Sealed {
  const bound = boundTo(of);
  const data_key = Buffer.from(random.bytes(KEY_BYTES));
  const nonce = random.bytes(NONCE_BYTES);
  try {
    return {
      key_id: keys.key_id,
      wrapped_key: keys.wrap(random, data_key, bound),
      nonce: Buffer.from(nonce).toString("base64"),
      ciphertext: encrypt(data_key, nonce, value, bound).toString("base64"),
    };
  } finally {
    data_key.fill(0);
  }
}

/** @returns whoever asks overwrites it after use. @throws Error  it is sealed with another key, for something else, or was changed. */
export function openValue(keys: KeyWrap, of: SealedFor, sealed: Sealed): Buffer {
  const bound = boundTo(of);
  const data_key = keys.unwrap(sealed, bound);
  try {
    return decrypt(data_key, Buffer.from(sealed.nonce, "base64"), Buffer.from(sealed.ciphertext, "base64"), bound);
  } finally {
    data_key.fill(0);
  }
}

/** Unambiguous: no two lists have the same text. */
function boundTo({ tenant, name, version }: SealedFor): Buffer {
  return Buffer.from(JSON.stringify([tenant, name, version]), "utf8");
}

function encrypt(key: Uint8Array, nonce: Uint8Array, value: Uint8Array, of: Buffer): Buffer {
  const cipher = createCipheriv("aes-256-gcm", key, nonce, { authTagLength: TAG_BYTES });
  cipher.setAAD(of);
  return Buffer.concat([cipher.update(value), cipher.final(), cipher.getAuthTag()]);
}

function decrypt(key: Uint8Array, nonce: Uint8Array, sealed: Buffer, of: Buffer): Buffer {
  if (nonce.byteLength !== NONCE_BYTES || sealed.byteLength < TAG_BYTES) throw new Error("nothing sealed");
  const decipher = createDecipheriv("aes-256-gcm", key, nonce, { authTagLength: TAG_BYTES });
  decipher.setAAD(of);
  decipher.setAuthTag(sealed.subarray(-TAG_BYTES));
  const opened = decipher.update(sealed.subarray(0, -TAG_BYTES));
  try {
    decipher.final();
  } catch (error) {
    opened.fill(0);
    throw error;
  }
  return opened;
}
