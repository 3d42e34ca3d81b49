import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { ask, openRunsGround, type RunsGround } from "../../../tests/fixtures/runs_ground.ts";

/** Numbers that a change raises easily and that nobody sees: each is a wait for the disk, or work of the one writer. */
describe("what a run costs the store", () => {
  let house: RunsGround;
  /** The statements of each unit, by their first two or three words. */
  let units: string[][] = [];
  let reads = 0;

  beforeAll(async () => {
    house = await openRunsGround();
    const { stalling } = house;
    const { write, get, all } = stalling;
    stalling.write = (unit, o) => {
      const statements: string[] = [];
      units.push(statements);
      return write((tx) => {
        const told = (sql: string) => statements.push(/^\w+(?: INTO)? \w+/.exec(sql)?.[0] ?? sql);
        return unit({
          run: (sql, params, expect) => {
            told(sql);
            tx.run(sql, params, expect);
          },
          get: (sql, params) => tx.get(sql, params),
          all: (sql, params) => tx.all(sql, params),
        });
      }, o);
    };
    const counting =
      <A extends unknown[], T>(read: (...args: A) => T) =>
      (...args: A): T => {
        reads += 1;
        return read.apply(stalling, args);
      };
    stalling.get = counting(get);
    stalling.all = counting(all);
    await house.runs.submit(house.owner, ask()); // its code is new to the tenant
  });
  afterAll(() => house.remove());

  it("is two units and no read, when its code is known and it writes no log", async () => {
    units = [];
    reads = 0;
    await house.runs.submit(house.owner, ask());
    const entry = [
      "INSERT INTO evidence_entries",
      "INSERT INTO evidence_pending",
      "INSERT INTO evidence_refs",
      "INSERT INTO evidence_subjects",
    ];
    expect(units).toEqual([
      [...entry, "INSERT INTO runs"],
      [...entry, "UPDATE runs", "INSERT INTO run_days"],
    ]);
    expect(reads).toBe(0);
  });

  it("is one statement more, and no unit, for the log of a run that is quick", async () => {
    units = [];
    house.pool.script = (_job, door) => {
      door.log({ seq: 1, at: 1, level: "log", text: "hello" });
      return {};
    };
    await house.runs.submit(house.owner, ask());
    expect(units).toHaveLength(2);
    expect(units[1]?.filter((each) => each === "INSERT INTO run_logs")).toHaveLength(1);
  });
});
