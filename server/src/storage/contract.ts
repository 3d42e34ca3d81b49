import { defineErrors } from "../kernel/errors.ts";

/** Parameters and columns: integers are safe integers, text has no U+0000 and no lone surrogate. */
export type Value = string | number | null | Uint8Array;
export type Row = Record<string, Value>;

export interface Reader {
  /** The first row, or undefined. */
  get(sql: string, params: Value[]): Promise<Row | undefined>;
  /** All rows; more than `ROWS_MAX` is `STORAGE_ROWS`. */
  all(sql: string, params: Value[]): Promise<Row[]>;
}

/** A unit under construction. Reads see its own writes. */
export interface Tx extends Reader {
  /**
   * Buffers a statement; it runs at the next read or at the end of the unit. Parameters are copied now.
   * One INSERT, UPDATE, DELETE, SELECT or WITH, without a semicolon: anything else is `STORAGE_STATEMENT`.
   * @param expect  rows that it must change; another count rolls the unit back with `STORAGE_CONFLICT`.
   */
  run(sql: string, params: Value[], expect?: number): void;
}

export interface Storage extends Reader {
  /**
   * Runs `unit` and resolves when it is durable: all of it, or nothing.
   * A unit may be run again, so it has no effect outside `tx`, and it awaits nothing but `tx`.
   * Units take turns, also those of other processes over the same database: a unit that reads has the turn from its
   * first read to its end, so nothing that it has read changes before it commits.
   * A unit without reads crosses to the writer as one message: read first, then guard with `expect`.
   * @param o.deadline_ms  ends a unit that reads, default `UNIT_WALL_MS`.
   * @throws STORAGE_CONFLICT STORAGE_CONSTRAINT STORAGE_BUSY STORAGE_FULL STORAGE_UNREACHABLE STORAGE_DEADLINE
   *   STORAGE_CLOSED STORAGE_VALUE STORAGE_STATEMENT
   */
  write<T>(unit: (tx: Tx) => Promise<T> | T, o?: { deadline_ms?: number }): Promise<T>;
  /** Pages of up to `SCAN_PAGE_ROWS` rows from one consistent state. */
  scan(sql: string, params: Value[]): AsyncIterable<Row[]>;
  /** Several point reads of one consistent state; what is long is a `scan`. */
  snapshot<T>(read: (reader: Reader) => Promise<T>): Promise<T>;
  readonly timers: Timers;
  readonly locks: Locks;
  readonly blobs: Blobs;
  /** Why mutations are refused at the moment, or undefined. */
  unwritable(): Unwritable | undefined;
  close(): Promise<void>;
}

/** Why no unit is taken: the disk is full, or the database cannot be reached. It ends by itself when a probe succeeds. */
export type Unwritable = "STORAGE_FULL" | "STORAGE_UNREACHABLE";

/** A forward-only change of the schema. A text that has been applied never changes again. */
export interface Migration {
  /** `<room>/<number>`, e.g. `evidence/0001`. */
  id: string;
  /**
   * One or more statements in the SQL subset, with the DDL tokens `{int} {blob} {text}`, and `{id}` for a column that
   * numbers its rows by itself, never twice: `arrival {id} PRIMARY KEY`. Tables become STRICT where the engine knows it.
   */
  sql: string;
  /** What the tables of this migration are: audited rows have digests in the ledger, derived ones can be rebuilt from it. */
  tables: Record<string, "audited" | "derived" | "operational">;
}

export interface Timer {
  /** `<room>.<what>` */
  owner: string;
  /** Unique within the owner. */
  key: string;
  /** Integer milliseconds UTC. */
  due_at: number;
  /** JSON text, read back unchanged. */
  payload?: string;
}

/** A claimed timer. `epoch` fences it: a `set` or `cancel` meanwhile makes `done` fail. */
export interface Fire {
  owner: string;
  key: string;
  due_at: number;
  payload: string | null;
  epoch: number;
  /** Claims so far, this one included. */
  attempts: number;
}

