/** The wire types of the Gantry API, written for readers; a contract test holds them against the server's schemas. */

/** `batch` yields to `interactive`. */
export type Lane = "interactive" | "batch";
/**
 * Whom a run may share its process with, one run at a time, from weakest to strongest. `pooled`: runs of the same
 * tenant, actor chain, contract version and snapshot. `session`: those of them that name the same session, in one
 * process. `process`: nobody, before or after. No mode lets anything of one run's isolate reach another's.
 */
export type Isolation = "pooled" | "session" | "process";
/** Where a run stands. `waiting_approval`: people must approve it first. */
export type RunState = "waiting_approval" | "queued" | "starting" | "running" | "ended";
/** Why a run ended: a closed set. */
export type Termination =
  | "completed"
  | "threw"
  | "load_failed"
  | "cpu_exceeded"
  | "memory_exceeded"
  | "wall_exceeded"
  | "output_exceeded"
  | "log_exceeded"
  | "denied"
  | "approval_declined"
  | "expired"
  | "cancelled"
  | "capacity"
  | "node_lost"
  | "runner_lost";

/** What one run may use; a contract sets the ceilings. */
export interface Limits {
  /** CPU milliseconds. */
  cpu_ms: number;
  /** Milliseconds from start to outcome. */
  wall_ms: number;
  memory_mb: number;
  input_bytes_max: number;
  output_bytes_max: number;
  code_bytes_max: number;
  modules_max: number;
  log_bytes_max: number;
}

/** A module's text, or its bytes in base64 (`.wasm`, or any other binary file). */
export type ModuleSource = string | { base64: string };

/** Either one TypeScript module, or several with the name of the one to start. */
export type Code = { source: string } | { entry: string; modules: Record<string, ModuleSource> };

/** The body of `POST /v1/runs`. */
export interface RunRequest {
  code: Code;
  /** Any JSON; null if absent. */
  input?: unknown;
  /** Default `scratch`. */
  contract?: string;
  /** Default: what the contract says. Weaker than its floor is refused with `ISOLATION_FLOOR`. */
  isolation?: Isolation;
  /** `[A-Za-z0-9][A-Za-z0-9._-]{0,63}`; asks for the isolation `session`, and goes with no other. */
  session?: string;
  /** Default `interactive`. */
  lane?: Lane;
  limits?: Partial<Limits>;
  /** Plain values that the guest finds in `env`. */
  vars?: Record<string, string>;
  /** The snapshot that the caller decided on; refused if it is no longer the active one. */
  snapshot?: string;
  /** What to do when there is no room. Default `reject` when waiting for the result, else `delay`. */
  on_busy?: "reject" | "delay" | "downgrade";
  /** How long to wait for the end, 0-60,000, default 30,000; 0 answers at once. */
  wait_ms?: number;
  /** Milliseconds UTC: a run that has not started by then ends `expired`. */
  expires_at?: number;
  /** `if_lost` repeats a run that a crash interrupted, if its contract is idempotent. */
  retry?: "never" | "if_lost";
  /** What the agent was asked and decided, at most 2,000 characters; recorded as the contract's redaction says. */
  why?: string;
  /** What the agent was told, at most 32 KiB of UTF-8; kept beside the record alone, as the contract's redaction says. */
  prompt?: string;
  /** The environment that the run acts on, as the contract's `targets` name it: `[a-z][a-z0-9-]{0,62}`. */
  target?: string;
  /** A signed task over contract, code and input (compact JWS): stands for the token, and is good once. */
  task?: string;
  /** A signature over the code's hash (compact JWS): its signer is among the code's authors. */
  code_signature?: string;
}

/** One reason for a decision; the code is stable. */
export interface Reason {
  code: string;
  detail: string;
}

/** Where something is wrong. Line and column count from 1. */
export interface Problem {
  /** A file or a JSON pointer. */
  at: string;
  line?: number;
  column?: number;
  text: string;
}

/** What the reader of an error can do. */
export interface NextStep {
  kind: "command" | "change" | "wait" | "read" | "contract.egress.rule";
  text: string;
  command?: string;
  /** An egress rule that would have to stand in the contract. */
  rule?: Record<string, unknown>;
  needs?: "contract-change";
}

/** `application/problem+json` (RFC 9457) with the members that Gantry adds. */
export interface ProblemDocument {
  type: string;
  status: number;
  code: string;
  title: string;
  detail: string;
  request?: string;
  run?: string;
  snapshot?: string;
  reasons?: Reason[];
  problems?: Problem[];
  next_steps?: NextStep[];
  retry_after_ms?: number;
}

/** Calls to one host by one method that the guest tried and that went nowhere. */
export interface BlockedCall {
  host: string;
  method: string;
  count: number;
}

