import { type Stats, statSync } from "node:fs";
import { pathToFileURL } from "node:url";
import { GantryError, isGantryError } from "../../kernel/errors.ts";
import { errors, type Migration, type Reader, type Storage } from "../contract.ts";
import { type AppliedMigration, planMigrations, SELECT_APPLIED } from "../migrations.ts";
import { checkedValues, type Engine, Statements } from "../sql.ts";
import { migrations as own_migrations } from "../store.ts";
import { type Driver, openDriver } from "./driver.ts";
import { ANSWER_MS, READER } from "./postgres.ts";
import { Connection } from "./postgres_connection.ts";
import { PostgresReader } from "./postgres_reader.ts";
import { serialReader } from "./serial_reader.ts";
import { fromWire, judge } from "./sqlite_errors.ts";

const BUSY_MS = 1_000;

/** A store that is looked at from outside: nothing is made, migrated or locked, and a server may go on using it. */
export interface ReadOnlyStore extends Pick<Storage, "snapshot"> {
  close(): Promise<void>;
}

/**
 * Opens the embedded store's file.
 * @param migrations  of all rooms, lower floors first.
 * @throws STORAGE_STATEMENT  it is no Gantry database. STORAGE_SETTINGS  an older version wrote it, and its schema is
 *   not brought up to date here. STORAGE_SCHEMA_NEWER STORAGE_MIGRATION_CHANGED
 */
export async function readSqlite(path: string, migrations: readonly Migration[]): Promise<ReadOnlyStore> {
  return checked(await readSqliteOfAnyVersion(path), migrations, "sqlite");
}

/** As `readSqlite`, whichever version wrote it: for tables that have been the same in all of them. */
export async function readSqliteOfAnyVersion(path: string): Promise<ReadOnlyStore> {
  const seen = watched(path);
  const db = await openDriver(seen === undefined ? path : immutable(path), { read_only: true, busy_ms: BUSY_MS }).catch(
    (error: unknown) => {
      throw fromWire(judge(error).error);
    },
  );
  return {
    async snapshot(read) {
      db.exec("BEGIN");
      try {
        const answer = await read(readerOf(db));
        if (seen !== undefined) demandUnchanged(path, seen);
        return answer;
      } finally {
        db.exec("ROLLBACK");
      }
    },
    close: async () => db.close(),
  };
}

/** As `readSqlite`, of a database server. @throws STORAGE_UNREACHABLE too */
export async function readPostgres(url: string, migrations: readonly Migration[]): Promise<ReadOnlyStore> {
  const reader = new PostgresReader(new Statements("postgres"), () =>
    Connection.open({ url, settings: READER, answer_ms: ANSWER_MS }),
  );
  const store: ReadOnlyStore = { snapshot: (read) => reader.snapshot(read), close: () => reader.close() };
  return checked(store, migrations, "postgres");
}

/**
 * A file in WAL mode cannot be opened without making two more beside it, even for reading, unless SQLite is told that
 * nobody changes it (https://www.sqlite.org/wal.html#readonly). A clean stop leaves no WAL; where one lies, somebody
 * writes, or has crashed: then it holds commits, and is read along.
 * @returns what the file was when nobody wrote, undefined when there is a WAL.
 */
function watched(path: string): Stats | undefined {
  const seen = statSync(path);
  return statSync(`${path}-wal`, { throwIfNoEntry: false }) === undefined ? seen : undefined;
}

function immutable(path: string): URL {
  const url = pathToFileURL(path);
  url.searchParams.set("immutable", "1");
  return url;
}

/** What was read while a server started says nothing: it may be from two states. @throws STORAGE_LOCKED */
function demandUnchanged(path: string, seen: Stats): void {
  const now = watched(path);
  if (now !== undefined && now.mtimeMs === seen.mtimeMs && now.size === seen.size && now.ino === seen.ino) return;
  throw new GantryError(errors.LOCKED, {
    detail: "A server began to use the store while it was read. Read it again, or ask the server.",
  });
}

function readerOf(db: Driver): Reader {
  const statements = new Statements("sqlite");
  return serialReader((sql, params, rows) => {
    const values = checkedValues(params);
    const { text } = statements.check(sql, values.length);
    return async () => {
      try {
        return db.all(text, values, rows);
      } catch (error) {
        throw isGantryError(error) ? error : fromWire(judge(error).error);
      }
    };
  }).reader;
}

async function checked(store: ReadOnlyStore, migrations: readonly Migration[], engine: Engine): Promise<ReadOnlyStore> {
  try {
    const applied = await store.snapshot((reader) => reader.all(SELECT_APPLIED, []));
    const all = [...own_migrations, ...migrations];
    const [pending] = planMigrations(all, applied as unknown as AppliedMigration[], engine);
    if (pending === undefined) return store;
    throw new GantryError(errors.SETTINGS, {
      detail: `An older version wrote the store: ${pending.id} is not applied. Start it once with this version.`,
    });
  } catch (error) {
    await store.close();
    throw error;
  }
}