/**
 * Durable timers: fired at least once; state effects happen once because `done` is part of the handler's own unit.
 * A handler that fails is tried again after 1 s, doubling to 5 min; after `TIMER_ATTEMPTS_MAX` the timer is parked.
 */
export interface Timers {
  /** Creates or replaces the timer `(owner, key)`. */
  set(tx: Tx, timer: Timer): void;
  /** Removes it if it is there. */
  cancel(tx: Tx, owner: string, key: string): void;
  /** Registers the one handler of an owner. Call before `start`. */
  on(owner: string, handler: (fire: Fire) => Promise<void>): void;
  /** Ends the claim inside the handler's own unit. A claim that is no longer ours rolls the unit back, `STORAGE_CONFLICT`. */
  done(tx: Tx, fire: Fire): void;
  /** Begins to claim. `on_parked` is called in the unit that parks a timer. */
  start(on_parked: (tx: Tx, timer: Fire, error: string) => void): void;
  /** Stops claiming and waits for running handlers. */
  stop(): Promise<void>;
}

/** Timed, exclusive ownership of a name. The epoch rises with each taking and fences a zombie. */
export interface Lock {
  readonly name: string;
  readonly owner: string;
  readonly epoch: number;
}

export interface Locks {
  /** The lock, or undefined while another owner holds it. Taking one's own lock again raises the epoch too. */
  take(name: string, owner: string, hold_ms: number): Promise<Lock | undefined>;
  /** False when it was lost. */
  renew(lock: Lock, hold_ms: number): Promise<boolean>;
  release(lock: Lock): Promise<void>;
  /** A guard: the unit rolls back, `STORAGE_CONFLICT`, unless this very taking of the lock still holds. */
  fence(tx: Tx, lock: Lock): void;
}

export interface BlobInfo {
  /** 64 lower-case hex digits. */
  sha256: string;
  size: number;
}

/** Content-addressed bytes outside the database. `put` is durable when it resolves and precedes the unit that refers to it. */
export interface Blobs {
  /** @throws STORAGE_BLOB_TOO_LARGE past `bytes_max`; nothing is kept then. */
  put(content: Uint8Array | AsyncIterable<Uint8Array>, o: { bytes_max: number }): Promise<BlobInfo>;
  /** The bytes, or undefined. `range` counts bytes, `end` exclusive. */
  get(sha256: string, range?: { start: number; end: number }): Promise<Uint8Array | undefined>;
  delete(sha256: string): Promise<void>;
}

/** Small files that only their owner may read (keys, the owner token): port for rooms that may not touch `node:fs`. */
export interface PrivateFiles {
  /** Creates the file, mode 0600, synced with its directory. `STORAGE_FILE_EXISTS` if it is there. */
  create(name: string, content: string | Uint8Array): Promise<void>;
  /** Replaces the file atomically. */
  replace(name: string, content: string | Uint8Array): Promise<void>;
  /** The content, or undefined when absent. `STORAGE_FILE_MODE` when others may read it. */
  read(name: string): Promise<Uint8Array | undefined>;
  /** Removes the file, durably. Nothing happens when it is absent. */
  remove(name: string): Promise<void>;
}

/**
 * What all processes over one database must have in common, by name: the first says it, the others find out whether they
 * have the same. A value is text, and never changes.
 */
export interface Agreements {
  /** What was agreed on, or undefined while nobody has said anything. */
  find(name: string): Promise<string | undefined>;
  /** Says `value`, if nothing was said before. @returns what holds. */
  agree(name: string, value: string): Promise<string>;
}

const later = { retry: "later", whose: "gantry" } as const;
const never = { retry: "never", whose: "gantry" } as const;

