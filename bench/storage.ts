/**
 * `npm run bench -- storage`: durable steps of both engines against raw syncs and raw commits, in interleaved rounds of one
 * run. The data lies below the system's directory for temporary files, which must be on a disk: set `TMPDIR`.
 */
import { mkdtempSync, rmSync, statfsSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { postgresMissing, startPostgres } from "../tests/fixtures/postgres.ts";
import { rawPostgres, rawSqlite, rawSync } from "./parts/floor_commit.ts";
import { printMachine } from "./parts/measure.ts";
import { cpuMsBelow } from "./parts/processes.ts";
import { commits } from "./parts/storage_commit.ts";
import { openPostgresStore, openSqliteStore } from "./parts/stores.ts";

/** statfs(2): a file system in memory, where a sync costs nothing and means nothing. */
const TMPFS_MAGIC = 0x01021994;

const what = process.argv[2] ?? "";
if (what !== "" && what !== "commit") {
  console.error(`storage-${what} is not known; the part of storage is commit`);
  process.exit(2);
}
const directory = mkdtempSync(join(tmpdir(), "gantry-bench-"));
process.on("exit", () => rmSync(directory, { recursive: true, force: true }));
printMachine();
if (statfsSync(directory).type === TMPFS_MAGIC) console.log(`${directory} is in memory: nothing here is durable.\n`);

await sqlite();
await postgres();
process.exit();

async function sqlite(): Promise<void> {
  const storage = await openSqliteStore(join(directory, "sqlite"));
  const raw_commit = await rawSqlite(directory);
  const raw_sync = rawSync(directory);
  await commits({ name: "SQLite", storage, raw_commit, raw_sync, guests: () => 0 });
  for (const each of [storage, raw_commit, raw_sync]) await each.close();
}

async function postgres(): Promise<void> {
  const missing = postgresMissing();
  if (missing !== undefined) return console.log(`PostgreSQL: skipped: no PostgreSQL found: ${missing}\n`);
  const server = await startPostgres();
  const storage = await openPostgresStore(join(directory, "postgres"), await server.createDatabase());
  const raw_commit = await rawPostgres(await server.createDatabase());
  const raw_sync = rawSync(directory);
  const guests = (): number => cpuMsBelow(process.pid);
  await commits({ name: "PostgreSQL", storage, raw_commit, raw_sync, guests });
  for (const each of [storage, raw_commit, raw_sync]) await each.close();
  await server.remove();
}
