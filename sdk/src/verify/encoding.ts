import { hash } from "node:crypto";
import { unusable } from "./problem.ts";

export const HASH_BYTES = 32;
/** Made once, because making one takes as long as reading a line. A byte order mark is kept: no format of ours has one. */
const UTF8 = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true });

/**
 * The bytes of canonical base64 (RFC 4648, 4, with padding), else undefined. Node's decoder skips what it does not
 * know and ignores surplus bits, so that many texts would stand for the same bytes: the way back must give the text.
 */
export function fromBase64(text: string): Buffer | undefined {
  const bytes = Buffer.from(text, "base64");
  return bytes.toString("base64") === text ? bytes : undefined;
}

/** 32 bytes of canonical base64, else undefined. */
export function hashFromBase64(text: string): Buffer | undefined {
  const bytes = text.length === 44 ? fromBase64(text) : undefined;
  return bytes?.byteLength === HASH_BYTES ? bytes : undefined;
}

/**
 * One call of Node and a string of its bytes: on the 65 bytes of a node twice as fast as asking for a buffer, and five
 * times as fast as an object with `update` and `digest` (Node 20.20).
 */
export function sha256(bytes: Uint8Array): Buffer {
  return Buffer.from(hash("sha256", bytes, "binary"), "latin1");
}

/** A count or an index of the log in ASCII digits, without leading zeros; undefined past 2^53 - 1. */
export function fromDecimal(text: string): number | undefined {
  if (!/^(0|[1-9][0-9]{0,15})$/.test(text)) return undefined;
  const value = Number(text);
  return Number.isSafeInteger(value) ? value : undefined;
}

/** @throws Problem `unusable` for bytes that are not UTF-8. */
export function fromUtf8(bytes: Uint8Array, what: string): string {
  try {
    return UTF8.decode(bytes);
  } catch {
    throw unusable("format", `${what} is not UTF-8 text.`);
  }
}

export function isRecord(value: unknown): value is Record<string, unknown> {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}
