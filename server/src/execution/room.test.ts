import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { HUNGRY_MS_MAX } from "./contract.ts";
import { type Bound, Group } from "./group.ts";
import { Room } from "./room.ts";

interface Plan {
  key: string;
  tenant: string;
  /** For each runner: since when it is idle, or null while it has a run. */
  runners: (number | null)[];
  waiters?: number;
  hungry_since?: number;
  kind?: "pooled" | "session";
}

function nodeOf(bound_max: number, plans: Plan[]): { room: Room; group(key: string): Group } {
  const groups = new Map<string, Group>();
  const bound = new Set<Bound>();
  for (const { key, tenant, runners, waiters = 0, hungry_since, kind = "pooled" } of plans) {
    const group = new Group(key, { kind, key, tenant, memory_mb: 128 });
    group.bound = runners.length;
    group.hungry_since = hungry_since ?? null;
    for (let i = 0; i < waiters; i++) group.waiters.push({ resolve() {}, reject() {} });
    for (const idle_since of runners) bound.add({ group, idle_since } as Bound);
    groups.set(key, group);
  }
  const room = new Room(bound_max, groups, bound);
  return {
    room,
    group(key) {
      const group = groups.get(key);
      if (group === undefined) throw new Error(`${key} is not of this plan`);
      return group;
    },
  };
}

describe("room for one more runner", () => {
  const a = { key: "a", tenant: "ten_a", runners: [null, null] };

  it("is taken from nobody while the node holds fewer than it may", () => {
    const { room, group } = nodeOf(4, [a, { key: "b", tenant: "ten_b", runners: [5] }]);
    expect(room.victimFor(group("b"))).toBeUndefined();
  });

  it("is that of the longest idle of the tenant that holds most", () => {
    const plans = [a, { key: "a2", tenant: "ten_a", runners: [7, 6] }, { key: "b", tenant: "ten_b", runners: [5] }];
    const { room, group } = nodeOf(5, [...plans, { key: "c", tenant: "ten_c", runners: [], waiters: 1 }]);
    expect(room.victimFor(group("c"))).toMatchObject({ idle_since: 6 });
  });

  it("is nowhere while all have a run", () => {
    const { room, group } = nodeOf(2, [a, { key: "b", tenant: "ten_b", runners: [], waiters: 1 }]);
    expect(room.victimFor(group("b"))).toBe("none");
  });

  it("is not for a key that holds its share while another that waits holds less", () => {
    const hungry = { key: "b", tenant: "ten_b", runners: [], waiters: 1, hungry_since: 0 };
    const { room, group } = nodeOf(3, [{ ...a, waiters: 2 }, hungry]);
    expect(room.victimFor(group("a"))).toBe("none");
    expect(room.victimFor(group("b"))).toBeUndefined();
  });
});

describe("who gives one up", () => {
  const hungry = { key: "h", tenant: "ten_h", runners: [], waiters: 1, hungry_since: 0 };
  const busy = (runners: number, waiters = 1): Plan => ({
    ...{ key: "a", tenant: "ten_a", waiters },
    runners: Array<null>(runners).fill(null),
  });

  it("is a key above its share, when one below waits", () => {
    const { room, group } = nodeOf(4, [busy(3), { ...busy(1), key: "b" }, hungry]);
    expect([room.owes(group("a"), 1), room.owes(group("b"), 1)]).toEqual([true, false]);
  });

  it("is nobody for a key that holds its share, however long that waits", () => {
    const fed = { ...hungry, runners: [null, null] };
    const { room, group } = nodeOf(4, [busy(2), fed]);
    expect(room.owes(group("a"), 10 * HUNGRY_MS_MAX)).toBe(false);
  });

  it("is anybody for a key that holds none and has waited for HUNGRY_MS_MAX", () => {
    const { room, group } = nodeOf(1, [busy(1), hungry]);
    expect(room.owes(group("a"), HUNGRY_MS_MAX - 1)).toBe(false);
    expect(room.owes(group("a"), HUNGRY_MS_MAX)).toBe(true);
  });

  it("is not one that rests anyway: it is there to be taken", () => {
    const { room, group } = nodeOf(3, [busy(3, 0), hungry]);
    expect(room.owes(group("a"), 10 * HUNGRY_MS_MAX)).toBe(false);
  });

  it("settles: with equal demand nobody who holds an equal share owes anything, and all who hold more do", () => {
    fc.assert(
      fc.property(fc.array(fc.nat(4), { minLength: 2, maxLength: 8 }), (held) => {
        const total = held.reduce((sum, each) => sum + each, 0);
        fc.pre(total > 0);
        const plans = held.map((runners, i) => ({ ...busy(runners), key: `k${i}`, tenant: `t${i}`, hungry_since: 0 }));
        const { room, group } = nodeOf(total, plans);
        const share = Math.max(1, Math.floor(total / held.length));
        const some_lack = held.some((runners) => runners < share);
        held.forEach((runners, i) => {
          expect(room.owes(group(`k${i}`), 1)).toBe(some_lack && runners > share);
        });
      }),
    );
  });
});
