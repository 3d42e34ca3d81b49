import type {
  BlockedEgressCall,
  EgressQuestion,
  EgressService,
  EgressVerdict,
  Lease,
  RedteamRecord,
  Secret,
} from "./egress_types.ts";
import type { Transport } from "./transport.ts";

interface Stop {
  signal?: AbortSignal;
}

/** What calls are made with, sealed on the server. Every method throws `GantryApiError` or `GantryConnectionError`. */
export class Secrets {
  readonly #transport: Transport;

  constructor(transport: Transport) {
    this.#transport = transport;
  }

  /** All of the tenant, by name, without values. */
  async list(options: Stop = {}): Promise<Secret[]> {
    return (await this.#transport.json<{ items: Secret[] }>({ method: "GET", path: "/v1/secrets", ...options })).items;
  }

  /**
   * Makes it, or a new version of it.
   * @param value  text, which is sent as it is, or bytes; 1 byte to 64 KiB.
   * @throws `SECRETS_NAME` `SECRETS_SIZE` `SECRETS_TOO_MANY`
   */
  set(name: string, value: string | Uint8Array, options: Stop = {}): Promise<Secret> {
    const body = typeof value === "string" ? { value } : { value_base64: base64Of(value) };
    return this.#transport.json({ method: "PUT", path: secretPath(name), body, ...options });
  }

  /** Its leases are revoked with it. @throws `SECRETS_UNKNOWN` */
  remove(name: string, options: Stop = {}): Promise<void> {
    return this.#transport.done({ method: "DELETE", path: secretPath(name), ...options });
  }
}

/** Which runs may use which secrets. Every method throws `GantryApiError` or `GantryConnectionError`. */
export class Leases {
  readonly #transport: Transport;

  constructor(transport: Transport) {
    this.#transport = transport;
  }

  /** Newest first, those whose time has not run out; of one that was ended before, when. */
  async list(options: Stop = {}): Promise<Lease[]> {
    return (await this.#transport.json<{ items: Lease[] }>({ method: "GET", path: "/v1/leases", ...options })).items;
  }

  /** Ends it before its time, and cuts the calls that use it. @throws `LEASE_UNKNOWN` */
  revoke(id: string, options: Stop = {}): Promise<void> {
    return this.#transport.done({ method: "DELETE", path: `/v1/leases/${encodeURIComponent(id)}`, ...options });
  }
}

/** What leaves a run, and what was stopped. Every method throws `GantryApiError` or `GantryConnectionError`. */
export class Egress {
  readonly blocked: BlockedCalls;
  readonly services: EgressServices;
  readonly #transport: Transport;

  constructor(transport: Transport) {
    this.#transport = transport;
    this.blocked = new BlockedCalls(transport);
    this.services = new EgressServices(transport);
  }

  /** What a contract says of a call; nothing is looked up or sent. @throws `CONTRACT_UNKNOWN` `EGRESS_BAD_REQUEST` */
  test(question: EgressQuestion, options: Stop = {}): Promise<EgressVerdict> {
    return this.#transport.json({ method: "POST", path: "/v1/egress/test", body: question, ...options });
  }

  /**
   * Records what became of hostile programs, by the rows of their runs.
   * @param report.runs  1 to 64 runs of one's own that have ended.
   * @param report.hits  how often a canary was reached, or a program got what it should not.
   * @throws `EGRESS_REDTEAM_RUN`
   */
  recordRedteam(report: { runs: string[]; hits: number }, options: Stop = {}): Promise<RedteamRecord> {
    return this.#transport.json({ method: "POST", path: "/v1/redteam", body: report, ...options });
  }
}

/** Mutating calls that were stopped and kept, until somebody lets them go or drops them. */
export class BlockedCalls {
  readonly #transport: Transport;

  constructor(transport: Transport) {
    this.#transport = transport;
  }

  /** Newest first. */
  async list(options: Stop = {}): Promise<BlockedEgressCall[]> {
    const ask = { method: "GET", path: BLOCKED, ...options } as const;
    return (await this.#transport.json<{ items: BlockedEgressCall[] }>(ask)).items;
  }

  /** @throws `EGRESS_BLOCKED_UNKNOWN` */
  get(id: string, options: Stop = {}): Promise<BlockedEgressCall> {
    return this.#transport.json({ method: "GET", path: blockedPath(id), ...options });
  }

  /**
   * Sends it under the contract as it is now, in one's own name and under its old key.
   * @throws `EGRESS_BLOCKED_UNKNOWN` `EGRESS_BLOCKED_SETTLED`; the refusal, when the contract still does not allow it.
   */
  retry(id: string, options: Stop = {}): Promise<BlockedEgressCall> {
    return this.#transport.json({ method: "POST", path: `${blockedPath(id)}/retry`, ...options });
  }

  /** It is never sent. @throws `EGRESS_BLOCKED_UNKNOWN` `EGRESS_BLOCKED_SETTLED` */
  drop(id: string, options: Stop = {}): Promise<void> {
    return this.#transport.done({ method: "DELETE", path: blockedPath(id), ...options });
  }
}

/** The tenant's catalogue: names that rules may use instead of hosts. */
export class EgressServices {
  readonly #transport: Transport;

  constructor(transport: Transport) {
    this.#transport = transport;
  }

  /** All of the tenant, by name. */
  async list(options: Stop = {}): Promise<EgressService[]> {
    const ask = { method: "GET", path: SERVICES, ...options } as const;
    return (await this.#transport.json<{ items: EgressService[] }>(ask)).items;
  }

  /** Makes it, or changes it for contracts that are applied from then on. @throws `EGRESS_SERVICE` `EGRESS_SERVICE_TOO_MANY` */
  set(entry: EgressService, options: Stop = {}): Promise<EgressService> {
    const { name, ...body } = entry;
    return this.#transport.json({ method: "PUT", path: servicePath(name), body, ...options });
  }

  /** Contracts that were applied keep what they say. @throws `EGRESS_SERVICE_UNKNOWN` */
  remove(name: string, options: Stop = {}): Promise<void> {
    return this.#transport.done({ method: "DELETE", path: servicePath(name), ...options });
  }
}

const BLOCKED = "/v1/egress/blocked";
const SERVICES = "/v1/egress/services";

function secretPath(name: string): string {
  return `/v1/secrets/${encodeURIComponent(name)}`;
}

function blockedPath(id: string): string {
  return `${BLOCKED}/${encodeURIComponent(id)}`;
}

function servicePath(name: string): string {
  return `${SERVICES}/${encodeURIComponent(name)}`;
}

/** In pieces: a call has only so many arguments. */
function base64Of(bytes: Uint8Array): string {
  let text = "";
  for (let at = 0; at < bytes.length; at += 8_192) text += String.fromCharCode(...bytes.subarray(at, at + 8_192));
  return btoa(text);
}
