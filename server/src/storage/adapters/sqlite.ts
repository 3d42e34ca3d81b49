import { mkdir } from "node:fs/promises";
import type { Clock } from "../../kernel/clock.ts";
import { GantryError } from "../../kernel/errors.ts";
import type { Logger } from "../../kernel/log.ts";
import type { Random } from "../../kernel/random.ts";
import type { Metrics } from "../../kernel/telemetry.ts";
import { type Blobs, errors, type Reader, type Row, type Storage, type Value } from "../contract.ts";
import { StoredLocks } from "../locks.ts";
import { Statements } from "../sql.ts";
import { migrations as own_migrations } from "../store.ts";
import { StoredTimers } from "../timers.ts";
import { openBlobs } from "./blobs.ts";
import { type Driver, openDriver } from "./driver.ts";
import { type EngineOptions, EX_SOFTWARE } from "./engine_options.ts";
import { takeNodeLock } from "./node_lock.ts";
import { configureReader } from "./settings.ts";
import { pointReads } from "./sqlite_points.ts";
import { SqliteReader } from "./sqlite_reader.ts";
import { SqliteSnapshots } from "./sqlite_snapshots.ts";
import { migrateSqlite } from "./sqlite_start.ts";
import { SqliteWriter } from "./sqlite_writer.ts";

export type SqliteOptions = EngineOptions;

/** A point read waits for a checkpoint of the writer at most this long. */
const READ_BUSY_MS = 1_000;

/**
 * Opens the embedded store: one database file, a writer thread, a thread for scans, connections for point reads.
 * @throws STORAGE_LOCKED STORAGE_MIGRATION_CHANGED STORAGE_SCHEMA_NEWER STORAGE_SETTINGS STORAGE_FULL
 */
export async function openSqlite(o: SqliteOptions): Promise<Storage> {
  await mkdir(o.directory, { recursive: true, mode: 0o700 });
  const lock = await takeNodeLock(o.directory);
  const undo: (() => Promise<void> | void)[] = [() => lock.release()];
  try {
    const path = `${o.directory}/gantry.db`;
    const copy = await migrateSqlite(o.directory, path, [...own_migrations, ...o.migrations], o.clock.now());
    if (copy !== undefined) {
      o.logger.warn({ copy }, "the schema was brought up to date; the database as it was before is in the copy");
      o.copied?.(copy);
    }
    const fatal = (error: unknown): void => {
      const internal = error instanceof GantryError ? error.parts.internal : undefined;
      o.logger.error({ error: String(error), internal }, "the store failed and the process must end");
      (o.fatal ?? (() => process.exit(EX_SOFTWARE)))(error);
    };
    const statements = new Statements("sqlite");
    const blobs = await openBlobs(o.blobs ?? `${o.directory}/blobs`, o.random, fatal);
    const writer = await SqliteWriter.open({ path, statements, clock: o.clock, metrics: o.metrics, fatal });
    undo.unshift(() => writer.close());
    const reader = await SqliteReader.open(path, statements, fatal);
    undo.unshift(() => reader.close());
    const db = await openDriver(path, { read_only: false, busy_ms: READ_BUSY_MS });
    undo.unshift(() => db.close());
    configureReader(db);
    const snapshots = new SqliteSnapshots(path, READ_BUSY_MS, statements, fatal);
    return new SqliteStorage({ ...o, writer, reader, snapshots, statements, fatal, db, blobs, lock });
  } catch (error) {
    for (const step of undo) await step();
    throw error;
  }
}

interface Parts {
  writer: SqliteWriter;
  reader: SqliteReader;
  snapshots: SqliteSnapshots;
  statements: Statements;
  fatal(error: unknown): void;
  db: Driver;
  blobs: Blobs;
  lock: { release(): void };
  clock: Clock;
  random: Random;
  metrics: Metrics;
  logger: Logger;
}

class SqliteStorage implements Storage {
  readonly timers: StoredTimers;
  readonly locks: StoredLocks;
  readonly blobs: Blobs;
  readonly get: Storage["get"];
  readonly all: Storage["all"];
  readonly #parts: Parts;
  #closing: Promise<void> | undefined;

  constructor(parts: Parts) {
    this.#parts = parts;
    this.blobs = parts.blobs;
    this.locks = new StoredLocks(this, parts.clock);
    this.timers = new StoredTimers({ ...parts, storage: this });
    const points = pointReads(parts.db, parts.statements, parts.fatal, () => this.#demandOpen());
    this.get = points.get;
    this.all = points.all;
  }

  write: Storage["write"] = (unit, o) =>
    this.#parts.writer.write(unit, o?.deadline_ms, (tx) => this.timers.committed(tx));

  scan(sql: string, params: Value[]): AsyncIterable<Row[]> {
    return this.#parts.reader.scan(sql, params);
  }

  snapshot<T>(read: (reader: Reader) => Promise<T>): Promise<T> {
    return this.#parts.snapshots.hold(read);
  }

  unwritable(): "STORAGE_FULL" | undefined {
    return this.#parts.writer.full ? "STORAGE_FULL" : undefined;
  }

  /** Units under way end first; the writer goes last, and its closing empties the WAL. */
  close(): Promise<void> {
    this.#closing ??= this.#close();
    return this.#closing;
  }

  async #close(): Promise<void> {
    const { writer, reader, snapshots, db, lock } = this.#parts;
    const drained = writer.drain();
    await this.timers.stop();
    await drained;
    await reader.close();
    snapshots.close();
    db.close();
    await writer.close();
    lock.release();
  }

  #demandOpen(): void {
    if (this.#closing !== undefined) throw new GantryError(errors.CLOSED, { detail: "The store is closed." });
  }
}
