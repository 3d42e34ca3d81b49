import { crc32 } from "node:zlib";
import { GantryError } from "../kernel/errors.ts";
import { sha256Hex } from "../kernel/hash.ts";
import type { Random } from "../kernel/random.ts";
import { type SecretKind, token_errors } from "./contract.ts";

const ALPHABET = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";
/** log2(62^30) is 178 bits of chance. */
const SECRET_CHARS = 30;
const CHECK_CHARS = 6;
/** The largest multiple of 62 in a byte: what lies above is drawn again, or some characters would be likelier. */
const UNBIASED = 248;
/** `lnk`, a login link, has the same shape and is not a bearer token. */
const SHAPE = /^gtr_(hum|agt|svc)_[0-9A-Za-z]{36}$/;
const LINK_SHAPE = /^gtr_lnk_[0-9A-Za-z]{36}$/;

/**
 * A fresh bearer token, or login link: `gtr_<kind>_<30 base62><6 base62>`. The last six are the CRC-32 (as in zlib) of all before
 * them, most significant first, padded with `0` on the left: a mistyped or cut token is refused without a lookup, and
 * a scanner can tell a leaked one from a look-alike.
 */
export function makeToken(kind: SecretKind, random: Random): string {
  let secret = "";
  while (secret.length < SECRET_CHARS) {
    for (const byte of random.bytes(SECRET_CHARS)) {
      if (byte < UNBIASED && secret.length < SECRET_CHARS) secret += ALPHABET.charAt(byte % ALPHABET.length);
    }
  }
  const head = `gtr_${kind}_${secret}`;
  return head + checksum(head);
}

/** The six characters that must follow `head`. */
export function checksum(head: string): string {
  let rest = crc32(head);
  let out = "";
  for (let i = 0; i < CHECK_CHARS; i++) {
    out = ALPHABET.charAt(rest % ALPHABET.length) + out;
    rest = Math.floor(rest / ALPHABET.length);
  }
  return out;
}

/** Shape and checksum only: says nothing about whether the token exists. */
export function isToken(text: string): boolean {
  return SHAPE.test(text) && isWhole(text);
}

function isWhole(text: string): boolean {
  return checksum(text.slice(0, -CHECK_CHARS)) === text.slice(-CHECK_CHARS);
}

/**
 * What the store knows a token by: SHA-256 of its text, hex. A slow hash would protect guessable secrets; these are not.
 * @throws TOKEN_MALFORMED  before any lookup.
 */
export function tokenHash(text: string): string {
  if (!isToken(text)) {
    throw new GantryError(token_errors.MALFORMED, {
      detail:
        "A token is gtr_hum_, gtr_agt_ or gtr_svc_ and 36 letters and digits; this one is cut, mistyped or something else.",
    });
  }
  return sha256Hex(text);
}

/**
 * What the store knows a login link by.
 * @throws TOKEN_MALFORMED  before any lookup.
 */
export function linkHash(text: string): string {
  if (!LINK_SHAPE.test(text) || !isWhole(text)) {
    throw new GantryError(token_errors.MALFORMED, {
      detail: "A login link is gtr_lnk_ and 36 letters and digits; this one is cut, mistyped or something else.",
    });
  }
  return sha256Hex(text);
}
