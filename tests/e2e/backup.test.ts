import {
  appendFileSync,
  copyFileSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from "vitest";
import type { RunView } from "../../sdk/src/types.ts";
import { eventually } from "../fixtures/eventually.ts";
import { need } from "../fixtures/need.ts";
import { type PostgresServer, postgresMissing, startPostgres } from "../fixtures/postgres.ts";
import { cli, startCli } from "../fixtures/processes.ts";
import { startServer, type TestServer } from "../fixtures/server.ts";
import { rawStore } from "../fixtures/tamper.ts";

/** Backups and restores with real servers, by the command that people use. */

let base: string;
const servers: TestServer[] = [];
beforeEach(() => {
  base = mkdtempSync(join(tmpdir(), "gb-"));
});
afterEach(async () => {
  for (const server of servers.splice(0)) await server.dispose();
  rmSync(base, { recursive: true, force: true });
});

async function up(options: Parameters<typeof startServer>[0] = {}): Promise<TestServer> {
  const server = await startServer({ ...options, config: { warm_runners: 1, ...options.config } });
  servers.push(server);
  return server;
}

/** A server over a data directory that a restore has made. */
const upOn = (restored: string, config: Record<string, unknown> = {}): Promise<TestServer> =>
  up({
    config,
    async prepare(data) {
      const { code, stderr } = await cli(["backup", join(base, "moved"), "--data", restored]);
      expect(code, stderr).toBe(0);
      rmSync(data, { recursive: true });
      expect((await cli(["restore", join(base, "moved"), "--data", data])).code).toBe(0);
    },
  });

async function run(server: TestServer, value = 1): Promise<RunView> {
  return server.json<RunView>("/v1/runs", { json: { code: { source: `export default () => ${value};` } } });
}

async function json<T>(args: string[], code = 0): Promise<T> {
  const out = await cli([...args, "--json"]);
  expect(out.code, out.stderr + out.stdout).toBe(code);
  return JSON.parse(out.stdout) as T;
}

async function refused(args: string[]): Promise<string> {
  const { code, stderr } = await cli(args);
  expect(code, stderr).toBe(2);
  return stderr.replace(/\s+/g, " ");
}

const backupTo = (server: TestServer, name: string): Promise<{ log: { origin: string; size: number } }> =>
  json(["backup", join(base, name), "--data", server.data]);
const sizeNow = async (server: TestServer): Promise<number> =>
  Number((await (await server.request("/log/checkpoint", { token: null })).text()).split("\n")[1]);
const status = async (server: TestServer): Promise<number> => (await server.request("/readyz")).status;
const modeOf = (path: string): number => statSync(path).mode & 0o777;

/** Everything is in the signed log. */
async function sealed(server: TestServer): Promise<number> {
  let size = 0;
  await eventually(async () => {
    const { items } = await server.json<{ items: { sealed: boolean }[] }>("/v1/evidence/entries?limit=200");
    size = await sizeNow(server);
    return items.every((one) => one.sealed);
  }, "everything to be sealed");
  return size;
}

describe("gantry backup", () => {
  it("of a server that goes on writing has every run that was acknowledged before, and serves when restored", async () => {
    const server = await up();
    const before = [await run(server), await run(server)];
    let stop = false;
    let written = 0;
    const writing = (async () => {
      while (!stop) {
        await run(server);
        written += 1;
      }
    })();
    await eventually(() => written > 0, "the load to begin");
    const path = join(base, "monday");
    const at_begin = written;
    const text = await cli(["backup", path, "--data", server.data]);
    stop = true;
    await writing;
    expect(text.code, text.stderr).toBe(0);
    expect(text.stdout).toContain(`made ${path}`);
    expect(text.stdout.replace(/\s+/g, " ")).toContain("Keep it as you keep a password");
    expect([modeOf(path), modeOf(join(path, "gantry.db")), modeOf(join(path, "keys/state.key"))]).toEqual([
      0o700, 0o600, 0o600,
    ]);
    expect((await cli(["backup", "verify", path])).stdout).toContain("the whole store agrees with its ledger");
    const restored = await up({
      prepare: async (data) => {
        expect((await cli(["restore", path, "--data", data])).code).toBe(0);
      },
    });
    await server.stop();
    for (const { id } of before) expect((await restored.json<RunView>(`/v1/runs/${id}`)).state).toBe("ended");
    const { items } = await restored.json<{ items: RunView[] }>("/v1/runs?limit=200");
    expect(items.filter(({ state }) => state === "ended").length).toBeGreaterThanOrEqual(before.length + at_begin);
    expect((await run(restored, 7)).result).toBe(7);
    expect(await status(restored)).toBe(200);
    expect((await cli(["evidence", "audit", "--data", restored.data])).stdout).toMatch(/^ok /);
  });

  it("whose process is killed leaves nothing that has the name, and the next one takes its remains away", async () => {
    const server = await up();
    // Large enough that copying takes a while; a file of this name is a blob to whoever copies.
    mkdirSync(join(server.data, "blobs/aa"), { recursive: true });
    for (let i = 0; i < 8; i++) {
      writeFileSync(
        join(server.data, "blobs/aa", `aa${String(i).padStart(62, "0")}`),
        Buffer.alloc(32 * 1024 * 1024, i),
      );
    }
    const path = join(base, "torn");
    const started = startCli(["backup", path, "--data", server.data]);
    const remains = (): string[] => readdirSync(base).filter((name) => name.startsWith(".torn.partial-"));
    await eventually(
      () => remains().some((name) => existsSync(join(base, name, "blobs/aa"))),
      "the blobs to be copied",
    );
    process.kill(Number(remains()[0]?.split("-").at(-1)), "SIGKILL");
    expect((await started.finished).code).not.toBe(0);
    expect(existsSync(path)).toBe(false);
    expect(remains()).toHaveLength(1);
    expect(await refused(["backup", "verify", join(base, remains()[0]!)])).toContain("is no backup");
    await backupTo(server, "torn");
    expect(readdirSync(base)).toEqual(["torn"]);
    expect((await cli(["backup", "verify", path])).code).toBe(0);
  });

  it("with a byte that changed is refused, by the file's name", async () => {
    const server = await up();
    await run(server);
    await backupTo(server, "b");
    await server.stop();
    const path = join(base, "b");
    const damaged = async (name: string): Promise<void> => {
      const whole = readFileSync(join(path, name));
      const bytes = Buffer.from(whole);
      bytes[bytes.length >> 1]! ^= 1;
      writeFileSync(join(path, name), bytes);
      const said = [
        await refused(["backup", "verify", path]),
        await refused(["restore", path, "--data", join(base, "d")]),
      ];
      for (const one of said) expect(one).toContain(join(path, name));
      writeFileSync(join(path, name), whole);
    };
    for (const name of ["gantry.db", "keys/state.key", "manifest.json"]) await damaged(name);
    expect(existsSync(join(base, "d"))).toBe(false);
    writeFileSync(join(path, "stranger"), "");
    expect(await refused(["backup", "verify", path])).toContain("is not in the manifest");
    rmSync(join(path, "stranger"));
    rmSync(join(path, "owner.token"));
    expect(await refused(["backup", "verify", path])).toContain("owner.token is missing");
  });

  it("says what is wrong with a place, and keeps what is there", async () => {
    const server = await up();
    expect(await refused(["backup", base, "--data", server.data])).toContain("exists already");
    expect(await refused(["backup", join(server.data, "b"), "--data", server.data])).toContain("would be lost with it");
    expect(await refused(["backup", join(base, "b"), "--data", join(base, "none")])).toContain("There is no store in");
    expect(await refused(["backup", "verify", base])).toContain("is no backup");
    await backupTo(server, "b");
    appendFileSync(join(base, "mine"), "");
    expect(await refused(["restore", join(base, "b"), "--data", base])).toContain("is not empty");
    expect(await refused(["restore", join(base, "b"), "--data", base, "--replace"])).toContain("no data directory");
    const running = await refused(["restore", join(base, "b"), "--data", server.data, "--replace"]);
    expect(running).toContain("A server runs on");
    expect(readdirSync(base).sort()).toEqual(["b", "mine"]);
    expect((await run(server)).termination).toBe("completed");
  });
});

describe("gantry restore", () => {
  it("of a store that was not written to since goes on with its log, and keeps what it replaces", async () => {
    const server = await up();
    const { id } = await run(server);
    await server.stop();
    const { log } = await backupTo(server, "b");
    const view = await json<{ moved: string; gap: { state: string; lost: number } }>([
      ...["restore", join(base, "b"), "--data", server.data, "--replace"],
    ]);
    expect(view.gap).toMatchObject({ state: "whole", lost: 0 });
    expect(readFileSync(join(view.moved, "owner.token"), "utf8").trim()).toBe(server.token);
    await server.restart();
    expect((await server.json<RunView>(`/v1/runs/${id}`)).state).toBe("ended");
    expect((await run(server)).termination).toBe("completed");
    await eventually(async () => (await sizeNow(server)) > log.size, "the log to go on");
    expect(await (await server.request("/log/checkpoint")).text()).toContain(`${log.origin}\n`);
    rmSync(view.moved, { recursive: true });
  });

  it("of a store that was written to since explains what is lost, and a successor makes the server ready", async () => {
    const witness = join(base, "witness.txt");
    const config = { witnesses: [{ file: witness }] };
    const server = await up({ config });
    const { id: kept } = await run(server);
    const { log } = await backupTo(server, "b");
    const { id: gone } = await run(server);
    const last = await sealed(server);
    await eventually(() => existsSync(witness) && readFileSync(witness, "utf8").includes(`\n${last}\n`), "the witness");
    await cli(["evidence", "export", "--ref", kept, "-o", join(base, "old.bundle"), "--data", server.data]);
    writeFileSync(join(base, "old.pub"), (await cli(["evidence", "key", "--data", server.data])).stdout);
    await server.stop();
    rmSync(server.data, { recursive: true });
    writeFileSync(join(base, "gantry.yaml"), JSON.stringify(config));
    const at = ["--data", server.data, "--config", join(base, "gantry.yaml")];
    const { code, stdout } = await cli(["restore", join(base, "b"), ...at]);
    expect(code).toBe(0);
    const said = stdout.replace(/\s+/g, " ");
    expect(said).toContain(`ends at ${log.size} entries in the backup, and was seen signed up to ${last}`);
    expect(said).toContain(`${last - log.size} sealed entries`);
    expect(said).toContain(`the witness file:${witness}`);
    expect(said).toContain("npx gantry evidence succeed --reason");
    await server.restart();
    expect(await server.json("/readyz", {}, 503)).toMatchObject({
      causes: [{ detail: expect.stringContaining("EVIDENCE_ROLLBACK") }],
    });
    expect(await refused(["evidence", "succeed", "--reason", "The disk is gone.", ...at])).toContain(
      "A server runs on",
    );
    await server.stop();
    const done = await json<{ new: { origin: string; vkey: string }; entry: string; seen: { size: number }[] }>([
      ...["evidence", "succeed", "--reason", "The disk is gone.", ...at],
    ]);
    expect(done.seen[0]).toMatchObject({ size: last });
    await server.restart();
    expect(await status(server)).toBe(200);
    expect((await run(server, 3)).result).toBe(3);
    expect((await server.json<RunView>(`/v1/runs/${kept}`)).state).toBe("ended");
    await server.json(`/v1/runs/${gone}`, {}, 404);
    // Whoever was given something of the old log, and whoever is given something of the new one.
    const check = async (bundle: string, key: string): Promise<void> => {
      const out = await cli(["evidence", "verify", join(base, bundle), "--key", join(base, key)]);
      expect(out.code, out.stdout + out.stderr).toBe(0);
    };
    await check("old.bundle", "old.pub");
    await cli(["evidence", "export", "--since", "1d", "-o", join(base, "new.bundle"), "--data", server.data]);
    writeFileSync(join(base, "new.pub"), `${done.new.vkey}\n`);
    await check("new.bundle", "new.pub");
    writeFileSync(join(base, "both.pub"), (await cli(["evidence", "key", "--data", server.data])).stdout);
    await check("old.bundle", "both.pub");
    await check("new.bundle", "both.pub");
    expect((await cli(["evidence", "audit", "--data", server.data])).stdout).toMatch(/^ok /);
    const told = await cli(["timeline", "--since", "1h", "--data", server.data]);
    expect(told.stdout).toContain("The disk is gone.");
    await eventually(
      () => readFileSync(witness, "utf8").includes(`${done.new.origin}\n`),
      "the witness to have the successor",
    );
    await eventually(async () => {
      const { items } = await server.json<{ items: { lag_ms: number; error: string | null }[] }>(
        "/v1/evidence/witnesses",
      );
      return items.every(({ lag_ms, error }) => lag_ms === 0 && error === null);
    }, "the witness to be up to date");
  });

  it("with --succeed does both, and an older backup of an ended log is not restored without", async () => {
    const server = await up();
    await run(server);
    const { log } = await backupTo(server, "b");
    await run(server);
    await sealed(server);
    await server.stop();
    const replacing = ["restore", join(base, "b"), "--data", server.data, "--replace"];
    expect(await refused([...replacing, "--reason", "x"])).toContain("belong to --succeed");
    const view = await json<{ gap: { lost: number }; succeeded: { old: { size: number } }; moved: string }>([
      ...[...replacing, "--succeed", "--reason", "A test of the restore."],
    ]);
    expect(view.gap.lost).toBeGreaterThan(0);
    expect(view.succeeded.old.size).toBe(log.size);
    await server.restart();
    expect(await status(server)).toBe(200);
    await run(server);
    await server.stop();
    expect(await refused(replacing)).toContain("was ended, and");
    rmSync(view.moved, { recursive: true });
  });

  it("of the copy from before an upgrade takes a server back that an older version can start", async () => {
    const server = await up();
    const { id } = await run(server);
    await server.stop();
    const copy = join(server.data, "before-1790000000000.db");
    copyFileSync(join(server.data, "gantry.db"), copy);
    // What a newer version leaves.
    await rawStore(server.data).run(
      "INSERT INTO schema_migrations (id, sha256, applied_at) VALUES ('new/0001', 'x', 1)",
    );
    await expect(server.restart()).rejects.toThrow(
      /STORAGE_SCHEMA_NEWER.*gantry restore BACKUP --replace.*before-<time>\.db/s,
    );
    const { moved } = await json<{ moved: string }>(["restore", copy, "--data", server.data, "--replace"]);
    await server.restart();
    expect((await server.json<RunView>(`/v1/runs/${id}`)).state).toBe("ended");
    expect((await run(server)).termination).toBe("completed");
    expect(existsSync(join(moved, "before-1790000000000.db"))).toBe(true);
    expect(readdirSync(join(server.data, "..")).filter((name) => name.startsWith(".d."))).toEqual([]);
  });

  it("onto another machine needs no more than the backup", async () => {
    const server = await up();
    const { id } = await run(server);
    await server.stop();
    const other = await upOn(server.data);
    expect((await other.json<RunView>(`/v1/runs/${id}`)).state).toBe("ended");
    expect(other.token).toBe(server.token);
    expect((await run(other)).termination).toBe("completed");
  });
});

describe("a backup beside PostgreSQL", () => {
  let postgres: PostgresServer | undefined;
  beforeAll(async () => {
    if (postgresMissing() === undefined) postgres = await startPostgres();
  });
  afterAll(() => postgres?.remove());
  beforeEach((context) => need(context, "postgres", postgresMissing()));

  it("has the keys and says how to dump the rest, and a successor is begun on the database", async () => {
    const url = await postgres!.createDatabase();
    const server = await up({ args: ["--store", url] });
    await run(server);
    await sealed(server);
    const path = join(base, "p");
    const made = await cli(["backup", path, "--data", server.data, "--store", url]);
    expect(made.code, made.stderr).toBe(0);
    expect(made.stdout).toContain("pg_dump --format=custom");
    expect(made.stdout).not.toContain(url);
    expect((await cli(["backup", "verify", path])).code).toBe(0);
    const succeed = ["evidence", "succeed", "--reason", "A test.", "--data", server.data, "--store", url];
    expect(await refused(succeed)).toContain("A server runs on");
    await server.stop();
    rmSync(server.data, { recursive: true });
    expect((await cli(["restore", path, "--data", server.data, "--store", url])).stdout).toContain("pg_restore");
    const done = await json<{ new: { origin: string } }>(succeed);
    await server.restart();
    await run(server);
    await eventually(
      async () => (await (await server.request("/log/checkpoint")).text()).startsWith(`${done.new.origin}\n`),
      "the successor to be sealed",
    );
    expect((await cli(["evidence", "audit", "--data", server.data])).stdout).toMatch(/^ok /);
  });
});
