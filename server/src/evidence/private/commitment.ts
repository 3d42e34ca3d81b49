import { hmacHex } from "../../kernel/hash.ts";

const FIELD_DOMAIN = "gantry.field.v1";
/** Of a field's key. Exactly: HMAC pads with zeros, so a key and itself plus a zero byte would commit to the same. */
export const FIELD_KEY_BYTES = 32;

/**
 * What an entry says of a private value: HMAC-SHA256(key, `gantry.field.v1 ‖ 0 ‖ entry ‖ 0 ‖ field ‖ 0 ‖ value`), 64 hex
 * digits. With the key gone it says nothing of the value, however few values there are to guess from.
 * Ids and names of fields have no zero byte, so two different triples never make the same text.
 * @param key  `FIELD_KEY_BYTES` bytes, chance, and of this field alone. RangeError for any other length.
 * @param value  the stored bytes; text as UTF-8.
 */
export function commitField(key: Uint8Array, entry: string, field: string, value: Uint8Array): string {
  return hmacHex(key, Buffer.concat([Buffer.from(`${FIELD_DOMAIN}\0${entry}\0${field}\0`, "utf8"), value]));
}
