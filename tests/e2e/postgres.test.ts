import { spawnSync } from "node:child_process";
import { existsSync, readFileSync } from "node:fs";
import { cp, rm, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from "vitest";
import type { Entry, Page, RunView } from "../../sdk/src/types.ts";
import { eventually } from "../fixtures/eventually.ts";
import { need } from "../fixtures/need.ts";
import { type PostgresServer, postgresMissing, startPostgres } from "../fixtures/postgres.ts";
import { cli, run } from "../fixtures/processes.ts";
import { CLI_FILE, SERVER_FILE, startServer, type TestServer } from "../fixtures/server.ts";

let postgres: PostgresServer | undefined;
beforeAll(async () => {
  if (postgresMissing() === undefined) postgres = await startPostgres();
});
afterAll(() => postgres?.remove());

describe("gantry up --store postgres://…", () => {
  let url: string;
  let server: TestServer | undefined;
  beforeEach(async (context) => {
    need(context, "postgres", postgresMissing());
    url = await postgres!.createDatabase();
  });
  afterEach(async () => {
    await server?.dispose();
    server = undefined;
  });

  const submit = (source: string, more: object = {}) => ({ json: { code: { source }, ...more } });

  it("runs programs, and has every run after a kill and a restart", async () => {
    server = await startServer({ args: ["--store", url] });
    expect(server.printed).toMatch(/^ {2}Store {6}PostgreSQL, .*\/gantry_[0-9a-f]+\b/m);
    const run = await server.json<RunView>("/v1/runs", submit("export default (n) => n + 1", { input: 41 }));
    expect(run).toMatchObject({ termination: "completed", result: 42 });
    const sleeps = "export default () => new Promise((done) => setTimeout(done, 60_000))";
    const { id: lost } = await server.json<RunView>("/v1/runs", submit(sleeps, { wait_ms: 0 }), 202);
    await eventually(async () => (await server!.json<RunView>(`/v1/runs/${lost}`)).state === "running", "it runs");
    expect(existsSync(join(server.data, "gantry.db"))).toBe(false);

    await server.kill();
    await server.restart();
    expect(await server.json<RunView>(`/v1/runs/${run.id}`)).toEqual(run);
    expect(await server.json<RunView>(`/v1/runs/${lost}`)).toMatchObject({ state: "ended", termination: "node_lost" });
    const entries = await server.json<Page<Entry>>(`/v1/evidence/entries?ref=${run.id}`);
    expect(entries.items.map(({ kind }) => kind)).toEqual(["run.admitted", "run.ended"]);
    await server.stop();
  });

  it("takes its store from the config file or GANTRY_STORE, and shows the password to nobody", async () => {
    const secret = "geheim-4280";
    const with_secret = `${url}${url.includes("?") ? "&" : "?"}password=${secret}`;
    server = await startServer({ config: { store: with_secret, log_level: "debug" } });
    await server.json<RunView>("/v1/runs", submit("export default () => 1"));
    await server.stop();
    await server.restart({ env: { GANTRY_STORE: with_secret } });
    await server.json<Page<RunView>>("/v1/runs");
    expect((await server.json<Page<RunView>>("/v1/runs")).items).toHaveLength(1);
    const said = [server.printed, ...server.log, readFileSync(join(server.data, "server.json"), "utf8")].join("\n");
    expect(said).toContain("PostgreSQL");
    expect(said).not.toContain(secret);
    await server.stop();
  });

  it("has secrets that are wrapped with another key while no server is alive, and that only a node with that key opens", async () => {
    server = await startServer({ args: ["--store", url] });
    const { token } = server;
    const set = { method: "PUT", json: { value: "geheim-4280" } };
    expect((await server.request("/v1/secrets/a-key", set)).status).toBe(200);
    const elsewhere = `${server.data}-2`;
    try {
      await cp(join(server.data, "keys"), join(elsewhere, "keys"), { recursive: true });
      const refused = await cli(["secrets", "rewrap", "--data", elsewhere, "--store", url]);
      expect(refused).toMatchObject({ code: 2, stdout: "" });
      expect(refused.stderr).toMatch(/The server \S+ uses the database/);
      await server.stop();
      const done = await cli(["secrets", "rewrap", "--data", server.data, "--store", url, "--json"]);
      expect(done.code, done.stderr).toBe(0);
      expect(JSON.parse(done.stdout)).toMatchObject({ secrets: 1, tenants: 1, resumed: false });
      await server.restart({ args: ["--store", url] });
      const { items } = await server.json<{ items: { name: string }[] }>("/v1/secrets", { token });
      expect(items.map(({ name }) => name)).toEqual(["a-key"]);
      await server.stop();
      const config = join(elsewhere, "config.yaml");
      await writeFile(config, JSON.stringify({ blobs: join(server.data, "blobs"), store: url, port: 0 }));
      const without = await run(process.execPath, [SERVER_FILE, "up", "--data", elsewhere, "--config", config]);
      expect(without.code).not.toBe(0);
      expect(without.stdout + without.stderr).toContain("SECRETS_KEY_MISMATCH");
    } finally {
      await rm(elsewhere, { recursive: true, force: true });
    }
  });

  it("is refused with a sentence when the database is away or is none", async () => {
    for (const [store, said] of [
      ["postgres://u:geheim@127.0.0.1:1/d", /u@127\.0\.0\.1:1\/d cannot be reached: nothing listens there/],
      ["mysql://u:geheim@h/d", /mysql.*postgres:\/\/user@host/],
    ] as const) {
      const ended = startServer({ args: ["--store", store] });
      const error = await ended.then(
        async (running) => {
          await running.dispose();
          return "it runs";
        },
        (failure: Error) => failure.message,
      );
      expect(error).toMatch(said);
      expect(error).not.toContain("geheim");
    }
  });

  it("is looked at by gantry doctor, which names what to do", async () => {
    const doctor = (store: string) => {
      const { stdout } = spawnSync(process.execPath, [CLI_FILE, "doctor", "--json", "--store", store], {
        encoding: "utf8",
      });
      return (JSON.parse(stdout) as { checks: { name: string; ok: unknown; detail: string; fix?: string }[] }).checks;
    };
    const of_database = doctor(url).filter(({ name }) => name.startsWith("database"));
    expect(of_database.map(({ name, ok }) => [name, ok])).toEqual([
      ["database", true],
      ["database settings", true],
      ["database rights", true],
      ["database connections", true],
      ["database commit", expect.toBeOneOf([true, "warn"])],
    ]);
    const away = doctor("postgres://u:geheim@127.0.0.1:1/d").find(({ name }) => name === "database");
    expect(away).toMatchObject({ ok: false, fix: expect.stringContaining("pg_hba.conf") });
    expect(JSON.stringify(away)).not.toContain("geheim");
  });
});
