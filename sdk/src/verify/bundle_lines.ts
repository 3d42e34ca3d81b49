import { type ConsistencyProof, readConsistency } from "./checkpoint.ts";
import { fromBase64, hashFromBase64, isRecord } from "./encoding.ts";
import { BODY_BYTES_MAX, COMMITMENT_KEY_BYTES, isName } from "./entry.ts";
import { PATH_HASHES_MAX } from "./merkle.ts";
import { bad, type Place, unusable } from "./problem.ts";

/*
 * A bundle, byte by byte. UTF-8, one JSON value a line, each line ends with one newline, the last one too. A line is
 * exactly what `JSON.stringify` writes for an object whose members have the order below: no white space, no member
 * more, none twice. So each byte of a bundle says something, and none can be changed without being found.
 *
 *   {"v":1,"origin":O,"checkpoint":NOTE,"consistency":{"from":F,"proof":[H…]},"count":N,"opened":[FIELD…]}
 *   {"i":I,"leaf":BYTES,"path":[H…],"open":{FIELD:{"k":KEY,"v":VALUE}}}      N times, I rising
 *   {"count":N,"sha256":HEX}
 *
 * O       the log's origin, the first line of NOTE.
 * NOTE    the signed checkpoint that all paths lead to, whole.
 * consistency  only when asked for: the proof from the log's size F to the size of NOTE (RFC 6962, 2.1.2).
 * opened  names of the fields that were asked for, each once, sorted by UTF-16 units; empty when none were.
 * BYTES   base64 of the entry's body; its leaf hash is SHA-256(0x00 ‖ body).
 * H       base64 of 32 bytes. A path leads from the leaf's sibling to the root (RFC 6962, 2.1.1).
 * open    only when a field of this entry is opened. KEY: base64 of 32 bytes; VALUE: base64 of the value's bytes.
 * HEX     lower case SHA-256 of all bytes before this line.
 *
 * Base64 is RFC 4648, 4, with padding, and canonical.
 */

/** Entries of one bundle. */
export const BUNDLE_ENTRIES_MAX = 1_000_000;
/** Fields that a bundle opens, and private fields that one entry opens. */
export const BUNDLE_FIELDS_MAX = 32;

/** The first line. */
export interface BundleHeader {
  origin: string;
  /** A signed note, of which nothing is verified yet. */
  note: string;
  consistency?: ConsistencyProof;
  count: number;
  /** The fields that the bundle was asked to open. */
  fields: string[];
}

/** @throws Problem `unusable` */
export function readHeader(text: string): BundleHeader {
  const { v, origin, checkpoint: note, consistency: proof, count, opened } = parseLine(text, "the first line");
  if (v !== 1) throw unusable("format", "This is a bundle of a version that this verifier does not know; it knows 1.");
  const consistency = proof === undefined ? undefined : readConsistency(proof);
  if (typeof origin !== "string" || typeof note !== "string" || (proof !== undefined && consistency === undefined)) {
    throw unusable("format", "The bundle's first line lacks its origin or its checkpoint, or has a broken proof.");
  }
  if (!isCount(count)) throw unusable("format", "The bundle's first line has no count of entries.");
  if (count > BUNDLE_ENTRIES_MAX) {
    throw unusable("size", `The bundle says that it has ${count} entries; a bundle has at most ${BUNDLE_ENTRIES_MAX}.`);
  }
  if (!Array.isArray(opened) || opened.length > BUNDLE_FIELDS_MAX || !opened.every(isName)) {
    throw unusable("format", `The bundle's first line names no opened fields, or more than ${BUNDLE_FIELDS_MAX}.`);
  }
  if (opened.some((field, at) => at > 0 && field <= (opened[at - 1] ?? ""))) {
    throw unusable("format", "The names of the opened fields are not sorted, or one is there twice.");
  }
  const carried = proof === undefined ? {} : { consistency: ordered(proof) };
  demandExact(text, { v, origin, checkpoint: note, ...carried, count, opened }, "the first line");
  return { origin, note, ...(consistency === undefined ? {} : { consistency }), count, fields: opened };
}

/** The members of a consistency proof in their order. */
function ordered(proof: unknown): unknown {
  const { from, proof: hashes } = proof as Record<string, unknown>;
  return { from, proof: hashes };
}

/** A private value that the bundle shows, and the key of its commitment. */
export interface Opened {
  field: string;
  key: Buffer;
  value: Buffer;
}

