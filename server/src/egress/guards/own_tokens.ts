import { crc32 } from "node:zlib";
import { GantryError } from "../../kernel/errors.ts";
import { egress_errors, lease_errors } from "../contract.ts";
import type { HeaderList } from "../parts.ts";
import { LEASE_CHARS, LEASE_PREFIX } from "../secrets/lease_token.ts";

/** What of ours may never leave, by how it begins. */
type OwnToken = "gantry token" | "artifact token" | "lease";

interface Shape {
  what: OwnToken;
  prefix: string;
  chars: number;
  is(text: string): boolean;
}

const ALPHABET = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";
const CHECK_CHARS = 6;

const SHAPES: readonly Shape[] = [
  { what: "gantry token", prefix: "gtr_", chars: 44, is: isWhole },
  { what: "artifact token", prefix: "art_v1_", chars: 47, is: (text) => /^art_v1_[0-9a-f]{40}$/.test(text) },
  { what: "lease", prefix: LEASE_PREFIX, chars: LEASE_CHARS, is: (text) => /^gl_[0-9a-hjkmnp-tv-z]{38}$/.test(text) },
];
const CHARS_MAX = Math.max(...SHAPES.map(({ chars }) => chars));

/**
 * A bearer token or a login link as identity makes them: the last six characters are the CRC-32 of all before them in base
 * 62, so that a look-alike passes.
 */
function isWhole(text: string): boolean {
  if (!/^gtr_(?:hum|agt|svc|lnk)_[0-9A-Za-z]{36}$/.test(text)) return false;
  let rest = crc32(text.slice(0, -CHECK_CHARS));
  let check = "";
  for (let n = 0; n < CHECK_CHARS; n++) {
    check = ALPHABET.charAt(rest % ALPHABET.length) + check;
    rest = Math.floor(rest / ALPHABET.length);
  }
  return text.endsWith(check);
}

/** @param of  whether a lease counts, too: among headers it may stand in its slot, which whoever swaps it sees to. */
function ownTokenIn(text: string, of: { leases: boolean }): OwnToken | undefined {
  for (const { what, prefix, chars, is } of SHAPES) {
    if (what === "lease" && !of.leases) continue;
    for (let at = text.indexOf(prefix); at >= 0; at = text.indexOf(prefix, at + 1)) {
      if (is(text.slice(at, at + chars))) return what;
    }
  }
  return undefined;
}

/**
 * URL and headers; also what is percent-encoded in the one and in the name and password of the other.
 * @throws EGRESS_OWN_TOKEN LEASE_SCOPE
 */
export function demandNoOwnToken(url: string, headers: HeaderList): void {
  const found = ownTokenIn(percentDecoded(url), { leases: true });
  if (found !== undefined) throw ownToken(found, "the URL");
  for (const [name, value] of headers) {
    const basic = /^basic +(\S+)/i.exec(value)?.[1];
    const pair = basic === undefined ? "" : Buffer.from(basic, "base64").toString("latin1");
    const within = ownTokenIn(value, { leases: false }) ?? ownTokenIn(pair, { leases: false });
    if (within !== undefined) throw ownToken(within, `the header ${name.toLowerCase()}`);
  }
}

/** One character for each byte; what is no escape stays. */
export function percentDecoded(url: string): string {
  if (!url.includes("%")) return url;
  return url.replace(/%([0-9a-f]{2})/gi, (_, hex: string) => String.fromCharCode(Number.parseInt(hex, 16)));
}

function ownToken(what: OwnToken, where: string): GantryError {
  if (what === "lease") {
    return new GantryError(lease_errors.SCOPE, {
      detail: `The call carries a lease in ${where}. A lease is good in the slot that the contract's rule names, and nowhere else.`,
    });
  }
  return new GantryError(egress_errors.OWN_TOKEN, {
    detail: `The call carries one of Gantry's own tokens, a ${what}, in ${where}. None of them ever leaves.`,
  });
}

/** Looks for our tokens in a body, however it is cut. */
export class OwnTokenWatch {
  /** The end of what came, as far as it may be the beginning of a token. */
  #open: Buffer = Buffer.alloc(0);

  /** Bytes that must wait for what comes next. */
  get held_bytes(): number {
    return this.#open.length;
  }

  /** @throws EGRESS_OWN_TOKEN LEASE_SCOPE */
  feed(chunk: Buffer): void {
    const text = this.#open.length === 0 ? chunk : Buffer.concat([this.#open, chunk]);
    let open_at = text.length;
    for (const { what, prefix, chars, is } of SHAPES) {
      for (let at = text.indexOf(prefix); at >= 0; at = text.indexOf(prefix, at + 1)) {
        const candidate = text.toString("latin1", at, at + chars);
        if (is(candidate)) throw ownToken(what, "the body");
        if (at + chars > text.length && /^\w+$/.test(candidate)) open_at = Math.min(open_at, at);
      }
      open_at = Math.min(open_at, beginningOf(prefix, text));
    }
    // A copy: what waits should not hold on to the chunk, nor change with it.
    this.#open = Buffer.from(text.subarray(Math.max(open_at, text.length - CHARS_MAX)));
  }
}

/** Where the text ends with a beginning of the prefix that is not all of it. */
function beginningOf(prefix: string, text: Buffer): number {
  for (let length = Math.min(prefix.length - 1, text.length); length > 0; length--) {
    const at = text.length - length;
    if (text[at] === prefix.charCodeAt(0) && text.toString("latin1", at) === prefix.slice(0, length)) return at;
  }
  return text.length;
}
