/** Our stores as the server opens them, over data of their own. */
import { systemClock } from "../../server/src/kernel/clock.ts";
import { silentLogger } from "../../server/src/kernel/log.ts";
import { systemRandom } from "../../server/src/kernel/random.ts";
import { noMetrics } from "../../server/src/kernel/telemetry.ts";
import { openPostgres } from "../../server/src/storage/adapters/postgres.ts";
import { openSqlite } from "../../server/src/storage/adapters/sqlite.ts";
import type { Migration, Storage } from "../../server/src/storage/contract.ts";
import { TABLE } from "./floor_commit.ts";

const migrations: Migration[] = [{ id: "bench/0001", sql: `${TABLE};`, tables: { marks: "operational" } }];

const kernel = { clock: systemClock(), random: systemRandom(), metrics: noMetrics, logger: silentLogger };

export function openSqliteStore(directory: string): Promise<Storage> {
  return openSqlite({ ...kernel, directory, migrations });
}

export function openPostgresStore(directory: string, url: string): Promise<Storage> {
  return openPostgres({ ...kernel, directory, url, migrations });
}
