import { createPublicKey, type KeyObject } from "node:crypto";
import { fromBase64, sha256 } from "./encoding.ts";
import { unusable } from "./problem.ts";

/** Characters of a file with public keys. */
export const KEY_FILE_CHARS_MAX = 65_536;
/** Keys of one file. */
export const KEYS_MAX = 64;
/** Ed25519 as a signed note has it (C2SP signed-note). */
const ED25519_TYPE = 0x01;
const ED25519_BYTES = 32;
/** SubjectPublicKeyInfo of an Ed25519 key, up to the key itself (RFC 8410, 4). */
const SPKI_PREFIX = Buffer.from("302a300506032b6570032100", "hex");

/** A key that the verifier was told to trust; never one that came with the material. */
export interface PublicKey {
  /** Who signs with it. A PEM has no name: then it is the origin of whatever is verified. */
  name: string | undefined;
  /** 32 bytes (RFC 8032, 5.1.5). */
  raw: Buffer;
  key: KeyObject;
}

/**
 * The public keys of a file: one PEM (`-----BEGIN PUBLIC KEY-----`), or vkey lines
 * `<name>+<key id, 8 hex digits>+<base64 of 0x01 ‖ key>` (C2SP signed-note). Empty lines and lines that begin with `#`
 * say nothing.
 * @throws Problem `unusable`, check `key`.
 */
export function parseKeys(text: string, what = "The key file"): PublicKey[] {
  if (text.length > KEY_FILE_CHARS_MAX)
    throw unusable("key", `${what} has more than ${KEY_FILE_CHARS_MAX} characters.`);
  if (text.includes("PRIVATE KEY-----")) {
    throw unusable("key", `${what} holds a private key. A verifier needs the public one; keep the private one secret.`);
  }
  if (text.includes("-----BEGIN ")) return [pemKey(text, what)];
  const lines = text
    .split(/\r?\n/)
    .map((line) => line.trim())
    .filter((line) => line !== "" && !line.startsWith("#"));
  if (lines.length === 0) throw unusable("key", `${what} holds no key.`);
  if (lines.length > KEYS_MAX) throw unusable("key", `${what} holds more than ${KEYS_MAX} keys.`);
  return lines.map((line) => parseVkey(line, what));
}

/** @throws Problem `unusable`, check `key`. */
export function parseVkey(line: string, what = "The key"): PublicKey {
  const [, name, id, encoded] = /^([^\s+]+)\+([0-9a-f]{8})\+([A-Za-z0-9+/=]+)$/u.exec(line) ?? [];
  const bytes = encoded === undefined ? undefined : fromBase64(encoded);
  if (name === undefined || bytes === undefined) {
    throw unusable("key", `${what} has a line that is no key: neither PEM nor <name>+<key id>+<base64>.`);
  }
  if (bytes[0] !== ED25519_TYPE || bytes.byteLength !== 1 + ED25519_BYTES) {
    throw unusable("key", `${what} has a key of a type that a log of ours does not sign with: only Ed25519 (0x01) is.`);
  }
  const raw = bytes.subarray(1);
  if (keyId(name, raw) !== id)
    throw unusable("key", `${what} has a key whose id is not the one of its name and bytes.`);
  return { name, raw, key: fromRaw(raw) };
}

function pemKey(text: string, what: string): PublicKey {
  if (text.split("-----BEGIN ").length !== 2) throw unusable("key", `${what} holds more than one PEM block.`);
  let key: KeyObject;
  try {
    key = createPublicKey(text);
  } catch {
    throw unusable("key", `${what} is no PEM public key.`);
  }
  if (key.asymmetricKeyType !== "ed25519") throw unusable("key", `${what} is no Ed25519 key.`);
  const raw = key.export({ format: "der", type: "spki" }).subarray(SPKI_PREFIX.byteLength);
  return { name: undefined, raw, key };
}

function fromRaw(raw: Uint8Array): KeyObject {
  return createPublicKey({ key: Buffer.concat([SPKI_PREFIX, raw]), format: "der", type: "spki" });
}

/** SHA-256(name ‖ newline ‖ 0x01 ‖ key), its first 4 bytes in hex (C2SP signed-note). */
export function keyId(name: string, raw: Uint8Array): string {
  const digest = sha256(Buffer.concat([Buffer.from(`${name}\n`), Uint8Array.of(ED25519_TYPE), raw]));
  return digest.toString("hex", 0, 4);
}
