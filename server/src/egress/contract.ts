import type { IncomingMessage, ServerResponse } from "node:http";
import type { Duplex } from "node:stream";
import type { ChainLink, Principal } from "../identity/contract.ts";
import { defineErrors, type NextStep } from "../kernel/errors.ts";
import type { ApprovalId, BlockedCallId, LeaseId, TenantId } from "../kernel/ids.ts";
import type { DataClass, PolicyView } from "../policy/contract.ts";
import type { Reader, Tx } from "../storage/contract.ts";

export const PROTOCOLS = ["http", "https", "ws", "wss", "tcp", "tls"] as const;
export type Protocol = (typeof PROTOCOLS)[number];

/** Whose calls a door lets out, and by what right. */
export interface EgressIdentity {
  tenant: TenantId;
  chain: readonly ChainLink[];
  /** The run that calls. */
  subject: string;
  /** What effects are counted under: equal across the attempts of one work. `root`, or `root/step`. */
  scope: string;
  /** What a fence closes as a whole. */
  root: string;
  /** The attempt. A root's newer epoch shuts out all older ones. */
  epoch: number;
  /** When the attempt was made ready, milliseconds UTC. It never moves: long afterwards nothing is intended. */
  began_at: number;
  view: PolicyView;
  /** What people approved, and the gates that it holds open. */
  approval: { id: ApprovalId; gates: readonly string[] } | null;
  /** Milliseconds UTC. */
  deadline_at: number;
}

/** The one way out of a run. Speaks with the run's guests, and is hostile to what they say. */
export interface EgressDoor {
  request(call: IncomingMessage, answer: ServerResponse): void;
  connect(call: IncomingMessage, socket: Duplex, head: Buffer): void;
  upgrade(call: IncomingMessage, socket: Duplex, head: Buffer): void;
  /** Refuses what comes, destroys what goes on, waits until the effects' ends are recorded, and tells what there was. */
  close(): Promise<EgressSummary>;
}

/** Calls alike, in sum. */
export interface EgressRow {
  /** Canonical; at most `EGRESS_HOST_CHARS`. */
  host: string;
  /** `GET`, …; `WEBSOCKET`, `CONNECT`, `DNS`. */
  method: string;
  /** The pattern of the rule that let it out, `*` when the rule has none; null when none did. */
  path: string | null;
  /** The rule that let it out. */
  rule: string | null;
  verdict: "allowed" | "denied";
  /** Why it was denied, or how it failed. */
  code: string | null;
  count: number;
  request_bytes: number;
  response_bytes: number;
  /** Of the tenant's catalogue, when the rule names a service. */
  service?: string;
  environment?: string;
}

export interface EgressSummary {
  /** At most `EGRESS_ROWS_MAX`, the rest folded into one with host and method `*`. */
  rows: EgressRow[];
  /** Calls that may have changed something. */
  effects: number;
  /** NDJSON of the calls one by one, without bodies and values of queries; at most `EGRESS_LOG_BYTES_MAX`. */
  log: string;
  log_dropped: number;
}

/** What a call would be told, without a look at DNS and without sending anything. */
export interface EgressVerdict {
  verdict: "allow" | "deny" | "needs_human";
  /** The rule that decides. */
  rule?: string;
  code?: string;
  detail?: string;
  next_steps?: NextStep[];
  service?: string;
  environment?: string;
}

/** The environment variable in which a guest finds its lease of this secret: `github-token` is `GITHUB_TOKEN`. */
export function leaseVariable(secret: string): string {
  return secret.toUpperCase().replaceAll(/[^A-Z0-9]/g, "_");
}

/** A guest's credentials: values of its environment that mean nothing outside its door. */
export interface PreparedLeases {
  /** By the name of the environment variable. */
  vars: Record<string, string>;
  /** In the unit that admits the run. */
  write(tx: Tx): void;
}

export interface LeaseView {
  id: LeaseId;
  subject: string;
  secret: string;
  hosts: string[];
  methods: string[];
  slot: string;
  not_after_at: number;
  revoked_at: number | null;
}

