import fc from "fast-check";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { GROUP_BYTES_MAX, type Storage, UNIT_WALL_MS, WRITE_QUEUE_MAX } from "../../server/src/storage/contract.ts";
import { eventually } from "../fixtures/eventually.ts";
import type { VirtualClock } from "../fixtures/virtual_clock.ts";
import { INSERT, keys, notes, type OpenStore, SELECT, type StoreUnderTest } from "./storage_notes.ts";
import { blobTests, lifeTests, lockTests } from "./storage_parts_suite.ts";
import { scanTests, valueTests } from "./storage_reads_suite.ts";
import { storageTimersContract } from "./storage_timers_suite.ts";

/** What every engine promises. `open` gives an empty store with the given migrations. */
export function storageContract(name: string, open: OpenStore): void {
  describe(`storage on ${name}`, () => {
    let store: StoreUnderTest;
    let storage: Storage;
    beforeEach(async () => {
      store = await open([notes]);
      storage = store.storage;
    });
    afterEach(() => store.remove());

    unitTests(() => storage);
    readingUnitTests(
      () => storage,
      () => store.clock,
    );
    valueTests(() => storage);
    scanTests(() => storage);
    lockTests(() => store);
    blobTests(() => storage);
    lifeTests(() => store);
    modelTest(() => storage);
  });
  storageTimersContract(name, open);
}

