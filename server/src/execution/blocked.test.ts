import { describe, expect, it } from "vitest";
import { Blocked } from "./blocked.ts";
import { BLOCKED_MAX } from "./contract.ts";

describe("blocked calls", () => {
  it("are counted by host and method", () => {
    const blocked = new Blocked();
    for (const [host, method] of [
      ["a.example", "GET"],
      ["a.example", "POST"],
      ["a.example", "GET"],
      ["b.example", "GET"],
    ] as const) {
      blocked.add(host, method);
    }
    expect(blocked.rows()).toEqual([
      { host: "a.example", method: "GET", count: 2 },
      { host: "a.example", method: "POST", count: 1 },
      { host: "b.example", method: "GET", count: 1 },
    ]);
  });

  it.each([BLOCKED_MAX - 1, BLOCKED_MAX, BLOCKED_MAX + 1, 10_000])(
    "of %i hosts have at most BLOCKED_MAX rows",
    (hosts) => {
      const blocked = new Blocked();
      for (let i = 0; i < hosts; i++) blocked.add(`h${i}.example`, "GET");
      const rows = blocked.rows();
      expect(rows).toHaveLength(Math.min(hosts, BLOCKED_MAX));
      expect(rows.reduce((sum, { count }) => sum + count, 0)).toBe(hosts);
      if (hosts >= BLOCKED_MAX) {
        expect(rows.at(-1)).toEqual({ host: "*", method: "*", count: hosts - (BLOCKED_MAX - 1) });
      }
    },
  );

  it("known hosts go on being counted on their own when the table is full", () => {
    const blocked = new Blocked();
    for (let i = 0; i < BLOCKED_MAX; i++) blocked.add(`h${i}.example`, "GET");
    blocked.add("h0.example", "GET");
    expect(blocked.rows()[0]?.count).toBe(2);
    expect(blocked.rows().at(-1)?.count).toBe(1);
  });

  it("a guest that calls a host * gets a row of its own", () => {
    const blocked = new Blocked();
    blocked.add("*", "*");
    for (let i = 0; i < BLOCKED_MAX; i++) blocked.add(`h${i}.example`, "GET");
    expect(
      blocked
        .rows()
        .filter(({ host }) => host === "*")
        .map(({ count }) => count),
    ).toEqual([1, 2]);
  });

  it("names are cut, and what is equal after the cut is one row", () => {
    const blocked = new Blocked();
    blocked.add("a".repeat(260), "M".repeat(16));
    blocked.add("a".repeat(261), "M".repeat(17));
    expect(blocked.rows()).toEqual([{ host: "a".repeat(260), method: "M".repeat(16), count: 2 }]);
  });
});