export interface SecretView {
  name: string;
  version: number;
  created_at: number;
  /** The actor who set it. */
  actor: string;
}

/** A mutating call that policy stopped, kept so that a person can let it go on after the contract has been changed. */
export interface BlockedCallView {
  id: BlockedCallId;
  subject: string;
  contract: { name: string; version: number };
  code: string;
  method: string;
  url: string;
  body_bytes: number;
  state: "waiting" | "sent" | "failed" | "dropped" | "expired";
  /** Of a retry that was answered. */
  status: number | null;
  created_at: number;
  expires_at: number;
}

/** One entry of the tenant's catalogue: what a rule may name instead of hosts. */
export interface ServiceEntry {
  name: string;
  class: string;
  environment: string;
  hosts: string[];
  protocol: Protocol;
  ports?: number[];
  methods?: string[];
  data_class?: DataClass;
}

/** The room, as runs and later instances and apps use it. */
export interface Egress {
  /** One for each attempt of a run. */
  door(who: EgressIdentity): EgressDoor;
  /**
   * In the unit that starts an attempt, or that declares the last one lost (`epoch` is then the one after it): whatever an
   * older one still does changes nothing any more, and what it intended and did not end is `unknown`.
   */
  fence(tx: Tx, of: { tenant: TenantId; root: string; epoch: number }): Promise<void>;
  /** Calls of one attempt that may have changed something, known or not how they ended; of one whose door cannot tell. */
  effects(reader: Reader, of: { root: string; epoch: number }): Promise<number>;
  /** In the unit that ends all of it: no attempt will come that could be given an answer again. */
  forget(tx: Tx, of: { root: string }): void;
  leases: {
    /** Is every secret there that the contract's rules name? Asked before anything waits. @throws SECRETS_UNKNOWN */
    demand(tenant: TenantId, view: PolicyView): Promise<void>;
    /**
     * For every secret that the contract's rules name.
     * @throws SECRETS_UNKNOWN LEASE_APPROVAL
     */
    prepare(who: EgressIdentity): Promise<PreparedLeases>;
    /** In the unit that ends the subject. */
    end(tx: Tx, of: { tenant: TenantId; subject: string }): void;
  };
  logs: {
    /**
     * Of one attempt's door. What no single unit may hold is durable when this resolves.
     * @returns writes the rest, in the unit that ends the attempt. All is deleted after `EGRESS_LOG_MS_MAX`.
     */
    keep(of: { tenant: TenantId; subject: string; epoch: number }, log: string): Promise<(tx: Tx) => void>;
    /** One page of the lines of all attempts, oldest first. @param cursor  the `next` of the page before. */
    read(of: { tenant: TenantId; subject: string }, cursor?: string): Promise<{ lines: string[]; next?: string }>;
  };
  /** Pure but for what holds of the tenant: its denied hosts. */
  explain(
    tenant: TenantId,
    view: PolicyView,
    asked: { url: string; method?: string; protocol?: Protocol },
  ): Promise<EgressVerdict>;
}

export interface SecretList {
  /**
   * Makes it, or a new version of it, which leases that are out give from then on.
   * @param value  is overwritten with zeros, whatever comes of it.
   * @throws SECRETS_NAME SECRETS_SIZE SECRETS_VALUE SECRETS_TOO_MANY
   */
  set(who: Principal, name: string, value: Uint8Array): Promise<SecretView>;
  list(who: Principal): Promise<SecretView[]>;
  /** Its leases are revoked with it. @throws SECRETS_UNKNOWN */
  remove(who: Principal, name: string): Promise<void>;
}

/** For the surfaces. Another tenant's are as unknown as those that never were. */
export interface LeaseList {
  /** Newest first, those whose time has not run out; of one that was ended before, when. */
  list(who: Principal): Promise<LeaseView[]>;
  /** One that has ended stays as it is. @throws LEASE_UNKNOWN */
  revoke(who: Principal, id: string): Promise<void>;
}