export const errors = defineErrors("STORAGE", {
  CONFLICT: {
    status: 409,
    retry: "safe",
    whose: "gantry",
    title: "A guarded statement met another state than it expected.",
  },
  CONSTRAINT: { status: 409, ...never, title: "A row breaks a constraint of its table." },
  BUSY: { status: 503, ...later, title: "The write queue is full." },
  FULL: { status: 507, ...later, title: "The disk is full; only reads are served." },
  UNREACHABLE: { status: 503, ...later, title: "The database cannot be reached." },
  DEADLINE: { status: 503, ...later, title: "A unit of work took too long and was rolled back." },
  CLOSED: { status: 503, ...later, title: "The store is shutting down." },
  VALUE: { status: 500, ...never, title: "A value cannot be stored." },
  STATEMENT: { status: 500, ...never, title: "A statement is wrong." },
  ROWS: { status: 500, ...never, title: "A query returned more rows than its limit." },
  BLOB_TOO_LARGE: { status: 413, retry: "never", whose: "caller", title: "The content is larger than its limit." },
  MIGRATION_CHANGED: { status: 500, ...never, title: "An applied migration has another text now." },
  SCHEMA_NEWER: { status: 500, ...never, title: "The database was written by a newer version." },
  LOCKED: { status: 500, ...never, title: "Another process uses this data directory." },
  SETTINGS: { status: 500, ...never, title: "The database does not keep the settings that durability needs." },
  BLOBS: { status: 500, ...never, title: "The blobs of the database are in another directory." },
  FILE_EXISTS: { status: 409, ...never, title: "The private file exists." },
  FILE_MODE: { status: 500, ...never, title: "A private file is readable by others." },
});

/** Rows of one `all`. */
export const ROWS_MAX = 1_000;
/** Rows of one page of a `scan`. */
export const SCAN_PAGE_ROWS = 500;
/** Units of one group commit. */
export const GROUP_UNITS_MAX = 256;
/** Bytes of statements and parameters of one group commit. */
export const GROUP_BYTES_MAX = 4 * 1024 * 1024;
/** Units that wait for the writer; one more is `STORAGE_BUSY`. */
export const WRITE_QUEUE_MAX = 4_096;
/** How long a unit that reads may hold the writer. */
export const UNIT_WALL_MS = 250;
/** How often a unit is tried again whose transaction PostgreSQL took back, or whose connection was lost before its commit. */
export const UNIT_RETRIES_MAX = 3;
/** Connections that one process holds to PostgreSQL: one that writes, some for point reads, some for scans and snapshots. */
export const DATABASE_CONNECTIONS_MAX = 16;
/** Reads that wait for a connection; one more is `STORAGE_BUSY`. */
export const READ_QUEUE_MAX = 4_096;
/** The writer checkpoints a WAL larger than this. */
export const WAL_BYTES_SOFT = 8 * 1024 * 1024;
export const BLOB_BYTES_MAX = 5 * 1024 ** 3;
/** Timers claimed at once. */
export const TIMER_CLAIM_MAX = 100;
export const TIMER_CLAIM_MS = 30_000;
export const TIMER_POLL_MS = 1_000;
export const TIMER_BACKOFF_MS = 1_000;
export const TIMER_BACKOFF_MAX_MS = 300_000;
export const TIMER_ATTEMPTS_MAX = 20;
/** How often a full disk, or a database that cannot be reached, is probed. */
export const FULL_PROBE_MS = 1_000;
/** A note that a witness file or repository is given, or is asked for. */
export const SINK_NOTE_BYTES_MAX = 16_384;
/** What is read of a witness file's end. */
export const SINK_TAIL_BYTES = 65_536;
/** One git command of a witness, network included. */
export const GIT_WALL_MS = 30_000;
/** Output of one git command. */
export const GIT_OUTPUT_BYTES_MAX = 65_536;
/** The largest file that git may write: what a remote sends is one. */
export const GIT_FILE_BYTES_MAX = 64 * 1024 * 1024;
/** Copies after which the working clone of a git witness is made anew. */
export const GIT_CLONE_COPIES_MAX = 1_000;
