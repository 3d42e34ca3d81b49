import { createHmac, timingSafeEqual } from "node:crypto";
import { fromUtf8, isRecord } from "./encoding.ts";
import { bad, type Problem } from "./problem.ts";

/** Bytes of one entry's body (C2SP tlog-tiles has lengths of 16 bits). */
export const BODY_BYTES_MAX = 65_535;
/** Objects and arrays inside each other. */
export const BODY_DEPTH_MAX = 64;
/** Bytes of a commitment's key. HMAC fills shorter keys with zeros, so that a key and itself with a zero would be one. */
export const COMMITMENT_KEY_BYTES = 32;
const FIELD_DOMAIN = "gantry.field.v1";

/** What a verifier reads of an entry. */
export interface Entry {
  id: string;
  kind: string;
  /** Milliseconds UTC, as the log's clock had it. */
  at: number;
  /** What it says in the clear; empty when it says nothing. */
  data: Readonly<Record<string, unknown>>;
  /** Private field to commitment, 64 hex digits. */
  sealed: Readonly<Record<string, string>>;
}

/**
 * Reads the body of an entry, which was shown to be in the log.
 * @throws Problem `bad`, check `body`: not one canonical JSON object, or not an entry. A body that two readers could
 * read differently would prove to each what he likes.
 */
export function readEntry(body: Uint8Array): Entry {
  const value = parseBody(body);
  const { v, id, kind, at, data, sealed = {} } = value;
  if (v !== 1) throw bad("body", "The entry is of a version that this verifier does not know; it knows 1.");
  if (!isName(id) || !isName(kind) || typeof at !== "number" || !Number.isSafeInteger(at)) {
    throw bad("body", "The entry lacks its id, its kind or its time.");
  }
  if (!isCommitments(sealed))
    throw bad("body", "The entry's commitments are not 64 hex digits for each field.", { entry: id });
  return { id, kind, at, data: isRecord(data) ? data : {}, sealed };
}

/** The answer when no path leads from this body to the root. What it calls itself helps to find it, and proves nothing. */
export function notInLog(body: Uint8Array, index: number): Problem {
  const detail = `The entry at index ${index} is not in the log that was signed: it or its path was changed.`;
  try {
    return bad("inclusion", detail, { index, entry: readEntry(body).id });
  } catch {
    // Nor is it an entry: then it has no name either.
    return bad("inclusion", detail, { index });
  }
}

function parseBody(body: Uint8Array): Record<string, unknown> {
  try {
    const text = fromUtf8(body, "The entry");
    const value: unknown = JSON.parse(text);
    // White space, a member twice, another order, another way to write a number or a string: none survives this.
    if (isRecord(value) && canonical(value, 0) === text) return value;
  } catch {
    // Not UTF-8 or not JSON: the sentence below holds for both.
  }
  throw bad("body", "The entry's bytes are not one JSON object in its canonical form (RFC 8785, integers only).");
}

/** Printable ASCII without the quote and the backslash is its own JSON text; asking costs less than writing. */
const PLAIN = /^[\x20\x21\x23-\x5b\x5d-\x7e]*$/;

/** RFC 8785 for values with integers only; undefined for others, and for what nests deeper than `BODY_DEPTH_MAX`. */
function canonical(value: unknown, depth: number): string | undefined {
  if (typeof value === "string") return PLAIN.test(value) ? `"${value}"` : JSON.stringify(value);
  if (typeof value === "number") return Number.isSafeInteger(value) ? JSON.stringify(value) : undefined;
  if (depth > BODY_DEPTH_MAX) return undefined;
  if (Array.isArray(value)) {
    let items = "";
    for (const item of value) items += `${items === "" ? "" : ","}${canonical(item, depth + 1)}`;
    return `[${items}]`;
  }
  if (!isRecord(value)) return JSON.stringify(value);
  let members = "";
  // `sort` compares UTF-16 code units, as RFC 8785, 3.2.3 asks.
  for (const name of Object.keys(value).sort()) {
    members += `${members === "" ? "" : ","}${canonical(name, 0)}:${canonical(value[name], depth + 1)}`;
  }
  return `{${members}}`;
}

/** What stands in a commitment between zero bytes must not have one, or two commitments could be over the same bytes. */
export function isName(value: unknown): value is string {
  return typeof value === "string" && value !== "" && value.length <= 256 && !value.includes("\0");
}

function isCommitments(value: unknown): value is Record<string, string> {
  return (
    isRecord(value) &&
    Object.entries(value).every(
      ([field, commitment]) => isName(field) && typeof commitment === "string" && /^[0-9a-f]{64}$/.test(commitment),
    )
  );
}

/**
 * Is this the value that the entry committed to? The commitment is HMAC-SHA256(key,
 * `gantry.field.v1 ‖ 0 ‖ entry id ‖ 0 ‖ field ‖ 0 ‖ value`).
 * @param key  32 bytes, checked by the caller.
 * @throws Problem `bad`, check `commitment`.
 */
export function checkOpened(entry: Entry, field: string, key: Uint8Array, value: Uint8Array): void {
  const place = { entry: entry.id, field };
  const commitment = Object.hasOwn(entry.sealed, field) ? entry.sealed[field] : undefined;
  if (commitment === undefined)
    throw bad("commitment", `The entry has no private field ${JSON.stringify(field)}.`, place);
  const digest = createHmac("sha256", key).update(`${FIELD_DOMAIN}\0${entry.id}\0${field}\0`).update(value).digest();
  if (!timingSafeEqual(digest, Buffer.from(commitment, "hex"))) {
    throw bad("commitment", `The value of ${JSON.stringify(field)} is not the one that the entry committed to.`, place);
  }
}
