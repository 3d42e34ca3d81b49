import type { Clock } from "../../kernel/clock.ts";
import { GantryError } from "../../kernel/errors.ts";
import {
  egress_errors,
  REDIRECT_BODY_BYTES_MAX,
  REDIRECT_REMEMBERED_MS_MAX,
  REDIRECTS_MAX,
  REDIRECTS_REMEMBERED_MAX,
} from "../contract.ts";
import { hrefOf, parseTarget } from "../destination/target.ts";
import type { HeaderList, Target } from "../parts.ts";
import { LEASE_SHAPE } from "../secrets/lease_token.ts";

const FOLLOWED = new Set([301, 302, 303, 307, 308]);
/** Said to one origin, and to no other that it points to. */
const CREDENTIALS = new Set(["authorization", "cookie", "proxy-authorization"]);
/** In whatever header it stands. */
const LEASE = new RegExp(LEASE_SHAPE.source);
/** They speak of a body that is not sent again. */
const OF_A_BODY = /^content-/i;

/** Where a run's answers have pointed to lately, so that whoever follows takes no credentials along to another origin. */
export class RedirectMemory {
  readonly #clock: Clock;
  /** By target and by origin that pointed to it. */
  readonly #given = new Map<string, { href: string; origin: string; at: number }>();

  constructor(clock: Clock) {
    this.#clock = clock;
  }

  /** An answer of `from` points to `location`; where that is nowhere we know, nobody can follow it either. */
  remember(from: Target, location: string): void {
    const to = resolveLocation(from, location);
    if (to === undefined) return;
    const [href, origin] = [hrefOf(to), originOf(from)];
    const key = `${origin} ${href}`;
    this.#given.delete(key);
    this.#given.set(key, { href, origin, at: this.#clock.monotonic() });
    const [oldest] = this.#given.keys();
    if (this.#given.size > REDIRECTS_REMEMBERED_MAX && oldest !== undefined) this.#given.delete(oldest);
  }

  /** The headers that may go to `to`: without credentials, where another origin has pointed there. */
  strip(to: Target, headers: HeaderList): HeaderList {
    if (this.#given.size === 0) return headers;
    const [href, origin, now] = [hrefOf(to), originOf(to), this.#clock.monotonic()];
    for (const each of this.#given.values()) {
      if (now - each.at > REDIRECT_REMEMBERED_MS_MAX || each.href !== href || each.origin === origin) continue;
      return withoutCredentials(headers);
    }
    return headers;
  }
}

/** What a hop starts from. */
export interface Hop {
  target: Target;
  method: string;
  headers: HeaderList;
  /** The body, if it is here as a whole. */
  whole: Buffer | null | undefined;
  /** Which one it is, from 0. */
  n: number;
}

/** Is it a redirect that can be followed? */
export function isRedirect(status: number, location: string | undefined): location is string {
  return location !== undefined && FOLLOWED.has(status);
}

/**
 * The hop after an answer that points elsewhere (RFC 9110, 15.4).
 * @throws EGRESS_REDIRECT  it leads from https to http, is one too many, points nowhere, or needs a body that is gone.
 */
export function nextHop(hop: Hop, status: number, location: string): Hop {
  if (hop.n >= REDIRECTS_MAX) {
    throw refused(`More than ${REDIRECTS_MAX} redirects are not followed; the last came from ${hop.target.host}.`);
  }
  const to = resolveLocation(hop.target, location);
  if (to === undefined) throw refused(`${hop.target.host} points to what is no URL of http or https.`);
  if (hop.target.protocol === "https" && to.protocol === "http") {
    throw refused(`${hop.target.host} points from https to http at ${to.host}, which is not followed.`);
  }
  const headers = originOf(to) === originOf(hop.target) ? hop.headers : withoutCredentials(hop.headers);
  const keeps = status === 307 || status === 308 || hop.method === "GET" || hop.method === "HEAD";
  if (!keeps) {
    const bare = headers.filter(([name]) => !OF_A_BODY.test(name));
    return { target: to, method: "GET", headers: bare, whole: null, n: hop.n + 1 };
  }
  if (hop.whole === undefined || (hop.whole?.byteLength ?? 0) > REDIRECT_BODY_BYTES_MAX) {
    throw refused(
      `The call's body is sent again only up to ${REDIRECT_BODY_BYTES_MAX} bytes; follow the redirect yourself.`,
    );
  }
  return { target: to, method: hop.method, headers, whole: hop.whole, n: hop.n + 1 };
}

export function originOf({ protocol, host, port }: Target): string {
  return `${protocol}://${host}:${port}`;
}

function resolveLocation(from: Target, location: string): Target | undefined {
  const base = hrefOf(from);
  if (!URL.canParse(location, base)) return undefined;
  try {
    return parseTarget(new URL(location, base).href, false);
  } catch {
    // No door would let a call out to it.
    return undefined;
  }
}

function withoutCredentials(headers: HeaderList): HeaderList {
  return headers.filter(([name, value]) => !CREDENTIALS.has(name.toLowerCase()) && !LEASE.test(value));
}

function refused(detail: string): GantryError {
  return new GantryError(egress_errors.REDIRECT, { detail });
}
