import { cpSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { SEAL_LOCK_MS } from "../../server/src/evidence/contract.ts";
import { eventually } from "../fixtures/eventually.ts";
import { need } from "../fixtures/need.ts";
import { type PostgresServer, postgresMissing, startPostgres } from "../fixtures/postgres.ts";
import { temporaryDirectory } from "../fixtures/sqlite_store.ts";
import { type Child, start } from "./child.ts";
import { LOG_QUERIES, logFaults, type StoredLog, saidBy, storedLog } from "./log_audit.ts";

const CHILD = [process.execPath, "--import", "tsx", fileURLToPath(new URL("./sealing_child.ts", import.meta.url))];
const WAIT_MS = 60_000;

let server: PostgresServer;
let url: string;
let directories: Awaited<ReturnType<typeof temporaryDirectory>>[];
let children: Child[];

beforeEach(async (context) => {
  need(context, "postgres", postgresMissing());
  server = await startPostgres();
  url = await server.createDatabase();
  directories = [await temporaryDirectory(), await temporaryDirectory()];
  children = [];
});
afterEach(async () => {
  for (const child of children ?? []) {
    child.process.kill("SIGKILL");
    await child.ended;
  }
  for (const directory of directories ?? []) await directory.remove();
  await server?.remove();
});

/** Two processes over one database, with the same keys: both append, and either could seal. */
async function pair(): Promise<[Child, Child]> {
  const run = (n: number): Child => {
    const child = start([...CHILD, directories[n]!.path, "never", "0", url]);
    children.push(child);
    return child;
  };
  const first = run(0);
  await eventually(() => first.lines.length > 0, "the first process to open the log", WAIT_MS);
  cpSync(`${directories[0]!.path}/keys`, `${directories[1]!.path}/keys`, { recursive: true });
  const second = run(1);
  await eventually(() => second.lines.length > 0, "the second process to open the log", WAIT_MS);
  return [first, second];
}

const released = ({ lines }: Child) =>
  lines.flatMap((line) => (typeof line["released"] === "string" ? line["released"] : []));
const acknowledged = ({ lines }: Child) => lines.flatMap((line) => line.acknowledged ?? []);
const all = (children_of: Child[]) => children_of.flatMap(released);

async function storedNow(): Promise<StoredLog> {
  // As one statement each in one transaction of one state.
  const answers: Record<string, unknown>[][] = [];
  for (const sql of LOG_QUERIES) answers.push(await server.sql(sql, url));
  return storedLog(answers);
}

/** Kills both, and looks at what they have said and done. */
async function demandOneLog(pair_of: Child[]): Promise<void> {
  for (const child of pair_of) {
    child.process.kill("SIGKILL");
    await child.ended;
  }
  await eventually(
    async () =>
      (await server.sql("SELECT pid FROM pg_stat_activity WHERE datname = current_database()", url)).length === 1,
    "their sessions to end",
  );
  const log = await storedNow();
  expect(logFaults(log, all(pair_of))).toEqual([]);
  const there = new Set(log.entries.map(({ id }) => id));
  expect(pair_of.flatMap(acknowledged).filter((id) => !there.has(id))).toEqual([]);
  const sizes = all(pair_of).map((note) => saidBy(note).size);
  expect(new Set(sizes).size).toBe(sizes.length);
}

describe("two processes that append to one log on PostgreSQL", () => {
  it("are sealed by one of them at a time, and by the other when that one is paused; paused ones release no fork", async () => {
    const [first, second] = await pair();
    await eventually(() => acknowledged(second).length > 50, "the second to append", WAIT_MS);
    await eventually(() => released(first).length > 5, "the first to seal", WAIT_MS);
    expect(released(second)).toEqual([]);

    first.process.kill("SIGSTOP");
    const stopped_at = performance.now();
    await eventually(() => released(second).length > 3, "the second to take over", WAIT_MS);
    expect(performance.now() - stopped_at).toBeGreaterThan(SEAL_LOCK_MS / 2);
    const before = released(first).length;
    first.process.kill("SIGCONT");
    const awake = acknowledged(first).length;
    await eventually(() => acknowledged(first).length > awake + 50, "the first to append again", WAIT_MS);
    const now = released(second).length;
    await eventually(() => released(second).length > now + 3, "the second to go on sealing", WAIT_MS);
    // At most what was committed before the pause and not yet said.
    expect(released(first).length).toBeLessThanOrEqual(before + 1);
    await demandOneLog([first, second]);
  });

  it("go on in a process that is left, when the one that seals is killed", async () => {
    const [first, second] = await pair();
    await eventually(() => released(first).length > 5, "the first to seal", WAIT_MS);
    first.process.kill("SIGKILL");
    await first.ended;
    await eventually(() => released(second).length > 5, "the second to take over", WAIT_MS);
    await demandOneLog([first, second]);
  });
});
