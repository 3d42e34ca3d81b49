import { createHash, createHmac, hash as hashOnce } from "node:crypto";

/** SHA-256 as 64 lower-case hex digits. Strings are hashed as UTF-8. */
export function sha256Hex(value: string | Uint8Array): string {
  return hashOnce("sha256", value, "hex"); // half the cost of an object that could be fed in parts
}

/** SHA-256 over the concatenation of `parts`, 32 bytes. */
export function sha256(...parts: Uint8Array[]): Uint8Array {
  const hash = createHash("sha256");
  for (const part of parts) hash.update(part);
  return hash.digest();
}

const KEY_BYTES = 32;
const BLOCK_BYTES = 64;
const DIGEST_BYTES = 32;
/** Longer texts are rare, and digested by way of `hmacHex`. */
const TEXT_CHARS_MAX = 8_192;
/** Of UTF-8 for one UTF-16 code unit. */
const CHAR_BYTES_MAX = 3;

/** HMAC-SHA256 as hex. HMAC pads keys with zeros, so a key must have exactly 32 bytes or two keys may collide. */
export function hmacHex(key: Uint8Array, value: string | Uint8Array): string {
  demandKey(key);
  return createHmac("sha256", key).update(value).digest("hex");
}

/**
 * `hmacHex` under one key that is used again and again, of texts. By its definition, H(opad ‖ H(ipad ‖ text)) (RFC 2104,
 * 2), because the object that `createHmac` makes costs more than the hashing: 32 µs for 2 KB of text in a process that
 * does much else, and 12 µs for two hashes in one call each, over bytes that lie ready (Node 20.20). Every run needs two.
 */
export function hmacUnder(key: Uint8Array): (text: string) => string {
  demandKey(key);
  const own = new Uint8Array(key);
  const inner = Buffer.alloc(BLOCK_BYTES + TEXT_CHARS_MAX * CHAR_BYTES_MAX);
  const outer = Buffer.alloc(BLOCK_BYTES + DIGEST_BYTES);
  for (let at = 0; at < BLOCK_BYTES; at++) {
    inner[at] = (own[at] ?? 0) ^ 0x36;
    outer[at] = (own[at] ?? 0) ^ 0x5c;
  }
  return (text) => {
    if (text.length > TEXT_CHARS_MAX) return hmacHex(own, text);
    const bytes = inner.write(text, BLOCK_BYTES);
    outer.write(hashOnce("sha256", inner.subarray(0, BLOCK_BYTES + bytes), "binary"), BLOCK_BYTES, "latin1");
    return hashOnce("sha256", outer, "hex");
  };
}

function demandKey(key: Uint8Array): void {
  if (key.byteLength !== KEY_BYTES) throw new RangeError("a commitment key has exactly 32 bytes");
}
