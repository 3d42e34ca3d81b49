import { readdirSync } from "node:fs";
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from "vitest";
import { type Clock, systemClock } from "../../server/src/kernel/clock.ts";
import { silentLogger } from "../../server/src/kernel/log.ts";
import { systemRandom } from "../../server/src/kernel/random.ts";
import { type MetricName, noMetrics } from "../../server/src/kernel/telemetry.ts";
import { openPostgres, type PostgresOptions } from "../../server/src/storage/adapters/postgres.ts";
import { STATEMENTS_PREPARED_MAX } from "../../server/src/storage/adapters/postgres_batch.ts";
import { placeOf } from "../../server/src/storage/adapters/postgres_connection.ts";
import { probePostgres } from "../../server/src/storage/adapters/postgres_probe.ts";
import {
  DATABASE_CONNECTIONS_MAX,
  GROUP_UNITS_MAX,
  READ_QUEUE_MAX,
  type Storage,
  TIMER_CLAIM_MAX,
  UNIT_RETRIES_MAX,
} from "../../server/src/storage/contract.ts";
import { migrations as own_migrations } from "../../server/src/storage/store.ts";
import { eventually } from "../fixtures/eventually.ts";
import { need } from "../fixtures/need.ts";
import { ownPostgresMissing, type PostgresServer, startPostgres } from "../fixtures/postgres.ts";
import { temporaryDirectory } from "../fixtures/sqlite_store.ts";
import { INSERT, insertMany, keys, notes, SELECT } from "./storage_notes.ts";

/** What only the adapter of PostgreSQL promises. */

let server: PostgresServer | undefined;
beforeAll(async () => {
  if (ownPostgresMissing() === undefined) server = await startPostgres({ own: true });
});
afterAll(() => server?.remove());

