import { promises as dns } from "node:dns";
import { isIP } from "node:net";
import { type Clock, within } from "../../kernel/clock.ts";
import { GantryError } from "../../kernel/errors.ts";
import {
  DNS_ANSWERS_MAX,
  DNS_CACHED_MAX,
  DNS_MS_MAX,
  DNS_NEGATIVE_MS,
  DNS_TTL_MS_MAX,
  DNS_TTL_MS_MIN,
  egress_errors,
} from "../contract.ts";
import type { Resolver } from "../parts.ts";
import { nameOf } from "./faults.ts";

export interface ResolverOptions {
  /** Addresses of name servers, with a port if it is not 53; default: those of the system. */
  servers?: readonly string[];
}

type Family = 4 | 6;
/** No addresses: the name has none. */
interface Known {
  addresses: string[];
  until: number;
}

/** c-ares asks again after this long, so that two questions fit into `DNS_MS_MAX`. */
const TRY_MS = DNS_MS_MAX / 2;
const LOOPBACK: Record<Family, string> = { 4: "127.0.0.1", 6: "::1" };
/** What a server says of a name without such addresses. */
const NOTHING = new Set(["ENODATA", "ENOTFOUND"]);

/**
 * Asks name servers directly (c-ares), not `getaddrinfo`, whose few threads also serve files. Answers are remembered for
 * their time to live, never longer, `DNS_CACHED_MAX` of them; who asks meanwhile waits for the same answer. `localhost`
 * and addresses are never asked for (RFC 6761, 6.3).
 */
export function createResolver(clock: Clock, o: ResolverOptions = {}): Resolver {
  return new NameServers(clock, o);
}

class NameServers implements Resolver {
  readonly #clock: Clock;
  readonly #servers: dns.Resolver;
  /** By family and name. */
  readonly #known = new Map<string, Known>();
  /** Both families of a name. */
  readonly #both = new Map<string, Known>();
  readonly #asking = new Map<string, Promise<Known>>();

  constructor(clock: Clock, { servers }: ResolverOptions) {
    this.#clock = clock;
    this.#servers = new dns.Resolver({ timeout: TRY_MS, tries: 2 });
    if (servers !== undefined) this.#servers.setServers(servers);
  }

