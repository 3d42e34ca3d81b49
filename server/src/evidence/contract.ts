import { defineErrors, type GantryError } from "../kernel/errors.ts";
import type { EntryId, TenantId } from "../kernel/ids.ts";
import type { Row, Tx, Value } from "../storage/contract.ts";

/** `<noun>.<past participle>` */
export type Kind = `${string}.${string}`;

export interface ActorRef {
  actor: string;
  kind: "human" | "agent" | "service";
}

/** One fact. `data` is public to everyone who may read the entry: values that must be erasable do not belong in it. */
export interface EntryDraft {
  kind: Kind;
  tenant: TenantId;
  /** The chain, accountable principal first, at most `ENTRY_ACTORS_MAX`; empty when Gantry itself acted. */
  actor: ActorRef[];
  /** Audited rows as they are after this unit; null when deleted. The entry carries a keyed digest of each. */
  subjects?: { table: string; id: string; row: ReturnType<AuditedTable["columnsOf"]> | null }[];
  /** Ids under which the entry can be found; repeated ones count once. */
  refs?: string[];
  snapshot?: string;
  contract?: { name: string; version: number };
  decision?: { verdict: "allow" | "deny" | "needs_human"; codes: string[] };
  /** Canonical JSON: integers only. Validated by the kind's schema. */
  data: Record<string, unknown>;
  /** Values that must stay erasable: the entry carries a keyed commitment to each, the value is kept beside the ledger. */
  private?: Record<string, PrivateField>;
}

/** Prompts are what people or models typed, artifacts are results and outputs. */
export const PRIVATE_CLASSES = ["prompts", "logs", "artifacts"] as const;
export type PrivateClass = (typeof PRIVATE_CLASSES)[number];
/** `keep`: stored privately; `mask`: only the masked text ever exists; `drop`: commitment and key alone. */
export const REDACTIONS = ["keep", "mask", "drop"] as const;
export type Redaction = (typeof REDACTIONS)[number];
/** What became of a private value. Erased: its key is gone, and with it what the commitment says. */
export const PRIVATE_STATES = ["kept", "masked", "dropped", "erased"] as const;
export type PrivateState = (typeof PRIVATE_STATES)[number];
/** Names of private fields. */
export const FIELD_NAME = /^[a-z][a-z_]{0,31}$/;

export interface PrivateField {
  class: PrivateClass;
  /** At most `PRIVATE_INLINE_BYTES`. */
  value: string | Uint8Array;
  redaction: Redaction;
}

/** Only the unit that changes the state appends. The kinds are registered by the rooms that own them. */
export interface Ledger {
  /** @throws EVIDENCE_BAD_ENTRY  unknown kind, schema or size; the unit must not go on. */
  append(tx: Tx, entry: EntryDraft): EntryId;
}

/** Why nothing may be recorded at the moment, or undefined. `append` asks before every entry. */
export interface LedgerGuard {
  refusal(): GantryError | undefined;
}

/** Says whether `data` is what the kind promises; throws with a sentence if not. A zod schema's `parse` fits. */
export type KindSchemas = Record<Kind, { parse(data: unknown): unknown }>;

export interface EntryView {
  id: EntryId;
  kind: Kind;
  at: number;
  tenant: TenantId;
  actor: ActorRef[];
  refs: string[];
  snapshot?: string;
  contract?: { name: string; version: number };
  decision?: { verdict: string; codes: string[] };
  data: Record<string, unknown>;
  /** SHA-256(0x00 ‖ body), hex: the leaf that sealing will put into the tree (RFC 6962, 2.1). */
  leaf: string;
  /** What the body says of each private field: HMAC-SHA256, hex. Absent when there is none. */
  commitments?: Record<string, string>;
  /** False while the entry waits for its checkpoint. */
  sealed: boolean;
  /** The leaf's place in the log, from 0 and gapless over all tenants; there when the entry is sealed. It is the cursor. */
  index?: number;
}

/** Which entries, in the order of their arrival, which is that of the log. Members that are absent do not narrow. */
export interface EntryQuery {
  tenant?: TenantId;
  /** One of the entry's refs. */
  ref?: string;
  kind?: string;
  /** Milliseconds UTC, inclusive. */
  since?: number;
  /** Default `oldest`: the order of arrival. `newest` turns it round. */
  order?: "oldest" | "newest";
  /**
   * Only what comes after this in the order that is asked for: the `next` of a page, or the `index` of an entry, in
   * decimal digits. With `newest`, sealed entries alone.
   */
  cursor?: string;
  /** Only sealed entries. Those have a place that never changes, so that whoever resumes misses and repeats nothing. */
  sealed?: boolean;
  /** 1 to `ENTRIES_PAGE_MAX`. */
  limit: number;
}