function unitTests(storage: () => Storage): void {
  describe("a unit", () => {
    it("is visible to reads when it resolves, and gives back what its function gave", async () => {
      const answer = await storage().write((tx) => {
        tx.run(INSERT, ["a", 1], 1);
        return "written";
      });
      expect(answer).toBe("written");
      expect(await storage().get(SELECT, ["a"])).toEqual({ n: 1 });
      expect(await storage().get(SELECT, ["b"])).toBeUndefined();
    });

    it("without statements resolves", async () => {
      expect(await storage().write(() => 7)).toBe(7);
    });

    it("takes everything back when a guard meets another count", async () => {
      const unit = storage().write((tx) => {
        tx.run(INSERT, ["a", 1]);
        tx.run("UPDATE notes SET n = 2 WHERE key = ?", ["absent"], 1);
      });
      await expect(unit).rejects.toMatchObject({ code: "STORAGE_CONFLICT" });
      expect(await keys(storage())).toEqual([]);
    });

    it("takes everything back when a constraint breaks", async () => {
      await storage().write((tx) => tx.run(INSERT, ["a", 1]));
      const unit = storage().write((tx) => {
        tx.run(INSERT, ["b", 1]);
        tx.run(INSERT, ["a", 2]);
        tx.run(INSERT, ["c", 3]);
      });
      await expect(unit).rejects.toMatchObject({ code: "STORAGE_CONSTRAINT" });
      expect(await keys(storage())).toEqual(["a"]);
    });

    it("keeps foreign keys", async () => {
      const unit = storage().write((tx) => tx.run("INSERT INTO tags (note, tag) VALUES (?, ?)", [99, "x"]));
      await expect(unit).rejects.toMatchObject({ code: "STORAGE_CONSTRAINT" });
    });

    it("takes everything back when its function throws, and throws the same", async () => {
      const broken = new Error("not today");
      const unit = storage().write((tx) => {
        tx.run(INSERT, ["a", 1]);
        throw broken;
      });
      await expect(unit).rejects.toBe(broken);
      expect(await keys(storage())).toEqual([]);
    });

    it("that fails takes nothing from the units of its group", async () => {
      const units = Array.from({ length: 40 }, (_, i) =>
        storage().write((tx) => {
          tx.run(INSERT, [`k${String(i).padStart(2, "0")}`, i]);
          if (i % 3 === 0) tx.run("DELETE FROM notes WHERE key = ?", ["absent"], 1);
          if (i % 3 === 1) tx.run("INSERT INTO nowhere (x) VALUES (?)", [i]);
        }),
      );
      const outcomes = (await Promise.allSettled(units)).map((o) =>
        o.status === "fulfilled" ? "durable" : (o.reason as { code: string }).code,
      );
      expect(outcomes).toEqual(units.map((_, i) => ["STORAGE_CONFLICT", "STORAGE_STATEMENT", "durable"][i % 3]));
      expect(await keys(storage())).toEqual(
        units.map((_, i) => `k${String(i).padStart(2, "0")}`).filter((_, i) => i % 3 === 2),
      );
    });

    it("that swallowed an error commits nothing", async () => {
      const unit = storage().write((tx) => {
        tx.run(INSERT, ["a", 1]);
        try {
          tx.run(INSERT, ["b", 0.5]);
        } catch {
          // What the unit ignores the store does not.
        }
      });
      await expect(unit).rejects.toMatchObject({ code: "STORAGE_VALUE" });
      expect(await keys(storage())).toEqual([]);
    });

    it("is written with the parameters as they were when it ran", async () => {
      const body = new Uint8Array([1, 2, 3]);
      await storage().write((tx) => {
        tx.run("INSERT INTO notes (key, body) VALUES (?, ?)", ["a", body.subarray(1)]);
        body.fill(9);
      });
      expect((await storage().get("SELECT body FROM notes", []))?.["body"]).toEqual(new Uint8Array([2, 3]));
    });

    it("is not used after its end", async () => {
      let escaped: Parameters<Parameters<Storage["write"]>[0]>[0] | undefined;
      await storage().write((tx) => {
        escaped = tx;
      });
      expect(() => escaped?.run(INSERT, ["a", 1])).toThrow("Invariant");
      expect(await keys(storage())).toEqual([]);
    });

    it.each(["COMMIT", "BEGIN", "ROLLBACK", "DROP TABLE notes", "PRAGMA foreign_keys = OFF", "VACUUM", ""])(
      "cannot contain %j",
      async (sql) => {
        await expect(storage().write((tx) => tx.run(sql, []))).rejects.toMatchObject({ code: "STORAGE_STATEMENT" });
      },
    );

    it("refuses two statements in one, and a wrong number of parameters", async () => {
      const two = storage().write((tx) => tx.run("DELETE FROM notes; DELETE FROM tags", []));
      await expect(two).rejects.toMatchObject({ code: "STORAGE_STATEMENT" });
      const missing = storage().write((tx) => tx.run(INSERT, ["a"]));
      await expect(missing).rejects.toMatchObject({ code: "STORAGE_STATEMENT" });
      const literal = storage().write((tx) => tx.run("INSERT INTO notes (key) VALUES ('a?;') -- ?", []));
      await expect(literal).resolves.toBeUndefined();
    });

    it("weighs at most GROUP_BYTES_MAX", async () => {
      const sql = "INSERT INTO notes (key, body) VALUES (?, ?)";
      const unit = (bytes: number) =>
        storage().write((tx) => tx.run(sql, ["a", new Uint8Array(bytes - sql.length - 1)]));
      await expect(unit(GROUP_BYTES_MAX + 1)).rejects.toMatchObject({ code: "STORAGE_VALUE" });
      await expect(unit(GROUP_BYTES_MAX)).resolves.toBeUndefined();
    });

    it("is one of at most WRITE_QUEUE_MAX that wait", async () => {
      const insert = (i: number) => storage().write((tx) => tx.run(INSERT, [`k${i}`, i]));
      const waiting = Array.from({ length: WRITE_QUEUE_MAX }, (_, i) => insert(i));
      const one_more = insert(WRITE_QUEUE_MAX);
      await expect(one_more).rejects.toMatchObject({ code: "STORAGE_BUSY" });
      await Promise.all(waiting);
      expect(await storage().get("SELECT COUNT(*) AS n FROM notes", [])).toEqual({ n: WRITE_QUEUE_MAX });
      await insert(WRITE_QUEUE_MAX);
    });
  });
}

