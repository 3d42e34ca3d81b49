import { verify } from "node:crypto";
import { fromBase64 } from "./encoding.ts";
import { keyId, type PublicKey } from "./keys.ts";
import { bad, unusable } from "./problem.ts";

/** Characters of a signed note; signatures that are not ours may have 5 KB each. */
export const NOTE_CHARS_MAX = 131_072;
/** Lines with signatures (C2SP signed-note: at least 16 must be accepted). */
export const NOTE_SIGNATURES_MAX = 16;
const KEY_ID_BYTES = 4;

export interface Note {
  /** What is signed, with its last newline. */
  text: string;
  signatures: { name: string; id: string; signature: Buffer }[];
}

/**
 * Takes a signed note apart (C2SP signed-note): text, empty line, lines `— <name> <base64 of key id ‖ signature>`.
 * @throws Problem `unusable`, check `format` or `size`.
 */
export function parseNote(note: string): Note {
  if (note.length > NOTE_CHARS_MAX) throw unusable("size", `The note has more than ${NOTE_CHARS_MAX} characters.`);
  if (/[\u0000-\u0009\u000b-\u001f]/.test(note)) throw unusable("format", "The note has a control character.");
  // The text may have empty lines: the last one in the note ends it.
  const end = note.lastIndexOf("\n\n");
  if (end < 0 || !note.endsWith("\n"))
    throw unusable("format", "This is no signed note: text, empty line, signatures.");
  const lines = note.slice(end + 2, -1).split("\n");
  if (lines.length > NOTE_SIGNATURES_MAX) {
    throw unusable("size", `The note has more than ${NOTE_SIGNATURES_MAX} signatures.`);
  }
  return { text: note.slice(0, end + 1), signatures: lines.map(parseSignature) };
}

function parseSignature(line: string): Note["signatures"][number] {
  const [, name, encoded] = /^— ([^\s+]+) ([A-Za-z0-9+/=]+)$/u.exec(line) ?? [];
  const bytes = encoded === undefined ? undefined : fromBase64(encoded);
  if (name === undefined || bytes === undefined || bytes.byteLength <= KEY_ID_BYTES) {
    throw unusable("format", "The note has a line after its text that is no signature.");
  }
  return { name, id: bytes.toString("hex", 0, KEY_ID_BYTES), signature: bytes.subarray(KEY_ID_BYTES) };
}

/**
 * Verifies every signature by a trusted key; those of others say nothing.
 * @param origin  the name of keys that have none.
 * @returns `<name>+<key id>` of the trusted keys that have signed, in the note's order, each once.
 * @throws Problem `bad`, check `signature`: one of them is wrong, or there is none.
 */
export function verifyNote(note: Note, keys: readonly PublicKey[], origin: string): string[] {
  const trusted = new Map<string, PublicKey>();
  for (const key of keys) {
    const name = key.name ?? origin;
    trusted.set(`${name}+${keyId(name, key.raw)}`, key);
  }
  const text = Buffer.from(note.text);
  const signers = new Set<string>();
  for (const { name, id, signature } of note.signatures) {
    const signer = `${name}+${id}`;
    const known = trusted.get(signer);
    if (known === undefined) continue;
    if (!verify(null, text, known.key, signature)) throw bad("signature", `The signature by ${signer} is wrong.`);
    signers.add(signer);
  }
  if (signers.size > 0) return [...signers];
  const given = [...trusted.keys()].join(", ");
  const found = note.signatures.map(({ name, id }) => `${name}+${id}`).join(", ");
  throw bad("signature", `No trusted key has signed this. Trusted: ${given}. Signed by: ${found}.`);
}

/** A checkpoint's note inside of more text, from its origin to its last signature. */
const CHECKPOINT_NOTE = /(?<![^\n])[^\n]+\n\d{1,16}\n[A-Za-z0-9+/]{43}=\n\n(?:\u2014 [^\n]+\n)+/g;

/**
 * The checkpoints of a file as a witness keeps it: whole notes, an empty line after each. What was cut off is left out.
 * @returns the text itself when there is none in it, so that whoever reads it says what is wrong.
 */
export function splitCheckpoints(text: string): string[] {
  const found = [...text.matchAll(CHECKPOINT_NOTE)].map(([note]) => note);
  return found.length === 0 ? [text] : found;
}