export interface EntryPage {
  /**
   * Sealed entries, then, on the last page, what waits to be sealed, as far as the limit reaches. The newest first, what
   * waits leads the first page.
   */
  items: EntryView[];
  /** The cursor of the next page: the index of the last entry of this one. Absent on the last page. */
  next?: string;
}

/** Reading, for the surfaces above. */
export interface LedgerReader {
  /** @throws EVIDENCE_BAD_RANGE  the cursor lies past the end of the log: it is of another one. */
  list(query: EntryQuery): Promise<EntryPage>;
  /** @throws EVIDENCE_UNKNOWN  absent, or another tenant's. */
  get(id: string, tenant: TenantId): Promise<EntryView>;
  /**
   * Sealed entries as the log grows, from the cursor on, until `signal` aborts or the ledger closes. An empty page is a
   * sign of life, given when nothing came for `FOLLOW_IDLE_MS`.
   * @throws EVIDENCE_FOLLOWERS  at once, before anything is read.
   */
  follow(query: EntryQuery, signal: AbortSignal): AsyncIterableIterator<EntryView[]>;
}

/** Who asks evidence for something that is recorded; identity's principal is one. */
export interface Asker {
  tenant: TenantId;
  /** Accountable principal first. */
  chain: readonly ActorRef[];
}

/** A private value, and the key with which its commitment can be checked. */
export interface OpenedField {
  /** 32 bytes. */
  key: Uint8Array;
  value: Uint8Array;
}

/** What a bundle opens; the ledger is told all of it. */
export interface BundleOpening {
  /** Names of fields, 1 to `ENTRY_PRIVATE_MAX`. */
  fields: readonly string[];
  /** How many entries the bundle has. */
  entries: number;
  /** What the bundle was asked by, as far as an entry has room for it. */
  refs: readonly string[];
  /** Indices of the log, `to` exclusive, when it was asked by a range. */
  range?: { from: number; to: number };
}

/** Opened values of entries of the asker's tenant, by entry and field. Entries without any are left out. */
export type OpenFields = (entries: readonly string[]) => Promise<Map<string, Record<string, OpenedField>>>;

/** The only way to a private value. Whoever reads one has been recorded before. */
export interface PrivateValues {
  /**
   * One value, once `evidence.opened` is durable.
   * @throws EVIDENCE_UNKNOWN  no such entry of the tenant, or it has no such field. EVIDENCE_ERASED EVIDENCE_NOT_KEPT
   *   EVIDENCE_UNAVAILABLE  it could not be recorded.
   */
  open(entry: string, field: string, who: Asker): Promise<OpenedField>;
  /**
   * Records one `evidence.opened` for a whole bundle, and gives back what reads the values, page by page. What was
   * erased or never kept is left out.
   * @throws EVIDENCE_UNAVAILABLE
   */
  openBundle(opening: BundleOpening, who: Asker): Promise<OpenFields>;
}

/** Stored tiles, as they are read from one state of the store. */
export interface TileReader {
  /** `width` hashes of 32 bytes, or undefined where the tree has none. Level 0 holds leaves, 256 to a full tile. */
  tile(level: number, n: number): Promise<Uint8Array | undefined>;
}

/** A signed size and root (C2SP tlog-checkpoint in a signed note). */
export interface Checkpoint {
  origin: string;
  size: number;
  /** 32 bytes (RFC 6962, 2.1). */
  root: Uint8Array;
  /** The signed note, as it is served. */
  note: string;
  /** Milliseconds UTC; not part of the note. */
  at: number;
}

/** The sealed log, for the surfaces and for witnesses. All of it is public but the entries. */
export interface LogReader {
  readonly tiles: TileReader;
  /** The newest that was released. @throws EVIDENCE_NOT_SEALED  there is none yet. */
  checkpoint(): Promise<Checkpoint>;
  /** The one of exactly this size, if it was kept. */
  checkpointAt(size: number): Promise<Checkpoint | undefined>;
  /** Keys that have signed, the newest last, as vkey lines (signed-note). */
  keys(): Promise<LogKey[]>;
  /** Bodies of the sealed entries from `from` to `to`, exclusive, by index. */
  bodies(from: number, to: number): Promise<Uint8Array[]>;
  /** @returns undefined while the entry waits to be sealed. @throws EVIDENCE_UNKNOWN absent, or another tenant's. */
  indexOf(id: string, tenant: TenantId): Promise<number | undefined>;
}

export interface LogKey {
  /** `<name>+<key id, 8 hex digits>+<base64 of 0x01 ‖ public key>` */
  vkey: string;
  /** The first size that this key signed. */
  from_size: number;
  /** The last size that it signed; null: it signs. */
  to_size: number | null;
}