/** @throws Problem `unusable`, or `bad` for a key of the wrong length. */
export function readEntryLine(text: string): { i: number; leaf: Buffer; path: Buffer[]; open: Opened[] } {
  const { i, leaf, path, open } = parseLine(text, "an entry");
  if (!isCount(i)) throw unusable("format", "The entry has no index.");
  const place = { index: i };
  const body = typeof leaf === "string" ? fromBase64(leaf) : undefined;
  if (body === undefined) throw unusable("format", "The entry's leaf is no base64.", place);
  if (body.byteLength > BODY_BYTES_MAX) {
    throw unusable("size", `The entry has ${body.byteLength} bytes; an entry has at most ${BODY_BYTES_MAX}.`, place);
  }
  if (!Array.isArray(path)) throw unusable("format", "The entry has no path.", place);
  if (path.length > PATH_HASHES_MAX) {
    throw unusable("size", `The entry's path has ${path.length} hashes; a path has at most ${PATH_HASHES_MAX}.`, place);
  }
  const hashes: Buffer[] = [];
  for (const one of path) {
    const hash = typeof one === "string" ? hashFromBase64(one) : undefined;
    if (hash === undefined)
      throw unusable("format", "The entry's path has a hash that is not 32 bytes in base64.", place);
    hashes.push(hash);
  }
  const values = open === undefined ? [] : readOpened(open, place);
  // Here `open` has nothing in it but strings, two for each field.
  demandExact(text, open === undefined ? { i, leaf, path } : { i, leaf, path, open: exactOpened(open) }, "an entry");
  return { i, leaf: body, path: hashes, open: values };
}

function readOpened(open: unknown, place: Place): Opened[] {
  const fields = isRecord(open) ? Object.entries(open) : [];
  if (fields.length === 0 || fields.length > BUNDLE_FIELDS_MAX) {
    throw unusable("format", `The entry opens no field, or more than ${BUNDLE_FIELDS_MAX}.`, place);
  }
  return fields.map(([field, one]) => {
    if (!isName(field)) throw unusable("format", "The entry opens a field whose name is none.", place);
    const { k, v } = isRecord(one) ? one : {};
    const key = typeof k === "string" ? fromBase64(k) : undefined;
    const value = typeof v === "string" ? fromBase64(v) : undefined;
    if (key === undefined || value === undefined) {
      throw unusable("format", `The opened field ${JSON.stringify(field)} has no key or no value in base64.`, place);
    }
    if (key.byteLength !== COMMITMENT_KEY_BYTES) {
      // A shorter key is filled with zeros by HMAC: more than one would open the same commitment.
      throw bad(
        "commitment",
        `The key of ${JSON.stringify(field)} has ${key.byteLength} bytes instead of ${COMMITMENT_KEY_BYTES}.`,
        place,
      );
    }
    return { field, key, value };
  });
}

/** The members of each opened field in their order. */
function exactOpened(open: unknown): unknown {
  const fields = Object.entries(open as Record<string, { k: string; v: string }>);
  return Object.fromEntries(fields.map(([field, { k, v }]) => [field, { k, v }]));
}

/** @throws Problem `unusable` */
export function readTrailer(text: string): { count: number; sha256: string } {
  const { count, sha256 } = parseLine(text, "the last line");
  if (!isCount(count) || typeof sha256 !== "string" || !/^[0-9a-f]{64}$/.test(sha256)) {
    throw unusable("format", "This is not the last line of a bundle: it has no count or no SHA-256.");
  }
  demandExact(text, { count, sha256 }, "the last line");
  return { count, sha256 };
}

/** @param line  what the bundle calls it. */
function parseLine(text: string, line: string): Record<string, unknown> {
  try {
    const value: unknown = JSON.parse(text);
    if (isRecord(value)) return value;
  } catch {
    // The sentence below says it.
  }
  throw unusable("format", `This is not ${line} of a bundle: no JSON object.`);
}

/** Is the text the one way to write this? */
function demandExact(text: string, value: unknown, line: string): void {
  if (JSON.stringify(value) !== text) {
    throw unusable("format", `This is not ${line} of a bundle: its members, their order or their form are others.`);
  }
}

function isCount(value: unknown): value is number {
  return typeof value === "number" && Number.isSafeInteger(value) && value >= 0;
}
