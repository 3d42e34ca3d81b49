import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from "vitest";
import { systemClock } from "../../server/src/kernel/clock.ts";
import { Connection } from "../../server/src/storage/adapters/postgres_connection.ts";
import { judgePg } from "../../server/src/storage/adapters/postgres_errors.ts";
import type { Migration, Storage } from "../../server/src/storage/contract.ts";
import { eventually } from "../fixtures/eventually.ts";
import { need } from "../fixtures/need.ts";
import {
  openPostgresStore,
  ownPostgresMissing,
  type PostgresServer,
  type PostgresStore,
  startPostgres,
} from "../fixtures/postgres.ts";
import { type Cut, PostgresProxy } from "../fixtures/postgres_proxy.ts";
import { withDeadline } from "../fixtures/server.ts";
import { Dice, seedOfRun } from "./dice.ts";

/** A connection that is lost around a COMMIT: nothing is applied twice, and nothing is reported that is not so. */

const sums: Migration = {
  id: "cut/0001",
  sql: `CREATE TABLE sums (id {int} NOT NULL PRIMARY KEY, n {int} NOT NULL);
    CREATE TABLE parts (id {id}, unit {text} NOT NULL)`,
  tables: { sums: "operational", parts: "operational" },
};
const CUTS: Cut[] = ["before", "during", "after"];
const WAIT_MS = 60_000;
const ROUNDS = 60;

let server: PostgresServer | undefined;
beforeAll(async () => {
  if (ownPostgresMissing() === undefined) server = await startPostgres({ own: true });
});
afterAll(() => server?.remove());

