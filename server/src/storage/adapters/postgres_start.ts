import type { Clock } from "../../kernel/clock.ts";
import { GantryError } from "../../kernel/errors.ts";
import type { Logger } from "../../kernel/log.ts";
import { errors, type Migration } from "../contract.ts";
import {
  type AppliedMigration,
  INSERT_APPLIED,
  planMigrations,
  SCHEMA_MIGRATIONS,
  SELECT_APPLIED,
  TURNS,
} from "../migrations.ts";
import { renderMigration, Statements } from "../sql.ts";
import type { Statement } from "./postgres_batch.ts";
import type { Connection } from "./postgres_connection.ts";
import { judgePg, TransactionLost, told } from "./postgres_errors.ts";

/** Migrations of one database. */
const APPLIED_MAX = 10_000;
/** Any number that no other program uses in this database: one process migrates at a time. */
const MIGRATION_LOCK = 4_280_428_042_804;
const VERSION_MIN = 130_000;

/** What the server must not have, and what it would cost (PostgreSQL 15, 20.5 Write Ahead Log). */
const UNSAFE: Record<string, string> = {
  fsync: "a crash of the machine may damage every table",
  full_page_writes: "a page that was half written in a crash cannot be restored",
  synchronous_commit: "units would be acknowledged before they are durable",
};
const SELECT_SETTINGS: Statement = {
  text: `SELECT current_setting('server_version_num')::int AS version, current_setting('server_encoding') AS encoding,
    current_setting('fsync') AS fsync, current_setting('full_page_writes') AS full_page_writes,
    current_setting('synchronous_commit') AS synchronous_commit, pg_is_in_recovery() AS standby`,
  rows: "first",
};

export interface PostgresFault {
  detail: string;
  /** What makes it right. */
  fix: string;
}

/** What of the server's version and settings keeps Gantry from using it; empty when nothing does. */
export async function settingFaults(connection: Connection): Promise<PostgresFault[]> {
  const row = (await connection.demand([SELECT_SETTINGS]))[0]?.rows[0] ?? {};
  const faults: PostgresFault[] = [];
  if (Number(row["version"]) < VERSION_MIN) {
    faults.push({ detail: `The server has version ${row["version"]}.`, fix: "Use PostgreSQL 13 or later." });
  }
  if (row["encoding"] !== "UTF8") {
    const fix = "Create the database anew: createdb --encoding UTF8 --template template0.";
    faults.push({ detail: `The database has encoding ${row["encoding"]}.`, fix });
  }
  for (const [name, cost] of Object.entries(UNSAFE)) {
    if (row[name] !== "off") continue;
    const fix = `Set ${name} = on: ALTER SYSTEM SET ${name} = on; SELECT pg_reload_conf(), and nothing else for this role or database.`;
    faults.push({ detail: `The server has ${name} = off: ${cost}.`, fix });
  }
  if (row["standby"] === 1) {
    faults.push({ detail: "The server is a standby, which only reads.", fix: "Name the primary in the URL." });
  }
  return faults;
}

/** @throws STORAGE_SETTINGS */
export async function demandSettings(connection: Connection): Promise<void> {
  const [fault] = await settingFaults(connection);
  if (fault === undefined) return;
  throw new GantryError(errors.SETTINGS, { detail: `${fault.detail} ${fault.fix}` });
}

/**
 * Brings the schema up to date, each migration in a transaction of its own, while no other process does.
 * @throws STORAGE_MIGRATION_CHANGED STORAGE_SCHEMA_NEWER STORAGE_STATEMENT STORAGE_FULL STORAGE_UNREACHABLE
 */
export async function migratePostgres(
  connection: Connection,
  migrations: readonly Migration[],
  now: number,
  log?: Pick<Logger, "warn">,
): Promise<void> {
  await told(async () => {
    // The lock is the session's: it ends with it, also when this process is killed.
    await connection.demand([{ text: `SELECT pg_advisory_lock(${MIGRATION_LOCK})` }]);
    await transaction(connection, textsOf(`${SCHEMA_MIGRATIONS};${TURNS}`));
    const [listed] = await connection.demand([{ text: SELECT_APPLIED, rows: APPLIED_MAX }]);
    const applied = (listed?.rows ?? []) as unknown as AppliedMigration[];
    const insert = new Statements("postgres").check(INSERT_APPLIED, 3).text;
    const pending = planMigrations(migrations, applied, "postgres");
    if (pending.length > 0 && applied.length > 0) {
      log?.warn({ migrations: pending.length }, "the schema is brought up to date, and no copy is made of PostgreSQL");
    }
    for (const { id, sha256, statements } of pending) {
      const all = statements.map((text) => ({ text }));
      await transaction(connection, [...all, { text: insert, params: [id, sha256, now] }]);
    }
    await connection.demand([{ text: `SELECT pg_advisory_unlock(${MIGRATION_LOCK})` }]);
  });
}

function textsOf(sql: string): Statement[] {
  return renderMigration(sql, "postgres").map((text) => ({ text }));
}

async function transaction(connection: Connection, statements: Statement[]): Promise<void> {
  const all = [{ text: "BEGIN" }, ...statements, { text: "COMMIT" }].map((each) => ({
    ...each,
    unnamed: true as const,
  }));
  const { replies, failure } = await connection.run(all);
  if (failure === undefined) return;
  await connection.run([{ text: "ROLLBACK" }]);
  throw new TransactionLost(judgePg(failure.error, all[replies.length]?.text));
}

/** Milliseconds that the database's clock is ahead of ours, as far as one round trip can tell. */
export async function measureOffset(clock: Clock, ask: (statements: Statement[]) => Promise<number>): Promise<number> {
  const before = clock.now();
  const theirs = await ask([
    { text: "SELECT (EXTRACT(EPOCH FROM clock_timestamp()) * 1000)::bigint AS now", rows: "first" },
  ]);
  return Math.round(theirs - (before + clock.now()) / 2);
}
