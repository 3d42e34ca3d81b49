import { assert } from "./assert.ts";
import type { Clock } from "./clock.ts";
import type { Random } from "./random.ts";

/** Prefixes of the rooms that exist. A secret is not an id and looks otherwise. */
export type IdPrefix =
  | "ten"
  | "act"
  | "tok"
  | "key"
  | "snp"
  | "apr"
  | "bgl"
  | "whk"
  | "msg"
  | "ent"
  | "lse"
  | "blk"
  | "rnr"
  | "run"
  | "req";
export type Id<P extends IdPrefix> = string & { readonly __id: P };
export type TenantId = Id<"ten">;
export type ActorId = Id<"act">;
export type TokenId = Id<"tok">;
export type SnapshotId = Id<"snp">;
export type ApprovalId = Id<"apr">;
export type BreakGlassId = Id<"bgl">;
export type WebhookId = Id<"whk">;
export type NoticeId = Id<"msg">;
export type EntryId = Id<"ent">;
export type LeaseId = Id<"lse">;
export type BlockedCallId = Id<"blk">;
export type RunnerId = Id<"rnr">;
export type RunId = Id<"run">;

/** Crockford's base 32, lower case: no i, l, o, u. */
const ALPHABET = "0123456789abcdefghjkmnpqrstvwxyz";
const ENCODED_LENGTH = 26;
const SEQUENCE_MAX = 0xfff;

/** Makes ids of any prefix, strictly increasing in the order of the calls. */
export type Ids = <P extends IdPrefix>(prefix: P) => Id<P>;

/**
 * An id is a prefix and a UUIDv7 (RFC 9562, 5.7) in base 32: 48 bits of time, 12 bits of a sequence
 * within the millisecond (method 1 of 6.2; when it runs out, the time part runs ahead), 62 random bits.
 */
export function createIds(clock: Clock, random: Random): Ids {
  let at = 0;
  let sequence = 0;
  return (prefix) => {
    const now = clock.now();
    if (now > at) {
      at = now;
      sequence = 0;
    } else if (sequence < SEQUENCE_MAX) {
      sequence += 1;
    } else {
      at += 1;
      sequence = 0;
    }
    return `${prefix}_${encode(uuidBytes(at, sequence, random.bytes(8)))}` as Id<typeof prefix>;
  };
}

/** @param noise  8 bytes, of which 62 bits are used. */
function uuidBytes(at: number, sequence: number, noise: Uint8Array): Uint8Array {
  const uuid = new Uint8Array(16);
  for (let i = 5, rest = at; i >= 0; i--) {
    uuid[i] = rest % 256;
    rest = Math.floor(rest / 256);
  }
  uuid[6] = 0x70 | (sequence >> 8);
  uuid[7] = sequence & 0xff;
  uuid.set(noise, 8);
  uuid[8] = 0x80 | (0x3f & (noise[0] ?? 0));
  return uuid;
}

/** Byte by byte: with a BigInt of the whole it took five times as long, and a run needs four ids. */
function encode(uuid: Uint8Array): string {
  let out = "";
  let held = 0;
  let bits = ENCODED_LENGTH * 5 - uuid.length * 8; // the text has two bits more than the UUID: zeros in front
  for (const byte of uuid) {
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

/** The same id as a UUID, for surfaces that need one. */
export function uuidOf(id: string): string {
  const text = id.slice(id.indexOf("_") + 1);
  assert(text.length === ENCODED_LENGTH, "an id's second part has 26 characters");
  let value = 0n;
  for (const char of text) value = (value << 5n) | BigInt(ALPHABET.indexOf(char));
  const hex = value.toString(16).padStart(32, "0");
  return `${hex.slice(0, 8)}-${hex.slice(8, 12)}-${hex.slice(12, 16)}-${hex.slice(16, 20)}-${hex.slice(20)}`;
}

/** Is `value` shaped as a time-ordered id of this prefix? */
export function isId<P extends IdPrefix>(prefix: P, value: string): value is Id<P> {
  return (
    value.length === prefix.length + 1 + ENCODED_LENGTH && new RegExp(`^${prefix}_[0-7][${ALPHABET}]{25}$`).test(value)
  );
}
