import type { IncomingMessage } from "node:http";
import type { EgressRule } from "../../policy/contract.ts";
import { EGRESS_HEADER_BYTES_MAX, EGRESS_HEADER_FIELDS_MAX } from "../contract.ts";
import { hrefOf, parseTarget } from "../destination/target.ts";
import type { HeaderList, Target } from "../parts.ts";
import { badRequest } from "./faults.ts";

/** The head of a guest's call, read once and strictly. */
export interface CallHead {
  target: Target;
  method: string;
  /** What may go on: without what ends at each connection, ours, `host`, and what tells the body's length. */
  headers: HeaderList;
  /** Bytes, or `chunked`; null: there is no body. */
  body: number | "chunked" | null;
  /** Does the guest want its redirects followed here? */
  follow: boolean;
  /** What the guest calls this effect itself, if it says so to us. */
  guest_key: string | undefined;
}

/** RFC 9110, 7.6.1, and what older software sends. They speak of one connection, and a call is carried by two. */
const HOP_BY_HOP = new Set([
  "connection",
  "keep-alive",
  "proxy-authenticate",
  "proxy-authorization",
  "proxy-connection",
  "te",
  "trailer",
  "transfer-encoding",
  "upgrade",
]);
/** Made anew for the call that leaves. Of `expect` Node has made an interim answer by now. */
const MADE_ANEW = new Set(["host", "content-length", "expect"]);
/** RFC 9110, 5.5: everything else is read in two ways by somebody. */
const NOT_A_VALUE = /[^\t\x20-\x7e\x80-\xff]/;
const OURS = "gantry-";

/**
 * Refuses what two readers could read in two ways, even where Node has accepted it.
 * @throws EGRESS_BAD_REQUEST
 */
export function readHead(call: IncomingMessage): CallHead {
  if (call.httpVersion !== "1.1") {
    // The end of an answer without a length would be the end of the connection, and so would a failure.
    throw badRequest("The call is not of HTTP/1.1, which tells a whole answer from one that broke off.");
  }
  const fields = fieldsOf(call.rawHeaders);
  const url = call.url ?? "";
  const host = only(fields, "host");
  const target = parseTarget(url.startsWith("/") ? `http://${host ?? ""}${url}` : url, false);
  if (host !== undefined && !isSameHost(host, target)) {
    throw badRequest("The header host is not the host of the URL; leave it out, or send the same.");
  }
  const dropped = namesOf(fields);
  const headers: HeaderList = [];
  for (const field of fields) {
    const name = field[0].toLowerCase();
    if (!dropped.has(name) && !MADE_ANEW.has(name) && !name.startsWith(OURS)) headers.push(field);
  }
  return {
    target,
    method: call.method ?? "",
    headers,
    body: bodyOf(fields),
    follow: only(fields, "gantry-redirect") === "follow",
    guest_key: only(fields, "gantry-idempotency-key"),
  };
}

/** What of an answer's head goes on to the guest; its length stays, since no byte of the body is changed. */
export function answerHeaders(headers: HeaderList): HeaderList {
  const dropped = namesOf(headers);
  return headers.filter(([field]) => {
    const name = field.toLowerCase();
    return !dropped.has(name) && !name.startsWith(OURS);
  });
}

/** Can a cut in the body be told from its end? Otherwise a connection that was closed in time is all there is. */
export function isVerifiable(method: string, status: number, headers: HeaderList): boolean {
  if (method === "HEAD" || status === 204 || status === 304) return true;
  return headers.some(([name]) => /^(content-length|transfer-encoding)$/i.test(name));
}

/** `host` as it is sent: without the port that the scheme has anyway. */
export function hostHeader({ protocol, host, port }: Target): string {
  const usual = protocol === "https" || protocol === "wss" ? 443 : 80;
  return port === usual ? host : `${host}:${port}`;
}

/** What the guest calls this effect: in the header that its destination knows, or in ours. */
export function guestKey(
  { idempotency }: EgressRule,
  headers: HeaderList,
  own: string | undefined,
): { guest_key?: string } {
  const header = idempotency === undefined || idempotency === "off" ? undefined : idempotency.header.toLowerCase();
  const guest_key = (header === undefined ? undefined : fieldOf(headers, header)) ?? own;
  return guest_key === undefined ? {} : { guest_key };
}

export function fieldOf(headers: HeaderList, name: string): string | undefined {
  return headers.find(([each]) => each.length === name.length && each.toLowerCase() === name)?.[1];
}

function fieldsOf(raw: readonly string[]): HeaderList {
  if (raw.length > 2 * EGRESS_HEADER_FIELDS_MAX) {
    throw badRequest(`The call has more than ${EGRESS_HEADER_FIELDS_MAX} header fields.`);
  }
  const fields: HeaderList = [];
  let bytes = 0;
  for (let i = 0; i + 1 < raw.length; i += 2) {
    const [name = "", value = ""] = [raw[i], raw[i + 1]];
    bytes += name.length + value.length + 4;
    if (NOT_A_VALUE.test(value)) throw badRequest(`The header ${name} has a character that no value may have.`);
    fields.push([name, value]);
  }
  if (bytes > EGRESS_HEADER_BYTES_MAX)
    throw badRequest(`The call's head is longer than ${EGRESS_HEADER_BYTES_MAX} bytes.`);
  return fields;
}

function bodyOf(fields: HeaderList): CallHead["body"] {
  const length = only(fields, "content-length");
  const coding = only(fields, "transfer-encoding");
  if (length !== undefined && coding !== undefined) {
    throw badRequest(
      "The call has both content-length and transfer-encoding; which of them counts is read in two ways.",
    );
  }
  if (coding !== undefined) {
    if (coding.toLowerCase() !== "chunked")
      throw badRequest("The only transfer-encoding that is taken here is chunked.");
    return "chunked";
  }
  if (length === undefined) return null;
  if (!/^\d{1,15}$/.test(length)) throw badRequest("The header content-length is not a number of bytes.");
  return Number(length) === 0 ? null : Number(length);
}

/** @throws EGRESS_BAD_REQUEST  it is there twice. */
function only(fields: HeaderList, name: string): string | undefined {
  let found: string | undefined;
  for (const [each, value] of fields) {
    if (each.length !== name.length || each.toLowerCase() !== name) continue;
    if (found !== undefined) throw badRequest(`The header ${name} is there twice.`);
    found = value;
  }
  return found;
}

/** What ends at this connection: by its nature, or because `connection` names it. */
function namesOf(fields: HeaderList): ReadonlySet<string> {
  let names: Set<string> | undefined;
  for (const [name, value] of fields) {
    if (name.length !== 10 || name.toLowerCase() !== "connection") continue;
    for (const each of value.toLowerCase().split(",")) {
      const named = each.trim();
      if (named === "keep-alive" || named === "close") continue;
      names ??= new Set(HOP_BY_HOP);
      names.add(named);
    }
  }
  return names ?? HOP_BY_HOP;
}

function isSameHost(host: string, target: Target): boolean {
  if (host.toLowerCase() === hostHeader(target)) return true;
  const { protocol } = target;
  const same = parseTarget(`${protocol}://${host}/`, false);
  return hrefOf({ ...target, path: "/", query: "" }) === hrefOf(same);
}
