import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { Turns } from "./turns.ts";

describe("turns", () => {
  it("serve parties in turn, and each party's own in order", () => {
    const turns = new Turns<string>();
    for (const item of ["a1", "a2", "a3", "b1", "c1", "b2"]) turns.add(item.slice(0, 1), item);
    expect(turns.size).toBe(6);
    expect(turns.drain()).toEqual(["a1", "b1", "c1", "a2", "b2", "a3"]);
    expect([turns.size, turns.shift()]).toEqual([0, undefined]);
  });

  it("take one out that waits no more, and nobody else", () => {
    const turns = new Turns<string>();
    for (const item of ["a1", "a2", "b1"]) turns.add(item.slice(0, 1), item);
    expect([turns.remove("a", "a1"), turns.remove("a", "a1"), turns.remove("b", "a2")]).toEqual([true, false, false]);
    expect(turns.drain()).toEqual(["a2", "b1"]);
  });

  it("make nobody wait behind more than one of each other party for each of its own", () => {
    fc.assert(
      fc.property(fc.array(fc.nat(4), { maxLength: 60 }), (parties) => {
        const turns = new Turns<{ party: number; nth: number }>();
        const counts = new Map<number, number>();
        for (const party of parties) {
          const nth = counts.get(party) ?? 0;
          counts.set(party, nth + 1);
          turns.add(String(party), { party, nth });
        }
        const order = turns.drain();
        expect(order).toHaveLength(parties.length);
        order.forEach(({ party, nth }, place) => {
          const before = order.slice(0, place);
          expect(before.filter((each) => each.party === party).map((each) => each.nth)).toEqual([...Array(nth).keys()]);
          for (const other of counts.keys()) {
            if (other !== party)
              expect(before.filter((each) => each.party === other).length).toBeLessThanOrEqual(nth + 1);
          }
        });
      }),
    );
  });

  it("say who is next and how many of a party wait, and take nothing by it", () => {
    const turns = new Turns<string>();
    for (const item of ["a1", "a2", "b1"]) turns.add(item.slice(0, 1), item);
    expect([turns.peek(), turns.of("a"), turns.of("d"), turns.size]).toEqual(["a1", 2, 0, 3]);
    turns.drain();
    expect([turns.peek(), turns.of("a")]).toEqual([undefined, 0]);
  });

  it("give up the newest of whoever has most, only if that is more than one more", () => {
    const turns = new Turns<string>();
    for (const item of ["a1", "b1", "b2", "b3"]) turns.add(item.slice(0, 1), item);
    expect(turns.takeFromLongest(2)).toBeUndefined();
    expect(turns.takeFromLongest(1)).toBe("b3");
    expect(turns.takeFromLongest(1)).toBeUndefined();
    expect([turns.size, turns.drain(), turns.size]).toEqual([3, ["a1", "b1", "b2"], 0]);
  });
});
