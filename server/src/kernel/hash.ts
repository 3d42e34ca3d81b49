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

/** HMAC-SHA256 as hex. HMAC pads keys with zeros, so a key must have exactly 32 bytes or two keys may collide. */
export function hmacHex(key: Uint8Array, value: string | Uint8Array): string {
  if (key.byteLength !== 32) throw new RangeError("a commitment key has exactly 32 bytes");
  return createHmac("sha256", key).update(value).digest("hex");
}
