import { spawnSync } from "node:child_process";
import { closeSync, mkdirSync, openSync, rmSync, writeSync } from "node:fs";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { errors } from "../../server/src/storage/contract.ts";
import { eventually } from "../fixtures/eventually.ts";
import { need } from "../fixtures/need.ts";
import { ownPostgresMissing, type PostgresServer, startPostgres } from "../fixtures/postgres.ts";
import { temporaryDirectory } from "../fixtures/sqlite_store.ts";
import { CHILD, type Child, start } from "./child.ts";
import { Dice, seedOfRun } from "./dice.ts";
import { audit, openChildStore, SOUND, saidOf } from "./storage_child.ts";

const CLIENT_KILLS = 6;
const SERVER_KILLS = 5;
const START_MS = 30_000;
const seed = seedOfRun();
const repeat = `SEED=${seed} npx vitest run --project crash tests/crash/postgres.test.ts`;

describe("a store in PostgreSQL", () => {
  let directory: { path: string; remove(): Promise<void> };
  let server: PostgresServer | undefined;
  let children: Child[];
  const launch = (...command: string[]): Child => {
    const child = start(command);
    children.push(child);
    return child;
  };
  const acknowledged = ({ lines }: Child) => lines.filter((line) => line.acknowledged !== undefined).length;

  beforeEach(async (context) => {
    children = [];
    directory = await temporaryDirectory();
    need(context, "postgres", ownPostgresMissing());
  });
  afterEach(async () => {
    for (const child of children) child.process.kill("SIGKILL");
    await Promise.all(children.map((child) => child.ended));
    await server?.remove();
    server = undefined;
    await directory.remove();
  });

  async function demandSound(url: string, children_of: Child[], kills: number): Promise<void> {
    const storage = await openChildStore(directory.path, url);
    try {
      expect(await audit(storage, saidOf(children_of.flatMap(({ lines }) => lines)), kills), repeat).toEqual(SOUND);
    } finally {
      await storage.close();
    }
  }

  it(`keeps every acknowledged unit, and no part of another, over ${CLIENT_KILLS} kills of its process`, async () => {
    server = await startPostgres({ own: true });
    const url = await server.createDatabase();
    const dice = new Dice(seed);
    for (let kill = 0; kill < CLIENT_KILLS; kill++) {
      const child = launch(...CHILD, "write", directory.path, url);
      const units = dice.whole(1, 600);
      await eventually(() => acknowledged(child) >= units, "units", START_MS);
      child.process.kill("SIGKILL");
      await child.ended;
    }
    await demandSound(url, children, CLIENT_KILLS);
    const sessions = "SELECT count(*)::int AS n FROM pg_stat_activity WHERE application_name = 'gantry'";
    await eventually(async () => (await server!.sql(sessions))[0]?.["n"] === 0, "the killed sessions to end");
  });

  it(`says the truth about every unit while the database is killed ${SERVER_KILLS} times and restarted`, async () => {
    server = await startPostgres({ own: true });
    const control = server.process!;
    const url = await server.createDatabase();
    const dice = new Dice(seed, 1);
    const child = launch(...CHILD, "write", directory.path, url);
    let before = 0;
    for (let kill = 0; kill < SERVER_KILLS; kill++) {
      const units = before + dice.whole(1, 600);
      await eventually(() => acknowledged(child) >= units, "units", START_MS);
      await control.stop(dice.chance(0.5) ? "SIGKILL" : dice.chance(0.5) ? "SIGQUIT" : "SIGINT");
      await control.start();
      before = acknowledged(child);
    }
    await eventually(() => acknowledged(child) > before, "units after the last restart", START_MS);
    expect(child.process.exitCode, repeat).toBeNull();
    child.process.kill("SIGKILL");
    await child.ended;
    expect(child.lines.filter((line) => line.refused?.endsWith("never") === false).length, repeat).toBeGreaterThan(0);
    await demandSound(url, children, 1);
  });

  it("serves reads while its disk is full, and writes again when there is space", async (context) => {
    need(context, "root", process.getuid?.() === 0 ? undefined : "only root can give a server a small disk");
    const small = await startOnSmallDisk();
    const url = await server!.createDatabase("TABLESPACE small");
    const storage = await openChildStore(directory.path, url);
    try {
      const insert = (unit: string) =>
        storage.write((tx) => {
          for (let part = 0; part < 5; part++) {
            const body = Buffer.alloc(8_000).map((_, at) => (at * 7_919 + part) & 0xff);
            tx.run("INSERT INTO parts (unit, part, body) VALUES (?, ?, ?)", [unit, part, body], 1);
          }
        });
      const free = fill(small);
      const kept: string[] = [];
      const codes = new Set<string>();
      for (let n = 0; storage.unwritable() === undefined && n < 5_000; n++) {
        await insert(String(n)).then(
          () => kept.push(String(n)),
          (error: { code: string }) => codes.add(error.code),
        );
      }
      expect([...codes]).toEqual([errors.FULL.code]);
      expect(storage.unwritable()).toBe("STORAGE_FULL");
      await expect(insert("refused")).rejects.toMatchObject({ code: "STORAGE_FULL" });
      expect(await storage.get("SELECT COUNT(*) AS n FROM parts", [])).toEqual({ n: kept.length * 5 });
      free();
      await eventually(() => storage.unwritable() === undefined, "the probe to commit", 20_000);
      await insert("after");
      expect(await storage.get("SELECT COUNT(*) AS n FROM parts", [])).toEqual({ n: (kept.length + 1) * 5 });
    } finally {
      await storage.close();
    }
  });

  /**
   * A server with a tablespace on a disk of 64 MB of its own; its log has all the space there is, for without that the
   * server ends. @returns the disk as this process sees it
   */
  async function startOnSmallDisk(): Promise<string> {
    const mounted = join(directory.path, "small");
    mkdirSync(mounted);
    spawnSync("chmod", ["755", directory.path]);
    const script = 'mount -t tmpfs -o size=64m,mode=0700,uid=65534,gid=65534 small "$1" && shift && exec "$@"';
    server = await startPostgres({
      own: true,
      prefix: ["unshare", "--mount", "--", "sh", "-c", script, "sh", mounted],
    });
    await server.sql(`CREATE TABLESPACE small LOCATION '${mounted}'`);
    return `/proc/${server.process!.pid}/root${mounted}`;
  }
});

/** Takes what is left of the disk, but for a little. @returns a function that gives it back */
function fill(disk: string): () => void {
  const path = join(disk, "ballast");
  const fd = openSync(path, "w");
  for (let bytes = 1_048_576; bytes >= 65_536; ) {
    try {
      writeSync(fd, Buffer.alloc(bytes));
    } catch {
      bytes /= 2; // ENOSPC: the rest may take less
    }
  }
  closeSync(fd);
  return () => rmSync(path);
}
