/** What the alcoves of this room give each other; the door is built from these. */
import type { Socket } from "node:net";
import type { Duplex, Readable } from "node:stream";
import type { TenantId } from "../kernel/ids.ts";
import type { EgressRule } from "../policy/contract.ts";
import type { EgressIdentity, Protocol } from "./contract.ts";

/** Where a call goes: the bytes that are judged are the bytes that are sent. */
export interface Target {
  protocol: Protocol;
  /** Canonical ASCII without a trailing dot; an IPv6 address in brackets. */
  host: string;
  port: number;
  /** As it is sent, without the query; of a tunnel empty. */
  path: string;
  /** With its `?`, or empty. */
  query: string;
}

export type HeaderList = [name: string, value: string][];

/** A call that the contract's rules let out. */
export interface Call {
  who: EgressIdentity;
  target: Target;
  /** `GET`, …; of a tunnel `CONNECT`. */
  method: string;
  rule: EgressRule;
  rule_id: string;
  /** The pattern of the rule that the path fits, `*` when the rule has none. */
  path_class: string;
  /** May it change something? */
  mutating: boolean;
}

/** A call whose addresses have been judged as well. */
export interface Pinned extends Call {
  /** The one address that is dialled: the one that was judged. */
  address: string;
}

export type AddressKind = "public" | "private" | "metadata" | "self";

/** What of the tenant's holds above all contracts. */
export interface Denies {
  /** Host patterns. From memory or a read; a change is known here within `HEADS_POLL_MS`. */
  of(tenant: TenantId): Promise<readonly string[]>;
}

/** Answers with the addresses of a name, fresh from a server or from its own memory within their time to live. */
export interface Resolver {
  /** @throws EGRESS_UPSTREAM EGRESS_DNS */
  addresses(host: string, family?: 4 | 6): Promise<{ addresses: string[]; ttl_ms: number }>;
  /** The texts of other records, in the presentation that Node gives them. */
  records(host: string, type: "TXT" | "MX" | "SRV"): Promise<{ records: unknown[]; ttl_ms: number }>;
}

/** Opens sockets to addresses that have been judged. */
export interface Dialer {
  /** @throws EGRESS_UPSTREAM EGRESS_TLS EGRESS_TIME; the remote address is the one asked for. */
  connect(to: { address: string; port: number; tls?: { host: string }; signal?: AbortSignal }): Promise<Socket>;
  /**
   * One exchange of HTTP over a kept connection to exactly this address.
   * @throws EGRESS_UPSTREAM EGRESS_TLS EGRESS_TIME  before the head of the answer; the body's stream fails afterwards.
   */
  exchange(asked: Exchange): Promise<Exchanged>;
}
export interface Exchange {
  /** Whose connections may be shared: tenant, and private grant. */
  pool: string;
  target: Target;
  address: string;
  method: string;
  headers: HeaderList;
  body: Readable | Uint8Array | null;
  /** Ends the exchange with its reason. */
  signal: AbortSignal;
  /** Called when the first byte is about to leave: what fails before was never sent. */
  sending?(): void;
}
export interface Exchanged {
  status: number;
  headers: HeaderList;
  /** Ends only when the answer is whole; an answer that broke off is an error of the stream. */
  body: Readable;
}

/** The effects of one door. */
export interface DoorEffects {
  /**
   * One unit, guarded by the fence: the effect's row, `effect.intended`, and what people approved, if that is asked for.
   * Resolves when it is durable.
   * @throws EGRESS_FENCED EGRESS_EFFECT_DONE EGRESS_EFFECT_UNKNOWN EGRESS_LEDGER LEASE_APPROVAL APPROVAL_*
   */
  intend(intent: Intent): Promise<Intended>;
  /** Written together with others, within `EFFECT_BATCH_MS_MAX`. */
  settle(effect: EffectRef, outcome: EffectOutcome): void;
  /** Is the epoch still the newest? A read of the row. @throws EGRESS_FENCED EGRESS_LEDGER */
  demandCurrent(): Promise<void>;
  /** What people approved for a call that only reads: a unit of its own. */
  demandApproval(call: Call): Promise<void>;
  /** Everything settled so far is durable. */
  flush(): Promise<void>;
}
export interface Intent {
  call: Call;
  /** SHA-256, hex, of a body of at most `EFFECT_BODY_BYTES_MAX`; `stream` of a longer one. */
  body_digest: string;
  /** The key that the guest set itself. */
  guest_key?: string;
  /** Does the credential need what people approved? */
  needs_approval: boolean;
}
export interface EffectRef {
  key: string;
}
export type Intended =
  | { kind: "send"; effect: EffectRef; header: [string, string] | null }
  | { kind: "replay"; status: number; headers: HeaderList; body: Buffer };