export interface BlockedCallList {
  /** Newest first, at most `BLOCKED_CALLS_MAX`. */
  list(who: Principal): Promise<BlockedCallView[]>;
  /** @throws EGRESS_BLOCKED_UNKNOWN */
  show(who: Principal, id: string): Promise<BlockedCallView>;
  /** Under the contract as it is now, by whoever asks. @throws EGRESS_BLOCKED_UNKNOWN EGRESS_BLOCKED_SETTLED; the refusal */
  retry(who: Principal, id: string): Promise<BlockedCallView>;
  /** @throws EGRESS_BLOCKED_UNKNOWN EGRESS_BLOCKED_SETTLED */
  drop(who: Principal, id: string): Promise<void>;
}

export interface ServiceList {
  /** By name. */
  list(who: Principal): Promise<ServiceEntry[]>;
  /** Makes it, or takes the place of the one of this name. @throws EGRESS_SERVICE EGRESS_SERVICE_TOO_MANY */
  set(who: Principal, entry: ServiceEntry): Promise<ServiceEntry>;
  /** @throws EGRESS_SERVICE_UNKNOWN */
  remove(who: Principal, name: string): Promise<void>;
}

const denied = { status: 403, retry: "never", whose: "policy" } as const;
const upstream = { status: 502, retry: "later", whose: "caller" } as const;
const conflict = { status: 409, retry: "never", whose: "policy" } as const;

export const egress_errors = defineErrors("EGRESS", {
  HOST: { ...denied, title: "The contract grants no call to this host." },
  PROTO: { ...denied, title: "The contract grants no such protocol to this host." },
  PORT: { ...denied, title: "The contract does not grant this port." },
  METHOD: { ...denied, title: "The contract does not grant this method." },
  PATH: { ...denied, title: "The contract does not grant this path." },
  ENVIRONMENT: { ...denied, title: "The service belongs to an environment that is none of the contract's targets." },
  PRIVATE_ADDR: { ...denied, title: "The destination is not a public address." },
  METADATA: { ...denied, title: "The destination is a metadata service of a cloud." },
  SELF: { ...denied, title: "The destination is Gantry itself." },
  DNS: { ...denied, title: "No rule allows this name to be looked up." },
  DNS_REBIND: { ...denied, title: "The name had public addresses before and has others now." },
  REDIRECT: { ...denied, title: "The redirect may not be followed." },
  SNI_MISMATCH: { ...denied, title: "The tunnel does not speak TLS to the host that was granted." },
  SNI_HIDDEN: { ...denied, title: "The tunnel hides which host it speaks to." },
  DLP: { ...denied, title: "The call carries what looks like a secret." },
  OWN_TOKEN: { ...denied, title: "The call carries one of Gantry's own tokens." },
  SHADOW_MCP: { ...denied, title: "The call speaks to an MCP server that the contract does not grant." },
  FENCED: { ...conflict, title: "A newer attempt has taken the place of this one." },
  EFFECT_DONE: { ...conflict, title: "The call was made before and is not made twice." },
  EFFECT_UNKNOWN: { ...conflict, title: "Whether the call was made before is not known." },
  SIZE: { status: 413, retry: "never", whose: "policy", title: "The body is larger than its limit." },
  BUDGET: { status: 429, retry: "never", whose: "policy", title: "The run has used up what it may call." },
  BAD_REQUEST: { status: 400, retry: "never", whose: "caller", title: "The call is not well formed." },
  INCOMPLETE: { ...upstream, title: "The answer broke off." },
  UPSTREAM: { ...upstream, title: "The destination did not answer." },
  TLS: { ...upstream, title: "The destination's certificate was not accepted." },
  SECRET_ECHO: { ...upstream, title: "The answer holds the secret that was sent." },
  SCAN: { ...upstream, title: "The answer cannot be searched for the secret that was sent." },
  TIME: { status: 504, retry: "later", whose: "caller", title: "The call took too long." },
  LEDGER: {
    status: 503,
    retry: "later",
    whose: "gantry",
    title: "The call could not be recorded, so it was not made.",
  },
  CAPACITY: { status: 503, retry: "later", whose: "capacity", title: "As many calls are under way as may be." },
  FAULT: { status: 500, retry: "later", whose: "gantry", title: "The call failed for a reason of Gantry's own." },
  BLOCKED_UNKNOWN: { status: 404, retry: "never", whose: "caller", title: "There is no such blocked call." },
  BLOCKED_SETTLED: { status: 409, retry: "never", whose: "caller", title: "The blocked call has been settled." },
  SERVICE: { status: 422, retry: "never", whose: "caller", title: "The service is not valid." },
  SERVICE_UNKNOWN: { status: 404, retry: "never", whose: "caller", title: "The catalogue has no such service." },
  SERVICE_TOO_MANY: { status: 409, retry: "never", whose: "caller", title: "The catalogue is full." },
  REDTEAM_RUN: {
    status: 422,
    retry: "never",
    whose: "caller",
    title: "The run says nothing about attempts to escape.",
  },
});
export const lease_errors = defineErrors("LEASE", {
  EXPIRED: { ...denied, title: "The lease has expired." },
  REVOKED: { ...denied, title: "The lease was revoked." },
  SCOPE: { ...denied, title: "The lease is not for this call." },
  APPROVAL: { ...denied, title: "The lease needs an approval that is not there." },
  UNKNOWN: { status: 404, retry: "never", whose: "caller", title: "There is no such lease." },
});
export const secrets_errors = defineErrors("SECRETS", {
  UNKNOWN: { status: 404, retry: "never", whose: "caller", title: "There is no such secret." },
  NAME: { status: 422, retry: "never", whose: "caller", title: "The name of the secret is not valid." },
  SIZE: { status: 413, retry: "never", whose: "caller", title: "The secret is larger than its limit, or empty." },
  VALUE: { status: 422, retry: "never", whose: "caller", title: "The value of the secret fits into no header." },
  TOO_MANY: { status: 409, retry: "never", whose: "caller", title: "The tenant has as many secrets as it may have." },
  KEY_MISMATCH: {
    status: 500,
    retry: "never",
    whose: "gantry",
    title: "The secrets were sealed with a key that is not here.",
  },
  KEY_FILE: { status: 500, retry: "never", whose: "gantry", title: "The file with the keys of secrets is damaged." },
  NONE: { status: 409, retry: "never", whose: "caller", title: "There are no secrets." },
});

