import { chmod, mkdtemp, readdir, readFile, rm, stat, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { systemClock } from "../../kernel/clock.ts";
import { silentLogger } from "../../kernel/log.ts";
import { systemRandom } from "../../kernel/random.ts";
import { type MetricName, noMetrics } from "../../kernel/telemetry.ts";
import { type Migration, type Storage, WAL_BYTES_SOFT } from "../contract.ts";
import { openDriver } from "./driver.ts";
import { openPrivateFiles, PRIVATE_FILE_BYTES_MAX } from "./private_files.ts";
import { openSqlite } from "./sqlite.ts";
import { COPIES_KEPT_MAX } from "./sqlite_start.ts";

const notes: Migration = {
  id: "notes/0001",
  sql: "CREATE TABLE notes (key {text} NOT NULL PRIMARY KEY, body {blob})",
  tables: { notes: "operational" },
};
const more = (n: number): Migration => ({
  id: `notes/000${n}`,
  sql: `CREATE TABLE more${n} (x {int})`,
  tables: { [`more${n}`]: "operational" },
});
const INSERT = "INSERT INTO notes (key, body) VALUES (?, ?)";

let directory: string;
let open: Storage[];
let observed: MetricName[];
let failures: unknown[];

beforeEach(async () => {
  directory = `${await mkdtemp(`${tmpdir()}/gantry-`)}/data`;
  open = [];
  observed = [];
  failures = [];
});
afterEach(async () => {
  for (const storage of open) await storage.close();
  await rm(directory.slice(0, -"/data".length), { recursive: true });
});

async function start(migrations: Migration[] = [notes], copied: (path: string) => void = () => {}): Promise<Storage> {
  const storage = await openSqlite({
    directory,
    copied,
    migrations,
    clock: systemClock(),
    random: systemRandom(),
    metrics: { ...noMetrics, observe: (name) => observed.push(name) },
    logger: silentLogger,
    fatal: (error) => failures.push(error),
  });
  open.push(storage);
  return storage;
}

describe("the embedded store", () => {
  it("ends at once after a unit that took itself back", async () => {
    for (let turn = 0; turn < 8; turn++) {
      const storage = await start();
      const refused = storage.write(async (tx) => {
        await tx.get("SELECT key FROM notes", []);
        throw new Error("taken back");
      });
      await expect(refused).rejects.toThrow("taken back");
      await storage.close();
    }
  });

  it("keeps its directory to its owner", async () => {
    await start();
    expect((await stat(directory)).mode & 0o777).toBe(0o700);
  });

  it("refuses a second store on the same directory, also in the same process", async () => {
    const first = await start();
    await expect(start()).rejects.toMatchObject({ code: "STORAGE_LOCKED" });
    await first.close();
    await start();
  });

  it("copies a database before it migrates it, and keeps few copies", async () => {
    const copies = async () => (await readdir(directory)).filter((name) => name.startsWith("before-"));
    const migrations = [notes];
    let storage = await start(migrations);
    expect(await copies()).toEqual([]);
    await storage.write((tx) => tx.run(INSERT, ["a", null]));
    for (let n = 2; n <= COPIES_KEPT_MAX + 2; n++) {
      await storage.close();
      migrations.push(more(n));
      storage = await start(migrations);
      expect(await copies()).toHaveLength(Math.min(n - 1, COPIES_KEPT_MAX));
    }
    const [name] = await copies();
    expect((await stat(`${directory}/${name}`)).mode & 0o777).toBe(0o600);
    const copy = await openDriver(`${directory}/${name}`, { read_only: true, busy_ms: 0 });
    expect(copy.all("SELECT key FROM notes", [], 10)).toEqual([{ key: "a" }]);
    copy.close();
    await storage.close();
    await start(migrations);
    expect(await copies()).toHaveLength(COPIES_KEPT_MAX);
  });

  it("says where the copy is that was made before a migration, and nothing when none was made", async () => {
    const said: string[] = [];
    const say = (path: string): void => void said.push(path);
    for (const migrations of [[notes], [notes], [notes, more(2)], [notes, more(2)]]) {
      await (await start(migrations, say)).close();
    }
    expect(said).toEqual(
      (await readdir(directory)).filter((name) => name.startsWith("before-")).map((name) => `${directory}/${name}`),
    );
    expect(said).toHaveLength(1);
  });

  it("makes strict tables, syncs every commit and overwrites what is deleted", async () => {
    const storage = await start();
    const bad = storage.write((tx) => tx.run(INSERT, ["a", "text in a blob"]));
    await expect(bad).rejects.toMatchObject({ code: "STORAGE_CONSTRAINT" });
    const secret = new TextEncoder().encode("a secret that must go ".repeat(20));
    await storage.write((tx) => tx.run(INSERT, ["a", secret]));
    await storage.write((tx) => tx.run("DELETE FROM notes", []));
    await storage.close();
    const bytes = await readFile(`${directory}/gantry.db`);
    expect(bytes.includes("a secret that must go")).toBe(false);
  });

  it("keeps its write-ahead log small, and empties it at the end", async () => {
    const storage = await start();
    const wal_bytes = async () => (await stat(`${directory}/gantry.db-wal`).catch(() => ({ size: 0 }))).size;
    let most = 0;
    for (let i = 0; i < 60; i++) {
      await storage.write((tx) => tx.run(INSERT, [`k${i}`, new Uint8Array(500_000)]));
      most = Math.max(most, await wal_bytes());
    }
    expect(most).toBeGreaterThan(WAL_BYTES_SOFT / 2);
    expect(most).toBeLessThan(WAL_BYTES_SOFT + 4_000_000);
    expect(await storage.get("SELECT COUNT(*) AS n FROM notes", [])).toEqual({ n: 60 });
    await storage.close();
    expect(await wal_bytes()).toBe(0);
  });

  it("writes its log again from the beginning, and cuts it when a reader has let it double", async () => {
    const storage = await start();
    let rows = 0;
    const write = async (): Promise<number> => {
      rows += 1;
      await storage.write((tx) => tx.run(INSERT, [`k${rows}`, new Uint8Array(1_000_000)]));
      return (await stat(`${directory}/gantry.db-wal`)).size;
    };
    let full = 0;
    while (full <= WAL_BYTES_SOFT) full = await write();
    for (let i = 0; i < 5; i++) expect(await write()).toBe(full); // over what was there
    const grown = await storage.snapshot(async (reader) => {
      await reader.get("SELECT COUNT(*) AS n FROM notes", []);
      let size = full;
      while (size <= 2 * WAL_BYTES_SOFT) size = await write();
      return size;
    });
    let size = grown;
    for (let i = 0; i < 5 && size >= grown; i++) size = await write();
    expect(await write()).toBeLessThan(WAL_BYTES_SOFT);
    expect(await storage.get("SELECT COUNT(*) AS n FROM notes", [])).toEqual({ n: rows });
  });

  it("reads a state until its snapshot ends, or the store closes", async () => {
    const storage = await start();
    const COUNT = "SELECT COUNT(*) AS n FROM notes";
    const kept = await storage.snapshot(async (reader) => reader);
    const held = storage.snapshot(async (reader) => {
      await expect(kept.get(COUNT, [])).rejects.toThrow("a state is read between its begin and its end");
      expect(await reader.get(COUNT, [])).toEqual({ n: 0 });
      await storage.close();
      return reader.get(COUNT, []);
    });
    await expect(held).rejects.toMatchObject({ code: "STORAGE_CLOSED" });
  });

  it("measures its commits", async () => {
    const storage = await start();
    await storage.write((tx) => tx.run(INSERT, ["a", null]));
    expect(observed).toEqual(["gantry_storage_commit_seconds", "gantry_storage_group_units"]);
  });

  it("holds no state back when a row of a read could not be taken", async () => {
    const storage = await start();
    const BEYOND = "SELECT key, 9007199254740993 AS n FROM notes";
    const seen = () => storage.snapshot((reader) => reader.get("SELECT COUNT(*) AS n FROM notes", []));
    const reads = [
      () => storage.snapshot((reader) => reader.all(BEYOND, [])),
      () => storage.snapshot((reader) => reader.get(BEYOND, [])),
      async () => {
        for await (const page of storage.scan(BEYOND, [])) expect(page).toEqual([]);
      },
    ];
    await storage.write((tx) => tx.run(INSERT, ["first", null]));
    for (const [n, read] of reads.entries()) {
      await expect(read()).rejects.toMatchObject({ code: "STORAGE_VALUE" });
      await storage.write((tx) => tx.run(INSERT, [`${n}`, null]));
      expect(await seen()).toEqual({ n: n + 2 });
    }
  });

  it("does not start on a file that is no database", async () => {
    await (await start()).close();
    await writeFile(`${directory}/gantry.db`, "this is not a database, and long enough to be seen as one".repeat(100));
    await expect(start()).rejects.toMatchObject({ code: "STORAGE_CLOSED" });
  });

  it("removes what a crash left of blobs, and finds bytes that have changed", async () => {
    const storage = await start();
    const { sha256 } = await storage.blobs.put(new Uint8Array([1, 2, 3]), { bytes_max: 3 });
    await storage.close();
    await writeFile(`${directory}/blobs/tmp/left`, "x");
    const again = await start();
    expect(await readdir(`${directory}/blobs/tmp`)).toEqual([]);
    await writeFile(`${directory}/blobs/${sha256.slice(0, 2)}/${sha256}`, "other");
    await expect(again.blobs.get(sha256)).rejects.toThrow("has the bytes that it was put with");
    await expect(again.blobs.get("../../etc/passwd")).rejects.toThrow("64 hex digits");
  });
});

describe("private files", () => {
  const files = () => openPrivateFiles(directory, systemRandom());

  it("are created once, for their owner only, and read back", async () => {
    await files().create("keys/state.key", "secret");
    expect((await stat(`${directory}/keys/state.key`)).mode & 0o777).toBe(0o600);
    expect((await stat(`${directory}/keys`)).mode & 0o777).toBe(0o700);
    expect(new TextDecoder().decode(await files().read("keys/state.key"))).toBe("secret");
    await expect(files().create("keys/state.key", "other")).rejects.toMatchObject({ code: "STORAGE_FILE_EXISTS" });
    expect(new TextDecoder().decode(await files().read("keys/state.key"))).toBe("secret");
    expect(await readdir(`${directory}/keys`)).toEqual(["state.key"]);
  });

  it("are created by one of many who try at once", async () => {
    const tries = Array.from({ length: 10 }, (_, i) => files().create("owner", String(i)));
    const outcomes = await Promise.allSettled(tries);
    expect(outcomes.filter((outcome) => outcome.status === "fulfilled")).toHaveLength(1);
    expect(await readdir(directory)).toEqual(["owner"]);
  });

  it("are replaced as a whole, and absent before", async () => {
    expect(await files().read("latest")).toBeUndefined();
    await files().replace("latest", "one");
    await files().replace("latest", new TextEncoder().encode("two"));
    expect(new TextDecoder().decode(await files().read("latest"))).toBe("two");
    expect(await readdir(directory)).toEqual(["latest"]);
  });

  it("are removed, as often as one likes", async () => {
    await files().create("keys/next", "secret");
    await files().remove("keys/next");
    await files().remove("keys/next");
    await files().remove("never/was");
    expect(await files().read("keys/next")).toBeUndefined();
    await files().create("keys/next", "another");
  });

  it("are small", async () => {
    await files().create("large", new Uint8Array(PRIVATE_FILE_BYTES_MAX));
    expect(await files().read("large")).toHaveLength(PRIVATE_FILE_BYTES_MAX);
    await expect(files().replace("large", new Uint8Array(PRIVATE_FILE_BYTES_MAX + 1))).rejects.toThrow("is small");
  });

  it.each([0o640, 0o604, 0o620, 0o601])("are not used with mode %o", async (mode) => {
    await files().create("owner", "secret");
    await chmod(`${directory}/owner`, mode);
    await expect(files().read("owner")).rejects.toMatchObject({ code: "STORAGE_FILE_MODE" });
    await chmod(`${directory}/owner`, 0o400);
    expect(await files().read("owner")).toHaveLength(6);
  });

  it.each(["../x", "/x", "a//b", "a/../b", ".x", ""])("are not named %j", async (name) => {
    await expect((async () => files().read(name))()).rejects.toThrow("plain relative name");
  });
});
