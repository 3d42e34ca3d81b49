import { createPublicKey, type KeyObject, verify } from "node:crypto";
import { isStorableText } from "../../kernel/canonical.ts";
import { sha256 } from "../../kernel/hash.ts";
import { NOTE_BYTES_MAX, NOTE_SIGNATURES_MAX, ORIGIN_CHARS_MAX } from "../contract.ts";

/** Signed notes and the checkpoints in them (C2SP signed-note, C2SP tlog-checkpoint). */

/** The type of an Ed25519 signature (C2SP signed-note, "Signature types"). */
const ED25519 = 0x01;
const PUBLIC_KEY_BYTES = 32;
const KEY_ID_BYTES = 4;
const ROOT_BYTES = 32;
const DASH = "— ";

/** A key that notes are checked with. */
export interface NoteKey {
  name: string;
  /** SHA-256(name ‖ "\n" ‖ 0x01 ‖ public key), the first four bytes in hex. */
  id: string;
  public_key: KeyObject;
}

/** A key that signs notes. */
export interface NoteSigner {
  name: string;
  /** `<name>+<key id, 8 hex digits>+<base64 of 0x01 ‖ public key>` */
  vkey: string;
  /** @returns 64 bytes (RFC 8032). */
  sign(text: Uint8Array): Uint8Array;
}

/** What a note says once it is known who says so. `fault` is why it is believed by nobody. */
export type OpenedNote = { text: string; signed_by: NoteKey[] } | { fault: string };

/** May a key, and an origin, be called so? Neither spaces nor a plus (C2SP signed-note, "Format"). */
export function isNoteName(name: string): boolean {
  return name.length > 0 && name.length <= ORIGIN_CHARS_MAX && isStorableText(name) && !/[\s+\p{Cc}\p{Z}]/u.test(name);
}

/** The verifier key as text. @param public_key  32 bytes (RFC 8032, 5.1.5). */
export function vkeyOf(name: string, public_key: Uint8Array): string {
  return `${name}+${keyId(name, public_key)}+${Buffer.from([ED25519, ...public_key]).toString("base64")}`;
}

/** Reads a verifier key. @returns undefined when it is none, or of another kind than Ed25519. */
export function parseVkey(vkey: string): NoteKey | undefined {
  const [name, id, encoded, ...rest] = vkey.split("+", 8);
  // Base64 has plus signs of its own.
  const bytes = exactBase64([encoded ?? "", ...rest].join("+"), 1 + PUBLIC_KEY_BYTES);
  if (name === undefined || !isNoteName(name) || bytes?.[0] !== ED25519) return undefined;
  const raw = bytes.subarray(1);
  return keyId(name, raw) === id ? { name, id, public_key: publicKeyOf(raw) } : undefined;
}

/**
 * Signs a text, which ends in a newline. Each signer adds a line, in the order given.
 * @returns the whole note.
 */
export function signNote(text: string, signers: readonly NoteSigner[]): string {
  const bytes = Buffer.from(text);
  const lines = signers.map(({ name, vkey, sign }) => {
    // Not by `parseVkey`, which makes a key object for every checkpoint; a name has no plus.
    const [, id = ""] = vkey.split("+", 2);
    const signature = Buffer.concat([Buffer.from(id, "hex"), sign(bytes)]);
    return `${DASH}${name} ${signature.toString("base64")}\n`;
  });
  return `${text}\n${lines.join("")}`;
}

/**
 * Opens a note from anywhere: it counts only if a known key has signed it, and a wrong signature under the name and the
 * id of a known key condemns all of it. Lines of unknown keys say nothing (C2SP signed-note, "Signatures").
 */