describe("the store in PostgreSQL", () => {
  let url: string;
  let open: Storage[];
  let directories: { path: string; remove(): Promise<void> }[];
  let observed: [MetricName, number][];
  beforeEach(async (context) => {
    open = [];
    directories = [];
    observed = [];
    need(context, "postgres", ownPostgresMissing());
    url = await server!.createSchema();
  });
  afterEach(async () => {
    for (const storage of open) await storage.close();
    for (const directory of directories) await directory.remove();
  });

  /** One process's store: each has a data directory of its own. */
  async function start(o: Partial<PostgresOptions> = {}): Promise<Storage> {
    const directory = await temporaryDirectory();
    directories.push(directory);
    const storage = await openPostgres({
      url,
      directory: directory.path,
      migrations: [notes],
      clock: systemClock(),
      random: systemRandom(),
      metrics: { ...noMetrics, observe: (name, value) => observed.push([name, value]) },
      logger: silentLogger,
      ...o,
    });
    open.push(storage);
    return storage;
  }
  const sessions = async () =>
    Number(
      (await server!.sql(`SELECT count(*)::int AS n FROM pg_stat_activity WHERE application_name = 'gantry'`))[0]?.[
        "n"
      ],
    );

  it("has its data directory to itself, for locks and blobs", async () => {
    await start();
    expect(readdirSync(directories[0]!.path)).toEqual(expect.arrayContaining(["blobs", "lock.db"]));
    expect(readdirSync(directories[0]!.path)).not.toContain("gantry.db");
    await expect(start({ directory: directories[0]!.path })).rejects.toMatchObject({ code: "STORAGE_LOCKED" });
  });

  it.each([
    ["fsync", "damage"],
    ["full_page_writes", "half written"],
    ["synchronous_commit", "before they are durable"],
  ])("does not start on a server with %s = off, and says what it costs", async (name, cost) => {
    await server!.sql(`ALTER SYSTEM SET ${name} = off`);
    await server!.sql("SELECT pg_reload_conf()");
    const shown = async () => (await server!.sql(`SHOW ${name}`))[0]?.[name];
    try {
      await eventually(async () => (await shown()) === "off", "the setting");
      await expect(start()).rejects.toMatchObject({
        code: "STORAGE_SETTINGS",
        message: expect.stringContaining(cost),
      });
      const checks = await probePostgres(url, systemClock());
      expect(checks.find((check) => check.name === "database settings")).toMatchObject({
        ok: false,
        fix: expect.stringContaining(`ALTER SYSTEM SET ${name} = on`),
      });
    } finally {
      await server!.sql(`ALTER SYSTEM RESET ${name}`);
      await server!.sql("SELECT pg_reload_conf()");
      await eventually(async () => (await shown()) === "on", "the setting");
    }
  });

  it("does not start on a database that cannot hold every text", async () => {
    const latin = await server!.createDatabase("ENCODING 'LATIN1' LOCALE_PROVIDER libc LOCALE 'C' TEMPLATE template0");
    await expect(start({ url: latin })).rejects.toMatchObject({ code: "STORAGE_SETTINGS", message: /UTF8/ });
  });

  it("does not start for a role that may not make tables, and says how it may", async () => {
    const role = `reader_${Buffer.from(systemRandom().bytes(4)).toString("hex")}`;
    const database = await server!.createDatabase();
    await server!.sql(`CREATE ROLE ${role} LOGIN`);
    const as_role = database.includes("user=gantry")
      ? database.replace("user=gantry", `user=${role}`)
      : database.replace(/\/\/[^@]*@/, `//${role}@`);
    await expect(start({ url: as_role })).rejects.toMatchObject({ code: "STORAGE_SETTINGS", message: /OWNER TO/ });
    await server!.sql(`DROP ROLE ${role}`);
  });

  it("tells no password, whatever is wrong with its URL", async () => {
    for (const bad of [
      "postgres://u:geheim@127.0.0.1:1/d",
      "postgres://u:geheim@no-such-host.invalid/d",
      "postgres://u:ge/heim@h:x/d",
      "postgres://u:geheim@[::1/d",
      "postgres://u@127.0.0.1:1/d?password=geheim",
    ]) {
      const error = await start({ url: bad }).catch((failure: unknown) => failure);
      expect(error).toMatchObject({ code: "STORAGE_UNREACHABLE" });
      const { cause, parts, message } = error as { cause?: unknown; parts: object; message: string };
      expect(JSON.stringify([String(cause), parts, message])).not.toMatch(/ge\/?heim/);
      const place = await placeOf(bad).catch((failure: Error) => failure.message);
      expect(place).not.toMatch(/ge\/?heim/);
      expect(JSON.stringify(await probePostgres(bad, systemClock()))).not.toMatch(/ge\/?heim/);
    }
  });

  it(`takes at most DATABASE_CONNECTIONS_MAX sessions, however much is asked at once`, async () => {
    // What the store of an earlier test has closed, its server ends a moment later.
    await eventually(async () => (await sessions()) === 0, "earlier sessions to end");
    const storage = await start();
    let goOn = (): void => {};
    const held = new Promise<void>((resolve) => {
      goOn = resolve;
    });
    const snapshots = Array.from({ length: 40 }, () => storage.snapshot(() => held));
    const reads = Array.from({ length: 200 }, () => storage.get("SELECT pg_sleep(0.01)::text AS x", []));
    const writes = Array.from({ length: 200 }, (_, i) => storage.write((tx) => tx.run(INSERT, [`k${i}`, i])));
    await Promise.all([...reads, ...writes]);
    expect(await sessions()).toBe(DATABASE_CONNECTIONS_MAX);
    goOn();
    await Promise.all(snapshots);
  });

  it("lets READ_QUEUE_MAX reads wait for a connection and refuses the next", async () => {
    const storage = await start();
    const read = () => storage.get("SELECT 1 AS one", []);
    // Eight are served, so many wait.
    const served = 8;
    const reads = Array.from({ length: served + READ_QUEUE_MAX }, read);
    await expect(read()).rejects.toMatchObject({ code: "STORAGE_BUSY" });
    await Promise.all(reads);
    expect(await read()).toEqual({ one: 1 });
  });

  it("commits what waits as one group, and measures it", async () => {
    const storage = await start();
    await Promise.all(
      Array.from({ length: GROUP_UNITS_MAX + 1 }, (_, i) => storage.write((tx) => tx.run(INSERT, [`k${i}`, i]))),
    );
    const groups = observed.filter(([name]) => name === "gantry_storage_group_units").map(([, units]) => units);
    expect(groups).toEqual([GROUP_UNITS_MAX, 1]);
  });

  it("keeps few statements prepared, and runs any number", async () => {
    const storage = await start();
    for (let i = 0; i < STATEMENTS_PREPARED_MAX + 20; i++) {
      expect(await storage.get(`SELECT ${i} AS n`, [])).toEqual({ n: i });
    }
  });

  it("gives sums, truths and NULLs as SQLite does, and refuses what it has no place for", async () => {
    const storage = await start();
    await insertMany(storage, 3);
    const sql = "SELECT SUM(n) AS sum, COUNT(*) AS count, MAX(n) > 1 AS truth, NULL AS nothing FROM notes";
    expect(await storage.get(sql, [])).toEqual({ sum: 3, count: 3, truth: 1, nothing: null });
    await expect(storage.get("SELECT AVG(n) / 7 AS x FROM notes", [])).rejects.toMatchObject({ code: "STORAGE_VALUE" });
    await expect(storage.get("SELECT now() AS x", [])).rejects.toMatchObject({ code: "STORAGE_VALUE" });
  });

  it("runs a unit again that another program was in the way of, UNIT_RETRIES_MAX times", async () => {
    const storage = await start();
    await storage.write((tx) => tx.run(INSERT, ["a", 0]));
    let runs = 0;
    const disturbed = (times: number) =>
      storage.write(
        async (tx) => {
          runs += 1;
          const n = Number((await tx.get(SELECT, ["a"]))?.["n"]);
          // Somebody with psql, who takes no turns.
          if (runs <= times) await server!.sql("UPDATE notes SET n = n + 100 WHERE key = 'a'", url);
          tx.run("UPDATE notes SET n = ? WHERE key = ?", [n + 1, "a"], 1);
        },
        { deadline_ms: 20_000 },
      );
    await disturbed(UNIT_RETRIES_MAX);
    expect(runs).toBe(UNIT_RETRIES_MAX + 1);
    expect(await storage.get(SELECT, ["a"])).toEqual({ n: 100 * UNIT_RETRIES_MAX + 1 });
    runs = 0;
    await expect(disturbed(UNIT_RETRIES_MAX + 1)).rejects.toMatchObject({ code: "STORAGE_BUSY" });
    expect(await storage.get(SELECT, ["a"])).toEqual({ n: 100 * (2 * UNIT_RETRIES_MAX + 1) + 1 });
  });

  it("ends a statement that outlasts its unit, and goes on", async () => {
    const storage = await start();
    const from = performance.now();
    const late = storage.write(async (tx) => {
      await tx.get(SELECT, ["a"]);
      tx.run(INSERT, ["late", 1]);
      await tx.get("SELECT pg_sleep(20)::text AS x", []);
    });
    await expect(late).rejects.toMatchObject({ code: "STORAGE_DEADLINE" });
    await storage.write((tx) => tx.run(INSERT, ["next", 1]));
    expect(performance.now() - from).toBeLessThan(10_000);
    expect(await keys(storage)).toEqual(["next"]);
  });

  it("goes on with statements whose tables another process has changed", async () => {
    const storage = await start();
    const all = () => storage.all("SELECT * FROM notes", []);
    await storage.write((tx) => tx.run(INSERT, ["a", 1]));
    await all();
    await server!.sql("ALTER TABLE notes ADD COLUMN extra text", url);
    expect((await all())[0]).toMatchObject({ key: "a", extra: null });
    const in_unit = await storage.write((tx) => tx.get("SELECT * FROM notes WHERE key = ?", ["a"]));
    await server!.sql("ALTER TABLE notes ADD COLUMN more text", url);
    expect(await storage.write((tx) => tx.get("SELECT * FROM notes WHERE key = ?", ["a"]))).toEqual({
      ...in_unit,
      more: null,
    });
  });

  describe("with several processes", () => {
    it("loses no update among units that read, and gives ids in the order of the commits", async () => {
      const nodes = await Promise.all([start(), start(), start()]);
      await nodes[0]!.write((tx) => tx.run(INSERT, ["counter", 0]));
      const seen: number[] = [];
      let done = false;
      // Whoever follows by the highest id must never find one below it later.
      const following = (async () => {
        let newest = 0;
        while (!done) {
          const rows = await nodes[2]!.all("SELECT id FROM notes WHERE id > ? ORDER BY id", [newest]);
          for (const { id } of rows) seen.push(Number(id));
          newest = seen.at(-1) ?? 0;
        }
      })();
      const work = nodes.flatMap((node, index) =>
        Array.from({ length: 30 }, async (_, round) => {
          await node.write(async (tx) => {
            tx.run(INSERT, [`${index}-${round}-read`, 1]);
            const n = Number((await tx.get(SELECT, ["counter"]))?.["n"]);
            tx.run("UPDATE notes SET n = ? WHERE key = ?", [n + 1, "counter"], 1);
          });
          await node.write((tx) => tx.run(INSERT, [`${index}-${round}`, 1]));
        }),
      );
      await Promise.all(work);
      expect(await nodes[1]!.get(SELECT, ["counter"])).toEqual({ n: 90 });
      await eventually(() => seen.length >= 181, "the follower to see everything");
      done = true;
      await following;
      expect(seen).toHaveLength(181);
      expect(seen).toEqual([...seen].sort((a, b) => a - b));
    });

    it("fires each timer in one of them", async () => {
      const count = TIMER_CLAIM_MAX * 2;
      const fired: string[] = [];
      const nodes = await Promise.all([start(), start(), start()]);
      await nodes[0]!.write((tx) => {
        for (let i = 0; i < count; i++) {
          nodes[0]!.timers.set(tx, { owner: "tests.bell", key: `k${i}`, due_at: 0 });
        }
      });
      for (const node of nodes) {
        node.timers.on("tests.bell", async (fire) => {
          fired.push(fire.key);
          await node.write((tx) => node.timers.done(tx, fire));
        });
        node.timers.start(() => {});
      }
      await eventually(() => fired.length >= count, "all timers", 30_000);
      await Promise.all(nodes.map((node) => node.timers.stop()));
      expect(fired).toHaveLength(count);
      expect(new Set(fired).size).toBe(count);
      expect(await nodes[0]!.get("SELECT COUNT(*) AS n FROM timers", [])).toEqual({ n: 0 });
    });

    it("goes by the database's time, so that a clock that is ahead takes no lock away", async () => {
      const skewed = (ms: number): Clock => {
        const clock = systemClock();
        return { ...clock, now: () => clock.now() + ms };
      };
      const [right, ahead, behind] = await Promise.all([
        start(),
        start({ clock: skewed(3_600_000) }),
        start({ clock: skewed(-3_600_000) }),
      ]);
      const lock = (await behind.locks.take("seal", "behind", 60_000))!;
      expect(await ahead.locks.take("seal", "ahead", 60_000)).toBeUndefined();
      expect(await right.locks.take("seal", "right", 60_000)).toBeUndefined();
      await ahead.write((tx) => ahead.locks.fence(tx, lock));
    });

    it("applies each migration once when they start at the same time", async () => {
      const stores = await Promise.all(Array.from({ length: 5 }, () => start()));
      const [row] = await server!.sql("SELECT count(*)::int AS n FROM schema_migrations", url);
      expect(row).toEqual({ n: own_migrations.length + 1 });
      expect(stores).toHaveLength(5);
    });

    it("outlives one that stops in the midst of a unit", async () => {
      const [stopped, other] = await Promise.all([start(), start()]);
      let goOn = (): void => {};
      let holding = false;
      const unit = stopped
        .write(
          async (tx) => {
            tx.run(INSERT, ["stopped", 1]);
            await tx.get(SELECT, ["a"]);
            holding = true;
            await new Promise<void>((resolve) => {
              goOn = resolve;
            });
          },
          // As if its own clock stood still: the database ends it.
          { deadline_ms: 600_000 },
        )
        .catch((error: unknown) => error);
      await eventually(() => holding, "the unit to hold the turn");
      await other.write((tx) => tx.run(INSERT, ["other", 1]));
      expect(await keys(other)).toEqual(["other"]);
      goOn();
      goOn = () => {};
      await eventually(async () => {
        goOn(); // It is run again, on another session.
        return (await keys(other)).length === 2;
      }, "the unit to be run again");
      expect(await unit).toBeUndefined();
    });
  });
});
