import { GantryError } from "../../kernel/errors.ts";
import { errors, type Row, type Value } from "../contract.ts";
import type { Rows } from "../unit.ts";

/** One connection to a SQLite file. Everything is synchronous; errors are the driver's own (see `sqlite_errors.ts`). */
export interface Driver {
  /** Runs statements without parameters and without results. */
  exec(sql: string): void;
  /** @returns the rows that the statement changed. */
  run(sql: string, params: readonly Value[]): number;
  /** @throws STORAGE_ROWS past the number of `rows`, STORAGE_VALUE for numbers that are not safe integers. */
  all(sql: string, params: readonly Value[], rows: Rows): Row[];
  /** The result in pages of up to `page_rows`. The statement stays open until the iteration ends or is returned. */
  pages(sql: string, params: readonly Value[], page_rows: number): Generator<Row[], void, undefined>;
  /** One value of a PRAGMA. */
  pragma(name: string): Value;
  close(): void;
}

/** What both `node:sqlite` and `@photostructure/sqlite` 1.2.1 offer and we use. */
interface SqliteStatement {
  run(...params: unknown[]): { changes: number | bigint };
  get(...params: unknown[]): unknown;
  iterate(...params: unknown[]): IterableIterator<unknown>;
}
interface SqliteDatabase {
  exec(sql: string): void;
  prepare(sql: string): SqliteStatement;
  close(): void;
}
interface SqliteModule {
  DatabaseSync: new (path: string | URL, options: { readOnly: boolean }) => SqliteDatabase;
}

/** Prepared statements kept by one connection. */
const STATEMENTS_CACHED_MAX = 500;

/** From this major version on Node's own SQLite is used. */
const BUILT_IN_FROM_MAJOR = 24;

async function loadSqlite(): Promise<SqliteModule> {
  const major = Number(process.versions.node.split(".")[0]);
  if (major >= BUILT_IN_FROM_MAJOR) return process.getBuiltinModule("node:sqlite") as unknown as SqliteModule;
  return (await import("@photostructure/sqlite")) as unknown as SqliteModule;
}

/**
 * Opens a connection and waits up to `busy_ms` for another's lock. A `file:` URL may have parameters of SQLite's.
 * A process must not mix the two modules on one file: closing a file drops the POSIX locks of the whole process.
 */
export async function openDriver(path: string | URL, o: { read_only: boolean; busy_ms: number }): Promise<Driver> {
  const { DatabaseSync } = await loadSqlite();
  const db = new DatabaseSync(path, { readOnly: o.read_only });
  db.exec(`PRAGMA busy_timeout = ${o.busy_ms}`);
  return driverOf(db);
}

function driverOf(db: SqliteDatabase): Driver {
  const cache = new Map<string, SqliteStatement>();
  /** Keeps statements alive while they are iterated over: the iterator of @photostructure/sqlite 1.2.1 does not. */
  const scanned = new Set<SqliteStatement>();
  const prepared = (sql: string): SqliteStatement => {
    let statement = cache.get(sql);
    if (statement === undefined) {
      statement = db.prepare(sql);
      if (cache.size >= STATEMENTS_CACHED_MAX) cache.clear();
      cache.set(sql, statement);
    }
    return statement;
  };
  return {
    exec: (sql) => db.exec(sql),
    run: (sql, params) => Number(prepared(sql).run(...bound(params)).changes),
    all(sql, params, rows) {
      const statement = prepared(sql);
      if (rows === "first") {
        const row = statement.get(...bound(params));
        return row === undefined ? [] : [checkedRow(row)];
      }
      const found: Row[] = [];
      let stepped: IterableIterator<unknown> | undefined;
      try {
        stepped = statement.iterate(...bound(params));
        for (const row of stepped) {
          if (found.length === rows) {
            throw new GantryError(errors.ROWS, { detail: `The query has more than ${rows} rows.`, internal: { sql } });
          }
          found.push(checkedRow(row));
        }
      } catch (error) {
        cache.delete(sql); // A failed iteration leaves the statement unfit for another one.
        stop(stepped);
        throw withResultCode(error);
      }
      return found;
    },
    *pages(sql, params, page_rows) {
      // Not a cached statement: a scan stays open across calls, and the same text may be scanned twice at once.
      const statement = db.prepare(sql);
      scanned.add(statement);
      let stepped: IterableIterator<unknown> | undefined;
      try {
        let page: Row[] = [];
        stepped = statement.iterate(...bound(params));
        for (const row of stepped) {
          page.push(checkedRow(row));
          if (page.length === page_rows) {
            yield page;
            page = [];
          }
        }
        if (page.length > 0) yield page;
      } catch (error) {
        stop(stepped);
        throw withResultCode(error);
      } finally {
        scanned.delete(statement);
      }
    },
    pragma(name) {
      const row = db.prepare(`PRAGMA ${name}`).get();
      return row === undefined ? null : (Object.values(checkedRow(row))[0] ?? null);
    },
    close: () => db.close(),
  };
}

/**
 * Nobody returns an iterator that has failed by itself, and @photostructure/sqlite 1.2.1 leaves its statement under way:
 * its connection would hold the old state for ever.
 */
function stop(stepped: IterableIterator<unknown> | undefined): void {
  stepped?.return?.();
}

/** Result codes by their texts, which are fixed (`sqlite3ErrStr` of SQLite's main.c). Anything else is the statement's. */
const RESULT_CODES: readonly (readonly [RegExp, number])[] = [
  [/constraint failed|^cannot store /, 19],
  [/^attempt to write a readonly database/, 8],
  [/^database is locked|^database table is locked/, 5],
  [/^database or disk is full/, 13],
  [/^disk I\/O error/, 10],
  [/^database disk image is malformed/, 11],
  [/^file is not a database/, 26],
  [/^unable to open database file/, 14],
  [/^out of memory/, 7],
  [/^locking protocol/, 15],
];
const SQLITE_ERROR = 1;

/** @photostructure/sqlite 1.2.1 leaves the result code out of errors of `iterate`. */
function withResultCode(error: unknown): unknown {
  if (!(error instanceof Error) || !("code" in error) || error.code !== "ERR_SQLITE_ERROR" || "errcode" in error) {
    return error;
  }
  const errcode = RESULT_CODES.find(([text]) => text.test(error.message))?.[1] ?? SQLITE_ERROR;
  return Object.assign(error, { errcode });
}

/** Numbers are bound as integers: `node:sqlite` would bind them as REAL, which compares but does not divide alike. */
function bound(params: readonly Value[]): unknown[] {
  return params.map((value) => (typeof value === "number" ? BigInt(value) : value));
}

function checkedRow(row: unknown): Row {
  const checked: Row = {};
  for (const [column, value] of Object.entries(row as Row)) {
    if (typeof value === "number" && !Number.isSafeInteger(value)) {
      throw new GantryError(errors.VALUE, { detail: `Column ${column} is ${value}, which is not a safe integer.` });
    }
    checked[column] = value;
  }
  return checked;
}