  async addresses(host: string, family?: Family): Promise<{ addresses: string[]; ttl_ms: number }> {
    const families: readonly Family[] = family === undefined ? [4, 6] : [family];
    const literal = families.find((each) => each === isIP(host));
    if (literal !== undefined || isIP(host) !== 0) {
      return { addresses: literal === undefined ? [] : [host], ttl_ms: DNS_TTL_MS_MAX };
    }
    if (/(^|\.)localhost$/.test(host)) {
      return { addresses: families.map((each) => LOOPBACK[each]), ttl_ms: DNS_TTL_MS_MAX };
    }
    // What is known is the same list each time, so that whoever has judged it knows it again.
    const have = this.#both.get(host);
    const now = this.#clock.now();
    if (have !== undefined && family === undefined && have.until > now) {
      return { addresses: have.addresses, ttl_ms: have.until - now };
    }
    const found = await this.#askAll(host, families);
    if (family === undefined) remember(this.#both, host, found);
    return { addresses: found.addresses, ttl_ms: Math.max(found.until - this.#clock.now(), 0) };
  }

  async records(host: string, type: "TXT" | "MX" | "SRV"): Promise<{ records: unknown[]; ttl_ms: number }> {
    try {
      const records = await this.#inTime<unknown[]>(host, this.#queryOf(host, type));
      if (records.length > DNS_ANSWERS_MAX) throw tooMany(host, records.length);
      // Node does not tell how long these live.
      return { records, ttl_ms: DNS_TTL_MS_MIN };
    } catch (error) {
      if (NOTHING.has(nameOf(error))) return { records: [], ttl_ms: DNS_NEGATIVE_MS };
      throw fault(host, error);
    }
  }

  async #askAll(host: string, families: readonly Family[]): Promise<Known> {
    const found = await Promise.allSettled(families.map((each) => this.#find(host, each)));
    const answers = found.flatMap((each) => (each.status === "fulfilled" ? [each.value] : []));
    const failed = found.find((each) => each.status === "rejected");
    const addresses = answers.flatMap((each) => each.addresses);
    if (addresses.length > DNS_ANSWERS_MAX) throw tooMany(host, addresses.length);
    // One family is enough to dial: only what was answered is judged, and only what was judged is dialled.
    if (addresses.length === 0) throw failed === undefined ? noAddress(host) : fault(host, failed.reason);
    if (failed !== undefined && nameOf(failed.reason) === egress_errors.DNS.code) throw failed.reason;
    return { addresses, until: Math.min(...answers.map(({ until }) => until)) };
  }

  #find(host: string, family: Family): Promise<Known> | Known {
    const key = `${family} ${host}`;
    const have = this.#known.get(key);
    if (have !== undefined && have.until > this.#clock.now()) return have;
    this.#known.delete(key);
    const under_way = this.#asking.get(key);
    if (under_way !== undefined) return under_way;
    const asked = this.#ask(host, family)
      .then((answer) => {
        remember(this.#known, key, answer);
        return answer;
      })
      .finally(() => this.#asking.delete(key));
    this.#asking.set(key, asked);
    return asked;
  }

  async #ask(host: string, family: Family): Promise<Known> {
    const nothing = (): Known => ({ addresses: [], until: this.#clock.now() + DNS_NEGATIVE_MS });
    const ttl = { ttl: true } as const;
    try {
      const query = family === 4 ? this.#servers.resolve4(host, ttl) : this.#servers.resolve6(host, ttl);
      const records = await this.#inTime(host, query);
      if (records.length === 0) return nothing();
      if (records.length > DNS_ANSWERS_MAX) throw tooMany(host, records.length);
      const ttl_ms = Math.min(...records.map((each) => each.ttl)) * 1_000;
      return {
        addresses: records.map(({ address }) => address),
        until: this.#clock.now() + Math.min(Math.max(ttl_ms, DNS_TTL_MS_MIN), DNS_TTL_MS_MAX),
      };
    } catch (error) {
      if (NOTHING.has(nameOf(error))) return nothing();
      throw error;
    }
  }

  #queryOf(host: string, type: "TXT" | "MX" | "SRV"): Promise<unknown[]> {
    switch (type) {
      case "TXT":
        return this.#servers.resolveTxt(host);
      case "MX":
        return this.#servers.resolveMx(host);
      case "SRV":
        return this.#servers.resolveSrv(host);
    }
  }

  #inTime<T>(host: string, query: Promise<T>): Promise<T> {
    return within(this.#clock, DNS_MS_MAX, query, () => {
      throw late(host);
    });
  }
}

function remember(into: Map<string, Known>, key: string, answer: Known): void {
  into.delete(key);
  into.set(key, answer);
  if (into.size <= DNS_CACHED_MAX) return;
  const [oldest] = into.keys();
  if (oldest !== undefined) into.delete(oldest);
}

function fault(host: string, error: unknown): unknown {
  if (nameOf(error).startsWith("EGRESS_")) return error;
  return new GantryError(egress_errors.UPSTREAM, {
    detail: `No name server answered for ${host} (${nameOf(error)}).`,
    internal: error,
  });
}

function noAddress(host: string): GantryError {
  return new GantryError(egress_errors.UPSTREAM, { detail: `${host} has no address.` });
}

function late(host: string): GantryError {
  return new GantryError(egress_errors.UPSTREAM, {
    detail: `No name server answered for ${host} within ${DNS_MS_MAX} ms.`,
  });
}

function tooMany(host: string, n: number): GantryError {
  return new GantryError(egress_errors.DNS, {
    detail: `${host} has ${n} addresses; a name with more than ${DNS_ANSWERS_MAX} is not believed.`,
  });
}
