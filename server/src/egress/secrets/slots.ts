import type { HeaderList } from "../parts.ts";
import { LEASE_PREFIX, LEASE_SHAPE } from "./lease_token.ts";

/** Where a lease stands among the headers: alone and in its slot, or somewhere else. */
export type LeasePlace =
  | { kind: "slot"; header: string; token: string; at: number }
  | { kind: "elsewhere"; header: string };

const BASIC = /^basic +([a-z0-9+/_-]+={0,2}) *$/i;
const BEARER = /^bearer +(\S+) *$/i;

/**
 * @param slot  of the rule that lets the call out; undefined: every lease stands elsewhere.
 * @returns undefined when no header carries what looks like a lease. A lease twice is one that stands elsewhere.
 */
export function findInHeaders(headers: HeaderList, slot: string | undefined): LeasePlace | undefined {
  let found: LeasePlace | undefined;
  for (const [at, [name, value]] of headers.entries()) {
    const tokens = leasesIn(value);
    if (tokens.length === 0) continue;
    const header = name.toLowerCase();
    const [token = ""] = tokens;
    const is_alone = tokens.length === 1 && found === undefined;
    if (!is_alone || slot === undefined || !isSlot(slot, header, value, token)) return { kind: "elsewhere", header };
    found = { kind: "slot", header, token, at };
  }
  return found;
}

/**
 * The headers with the secret in the lease's place; of a slot `header:<name>` whatever the guest wrote around it stays.
 * One character is one byte, as headers are sent.
 */
export function fillSlot(
  headers: HeaderList,
  slot: string,
  { at, token }: Extract<LeasePlace, { kind: "slot" }>,
  secret: Buffer,
): HeaderList {
  return headers.map(([name, value], place) => {
    if (place !== at) return [name, value];
    if (slot === "basic-password") return [name, basicOf(value, secret)];
    const start = value.indexOf(token);
    return [name, value.slice(0, start) + secret.toString("latin1") + value.slice(start + token.length)];
  });
}

/** An answer that is to be searched should come as it is. */
export function encodingOff(headers: HeaderList): HeaderList {
  const others = headers.filter(([name]) => name.toLowerCase() !== "accept-encoding");
  return [...others, ["accept-encoding", "identity"]];
}

/** Everything in a header's value that looks like a lease, also within a name and password. */
function leasesIn(value: string): string[] {
  const plain = value.includes(LEASE_PREFIX) ? (value.match(LEASE_SHAPE) ?? []) : [];
  return [...plain, ...(decodeBasic(value)?.toString("latin1").match(LEASE_SHAPE) ?? [])];
}

function isSlot(slot: string, header: string, value: string, token: string): boolean {
  if (slot === "bearer") return header === "authorization" && BEARER.exec(value)?.[1] === token;
  if (slot === "basic-password") {
    return (
      header === "authorization" &&
      decodeBasic(value)
        ?.toString("latin1")
        .replace(/^[^:]*:/, "") === token
    );
  }
  return slot === `header:${header}` && value.includes(token);
}

/** Name and password of RFC 7617, 2. */
function decodeBasic(value: string): Buffer | undefined {
  const encoded = BASIC.exec(value)?.[1];
  return encoded === undefined ? undefined : Buffer.from(encoded, "base64");
}

function basicOf(value: string, secret: Buffer): string {
  const pair = decodeBasic(value) ?? Buffer.alloc(0);
  const filled = Buffer.concat([pair.subarray(0, pair.indexOf(":") + 1), secret]);
  const text = `Basic ${filled.toString("base64")}`;
  filled.fill(0);
  return text;
}
