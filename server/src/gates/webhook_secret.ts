import { createCipheriv, createDecipheriv, createHmac, hkdfSync } from "node:crypto";
import type { Random } from "../kernel/random.ts";

const KEY_BYTES = 32;
const SECRET_BYTES = 32;
const NONCE_BYTES = 12;
const TAG_BYTES = 16;
/** Of the sealed form: version 1 is AES-256-GCM. */
const VERSION = 1;
const SECRET_PREFIX = "whsec_";

/**
 * What webhooks' secrets and URLs are sealed with in the database. A secret that signs cannot be kept as a hash; so it is
 * kept from whoever has the database, or a copy of it, without the folder `keys`.
 */
export interface WebhookKeys {
  seal: Uint8Array;
  print: Uint8Array;
}

/**
 * Derived (HKDF, RFC 5869) from the state key, which each node of a database has and must have: no further file that a
 * backup could lack, and nothing more for nodes to agree on.
 * @param state_key  32 bytes.
 */
export function webhookKeys(state_key: Uint8Array): WebhookKeys {
  const derive = (info: string) => new Uint8Array(hkdfSync("sha256", state_key, "", info, KEY_BYTES));
  return { seal: derive("gantry.webhook.seal.v1"), print: derive("gantry.webhook.print.v1") };
}

/**
 * @param of  what the text belongs to: sealed text opens only with the same, so that no row can be given another's.
 * @returns base64 of version, nonce, ciphertext and tag.
 */
export function sealText(keys: WebhookKeys, random: Random, of: string, text: string): string {
  const nonce = random.bytes(NONCE_BYTES);
  const cipher = createCipheriv("aes-256-gcm", keys.seal, nonce);
  cipher.setAAD(Buffer.from(of, "utf8"));
  const sealed = Buffer.concat([cipher.update(text, "utf8"), cipher.final()]);
  return Buffer.concat([Buffer.from([VERSION]), nonce, sealed, cipher.getAuthTag()]).toString("base64");
}

/** @throws Error  it was sealed with another key, belongs to something else, or was changed. */
export function openText(keys: WebhookKeys, of: string, sealed: string): string {
  const bytes = Buffer.from(sealed, "base64");
  if (bytes[0] !== VERSION || bytes.byteLength < 1 + NONCE_BYTES + TAG_BYTES) throw new Error("no sealed text");
  const decipher = createDecipheriv("aes-256-gcm", keys.seal, bytes.subarray(1, 1 + NONCE_BYTES), {
    authTagLength: TAG_BYTES,
  });
  decipher.setAAD(Buffer.from(of, "utf8"));
  decipher.setAuthTag(bytes.subarray(-TAG_BYTES));
  const opened = [decipher.update(bytes.subarray(1 + NONCE_BYTES, -TAG_BYTES)), decipher.final()];
  return Buffer.concat(opened).toString("utf8");
}

/** Names a URL in the ledger: the same URL has the same print, and nobody without the key can try out URLs. */
export function printOf(keys: WebhookKeys, url: string): string {
  return createHmac("sha256", keys.print).update(url, "utf8").digest("hex");
}

/** `whsec_` and the key in base64, as standard-webhooks writes it. */
export function newSecret(random: Random): string {
  return SECRET_PREFIX + Buffer.from(random.bytes(SECRET_BYTES)).toString("base64");
}

/**
 * The value of `webhook-signature` (standard-webhooks 1.0.0): `v1,` and the base64 of HMAC-SHA256 over `id.timestamp.body`.
 * @param at_s  seconds UTC, as in `webhook-timestamp`.
 */
export function signNotice(secret: string, notice: { id: string; at_s: number; body: string }): string {
  const key = Buffer.from(secret.slice(SECRET_PREFIX.length), "base64");
  const mac = createHmac("sha256", key).update(`${notice.id}.${notice.at_s}.${notice.body}`, "utf8");
  return `v1,${mac.digest("base64")}`;
}