function readingUnitTests(storage: () => Storage, clock: () => VirtualClock): void {
  describe("a unit that reads", () => {
    it("sees its own writes, and nobody else does before its end", async () => {
      await storage().write(async (tx) => {
        tx.run(INSERT, ["a", 1]);
        expect(await tx.get(SELECT, ["a"])).toEqual({ n: 1 });
        expect(await storage().get(SELECT, ["a"])).toBeUndefined();
        tx.run("UPDATE notes SET n = n + 1 WHERE key = ?", ["a"], 1);
        expect(await tx.all(SELECT, ["a"])).toEqual([{ n: 2 }]);
      });
      expect(await storage().get(SELECT, ["a"])).toEqual({ n: 2 });
    });

    it("loses no update among many that read and write the same row", async () => {
      await storage().write((tx) => tx.run(INSERT, ["counter", 0]));
      const increments = Array.from({ length: 50 }, () =>
        storage().write(async (tx) => {
          const row = await tx.get(SELECT, ["counter"]);
          tx.run("UPDATE notes SET n = ? WHERE key = ?", [Number(row?.["n"]) + 1, "counter"], 1);
        }),
      );
      await Promise.all(increments);
      expect(await storage().get(SELECT, ["counter"])).toEqual({ n: 50 });
    });

    it("loses no update when blind units guard what was read before", async () => {
      await storage().write((tx) => tx.run(INSERT, ["counter", 0]));
      const increment = async (): Promise<void> => {
        for (;;) {
          const n = Number((await storage().get(SELECT, ["counter"]))?.["n"]);
          try {
            await storage().write((tx) =>
              tx.run("UPDATE notes SET n = ? WHERE key = ? AND n = ?", [n + 1, "counter", n], 1),
            );
            return;
          } catch (error) {
            expect(error).toMatchObject({ code: "STORAGE_CONFLICT" });
          }
        }
      };
      await Promise.all(Array.from({ length: 20 }, increment));
      expect(await storage().get(SELECT, ["counter"])).toEqual({ n: 20 });
    });

    it("gets what a statement returns", async () => {
      const row = await storage().write((tx) => tx.get(`${INSERT} RETURNING id, key`, ["a", 1]));
      expect(row).toEqual({ id: 1, key: "a" });
    });

    it("takes everything back when a read fails, even when the unit ignores that", async () => {
      const unit = storage().write(async (tx) => {
        tx.run(INSERT, ["a", 1]);
        await tx.get("SELECT nothing FROM nowhere", []).catch(() => undefined);
      });
      await expect(unit).rejects.toMatchObject({ code: "STORAGE_STATEMENT" });
      expect(await keys(storage())).toEqual([]);
    });

    it("takes everything back when its function throws after a read", async () => {
      const unit = storage().write(async (tx) => {
        tx.run(INSERT, ["a", 1]);
        await tx.get(SELECT, ["a"]);
        throw new Error("changed my mind");
      });
      await expect(unit).rejects.toThrow("changed my mind");
      expect(await keys(storage())).toEqual([]);
    });

    it("does not take blind units with it that arrived meanwhile", async () => {
      let blind: Promise<void> = Promise.resolve();
      const reading = storage().write(async (tx) => {
        await tx.get(SELECT, ["a"]);
        blind = storage().write((other) => other.run(INSERT, ["blind", 1]));
        tx.run(INSERT, ["reading", 1]);
        tx.run("DELETE FROM notes WHERE key = ?", ["absent"], 1);
      });
      await expect(reading).rejects.toMatchObject({ code: "STORAGE_CONFLICT" });
      await blind;
      expect(await keys(storage())).toEqual(["blind"]);
    });

    it("answers reads that were asked at once in their order", async () => {
      const rows = await storage().write((tx) => {
        tx.run(INSERT, ["a", 1]);
        const before = tx.get(SELECT, ["a"]);
        tx.run("UPDATE notes SET n = 2 WHERE key = ?", ["a"]);
        return Promise.all([before, tx.get(SELECT, ["a"])]);
      });
      expect(rows).toEqual([{ n: 1 }, { n: 2 }]);
    });

    it(`holds the writer for at most ${UNIT_WALL_MS} ms, or its own deadline`, async () => {
      for (const [deadline_ms, wall_ms] of [
        [undefined, UNIT_WALL_MS],
        [1_000, 1_000],
      ] as const) {
        let goOn = (): void => {};
        let holding = false;
        const unit = storage().write(
          async (tx) => {
            tx.run(INSERT, ["late", 1]);
            await tx.get(SELECT, ["late"]);
            holding = true;
            await new Promise<void>((resolve) => {
              goOn = resolve;
            });
          },
          deadline_ms === undefined ? {} : { deadline_ms },
        );
        let ended = false;
        const outcome = unit
          .catch((error: unknown) => error)
          .finally(() => {
            ended = true;
          });
        await eventually(() => holding);
        clock().advance(wall_ms - 1);
        await Promise.resolve();
        expect(ended).toBe(false);
        clock().advance(1);
        expect(await outcome).toMatchObject({ code: "STORAGE_DEADLINE" });
        goOn();
      }
      await storage().write((tx) => tx.run(INSERT, ["next", 1]));
      expect(await keys(storage())).toEqual(["next"]);
    });
  });
}

