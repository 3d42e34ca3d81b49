import { crc32 } from "node:zlib";
import { sha256Hex } from "../../kernel/hash.ts";
import type { Random } from "../../kernel/random.ts";

/** Crockford's base 32, lower case, as ids have it. */
const ALPHABET = "0123456789abcdefghjkmnpqrstvwxyz";
const SECRET_BYTES = 20;
const CHECK_CHARS = 6;

export const LEASE_PREFIX = "gl_";
/** 160 bits of chance and a checksum. */
export const LEASE_CHARS = LEASE_PREFIX.length + 32 + CHECK_CHARS;
/** Shape alone: what looks like a lease goes nowhere but into its slot, also when its checksum is wrong. */
export const LEASE_SHAPE = /gl_[0-9a-hjkmnp-tv-z]{38}/g;

/**
 * A fresh lease: `gl_<32 base32><6 base32>`. The last six are the lower 30 bits of the CRC-32 (as in zlib) of all before
 * them, most significant first: one that is cut or mistyped is told so without a look at the store.
 */
export function makeLease(random: Random): string {
  const head = LEASE_PREFIX + base32(random.bytes(SECRET_BYTES));
  return head + checksumOf(head);
}

/** Is the checksum right? Says nothing about whether the lease exists. */
export function isWholeLease(text: string): boolean {
  return text.length === LEASE_CHARS && checksumOf(text.slice(0, -CHECK_CHARS)) === text.slice(-CHECK_CHARS);
}

/** What the store knows a lease by: SHA-256 of its text, hex. A slow hash would protect guessable values; these are not. */
export function leaseHash(text: string): string {
  return sha256Hex(text);
}

function checksumOf(head: string): string {
  const value = crc32(head);
  let out = "";
  for (let n = CHECK_CHARS - 1; n >= 0; n--) out += ALPHABET.charAt((value >>> (n * 5)) & 31);
  return out;
}

/** @param bytes  a multiple of 5 of them. */
function base32(bytes: Uint8Array): string {
  let out = "";
  let held = 0;
  let bits = 0;
  for (const byte of bytes) {
    held = (held << 8) | byte;
    bits += 8;
    while (bits >= 5) {
      bits -= 5;
      out += ALPHABET.charAt((held >> bits) & 31);
    }
    held &= (1 << bits) - 1;
  }
  return out;
}
