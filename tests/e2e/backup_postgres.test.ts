import { mkdtempSync, readdirSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from "vitest";
import type { Entry, Page, RunView } from "../../sdk/src/types.ts";
import { eventually } from "../fixtures/eventually.ts";
import { need } from "../fixtures/need.ts";
import { type PostgresServer, postgresMissing, postgresProgram, startPostgres } from "../fixtures/postgres.ts";
import { cli, run as runProgram } from "../fixtures/processes.ts";
import { startServer, type TestServer } from "../fixtures/server.ts";

/** What docs/backup.md says of PostgreSQL, done with its own programs. */

/** More than a row holds: a result of this size is a blob. */
const BLOB_CHARS = 200_000;
/** A server that a dump shows alive, and the lock that it had on the log, count as gone after their time. */
const GONE_MS = 60_000;
const LONG_MS = 300_000;

let postgres: PostgresServer | undefined;
let base: string;
let url: string;
let server: TestServer;

beforeAll(async () => {
  if (postgresMissing() === undefined) postgres = await startPostgres();
});
afterAll(() => postgres?.remove());
beforeEach(async (context) => {
  need(context, "postgres", postgresMissing());
  base = mkdtempSync(join(tmpdir(), "gbp-"));
  url = await postgres!.createDatabase();
  server = await startServer({ args: ["--store", url], config: { warm_runners: 1 } });
});
afterEach(async () => {
  await server?.dispose();
  if (base !== undefined) rmSync(base, { recursive: true, force: true });
});

const submit = (source: string): Promise<RunView> =>
  server.json<RunView>("/v1/runs", { json: { code: { source: `export default () => ${source};` } } });
const blob = (of: string): Promise<RunView> => submit(`${JSON.stringify(of)}.repeat(${BLOB_CHARS})`);
const status = async (): Promise<number> => (await server.request("/readyz")).status;
const checkpoint = async (): Promise<string[]> =>
  (await (await server.request("/log/checkpoint", { token: null })).text()).split("\n");
const sizeNow = async (): Promise<number> => Number((await checkpoint())[1]);

async function program(name: string, ...args: string[]): Promise<void> {
  const { code, stderr } = await runProgram(postgresProgram(name), args);
  expect(code, stderr).toBe(0);
}
const dump = (): Promise<void> => program("pg_dump", "--format=custom", "--file", join(base, "gantry.dump"), url);
async function backUp(): Promise<void> {
  const { code, stderr } = await cli(["backup", join(base, "files"), "--data", server.data, "--store", url]);
  expect(code, stderr).toBe(0);
}

/** The dump in a database of its own, and the files in the place of the data directory. @returns its URL, and what restore said */
async function restoreBoth(): Promise<{ fresh: string; said: string }> {
  rmSync(server.data, { recursive: true });
  const fresh = await postgres!.createDatabase();
  const restored = await cli(["restore", join(base, "files"), "--data", server.data, "--store", fresh]);
  expect(restored.code, restored.stderr).toBe(0);
  await program("pg_restore", "--exit-on-error", "--dbname", fresh, join(base, "gantry.dump"));
  return { fresh, said: restored.stdout.replace(/\s+/g, " ") };
}
const audit = (store: string) => cli(["evidence", "audit", "--store", store, "--data", server.data]);
const serve = (store: string): Promise<void> =>
  server.restart({ args: ["--store", store], config: { warm_runners: 1 } });

describe("pg_dump and gantry backup", () => {
  it("of a server that is stopped bring it back whole, and its log goes on under its name", async () => {
    const small = await submit("1");
    const large = await blob("x");
    await eventually(async () => (await sizeNow()) > 0, "something to be sealed");
    const [origin] = await checkpoint();
    await server.stop();
    await dump();
    await backUp();
    const { fresh } = await restoreBoth();
    expect((await audit(fresh)).stdout).toMatch(/^ok /);
    await serve(fresh);
    expect(await status()).toBe(200);
    expect(await server.json<RunView>(`/v1/runs/${small.id}`)).toEqual(small);
    expect((await server.json<RunView>(`/v1/runs/${large.id}`)).result).toBe("x".repeat(BLOB_CHARS));
    const before = await sizeNow();
    expect((await submit("7")).result).toBe(7);
    await eventually(async () => (await sizeNow()) > before, "the log to go on");
    expect((await checkpoint())[0]).toBe(origin);
    expect((await audit(fresh)).stdout).toMatch(/^ok /);
  });

  it(
    "of a server that goes on writing have all that was acknowledged before, and a successor of its log goes on",
    async () => {
      const kept = [await submit("1"), await blob("y")];
      let stop = false;
      let written = 0;
      const writing = (async () => {
        while (!stop) {
          await blob("z");
          written += 1;
        }
      })();
      await eventually(() => written > 0, "the load to begin");
      await dump();
      const at_dump = written;
      await eventually(() => written > at_dump, "something that the dump lacks");
      await backUp();
      stop = true;
      await writing;
      const gone = await submit("2");
      await eventually(async () => {
        const { items } = await server.json<Page<Entry>>(`/v1/evidence/entries?ref=${gone.id}`);
        return items.every(({ sealed }) => sealed);
      }, "the last run to be sealed");
      const signed = await sizeNow();
      const [origin] = await checkpoint();
      await server.kill();
      const { fresh, said } = await restoreBoth();
      expect(said).toContain(`The log ${origin} was signed up to`);
      expect(said).toContain("EVIDENCE_ROLLBACK");

      // The dump is whole but for its end, which somebody may hold: nothing goes on as if that had not been.
      const cut = await cli(["evidence", "audit", "--json", "--store", fresh, "--data", server.data]);
      expect(cut.code).toBe(1);
      expect(JSON.parse(cut.stdout)).toMatchObject({ ok: false, first_bad: { check: "latest" } });
      await serve(fresh);
      expect(await status()).toBe(503);
      expect(await (await server.request("/readyz")).text()).toContain("EVIDENCE_ROLLBACK");
      for (const { id, result } of kept) expect((await server.json<RunView>(`/v1/runs/${id}`)).result).toEqual(result);
      await server.json(`/v1/runs/${gone.id}`, {}, 404);
      expect((await server.request("/v1/runs", { json: { code: { source: "export default 1" } } })).status).toBe(503);
      await server.stop();

      const succeed = ["evidence", "succeed", "--reason", "A test.", "--store", fresh, "--data", server.data, "--json"];
      let out = await cli(succeed);
      await eventually(
        async () => {
          if (out.code !== 0) out = await cli(succeed);
          return out.code === 0 || !out.stderr.includes("Stop all servers");
        },
        "the servers of the dump to be gone",
        GONE_MS,
      );
      expect(out.code, out.stderr).toBe(0);
      const done = JSON.parse(out.stdout) as { old: { origin: string; size: number }; seen: { size: number }[] };
      expect(done.old.origin).toBe(origin);
      expect(done.old.size).toBeLessThan(signed);
      expect(done.seen[0]?.size).toBeGreaterThan(done.old.size);
      await serve(fresh);
      expect(await status()).toBe(200);
      for (const { id, result } of kept) expect((await server.json<RunView>(`/v1/runs/${id}`)).result).toEqual(result);
      expect((await submit("3")).result).toBe(3);
      await eventually(async () => (await checkpoint())[0] !== origin, "the successor to be shown");
      expect((await audit(fresh)).stdout).toMatch(/^ok /);
    },
    LONG_MS,
  );
});

describe("gantry backup beside PostgreSQL", () => {
  it("keeps where the log is, from the database or else from the directory, and a restore keeps the larger", async () => {
    await submit("1");
    await eventually(async () => (await sizeNow()) > 0, "something to be sealed");
    await server.stop();
    await backUp();
    const sizeIn = (directory: string): number =>
      Number(readFileSync(join(directory, "checkpoint.latest"), "utf8").split("\n")[1]);
    const at_backup = sizeIn(join(base, "files"));
    expect(at_backup).toBeGreaterThan(0);
    const away = "postgres://nobody@127.0.0.1:1/none";
    const also = await cli(["backup", join(base, "away"), "--data", server.data, "--store", away]);
    expect(also.code, also.stderr).toBe(0);
    expect(sizeIn(join(base, "away"))).toBe(sizeIn(server.data));

    await server.restart();
    await submit("2");
    await eventually(async () => (await sizeNow()) > at_backup, "the log to go on");
    await server.stop();
    const latest = sizeIn(server.data);
    expect(latest).toBeGreaterThan(at_backup);
    const replacing = ["restore", join(base, "files"), "--data", server.data, "--store", url, "--replace"];
    const { code, stderr } = await cli(replacing);
    expect(code, stderr).toBe(0);
    expect(sizeIn(server.data)).toBe(latest);
    // The database has all of it, whichever files stand beside it.
    await server.restart();
    expect(await status()).toBe(200);
    for (const name of readdirSync(join(server.data, ".."))) {
      if (name.includes(".before-")) rmSync(join(server.data, "..", name), { recursive: true });
    }
  });
});
