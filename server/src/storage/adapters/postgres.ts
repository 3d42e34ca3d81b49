import { mkdir } from "node:fs/promises";
import { GantryError, isGantryError } from "../../kernel/errors.ts";
import type { Logger } from "../../kernel/log.ts";
import type { Random } from "../../kernel/random.ts";
import type { Metrics } from "../../kernel/telemetry.ts";
import {
  type Blobs,
  errors,
  type Reader,
  ROWS_MAX,
  type Row,
  type Storage,
  type Unwritable,
  type Value,
} from "../contract.ts";
import { StoredLocks } from "../locks.ts";
import { Statements } from "../sql.ts";
import { migrations as own_migrations } from "../store.ts";
import { StoredTimers } from "../timers.ts";
import { openBlobs } from "./blobs.ts";
import { type EngineOptions, EX_SOFTWARE } from "./engine_options.ts";
import { takeNodeLock } from "./node_lock.ts";
import { Connection, placeOf } from "./postgres_connection.ts";
import { isUnreachable, TransactionLost, told } from "./postgres_errors.ts";
import { PostgresReader } from "./postgres_reader.ts";
import { demandSettings, measureOffset, migratePostgres } from "./postgres_start.ts";
import { PostgresWriter } from "./postgres_writer.ts";
import { SharedClock } from "./shared_clock.ts";

export interface PostgresOptions extends EngineOptions {
  /** `postgres://user@host:port/database`; a unix socket is `postgres:///database?host=/directory&user=…`. */
  url: string;
  /**
   * Whose time locks and timers go by. `database`, the default: that of the database, which all processes share.
   * `process`: `clock` as it is, for a process that is alone and owns its time.
   */
  time?: "database" | "process";
}

/** A part of a blob that is older was left behind: no process puts one for so long. */
const BLOB_STALE_MS = 86_400_000;
const INSUFFICIENT_PRIVILEGE = "42501";
/** A statement that runs longer is cancelled by the server. */
const STATEMENT_MS = 30_000;
/** A process that stops in the midst of a unit has the turn for so long; then the server ends its session. */
const TURN_IDLE_MS = 5_000;
/** How long a unit waits for the turn of another process: longer than `TURN_IDLE_MS`, so that a dead one is outlived. */
const TURN_WAIT_MS = 7_000;
/** The server has cancelled a statement by then, or nobody is there. */
export const ANSWER_MS = STATEMENT_MS + 5_000;
const SESSION = { bytea_output: "hex", statement_timeout: STATEMENT_MS };
const WRITER = { ...SESSION, lock_timeout: TURN_WAIT_MS, idle_in_transaction_session_timeout: TURN_IDLE_MS };
/** Of a connection that cannot write. */
export const READER = { ...SESSION, default_transaction_read_only: "on" };
/** Migrations may build indexes, and wait for another process that migrates. */
const MIGRATOR = { statement_timeout: 0 };
/** How often the database's time is compared with ours. */
const OFFSET_MS = 30_000;

/**
 * Opens a store in a PostgreSQL database that other processes may use at the same time; blobs stay in `directory`.
 * @throws STORAGE_UNREACHABLE STORAGE_SETTINGS STORAGE_LOCKED STORAGE_MIGRATION_CHANGED STORAGE_SCHEMA_NEWER
 *   STORAGE_STATEMENT STORAGE_FULL
 */
export async function openPostgres(o: PostgresOptions): Promise<Storage> {
  await mkdir(o.directory, { recursive: true, mode: 0o700 });
  const lock = await takeNodeLock(o.directory);
  const undo: (() => Promise<void> | void)[] = [() => lock.release()];
  try {
    await migrate(o);
    const fatal = (error: unknown): void => {
      o.logger.error({ error: String(error) }, "the disk of the blobs failed and the process must end");
      (o.fatal ?? (() => process.exit(EX_SOFTWARE)))(error);
    };
    const blobs = await openBlobs(o.blobs ?? `${o.directory}/blobs`, o.random, fatal, o.clock.now() - BLOB_STALE_MS);
    const statements = new Statements("postgres");
    const reader: PostgresReader = new PostgresReader(statements, () =>
      Connection.open({ url: o.url, settings: READER, answer_ms: ANSWER_MS }).catch((error: unknown) => {
        if (isUnreachable(error)) writer.reached(false);
        throw error;
      }),
    );
    undo.unshift(() => reader.close());
    const writer = new PostgresWriter({
      ...o,
      statements,
      open: () => openWriter(o.url),
      cancel: async (process_id) => {
        await reader.own([{ text: "SELECT pg_cancel_backend($1)", params: [process_id] }]);
      },
    });
    undo.unshift(() => writer.close());
    await writer.start();
    const clock = new SharedClock(o.clock);
    const storage = new PostgresStorage({ ...o, writer, reader, clock, blobs, lock });
    if (o.time !== "process") {
      await storage.compareClocks();
      storage.compareClocksEach(OFFSET_MS);
    }
    return storage;
  } catch (error) {
    for (const step of undo) await step();
    throw error;
  }
}

