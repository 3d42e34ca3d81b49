import type { Clock } from "../../kernel/clock.ts";
import { isGantryError } from "../../kernel/errors.ts";
import { DATABASE_CONNECTIONS_MAX } from "../contract.ts";
import type { Statement } from "./postgres_batch.ts";
import { Connection, placeOf } from "./postgres_connection.ts";
import { told } from "./postgres_errors.ts";
import { settingFaults } from "./postgres_start.ts";

/** One thing that was looked at. `warn`: Gantry works, but less well. */
export interface PostgresCheck {
  name: string;
  ok: boolean | "warn";
  detail: string;
  fix?: string;
}

const COMMIT_ROUNDS = 30;
/** As for the disk of a data directory: past this a run waits noticeably. */
const COMMIT_MS_GOOD = 5;
/** A transaction with an id of its own has a commit record, and waits for it to be durable. */
const COMMIT: Statement[] = [{ text: "BEGIN" }, { text: "SELECT txid_current()" }, { text: "COMMIT" }];
const ABOUT: Statement = {
  text: `SELECT version() AS version, has_schema_privilege(current_schema(), 'CREATE') AS makes_tables,
    current_setting('max_connections')::int AS connections`,
  rows: "first",
};

/** Looks at a database with the eyes of `gantry up`. Changes nothing in it. */
export async function probePostgres(url: string, clock: Clock): Promise<PostgresCheck[]> {
  let connection: Connection;
  try {
    connection = await told(() => Connection.open({ url, settings: {} }));
  } catch (error) {
    if (!isGantryError(error)) throw error;
    const fix = "Look at the URL, at the server's log, and at listen_addresses and pg_hba.conf.";
    return [{ name: "database", ok: false, detail: error.parts.detail, fix }];
  }
  try {
    return await told(() => look(connection, url, clock));
  } finally {
    await connection.close();
  }
}

async function look(connection: Connection, url: string, clock: Clock): Promise<PostgresCheck[]> {
  const about = (await connection.demand([ABOUT]))[0]?.rows[0] ?? {};
  const version = String(about["version"]).split(" ").slice(0, 2).join(" ");
  const checks: PostgresCheck[] = [{ name: "database", ok: true, detail: `${version} at ${await placeOf(url)}` }];
  const faults = await settingFaults(connection);
  for (const { detail, fix } of faults) checks.push({ name: "database settings", ok: false, detail, fix });
  if (faults.length === 0) {
    const detail = "fsync, full_page_writes and synchronous_commit are on";
    checks.push({ name: "database settings", ok: true, detail });
  }
  const makes_tables = about["makes_tables"] === 1;
  checks.push({
    name: "database rights",
    ok: makes_tables,
    detail: makes_tables ? "the role may make tables" : "the role may not make tables",
    ...(makes_tables ? {} : { fix: "Let the role own the database: ALTER DATABASE … OWNER TO …." }),
  });
  checks.push(connectionsCheck(Number(about["connections"])), await commitCheck(connection, clock));
  return checks;
}

function connectionsCheck(most: number): PostgresCheck {
  const name = "database connections";
  const detail = `${most} at most; each Gantry process takes up to ${DATABASE_CONNECTIONS_MAX}`;
  if (most >= 2 * DATABASE_CONNECTIONS_MAX) return { name, ok: true, detail };
  return { name, ok: "warn", detail, fix: `Raise max_connections to ${2 * DATABASE_CONNECTIONS_MAX} or more.` };
}

/** What a durable commit costs over this connection. */
async function commitCheck(connection: Connection, clock: Clock): Promise<PostgresCheck> {
  const times: number[] = [];
  for (let round = 0; round < COMMIT_ROUNDS; round++) {
    const from = clock.monotonic();
    await connection.demand(COMMIT);
    times.push(clock.monotonic() - from);
  }
  const median = times.sort((a, b) => a - b)[COMMIT_ROUNDS / 2] ?? 0;
  const detail = `${median.toFixed(2)} ms (median of ${COMMIT_ROUNDS})`;
  if (median <= COMMIT_MS_GOOD) return { name: "database commit", ok: true, detail };
  const fix = "Bring the database nearer, or give it a faster disk: each acknowledged run waits for two commits.";
  return { name: "database commit", ok: "warn", detail, fix };
}
