import { canonicalJson } from "../../kernel/canonical.ts";
import { sha256Hex } from "../../kernel/hash.ts";
import { EFFECT_BODY_BYTES_MAX } from "../contract.ts";
import type { Target } from "../parts.ts";

/** What makes a call this one and no other, besides where it goes. */
export type Sameness = { guest_key: string } | { body_digest: string; ordinal: number };

/**
 * SHA-256, hex. Equal for the same call of the same scope, in whatever attempt it is made. A key of the guest's own is
 * one of the place that it is sent to, as destinations take it: the query and the body may differ.
 */
export function effectKey(scope: string, call: { target: Target; method: string }, same: Sameness): string {
  const { protocol, host, port, path, query } = call.target;
  const place = [scope, call.method, protocol, host, port, path];
  const rest = "guest_key" in same ? ["guest", same.guest_key] : ["call", query, same.body_digest, same.ordinal];
  return sha256Hex(canonicalJson([...place, ...rest]));
}

/** What stands for a body in a key: SHA-256, hex, of one that is not too long to be held; `stream` for a longer one. */
export function bodyDigest(body: Uint8Array): string {
  return body.byteLength <= EFFECT_BODY_BYTES_MAX ? sha256Hex(body) : "stream";
}

/** What a destination is told instead of the key: nobody there can name the ledger's. 64 hex digits. */
export function sentKey(key: string): string {
  return sha256Hex(`gantry.effect.sent.v1/${key}`);
}

/** The keys of one attempt's calls: equal ones are numbered, in the order in which they are made. */
export class CallKeys {
  readonly #counts = new Map<string, number>();

  next(scope: string, call: { target: Target; method: string }, body_digest: string): string {
    const first = effectKey(scope, call, { body_digest, ordinal: 0 });
    const ordinal = this.#counts.get(first) ?? 0;
    this.#counts.set(first, ordinal + 1);
    return ordinal === 0 ? first : effectKey(scope, call, { body_digest, ordinal });
  }
}