/** UTF-16 code units of a host in a summary: DNS allows 253, a port adds 6. */
export const EGRESS_HOST_CHARS = 260;
/** Bytes of a call's URL. */
export const EGRESS_URL_BYTES_MAX = 8 * 1024;
/** Bytes of a body that a guest sends, where the rule says nothing. */
export const EGRESS_REQUEST_BYTES_MAX = 16 * 1024 * 1024;
/** Bytes of a body that comes back, where the rule says nothing. */
export const EGRESS_RESPONSE_BYTES_MAX = 64 * 1024 * 1024;
/** Calls of one run that are under way at the same time. */
export const EGRESS_CONCURRENT_MAX = 32;
/** Bytes of a head, either way, and its fields. */
export const EGRESS_HEADER_BYTES_MAX = 32 * 1024;
export const EGRESS_HEADER_FIELDS_MAX = 100;
/** How long a head may take from its first byte to its last. */
export const EGRESS_HEADERS_MS_MAX = 10_000;
/** Connections to destinations that are kept open without a call, all in all, and how long. */
export const CONNECTIONS_IDLE_MAX = 256;
export const CONNECTIONS_IDLE_MS_MAX = 4_000;
export const EGRESS_CONNECT_MS_MAX = 5_000;
export const EGRESS_FIRST_BYTE_MS_MAX = 30_000;
/** Of each direction. */
export const EGRESS_IDLE_MS_MAX = 30_000;
/** Hops that are followed for a guest that asks for it, and the body that is sent again at a hop. */
export const REDIRECTS_MAX = 5;
export const REDIRECT_BODY_BYTES_MAX = 64 * 1024;
/** Targets of redirects that a run is remembered to have been given, and for how long. */
export const REDIRECTS_REMEMBERED_MAX = 64;
export const REDIRECT_REMEMBERED_MS_MAX = 60_000;
export const CLIENT_HELLO_BYTES_MAX = 16 * 1024;
export const CLIENT_HELLO_MS_MAX = 5_000;
export const WEBSOCKET_MESSAGE_BYTES_MAX = 1024 * 1024;
/** Bytes of a server's answer to a handshake that opens no WebSocket. */
export const WEBSOCKET_ANSWER_BYTES_MAX = 256 * 1024;
/** Messages of a guest's WebSocket in one second. */
export const WEBSOCKET_RATE_MAX = 200;
/** Addresses of one answer; more, and the name is not believed. */
export const DNS_ANSWERS_MAX = 16;
export const DNS_MS_MAX = 3_000;
/** Names that one run looks up. */
export const DNS_NAMES_MAX = 64;
/** Bytes of one question that a guest asks over HTTPS. */
export const DNS_QUERY_BYTES_MAX = 4 * 1024;
export const DNS_TTL_MS_MIN = 1_000;
export const DNS_TTL_MS_MAX = 60_000;
/** Names whose addresses are remembered at a time. */
export const DNS_CACHED_MAX = 4_096;
/** How long it is remembered that a name has no address. */
export const DNS_NEGATIVE_MS = 5_000;
/** What is searched of a body at a time for what looks like a secret. */
export const DLP_WINDOW_BYTES_MAX = 256 * 1024;
/** Such pieces that wait to be searched, of all tenants and of one; tenants take turns. */
export const DLP_QUEUE_MAX = 64;
export const DLP_TENANT_QUEUE_MAX = 32;
/** What an encoded answer may become when it is searched, and how many times its size. */
export const SCAN_DECODED_BYTES_MAX = 32 * 1024 * 1024;
export const SCAN_RATIO_MAX = 100;
/** Rows of a summary, and bytes of the log beside it. */
export const EGRESS_ROWS_MAX = 32;
export const EGRESS_LOG_BYTES_MAX = 8 * 1024 * 1024;
/** Bytes of one part of that log, as it is stored; a part has whole lines. */
export const EGRESS_LOG_PART_BYTES_MAX = 64 * 1024;
/** How long the log of a run's calls is kept. */
export const EGRESS_LOG_MS_MAX = 30 * 86_400_000;
/** A body up to so large is part of the effect's key; an answer up to so large is kept with it. */
export const EFFECT_BODY_BYTES_MAX = 64 * 1024;
/** How long ends of effects may wait to be written together. */
export const EFFECT_BATCH_MS_MAX = 250;
/**
 * A fence, and what is known of its run's calls, is kept so long after it was moved last. Attempts last minutes: whatever
 * comes of an older one comes from a machine that slept.
 */
export const FENCE_KEPT_MS = 30 * 86_400_000;
/** By how much the clocks of nodes may differ for a swept fence to hold back everything that it held back before. */
export const FENCE_SKEW_MS = 86_400_000;
/** How often fences are swept, and how many in one unit. */
export const FENCE_SWEEP_MS = 3_600_000;
export const FENCES_SWEPT_MAX = 50;
/** An intent older than this when the call is sent is held against the fence once more. */
export const INTENT_AGE_MS_MAX = 2_000;
export const BLOCKED_CALLS_MAX = 1_000;
export const BLOCKED_BODY_BYTES_MAX = 1024 * 1024;
export const BLOCKED_MS_MAX = 7 * 86_400_000;
export const SECRET_BYTES_MAX = 64 * 1024;
export const SECRETS_PER_TENANT_MAX = 500;
/** Secrets of one tenant that are wrapped with another key in one unit; an entry has digests of no more than 64 rows. */
export const SECRETS_REWRAPPED_MAX = 50;
/** The newest leases of a tenant that have not expired, as they are listed. */
export const LEASES_LISTED_MAX = 500;
export const SERVICES_PER_TENANT_MAX = 500;
/** Runs that one red team's record is about. */
export const REDTEAM_RUNS_MAX = 64;
