import { GantryError } from "../../kernel/errors.ts";
import { hasSoundLabels } from "../../kernel/hosts.ts";
import { EGRESS_URL_BYTES_MAX, egress_errors, type Protocol } from "../contract.ts";
import type { Target } from "../parts.ts";

/** Of the WHATWG URL standard, "special schemes"; a tunnel names its port. */
const PORTS: Partial<Record<string, number>> = { http: 80, ws: 80, https: 443, wss: 443 };
const REQUESTS: Partial<Record<string, Protocol>> = { http: "http", https: "https" };
/** A WebSocket may be asked for under either scheme: guests' `fetch` keeps the one of HTTP. */
const UPGRADES: Partial<Record<string, Protocol>> = { http: "ws", https: "wss", ws: "ws", wss: "wss" };
const PORT_MAX = 65_535;
/** RFC 1035, 2.3.4. */
const HOST_CHARS_MAX = 253;
/** As resolvers take it; no star, which is a pattern here and a name of its own in DNS. RFC 1035, 2.3.1, and the `_` of services. */
const LABEL = /^[a-z0-9_-]{1,63}$/;
const IPV4 = /^\d{1,3}(?:\.\d{1,3}){3}$/;

/**
 * The one reading of what a guest asked for. Whatever two readers could read in two ways is refused; the rest is written
 * canonically once, so that the bytes that are judged are the bytes that are sent. The fragment is dropped.
 * @param raw_url  absolute.
 * @param is_upgrade  a WebSocket is asked for: the protocol is then `ws` or `wss`.
 * @throws EGRESS_BAD_REQUEST
 */
export function parseTarget(raw_url: string, is_upgrade: boolean): Target {
  demandBytes(raw_url);
  // Tabs, line ends and the spaces at both ends vanish in the URL standard, and a backslash becomes a slash.
  if (/[\s\p{Cc}\\]/u.test(raw_url)) {
    throw bad(
      "The URL has white space, a control character or a backslash in it; in a path they are written %20, %5C.",
    );
  }
  const parts = /^([a-z][a-z0-9+.-]*):\/\/([^/?#]*)/i.exec(raw_url);
  const [scheme, authority] = [parts?.[1]?.toLowerCase(), parts?.[2]];
  if (scheme === undefined || authority === undefined) {
    throw bad("The URL is not absolute: it begins with a scheme and a host, as in https://api.example.com/.");
  }
  const protocol = (is_upgrade ? UPGRADES : REQUESTS)[scheme];
  if (protocol === undefined) {
    const right = is_upgrade ? "ws, wss, http or https" : "http or https; a WebSocket is asked for with Upgrade";
    throw bad(`The scheme of the URL is not one that goes out here: use ${right}.`);
  }
  demandAuthority(authority);
  const url = URL.canParse(raw_url) ? new URL(raw_url) : undefined;
  if (url === undefined || !hasSoundLabels(url.hostname)) throw bad("The host or the port of the URL is not one.");
  const port = url.port === "" ? PORTS[protocol] : Number(url.port);
  const target = {
    protocol,
    host: canonicalHost(url.hostname),
    port: demandPort(port),
    path: url.pathname,
    query: queryOf(url),
  };
  demandBytes(hrefOf(target));
  return target;
}

/**
 * Where a tunnel goes: `host:port`, an IPv6 address in brackets.
 * @throws EGRESS_BAD_REQUEST
 */
export function parseAuthority(raw: string, protocol: "tcp" | "tls"): Target {
  demandBytes(raw);
  const parts = /^(\[[0-9a-f:.]+\]|[^\s\p{Cc}:/?#@[\]\\%]+):(\d{1,5})$/iu.exec(raw);
  const [host, port] = [parts?.[1], parts?.[2]];
  // The scheme has a default port that nothing here can be taken for.
  const url = host !== undefined && URL.canParse(`https://${host}/`) ? new URL(`https://${host}/`) : undefined;
  if (url === undefined || !hasSoundLabels(url.hostname))
    throw bad("A tunnel is asked for by host and port, as in db.example.com:5432 or [2001:db8::1]:5432.");
  return { protocol, host: canonicalHost(url.hostname), port: demandPort(Number(port)), path: "", query: "" };
}

/**
 * The target as one text, which reads as the same target again.
 * @throws EGRESS_BAD_REQUEST  it is longer than a URL may be.
 */
export function hrefOf({ protocol, host, port, path, query }: Target): string {
  const href = `${protocol}://${host}${PORTS[protocol] === port ? "" : `:${port}`}${path}${query}`;
  demandBytes(href);
  return href;
}

/** Is the host an IP address, as targets write them? */
export function isLiteral(host: string): boolean {
  return host.startsWith("[") || IPV4.test(host);
}

/** A `?` with nothing behind it is sent as well, of which the parser's `search` says nothing. */
function queryOf(url: URL): string {
  const [bare = ""] = url.href.split("#");
  return url.search === "" && bare.endsWith("?") ? "?" : url.search;
}

function demandAuthority(authority: string): void {
  if (authority.includes("@")) {
    throw bad("The URL has a user or a password in it; credentials are leases in headers, never part of a URL.");
  }
  if (authority.includes("%")) {
    throw bad("The host of the URL is percent-encoded, which is read in two ways; write it as it is, IDNA in ASCII.");
  }
  if (authority === "" || authority.startsWith(":")) throw bad("The URL names no host.");
}

/** @param host  as the parser of URLs gives it: lower case, IDNA in ASCII, addresses in their one form. */
function canonicalHost(host: string): string {
  if (host.startsWith("[")) return host;
  const name = host.endsWith(".") ? host.slice(0, -1) : host;
  if (name.length > HOST_CHARS_MAX || !name.split(".").every((label) => LABEL.test(label))) {
    throw bad("The host is not a name: labels of 1 to 63 of a-z, 0-9, - and _, separated by single dots.");
  }
  return name;
}

function demandPort(port: number | undefined): number {
  if (port !== undefined && port >= 1 && port <= PORT_MAX) return port;
  throw bad(`The port is not one from 1 to ${PORT_MAX}.`);
}

function demandBytes(text: string): void {
  // Text has at least as many bytes as code units: what is far too long is not even encoded.
  if (text.length <= EGRESS_URL_BYTES_MAX && Buffer.byteLength(text) <= EGRESS_URL_BYTES_MAX) return;
  throw bad(`The URL is longer than ${EGRESS_URL_BYTES_MAX} bytes; what is long goes into a body.`);
}

/** The URL itself is not repeated: it may carry what is nobody's business. */
function bad(detail: string): GantryError {
  return new GantryError(egress_errors.BAD_REQUEST, { detail });
}