describe("a unit whose connection is lost around its COMMIT", () => {
  let proxy: PostgresProxy;
  let store: PostgresStore;
  let storage: Storage;
  beforeEach(async (context) => {
    need(context, "postgres", ownPostgresMissing());
    proxy = await PostgresProxy.before(server!.process!.socket);
    const url = (await server!.createSchema()).replace(server!.process!.socket, proxy.directory);
    store = await openPostgresStore(server!, [sums], { url, clock: systemClock() });
    storage = store.storage;
    await storage.write((tx) => tx.run("INSERT INTO sums (id, n) VALUES (1, 0)", []));
  });
  afterEach(async () => {
    await store?.remove();
    await proxy?.close();
  });

  const addBlindly = (unit: string) =>
    storage.write((tx) => {
      tx.run("UPDATE sums SET n = n + 1 WHERE id = 1", [], 1);
      tx.run("INSERT INTO parts (unit) VALUES (?)", [unit], 1);
    });
  const readAndAdd = (unit: string) =>
    storage.write(async (tx) => {
      const n = Number((await tx.get("SELECT n FROM sums WHERE id = 1", []))?.["n"]);
      tx.run("UPDATE sums SET n = ? WHERE id = 1", [n + 1], 1);
      tx.run("INSERT INTO parts (unit) VALUES (?)", [unit], 1);
    });
  const sum = async () => Number((await storage.get("SELECT n FROM sums WHERE id = 1", []))?.["n"]);
  const units = async () => (await storage.all("SELECT unit FROM parts ORDER BY id", [])).map((row) => row["unit"]);

  describe.each([
    ["a blind unit", addBlindly],
    ["a unit that reads", readAndAdd],
  ])("%s", (_, add) => {
    it.each([...CUTS, "unsent" as const])("is applied once and acknowledged when it is cut %s", async (cut) => {
      const was_cut = proxy.cutNext(cut);
      await withDeadline(add("a"), WAIT_MS, "the unit");
      await was_cut;
      expect(await sum()).toBe(1);
      expect(await units()).toEqual(["a"]);
      await add("b");
      expect(await units()).toEqual(["a", "b"]);
    });

    it("is applied once when the server ends its session instead", async () => {
      for (let round = 0; round < 10; round++) {
        const added = add(String(round));
        added.catch(() => {}); // Looked at below.
        await server!.sql(
          "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = 'gantry' AND query NOT LIKE '%pg_stat_activity%'",
        );
        await withDeadline(added, WAIT_MS, "the unit");
      }
      expect(await sum()).toBe(10);
    });
  });

  it("is never reported as refused when it is durable, whatever is cut when", async () => {
    const seed = seedOfRun();
    const dice = new Dice(seed, 1);
    const repeat = `SEED=${seed} npx vitest run --project crash tests/crash/postgres_cut.test.ts`;
    let commits = 0;
    proxy.onCommit = () => {
      commits += 1;
      if (!dice.chance(0.3)) return undefined;
      if (dice.chance(0.03)) {
        proxy.refuse(true);
        setTimeout(() => proxy.refuse(false), dice.whole(0, 20));
      }
      return CUTS[dice.whole(0, 2)];
    };
    const acknowledged: string[] = [];
    const refused: string[] = [];
    await Promise.all(
      Array.from({ length: 8 }, async (_w, writer) => {
        for (let round = 0; round < ROUNDS; round++) {
          const unit = `${writer}-${round}`;
          try {
            await (writer < 2 ? readAndAdd(unit) : addBlindly(unit));
            acknowledged.push(unit);
          } catch (error) {
            expect((error as { code: string }).code, repeat).toBe("STORAGE_UNREACHABLE");
            refused.push(unit);
            await eventually(() => storage.unwritable() === undefined, "the store to take writes", WAIT_MS);
          }
        }
      }),
    );
    proxy.onCommit = () => undefined;
    await eventually(() => storage.unwritable() === undefined, "the store to take writes", WAIT_MS);
    const there = (await units()).map(String);
    expect([...there].sort(), repeat).toEqual([...acknowledged].sort());
    expect(new Set(there).size, repeat).toBe(there.length);
    expect(await sum(), repeat).toBe(acknowledged.length);
    expect(acknowledged.length + refused.length, repeat).toBe(8 * ROUNDS);
    expect(acknowledged.length, repeat).toBeGreaterThan(ROUNDS);
    expect(commits, repeat).toBeGreaterThan(ROUNDS);
  });

  it("gives a session up that owes an answer for too long", async () => {
    const url = store.url.replace(/\?.*/, `?host=${proxy.directory}&user=gantry`);
    // Of a patient one, so that it is the silence that ends the other.
    const patient = await Connection.open({ url, settings: {}, answer_ms: WAIT_MS });
    expect(await patient.run([{ text: "SELECT 1" }])).not.toHaveProperty("failure");
    await patient.close();
    const connection = await Connection.open({ url, settings: {}, answer_ms: 300 });
    proxy.is_silent = true;
    const { failure } = await withDeadline(connection.run([{ text: "SELECT 1" }]), 10_000, "the end of the session");
    expect(judgePg(failure?.error).scope).toBe("lost");
    expect(connection.lost).toBe(true);
    proxy.is_silent = false;
  });

  it("waits for an answer while the database is away, and others are refused meanwhile", async () => {
    const was_cut = proxy.cutNext("after");
    let known = false;
    const unit = addBlindly("a").then(() => {
      known = true;
    });
    await was_cut;
    proxy.refuse(true);
    await eventually(() => storage.unwritable() === "STORAGE_UNREACHABLE", "the store to notice");
    await expect(addBlindly("b")).rejects.toMatchObject({ code: "STORAGE_UNREACHABLE" });
    await expect(sum()).rejects.toMatchObject({ code: "STORAGE_UNREACHABLE" });
    expect(known).toBe(false);
    proxy.refuse(false);
    await withDeadline(unit, WAIT_MS, "the unit");
    await eventually(() => storage.unwritable() === undefined, "the store to recover");
    expect(await units()).toEqual(["a"]);
  });

  it("is told to be unknown only when the store is closed before the database comes back", async () => {
    const was_cut = proxy.cutNext("after");
    const unit = addBlindly("a").catch((error: unknown) => error);
    await was_cut;
    proxy.refuse(true);
    await storage.close();
    expect(await unit).toMatchObject({ code: "STORAGE_CLOSED" });
    proxy.refuse(false);
    await store.reopen([sums]);
    storage = store.storage;
    expect(await units()).toEqual(["a"]);
  });
});