/** A witness: it keeps copies of checkpoints where this instance cannot take them back. */
export interface CheckpointSink {
  /** As the configuration names it: `file:…`, `git:…`, `webhook:…`, without secrets. */
  readonly name: string;
  /** Whether it always knows what it holds: then, no newest note means that there is none. */
  readonly tells: boolean;
  /**
   * The newest note that the witness holds, unverified, or undefined when it holds none or does not tell.
   * @throws when it cannot be asked, with a message for the log that holds no secret. Ends early when `signal` aborts.
   */
  newest(signal: AbortSignal): Promise<string | undefined>;
  /**
   * Hands over one copy. Resolves when the witness has taken it.
   * @returns the size that the witness holds now: `copy.size`; any other says that nothing was taken, because it
   *   holds that size and not `copy.old_size`.
   * @throws when it cannot be told whether the copy was taken, as `newest`.
   */
  publish(copy: CheckpointCopy, signal: AbortSignal): Promise<number>;
  /** The least time between two copies. */
  readonly every_ms: number;
}

export interface CheckpointCopy {
  /** The size that the witness holds; 0 when none. */
  old_size: number;
  /** The consistency proof from `old_size`, 32 bytes each (RFC 6962, 2.1.2); empty from 0. */
  proof: Uint8Array[];
  note: string;
  size: number;
}

/** Sends what leaves this process over HTTP. No redirect is followed. */
export interface Sender {
  /**
   * @returns the whole answer, whatever its status.
   * @throws when there is none within `timeout_ms`, or its body has more than `answer_bytes_max`; no message names the URL.
   */
  send(request: SenderRequest): Promise<SenderAnswer>;
}

export interface SenderRequest {
  method: "GET" | "POST";
  /** A user and a password in it become basic authentication. */
  url: string;
  /** Of a POST; text, UTF-8. */
  body?: string;
  /** Beside those that the sender sets itself; `content-type` of the body is `text/plain` unless it is here. Lower case. */
  headers?: Readonly<Record<string, string>>;
  timeout_ms: number;
  answer_bytes_max: number;
  signal: AbortSignal;
}

export interface SenderAnswer {
  status: number;
  /** The header, or empty. */
  content_type: string;
  body: Uint8Array;
}

/** A table whose rows the ledger digests, as an audit reads it again. The room that owns the table says so. */
export interface AuditedTable {
  table: string;
  /** SQL over the columns of one row: what its subjects in the ledger are called behind `<table>/`. Unique. */
  id: string;
  /** What is read of a row. */
  columns: readonly string[];
  /** Of a row as it is stored: what the ledger digests of it. Columns that are undefined are left out. */
  columnsOf(row: Row): Record<string, Value | undefined>;
}

export const errors = defineErrors("EVIDENCE", {
  BAD_ENTRY: { status: 500, retry: "never", whose: "gantry", title: "A ledger entry breaks its own schema." },
  UNAVAILABLE: { status: 503, retry: "safe", whose: "gantry", title: "Nothing may happen that cannot be recorded." },
  BACKLOG: { status: 503, retry: "later", whose: "gantry", title: "Too many entries wait to be sealed." },
  UNKNOWN: { status: 404, retry: "never", whose: "caller", title: "There is no such entry." },
  FOLLOWERS: { status: 429, retry: "later", whose: "capacity", title: "Too many clients follow the ledger." },
  AUDITS: { status: 429, retry: "later", whose: "capacity", title: "Another audit goes on." },
  KEY: { status: 500, retry: "never", whose: "gantry", title: "A key of the ledger cannot be used." },
  ROTATING: { status: 409, retry: "later", whose: "caller", title: "The log's key is being rotated." },
  KEY_MODE: { status: 503, retry: "never", whose: "gantry", title: "The log's key can be read by others." },
  ERASED: { status: 410, retry: "never", whose: "caller", title: "The private value was erased." },
  NOT_KEPT: { status: 410, retry: "never", whose: "caller", title: "The private value was never kept." },
  NOT_SEALED: { status: 409, retry: "later", whose: "gantry", title: "The entry is not in the signed log yet." },
  FORKED: { status: 503, retry: "never", whose: "gantry", title: "The log contradicts its last checkpoint." },
  ROLLBACK: {
    status: 503,
    retry: "never",
    whose: "gantry",
    title: "The log is older than a checkpoint that was released.",
  },
  UNKNOWN_TILE: { status: 404, retry: "never", whose: "caller", title: "The signed log has no such tile." },
  TOO_MANY: { status: 413, retry: "never", whose: "caller", title: "That is more entries than one answer may have." },
  BUNDLES: { status: 429, retry: "later", whose: "capacity", title: "As many bundles are being made as may." },
  BAD_NOTE: { status: 400, retry: "never", whose: "caller", title: "What was given is no checkpoint." },
  BAD_RANGE: { status: 400, retry: "never", whose: "caller", title: "There is no such proof, tile or range." },
});