/** Calls of a run that are alike, in sum. A row with host and method `*` stands for those that did not fit. */
export interface EgressRow {
  /** As it was judged, or as the guest said it when that cannot be read. */
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

/** What a run called: in sum, and one page of it call by call. */
export interface RunCalls {
  rows: EgressRow[];
  /** Of the private log, oldest first: empty when there was none, or when it has been kept for as long as it is. */
  lines: Record<string, unknown>[];
  /** Give it back as `cursor` for the next page; absent on the last. */
  next?: string;
}

/** Why a run did not complete, with the members of a problem document. */
export interface RunError extends Partial<ProblemDocument> {
  code: string;
  detail: string;
  /** What the guest threw, as it said it. */
  name?: string;
  /** The guest's stack in the lines of its own source. */
  stack?: string;
}

/** A run as its tenant sees it. In lists, `result` is left out. */
export interface RunView {
  id: string;
  state: RunState;
  contract: { name: string; version: number };
  snapshot: string;
  lane: Lane;
  isolation: Isolation;
  /** Present when the isolation is `session`. */
  session?: string;
  code_hash: string;
  limits: Limits;
  attempt: number;
  created_at: number;
  /** Who asked for it: accountable principal first. */
  chain: { actor: string; kind: "human" | "agent" | "service" }[];
  termination?: Termination;
  /** Which of the caller's policies for repeating fits. */
  retry_class?: "timeout" | "capacity" | "policy" | "guest";
  /** Any JSON; present when completed. */
  result?: unknown;
  error?: RunError;
  /** Present when the guest answered with a `Response`. */
  http?: { status: number; headers: [string, string][] };
  usage?: { cpu_ms: number; rss_peak_mb: number; log_bytes: number; log_dropped: number; output_bytes: number };
  timing?: { queued_ms: number; startup_ms: number; completion_ms: number };
  /** The jail that held it: `none` only with `--insecure-no-jail`. */
  jail?: "unshare" | "bwrap" | "none";
  /** True when no warm runner fitted. */
  cold?: boolean;
  /** Calls that the guest tried and that went nowhere. */
  blocked?: BlockedCall[];
  /** What was called, and what was not let out; absent when nothing was tried. */
  egress?: EgressRow[];
  evidence: { entries: string[] };
  /** The environment that it acts on. */
  target?: string;
  /** What people must approve before it starts, or have approved, and the SHA-256 of what they are shown. */
  approval?: string;
  statement_hash?: string;
  /** The run that started this one, the first of its tree, and how far below that it is. */
  parent?: string;
  root?: string;
  depth?: number;
  /** While it waits for people: who can move it on, and how. */
  next_steps?: NextStep[];
  /** While queued: its place and an estimate. */
  position?: number;
  estimated_start_ms?: number;
}

/** A part of a list. */
export interface Page<T> {
  items: T[];
  /** Give it back as `cursor` for the next page; absent on the last. */
  next?: string;
}

/** One line that the guest, or its engine, wrote. */
export interface LogLine {
  /** Rises by one within a run. */
  seq: number;
  /** Milliseconds UTC. */
  at: number;
  level: "log" | "debug" | "info" | "warn" | "error" | "runner";
  text: string;
}

/** One fact in the ledger. */
export interface Entry {
  id: string;
  kind: string;
  at: number;
  tenant: string;
  actor: { actor: string; kind: "human" | "agent" | "service" }[];
  refs: string[];
  snapshot?: string;
  contract?: { name: string; version: number };
  decision?: { verdict: string; codes: string[] };
  data: Record<string, unknown>;
  /** Private fields by name, and the commitment to each value: HMAC-SHA256, hex. */
  commitments?: Record<string, string>;
  /** SHA-256(0x00 ‖ body), hex. */
  leaf: string;
  /** False while the entry waits for its checkpoint. */
  sealed: boolean;
  /** The leaf's place in the log; there when the entry is sealed. */
  index?: number;
  /** The private field that was asked for: base64 of its 32-byte key and of its bytes, which are UTF-8 if it is text. */
  opened?: Record<string, { key: string; value: string }>;
}

/** Which entries a bundle is made of: exactly one of `refs`, `ids`, `since` and `range`. */
export interface BundleRequest {
  /** Entries that name one of these, up to 256. */
  refs?: string[];
  /** Ids of entries, up to 256. */
  ids?: string[];
  /** Milliseconds UTC, inclusive. */
  since?: number;
  /** Indices of the log, `to` exclusive. Where other tenants have entries, it takes the scope `evidence:audit`. */
  range?: { from: number; to: number };
  /** Private fields to open, up to 32; recorded before anything is shown. */
  open?: string[];
  /** A size: proves too that the log of then is a prefix of the bundle's. */
  consistency_from?: number;
}

/** The log's keys before and after, as vkey lines, and the entry that announces it. */
export interface KeyRotation {
  old: string;
  new: string;
  entry: string;
}

/** A DSSE envelope; `payload` is base64 of an in-toto Statement v1. */
export interface Envelope {
  payloadType: string;
  payload: string;
  signatures: { keyid: string; sig: string }[];
}

/** What happened, by the ledger alone. What a guest chose stands in texts unescaped. */
export interface Timeline {
  v: 1;
  /** What it is about: one of the two. */
  ref?: string;
  since?: number;
  tenant: string;
  lines: TimelineLine[];
  /** What one might look for and that is not there. */
  gaps: { entry?: string; text: string }[];
}

export interface TimelineLine {
  entry: string;
  /** Absent while the entry waits to be sealed. */
  index?: number;
  at: number;
  kind: string;
  /** Accountable principal first; empty when Gantry itself acted. */
  chain: { actor: string; kind: "human" | "agent" | "service"; name?: string }[];
  contract?: { name: string; version: number };
  snapshot?: string;
  decision?: { verdict: string; codes: string[] };
  text: string;
  details: string[];
}

/** One witness of a server: who holds copies of checkpoints where the server cannot take them back. */
export interface Witness {
  /** As the configuration names it, without secrets. */
  sink: string;
  /** Of the newest checkpoint that it took; 0 when none. */
  size: number;
  /** How long the oldest checkpoint that it lacks has waited. */
  lag_ms: number;
  /** When it was last known to hold the newest, milliseconds UTC. */
  ok_at: number | null;
  /** What was wrong at the last attempt. */
  error: string | null;
}
