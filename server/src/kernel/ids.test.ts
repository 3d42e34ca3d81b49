import fc from "fast-check";
import { describe, expect, it } from "vitest";
import type { Clock } from "./clock.ts";
import { createIds, isId, uuidOf } from "./ids.ts";
import { systemRandom } from "./random.ts";

const UUID_V7 = /^[0-9a-f]{8}-[0-9a-f]{4}-7[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$/;

/** Ids under a clock that stands still until it is set. */
function idsAt(start: number) {
  const clock = { time: start };
  const still: Clock = {
    now: () => clock.time,
    monotonic: () => 0,
    after: () => () => {},
    every: () => () => {},
  };
  return { clock, ids: createIds(still, systemRandom()) };
}

const timeOf = (id: string) => Number.parseInt(uuidOf(id).replaceAll("-", "").slice(0, 12), 16);

describe("an id", () => {
  it("has its prefix, and is known by it alone", () => {
    const { ids } = idsAt(Date.UTC(2026, 0, 1));
    const run = ids("run");
    expect(run).toMatch(/^run_[0-9a-z]{26}$/);
    expect(isId("run", run)).toBe(true);
    expect(isId("act", run)).toBe(false);
  });

  it.each([
    "",
    "run_",
    "run_1",
    `run_${"8".repeat(26)}`,
    `run_${"u".repeat(26)}`,
    `run_${"0".repeat(27)}`,
    `run_${"A".repeat(26)}`,
    ` run_${"0".repeat(26)}`,
  ])("is not %j", (value) => {
    expect(isId("run", value)).toBe(false);
  });

  it("is a UUIDv7 of its moment in another alphabet (RFC 9562, 5.7)", () => {
    fc.assert(
      fc.property(fc.integer({ min: 1, max: 2 ** 48 - 1 }), (now) => {
        const id = idsAt(now).ids("run");
        expect(uuidOf(id)).toMatch(UUID_V7);
        expect(timeOf(id)).toBe(now);
      }),
    );
  });

  it("is later than every earlier one, whatever the clock does", () => {
    fc.assert(
      fc.property(fc.array(fc.integer({ min: -3, max: 3 }), { minLength: 2, maxLength: 200 }), (steps) => {
        const { clock, ids } = idsAt(1_000_000);
        let last = "";
        for (const step of steps) {
          clock.time += step;
          const id = ids("ent");
          expect(id > last).toBe(true);
          expect(uuidOf(id)).toMatch(UUID_V7);
          last = id;
        }
      }),
    );
  });

  it("is one of 4,096 in a millisecond; then its time runs ahead", () => {
    const { ids } = idsAt(5_000);
    const made = Array.from({ length: 4_097 }, () => ids("run"));
    expect(new Set(made).size).toBe(4_097);
    expect([...made].sort()).toEqual(made);
    expect(timeOf(made[4_095]!)).toBe(5_000);
    expect(timeOf(made[4_096]!)).toBe(5_001);
  });

  it("orders ids of all prefixes by one sequence", () => {
    const { ids } = idsAt(5_000);
    const [run, entry] = [ids("run"), ids("ent")];
    expect(uuidOf(run) < uuidOf(entry)).toBe(true);
  });
});
