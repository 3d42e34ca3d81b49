import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { Turns } from "./turns.ts";

const all = <T>(turns: Turns<T>): T[] => {
  const taken: T[] = [];
  for (let next = turns.take(); next !== undefined; next = turns.take()) taken.push(next);
  return taken;
};

describe("turns", () => {
  it("go round the tenants, and keep each one's order", () => {
    const turns = new Turns<string>();
    for (const item of ["a1", "a2", "a3", "b1", "c1", "c2"]) turns.push(item.slice(0, 1), item);
    expect([turns.size, turns.of("a"), turns.of("d"), turns.peek()]).toEqual([6, 3, 0, "a1"]);
    expect(all(turns)).toEqual(["a1", "b1", "c1", "a2", "c2", "a3"]);
    expect([turns.size, turns.peek()]).toEqual([0, undefined]);
  });

  it("let nobody wait for more than one of each other tenant, whatever came before", () => {
    fc.assert(
      fc.property(fc.array(fc.constantFrom("a", "b", "c", "d"), { maxLength: 40 }), (pushed) => {
        const turns = new Turns<string>();
        for (const tenant of pushed) turns.push(tenant, tenant);
        turns.push("late", "late");
        const at = all(turns).indexOf("late");
        expect(at).toBeLessThanOrEqual(new Set(pushed).size);
      }),
    );
  });

  it("give up the newest of whoever has most, only if that is more than one more", () => {
    const turns = new Turns<string>();
    for (const item of ["a1", "b1", "b2", "b3"]) turns.push(item.slice(0, 1), item);
    expect(turns.takeFromLongest(2)).toBeUndefined();
    expect(turns.takeFromLongest(1)).toBe("b3");
    expect(turns.takeFromLongest(1)).toBeUndefined();
    expect([turns.size, turns.drain(), turns.size]).toEqual([3, ["a1", "b1", "b2"], 0]);
  });
});