export const ENTRY_BYTES_MAX = 16_384;
/** Links of the actor chain. */
export const ENTRY_ACTORS_MAX = 8;
export const ENTRY_REFS_MAX = 8;
export const ENTRY_REF_CHARS_MAX = 128;
export const ENTRY_SUBJECTS_MAX = 64;
export const ENTRIES_PAGE_MAX = 200;
export const FOLLOWERS_MAX = 32;
/** How often a follower looks for new entries. */
export const FOLLOW_POLL_MS = 100;
export const FOLLOW_IDLE_MS = 15_000;

/** Private fields of one entry. */
export const ENTRY_PRIVATE_MAX = 32;
/** Bytes of one private value. */
export const PRIVATE_INLINE_BYTES = 65_536;
/** How long an entry may wait for its checkpoint when nobody is in the way. */
export const SEAL_EVERY_MS = 100;
/** Pending entries that are sealed at once, without waiting for more. */
export const SEAL_NOW_ENTRIES = 1_024;
/** Entries of one sealing. */
export const SEAL_BATCH_MAX = 4_096;
/** Entries that wait to be sealed; then nothing more is recorded, `EVIDENCE_BACKLOG`. */
export const PENDING_MAX = 100_000;
/** How long a sealer that is silent keeps others from sealing. */
export const SEAL_LOCK_MS = 5_000;
/** How often a process looks for what others have appended. */
export const SEAL_POLL_MS = 1_000;
/** How long every checkpoint is kept; of older ones the last of each hour is. */
export const CHECKPOINTS_WHOLE_MS = 86_400_000;
/** Bytes of a signed note from anywhere. */
export const NOTE_BYTES_MAX = 131_072;
/** Signature lines of a note (C2SP signed-note demands that 16 are accepted). */
export const NOTE_SIGNATURES_MAX = 16;
/** The log's name, which its keys bear. */
export const ORIGIN_CHARS_MAX = 128;
/** Entries of one bundle. */
export const BUNDLE_ENTRIES_MAX = 1_000_000;
/** Refs, or ids, that one bundle is asked by. */
export const BUNDLE_NAMES_MAX = 256;
/** Bundles that are made at the same time: each holds the list of its indices. */
export const BUNDLES_MAX = 8;
/** A bundle whose reader takes nothing for so long is ended, and leaves its place to another. */
export const BUNDLE_STALL_MS = 60_000;
/** How long an answer that needs a checkpoint waits for the sealer. */
export const SEAL_WAIT_MS = 5_000;
/** Entries of a run that its statement names. */
export const STATEMENT_ENTRIES_MAX = 1_000;
/** Entries that one timeline tells. */
export const TIMELINE_ENTRIES_MAX = 5_000;
/** Actors that one timeline calls by name; further ones are told by id. */
export const TIMELINE_ACTORS_MAX = 100;

/** Witnesses of one instance. */
export const WITNESSES_MAX = 8;
/** How often witnesses are compared with the newest checkpoint. */
export const SINK_POLL_MS = 1_000;
/** How long one attempt to hand over a copy may take; also the look at what a witness holds, before its first copy. */
export const SINK_ANSWER_MS = 90_000;
/** How long `gantry doctor` waits for each witness. */
export const SINK_PROBE_MS = 5_000;
/** How long a stop waits for attempts that it has ended. */
export const SINK_STOP_MS = 2_000;
/** How long a witness that failed is left alone; doubles with each failure. */
export const SINK_BACKOFF_MS = 1_000;
export const SINK_BACKOFF_MAX_MS = 300_000;
/** A witness that lags longer is recorded, once per outage. */
export const SINK_LAG_ENTRY_MS = 900_000;
/** Of the text that says what was wrong with a witness. */
export const SINK_ERROR_CHARS_MAX = 300;
/** How long a webhook may take for an answer, and how large that may be. */
export const WEBHOOK_ANSWER_MS = 10_000;
export const WEBHOOK_ANSWER_BYTES_MAX = 16_384;
/** Hashes of a consistency proof that a witness is given (C2SP tlog-witness, add-checkpoint). */
export const WITNESS_PROOF_HASHES_MAX = 63;
/** How long the publishing node keeps its office without renewing it; it renews three times as often. */
export const WITNESS_HOLD_MS = 30_000;
/** Audits that go on at the same time: each reads everything. */
export const AUDITS_MAX = 1;
/** Checkpoints of the old log that one `log.succeeded` quotes, beside the last one of the database. */
export const SUCCESSION_QUOTES_MAX = 6;
/** Of a note that it quotes whole: one of two signatures has about 400. */
export const SUCCESSION_NOTE_CHARS_MAX = 1_024;
/** Of the reason why a log is succeeded. */
export const SUCCESSION_REASON_CHARS_MAX = 500;