type Change = { kind: "set" | "add" | "delete"; key: string; n: number; expect: boolean };

/** Applies a unit to the model; undefined when it must be taken back. */
function applied(model: ReadonlyMap<string, number>, changes: Change[]): Map<string, number> | undefined {
  const next = new Map(model);
  for (const { kind, key, n, expect: guarded } of changes) {
    const there = next.has(key);
    if (kind === "set") {
      if (there) return undefined;
      next.set(key, n);
    } else if (guarded && !there) {
      return undefined;
    } else if (there) {
      if (kind === "delete") next.delete(key);
      else next.set(key, (next.get(key) ?? 0) + n);
    }
  }
  return next;
}

function modelTest(storage: () => Storage): void {
  const change = fc.record({
    kind: fc.constantFrom("set" as const, "add" as const, "delete" as const),
    key: fc.constantFrom("a", "b", "c", "d"),
    n: fc.integer({ min: -5, max: 5 }),
    expect: fc.boolean(),
  });
  const unit = fc.record({ changes: fc.array(change, { maxLength: 5 }), reads: fc.boolean() });

  it("agrees with a model that applies the same units one after the other", async () => {
    await fc.assert(
      fc.asyncProperty(fc.array(unit, { minLength: 1, maxLength: 20 }), async (units) => {
        await storage().write((tx) => tx.run("DELETE FROM notes", []));
        let model = new Map<string, number>();
        const expected = units.map(({ changes }) => {
          const next = applied(model, changes);
          model = next ?? model;
          return next !== undefined;
        });
        // Blind units all at once: they are applied in the order of the calls. One that reads takes its turn.
        const outcomes: Promise<boolean>[] = [];
        for (const { changes, reads } of units) {
          if (reads) await Promise.all(outcomes);
          const outcome = storage()
            .write(async (tx) => {
              if (reads) await tx.get("SELECT COUNT(*) AS n FROM notes", []);
              for (const { kind, key, n, expect: guarded } of changes) {
                if (kind === "set") tx.run(INSERT, [key, n]);
                else if (kind === "add")
                  tx.run("UPDATE notes SET n = n + ? WHERE key = ?", [n, key], guarded ? 1 : undefined);
                else tx.run("DELETE FROM notes WHERE key = ?", [key], guarded ? 1 : undefined);
              }
            })
            .then(
              () => true,
              () => false,
            );
          outcomes.push(outcome);
          if (reads) await outcome;
        }
        expect(await Promise.all(outcomes)).toEqual(expected);
        const rows = await storage().all("SELECT key, n FROM notes ORDER BY key", []);
        expect(new Map(rows.map((row) => [row["key"], row["n"]]))).toEqual(new Map([...model].sort()));
      }),
      { numRuns: 60 },
    );
  });
}