async function migrate(o: PostgresOptions): Promise<void> {
  const connection = await told(() => Connection.open({ url: o.url, settings: MIGRATOR }));
  try {
    await told(() => demandSettings(connection));
    await migratePostgres(connection, [...own_migrations, ...o.migrations], o.clock.now(), o.logger);
  } catch (error) {
    // PostgreSQL 15 and later let only the owner of a database make tables in its schema `public`.
    const internal = isGantryError(error) ? (error.parts.internal as { sqlstate?: string } | undefined) : undefined;
    if (internal?.sqlstate !== INSUFFICIENT_PRIVILEGE) throw error;
    const detail = `The role of ${await placeOf(o.url)} may not make tables. Let it own the database: ALTER DATABASE … OWNER TO ….`;
    throw new GantryError(errors.SETTINGS, { detail, cause: error });
  } finally {
    await connection.close();
  }
}

/** After a restart of the server its settings may be others: units are refused then. */
async function openWriter(url: string): Promise<Connection> {
  const connection = await Connection.open({ url, settings: WRITER, answer_ms: ANSWER_MS });
  try {
    await demandSettings(connection);
    return connection;
  } catch (error) {
    await connection.close();
    if (!isGantryError(error)) throw error;
    throw new TransactionLost({ scope: "unreachable", error });
  }
}

interface Parts {
  writer: PostgresWriter;
  reader: PostgresReader;
  /** The database's time. */
  clock: SharedClock;
  blobs: Blobs;
  lock: { release(): void };
  random: Random;
  metrics: Metrics;
  logger: Logger;
}

class PostgresStorage implements Storage {
  readonly timers: StoredTimers;
  readonly locks: StoredLocks;
  readonly blobs: Blobs;
  readonly #parts: Parts;
  #closing: Promise<void> | undefined;
  #stopComparing: () => void = () => {};

  constructor(parts: Parts) {
    this.#parts = parts;
    this.blobs = parts.blobs;
    this.locks = new StoredLocks(this, parts.clock);
    this.timers = new StoredTimers({ ...parts, storage: this });
  }

  /** @throws STORAGE_UNREACHABLE */
  async compareClocks(): Promise<void> {
    const { clock, reader } = this.#parts;
    clock.offset_ms = await measureOffset(clock.own, async (statements) => {
      const [reply] = await reader.own(statements);
      return Number(reply?.rows[0]?.["now"]);
    });
  }

  compareClocksEach(ms: number): void {
    this.#stopComparing = this.#parts.clock.every(ms, () => {
      // The old offset serves until the next time.
      this.compareClocks().catch(() => {});
    });
  }

  write: Storage["write"] = (unit, o) =>
    this.#parts.writer.write(unit, o?.deadline_ms, (tx) => this.timers.committed(tx));

  async get(sql: string, params: Value[]): Promise<Row | undefined> {
    this.#demandReadable();
    return (await this.#parts.reader.query(sql, params, "first"))[0];
  }

  async all(sql: string, params: Value[]): Promise<Row[]> {
    this.#demandReadable();
    return this.#parts.reader.query(sql, params, ROWS_MAX);
  }

  scan(sql: string, params: Value[]): AsyncIterable<Row[]> {
    return this.#parts.reader.scan(sql, params);
  }

  snapshot<T>(read: (reader: Reader) => Promise<T>): Promise<T> {
    return this.#parts.reader.snapshot(read);
  }

  unwritable(): Unwritable | undefined {
    return this.#parts.writer.trouble;
  }

  /** Units under way end first. */
  close(): Promise<void> {
    this.#closing ??= this.#close();
    return this.#closing;
  }

  async #close(): Promise<void> {
    const { writer, reader, lock } = this.#parts;
    this.#stopComparing();
    const drained = writer.drain();
    await this.timers.stop();
    await drained;
    await writer.close();
    await reader.close();
    lock.release();
  }

  #demandReadable(): void {
    if (this.#closing !== undefined) throw new GantryError(errors.CLOSED, { detail: "The store is closed." });
    this.#parts.writer.demandReachable();
  }
}