export function openNote(note: string, keys: readonly NoteKey[]): OpenedNote {
  if (Buffer.byteLength(note) > NOTE_BYTES_MAX) return { fault: `has more than ${NOTE_BYTES_MAX} bytes` };
  if (!note.isWellFormed() || /[\u0000-\u0009\u000b-\u001f]/.test(note)) return { fault: "has control characters" };
  const split = note.lastIndexOf("\n\n");
  if (split < 0 || !note.endsWith("\n")) return { fault: "has no signatures" };
  const text = note.slice(0, split + 1);
  const lines = note.slice(split + 2, -1).split("\n");
  if (lines.length > NOTE_SIGNATURES_MAX) return { fault: `has more than ${NOTE_SIGNATURES_MAX} signatures` };
  const signed_by: NoteKey[] = [];
  for (const line of lines) {
    const signature = parseSignature(line);
    if (signature === undefined) return { fault: "has a line that is no signature" };
    const key = keys.find(({ name, id }) => name === signature.name && id === signature.id);
    if (key === undefined) continue;
    if (!verify(null, Buffer.from(text), key.public_key, signature.bytes))
      return { fault: `is not signed by ${key.name}` };
    signed_by.push(key);
  }
  return signed_by.length === 0 ? { fault: "is signed by no key that is known" } : { text, signed_by };
}

function parseSignature(line: string): { name: string; id: string; bytes: Uint8Array } | undefined {
  const [name = "", encoded = "", ...rest] = line.startsWith(DASH) ? line.slice(DASH.length).split(" ", 3) : [];
  const bytes = exactBase64(encoded);
  if (!isNoteName(name) || rest.length > 0 || bytes === undefined || bytes.byteLength <= KEY_ID_BYTES) return undefined;
  return { name, id: bytes.subarray(0, KEY_ID_BYTES).toString("hex"), bytes: bytes.subarray(KEY_ID_BYTES) };
}

/** The text of a checkpoint (C2SP tlog-checkpoint, "Note text"), which ends in a newline. */
export function checkpointText(c: { origin: string; size: number; root: Uint8Array }): string {
  return `${c.origin}\n${c.size}\n${Buffer.from(c.root).toString("base64")}\n`;
}

/**
 * Reads the text of a checkpoint, or a whole note, whose signatures are not looked at. Extension lines are refused:
 * nobody can audit them. @returns undefined when it is no checkpoint.
 */
export function parseCheckpoint(note: string): { origin: string; size: number; root: Uint8Array } | undefined {
  if (note.length > NOTE_BYTES_MAX) return undefined;
  const end = note.lastIndexOf("\n\n");
  const lines = (end < 0 ? note : note.slice(0, end + 1)).split("\n");
  const [origin, size, encoded, last, ...more] = lines;
  const root = exactBase64(encoded ?? "", ROOT_BYTES);
  if (origin === undefined || !isNoteName(origin) || last !== "" || more.length > 0 || root === undefined)
    return undefined;
  if (size === undefined || !/^(0|[1-9]\d{0,15})$/.test(size) || !Number.isSafeInteger(Number(size))) return undefined;
  return { origin, size: Number(size), root: new Uint8Array(root) };
}

function keyId(name: string, public_key: Uint8Array): string {
  const id = sha256(Buffer.from(`${name}\n`), Buffer.from([ED25519]), public_key).subarray(0, KEY_ID_BYTES);
  return Buffer.from(id).toString("hex");
}

/** @param raw  32 bytes; as a JWK, which is how Node takes them (RFC 8037, 2). */
function publicKeyOf(raw: Uint8Array): KeyObject {
  const jwk = { kty: "OKP", crv: "Ed25519", x: Buffer.from(raw).toString("base64url") };
  return createPublicKey({ key: jwk, format: "jwk" });
}

/** Standard base64 that could not be written otherwise (RFC 4648, 4). */
function exactBase64(encoded: string, bytes?: number): Buffer | undefined {
  const decoded = Buffer.from(encoded, "base64");
  const is_exact = decoded.toString("base64") === encoded && (bytes === undefined || decoded.byteLength === bytes);
  return is_exact ? decoded : undefined;
}
