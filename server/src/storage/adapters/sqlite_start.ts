import { readdir, rm } from "node:fs/promises";
import { GantryError, isGantryError } from "../../kernel/errors.ts";
import type { Migration } from "../contract.ts";
import { INSERT_APPLIED, planMigrations, SCHEMA_MIGRATIONS, SELECT_APPLIED } from "../migrations.ts";
import { renderMigration } from "../sql.ts";
import { type Driver, openDriver } from "./driver.ts";
import { syncDirectory } from "./files.ts";
import { configureWriter } from "./settings.ts";
import { copyInto, demandRoom, sqliteBytes } from "./sqlite_copy.ts";
import { fromWire, judge } from "./sqlite_errors.ts";

/** Copies made before migrations that are kept; the oldest goes first. */
export const COPIES_KEPT_MAX = 3;
/** Migrations of one database. */
const APPLIED_MAX = 10_000;
const BUSY_MS = 1_000;

/**
 * Brings the schema up to date, each migration in a transaction of its own. A database that has something in it is
 * copied to `before-<time>.db` first.
 * @param now  integer milliseconds UTC.
 * @returns the path of that copy, if there is one.
 * @throws STORAGE_MIGRATION_CHANGED STORAGE_SCHEMA_NEWER STORAGE_SETTINGS STORAGE_STATEMENT STORAGE_FULL
 */
export async function migrateSqlite(
  directory: string,
  path: string,
  migrations: readonly Migration[],
  now: number,
): Promise<string | undefined> {
  const db = await openDriver(path, { read_only: false, busy_ms: BUSY_MS });
  try {
    configureWriter(db);
    for (const statement of renderMigration(SCHEMA_MIGRATIONS, "sqlite")) db.exec(statement);
    const applied = db.all(SELECT_APPLIED, [], APPLIED_MAX) as { id: string; sha256: string }[];
    const pending = planMigrations(migrations, applied, "sqlite");
    const is_upgrade = pending.length > 0 && applied.length > 0;
    const copy = is_upgrade ? await copyDatabase(db, directory, path, now) : undefined;
    for (const migration of pending) {
      transaction(db, () => {
        for (const statement of migration.statements) db.exec(statement);
        db.run(INSERT_APPLIED, [migration.id, migration.sha256, now]);
      });
    }
    return copy;
  } catch (error) {
    throw isGantryError(error) ? error : withCause(fromWire(judge(error).error), error);
  } finally {
    db.close();
  }
}

function transaction(db: Driver, work: () => void): void {
  db.exec("BEGIN IMMEDIATE");
  try {
    work();
    db.exec("COMMIT");
  } catch (error) {
    db.exec("ROLLBACK");
    throw error;
  }
}

/** @returns the path of the copy. */
async function copyDatabase(db: Driver, directory: string, path: string, now: number): Promise<string> {
  const copy = `${directory}/before-${now}.db`;
  await demandRoom(
    directory,
    await sqliteBytes(path),
    "The copy of the database that is made before its schema changes",
  );
  await copyInto(db, copy);
  const copies = (await readdir(directory)).filter((name) => /^before-\d+\.db$/.test(name)).sort(byTime);
  for (const old of copies.slice(0, -COPIES_KEPT_MAX)) await rm(`${directory}/${old}`);
  await syncDirectory(directory);
  return copy;
}

function byTime(a: string, b: string): number {
  return Number(a.slice(7, -3)) - Number(b.slice(7, -3));
}

function withCause(error: GantryError, cause: unknown): GantryError {
  return new GantryError(error.kind, { ...error.parts, cause });
}
