import { assert } from "../kernel/assert.ts";
import { GantryError } from "../kernel/errors.ts";
import { sha256Hex } from "../kernel/hash.ts";
import { errors, type Migration } from "./contract.ts";
import { createdTables, type Engine, renderMigration } from "./sql.ts";

/** The one table that exists before the first migration. */
export const SCHEMA_MIGRATIONS =
  "CREATE TABLE IF NOT EXISTS schema_migrations (id {text} NOT NULL PRIMARY KEY, sha256 {text} NOT NULL, applied_at {int} NOT NULL)";
/**
 * What PostgreSQL needs beside it. `storage_turns` never has a row: whoever writes locks the table. `commit_marks` has
 * one row for each process that writes, with the number of its last transaction: see `adapters/postgres_turn.ts`.
 */
export const TURNS = [
  "CREATE TABLE IF NOT EXISTS storage_turns (turn {int} NOT NULL PRIMARY KEY)",
  "CREATE TABLE IF NOT EXISTS commit_marks (id {text} NOT NULL PRIMARY KEY, n {int} NOT NULL, at {int} NOT NULL)",
].join(";\n");
export const SELECT_APPLIED = "SELECT id, sha256 FROM schema_migrations";
export const INSERT_APPLIED = "INSERT INTO schema_migrations (id, sha256, applied_at) VALUES (?, ?, ?)";

export interface AppliedMigration {
  id: string;
  sha256: string;
}

/** A migration that is still to be applied. */
export interface PendingMigration {
  id: string;
  /** Of the text as it stands in the code, before tokens are replaced: the same on both engines. */
  sha256: string;
  statements: string[];
}

/**
 * What is to be applied, in the order of `migrations`.
 * @throws STORAGE_MIGRATION_CHANGED  an applied one has another text now.
 * @throws STORAGE_SCHEMA_NEWER  one was applied that this code does not know.
 */
export function planMigrations(
  migrations: readonly Migration[],
  applied: readonly AppliedMigration[],
  engine: Engine,
): PendingMigration[] {
  const known = new Set(migrations.map((migration) => migration.id));
  assert(known.size === migrations.length, "migration ids are unique");
  const unknown = applied.find((migration) => !known.has(migration.id));
  if (unknown !== undefined) {
    throw new GantryError(errors.SCHEMA_NEWER, {
      detail:
        `The database has migration ${unknown.id}, which this version does not know. Start the version that wrote it, or ` +
        "go back to the state before it: gantry restore BACKUP --replace, where with SQLite the copy that was made " +
        "then, before-<time>.db in the data directory, serves as BACKUP too.",
    });
  }
  const hashes = new Map(applied.map((migration) => [migration.id, migration.sha256]));
  return migrations.flatMap((migration) => {
    const sha256 = sha256Hex(migration.sql);
    const before = hashes.get(migration.id);
    if (before === sha256) return [];
    if (before !== undefined) {
      throw new GantryError(errors.MIGRATION_CHANGED, {
        detail: `Migration ${migration.id} was applied with another text. A change of the schema is a new migration.`,
        internal: { applied: before, now: sha256 },
      });
    }
    const statements = renderMigration(migration.sql, engine);
    for (const table of createdTables(statements)) {
      assert(migration.tables[table] !== undefined, `migration ${migration.id} declares what table ${table} is`);
    }
    return [{ id: migration.id, sha256, statements }];
  });
}
