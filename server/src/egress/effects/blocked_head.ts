import type { HeaderList } from "../parts.ts";

/** About one connection, or about its length: whoever sends the call again says it anew (RFC 9110, 7.6.1). */
const HOPS: readonly string[] = [
  ...["connection", "content-length", "expect", "host", "keep-alive", "proxy-connection", "te", "trailer"],
  ...["transfer-encoding", "upgrade"],
];
/** Names of headers that carry credentials, as destinations name them. A key that says which call it is is none. */
const CREDENTIAL = /auth|cookie|credential|passw|secret|session|signature|token|(api|access|private)[-_]?key/;
/** Leases and Gantry's own tokens, wherever they stand. */
const OWN = /gl_[0-9a-z]{38}|gtr_|art_v1_/;

/**
 * What of a call's head is kept while the call waits for a person. Whoever lets it go on does so by their own right, and
 * credentials of the run's are not theirs.
 * @returns `leased`: the headers that carried a lease, lower case; a new one takes its place when the call is sent.
 */
export function safeHead(headers: HeaderList): { headers: HeaderList; leased: string[] } {
  const kept: HeaderList = [];
  const leased: string[] = [];
  for (const [name, value] of headers) {
    const lower = name.toLowerCase();
    if (/gl_[0-9a-z]{38}/.test(value) || hasBasicLease(value)) leased.push(lower);
    const is_safe = !HOPS.includes(lower) && !lower.startsWith("gantry-") && !CREDENTIAL.test(lower);
    if (is_safe && !OWN.test(value)) kept.push([name, value]);
  }
  return { headers: kept, leased };
}

function hasBasicLease(value: string): boolean {
  const encoded = /^basic +([a-z0-9+/_-]+=*) *$/i.exec(value)?.[1];
  return encoded !== undefined && /gl_[0-9a-z]{38}/.test(Buffer.from(encoded, "base64").toString("latin1"));
}