/**
 * `done`: answered, and not with 408, 425, 429 or 5xx; those are `rejected`. `failed`: provably never sent.
 */
export type EffectOutcome =
  | { state: "done"; status: number; response?: { headers: HeaderList; body: Buffer } }
  | { state: "rejected"; status: number }
  | { state: "failed" | "unknown" };

/** A lease that was found in a call, and that is good for it. */
export interface FoundLease {
  id: string;
  secret: string;
  needs_approval: boolean;
}
export interface Leases {
  /** Any of our leases among the headers. @throws LEASE_EXPIRED LEASE_REVOKED LEASE_SCOPE */
  find(call: Call, headers: HeaderList): Promise<FoundLease | undefined>;
  /** Puts the secret in the lease's place. @returns the headers to send, and what searches the answer for the secret. */
  swap(call: Call, found: FoundLease, headers: HeaderList): Promise<{ headers: HeaderList; scan: AnswerScan }>;
  /** Tells of each lease that was revoked, when that is durable. */
  onRevoked(listener: (lease: { id: string; subject: string }) => void): () => void;
}

/** Searches what comes back for the secret that went out. */
export interface AnswerScan {
  /** @throws EGRESS_SECRET_ECHO EGRESS_SCAN  the encoding is one that cannot be searched. */
  head(status: number, headers: HeaderList): void;
  /** @returns what has been searched and may go on; it may be a little late. @throws EGRESS_SECRET_ECHO EGRESS_SCAN */
  push(chunk: Buffer): Promise<Buffer>;
  end(): Promise<Buffer>;
}

/** Looks at what goes out. */
export interface Guards {
  /** @throws EGRESS_OWN_TOKEN EGRESS_SHADOW_MCP EGRESS_DLP. @returns what was noticed and let pass. */
  head(call: Call, headers: HeaderList): string[];
  /** Undefined: the body need not be looked at. */
  body(call: Call, headers: HeaderList): BodyGuard | undefined;
}
export interface BodyGuard {
  /** @returns what may go on. @throws EGRESS_OWN_TOKEN EGRESS_SHADOW_MCP EGRESS_DLP EGRESS_CAPACITY */
  push(chunk: Buffer): Promise<Buffer>;
  end(): Promise<Buffer>;
  /** What was noticed and let pass, by code. */
  noticed(): string[];
}

/** What the parts of a door for tunnels, WebSockets and names stand on. */
export interface DoorCore {
  readonly who: EgressIdentity;
  /**
   * Everything before an effect: door open, budgets, denied hosts, rules, addresses, each in its order.
   * What throws has been counted as denied.
   */
  admit(asked: { target: Target; method: string }): Promise<Admitted>;
  /** May the name be looked up? By the rules' hosts alone. */
  mayLookUp(host: string): Promise<EgressRule | undefined>;
  /** The budget of names, and the memory of what a name meant before, in this run. @throws EGRESS_BUDGET */
  lookUp(host: string, family?: 4 | 6): Promise<{ addresses: string[]; ttl_ms: number }>;
  /** Other records, under the same budget of names. @throws EGRESS_BUDGET and what the resolver throws. */
  lookUpRecords(host: string, type: "TXT" | "MX" | "SRV"): Promise<{ records: unknown[]; ttl_ms: number }>;
  /**
   * What the guest may be told of a name: addresses that a call under the rule could be dialled to, every one.
   * @throws EGRESS_PRIVATE_ADDR EGRESS_METADATA EGRESS_SELF EGRESS_DNS_REBIND
   */
  demandReachable(rule: EgressRule, host: string, addresses: readonly string[]): void;
  readonly resolver: Resolver;
  readonly dialer: Dialer;
  readonly effects: DoorEffects;
  readonly leases: Leases;
  readonly guards: Guards;
  /** Counts a call of which nothing was admitted, or that is none (`DNS`). */
  count(row: { host: string; method: string; verdict: "allowed" | "denied"; code: string | null }): void;
}
/** A call under way. It ends by exactly one `end`. */
export interface Admitted {
  readonly pinned: Pinned;
  /** The lease that it carries; when that is revoked, the call is broken off. */
  lease: string | undefined;
  /** Aborts when the run ends, the call runs past its time, or its right to be is gone; destroys what was added to it. */
  readonly signal: AbortSignal;
  /** Connections that go down with the call. */
  add(socket: Duplex): void;
  /** Bytes as they pass; over a budget the call is aborted. @throws EGRESS_SIZE EGRESS_BUDGET */
  sent(bytes: number): void;
  received(bytes: number): void;
  /** @param code  why it failed; null: it did not. */
  end(code: string | null, status?: number): void;
}
