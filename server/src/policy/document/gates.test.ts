import { describe, expect, it } from "vitest";
import { bases, repeat, staging, wrong } from "../../../../tests/fixtures/contract_documents.ts";
import {
  CONTRACT_ITEMS_MAX,
  CONTRACT_NUMBERS_MAX,
  EXECUTE_BEFORE_MS_DEFAULT,
  EXECUTE_BEFORE_MS_MAX,
  GATES_MAX,
  NOT_AFTER_MS_DEFAULT,
  NOT_AFTER_MS_MAX,
  QUORUM_MAX,
} from "../contract.ts";
import { parseContract } from "./document.ts";

describe("gates", () => {
  it("have a quorum of one and the usual clocks, unless they say otherwise", () => {
    expect(staging({ gates: [{ on: "app.deploy", name: "deploy" }] }).gates).toEqual([
      {
        on: "app.deploy",
        name: "deploy",
        quorum: 1,
        not_after_ms: NOT_AFTER_MS_DEFAULT,
        execute_before_ms: EXECUTE_BEFORE_MS_DEFAULT,
      },
    ]);
  });

  it.each([
    ["quorum", 1, QUORUM_MAX],
    ["not_after_ms", 1_000, NOT_AFTER_MS_MAX],
    ["execute_before_ms", 1_000, EXECUTE_BEFORE_MS_MAX],
  ])("have %s from %d to %d", (key, min, max) => {
    const gate = (value: unknown) => ({ gates: [{ on: "*", name: "g", [key]: value }] });
    for (const value of [min, max]) expect(wrong(gate(value))).toEqual([]);
    for (const value of [min - 1, max + 1, null]) expect(wrong(gate(value))).toHaveLength(1);
  });

  it.each([
    [[{}], "/gates/0 The key on is missing."],
    [[{ on: "app.deploi", name: "x" }], "Did you mean app.deploy?"],
    [[{ on: "*", name: "a+b" }], "/gates/0/name name has 1 to 63"],
    [
      [{ on: "egress.retry", name: "a" }],
      "/gates/0/on A gate on egress.retry can be passed by nobody: people approve runs",
    ],
    [
      [
        { on: "*", name: "a" },
        { on: "*", name: "a" },
      ],
      "/gates The gate a on * stands here twice.",
    ],
    [{ on: "*" }, "/gates gates is a list."],
  ])("are refused as %j", (gates, says) => expect(wrong({ gates })[0] ?? "").toContain(says));

  it(`are ${GATES_MAX} and not one more`, () => {
    const gates = (n: number) => ({ gates: repeat(n, (i) => ({ on: "*", name: `g${i}` })) });
    expect(wrong(gates(GATES_MAX))).toEqual([]);
    expect(wrong(gates(GATES_MAX + 1))).toHaveLength(1);
  });
});

describe("attended hours", () => {
  const attended = { tz: "Europe/Berlin", days: [5, 1], from: "08:00", to: "18:00" };

  it("are times of day on days of the week in a time zone", () => {
    expect(staging({ attended }).attended).toEqual({ ...attended, days: [1, 5] });
    expect(wrong({ attended: { ...attended, tz: "UTC" } })).toEqual([]);
    expect(staging({}).attended).toBeNull();
  });

  it.each([
    [{ tz: "Europe/Berlim" }, "/attended/tz tz is a time zone's name"],
    [{ tz: "+01:00" }, "is a time zone's name"],
    [{ tz: "../../etc" }, "is a time zone's name"],
    [{ tz: 1 }, "tz is text."],
    [{ days: [0] }, "must lie between 1 and 7"],
    [{ days: [8] }, "must lie between 1 and 7"],
    [{ days: [1, 1] }, "stands twice"],
    [{ days: [] }, "days has 0 items; it takes 1 to 7."],
    [{ from: "8:00" }, '/attended/from from is a time of day from "00:00" to "23:59".'],
    [{ to: "24:00" }, "is a time of day"],
    [{ to: "08:00" }, "/attended/to to is 08:00; it must be later than from, 08:00, on the same day."],
    [{ to: "07:59" }, "it must be later than from"],
    [{ holidays: [] }, "/attended/holidays The key holidays is not known"],
  ])("are refused with %j", (more, says) => expect(wrong({ attended: { ...attended, ...more } })[0]).toContain(says));

  it("need all four members, and may be written in YAML without quotes", () => {
    expect(wrong({ attended: {} })).toHaveLength(4);
    const text = "kind: Contract\nname: a\nextends: scratch\nattended: {tz: UTC, days: [1], from: 08:00, to: 18:30}\n";
    expect(parseContract({ name: "a", text }, bases).attended).toMatchObject({ from: "08:00", to: "18:30" });
  });
});

describe("a phase", () => {
  const condition = { metric: "drift_ratio", over: 0.05, window_ms: 3_600_000, min_runs: 20 };

  it("holds fractions in ten-thousandths", () => {
    expect(staging({ phase: { n: 2, until: "2027-03-01", rollback_when: [condition] } }).phase).toEqual({
      n: 2,
      until: "2027-03-01",
      rollback_when: [{ metric: "drift_ratio", over_bp: 500, window_ms: 3_600_000, min_runs: 20 }],
    });
    expect(staging({ phase: { n: 1 } }).phase).toEqual({ n: 1, until: null, rollback_when: [] });
  });

  it("reads every fraction of four decimals exactly, and no finer one", () => {
    const over = (value: unknown) => ({ phase: { n: 1, rollback_when: [{ ...condition, over: value }] } });
    for (let bp = 0; bp < 10_000; bp += 97) {
      expect(staging(over(Number((bp / 10_000).toFixed(4)))).phase?.rollback_when[0]?.over_bp).toBe(bp);
    }
    for (const value of [1, 0.00005, 0.12345, -0.1, 5, "0.05", null]) expect(wrong(over(value))).toHaveLength(1);
  });

  it.each([
    [{ n: 0 }, "/phase/n n is 0; it must lie between 1 and 100."],
    [{ n: CONTRACT_NUMBERS_MAX.n + 1 }, "must lie between 1 and 100"],
    [{}, "/phase The key n is missing."],
    [{ n: 1, until: "2027-02-30" }, "/phase/until until is a day"],
    [{ n: 1, until: "2027-3-1" }, "until is a day"],
    [
      { n: 1, rollback_when: [{ ...condition, metric: "incident_ratio" }] },
      "/phase/rollback_when/0/metric metric is drift_ratio or",
    ],
    [{ n: 1, rollback_when: [{ ...condition, window_ms: CONTRACT_NUMBERS_MAX.window_ms + 1 }] }, "window_ms"],
    [{ n: 1, rollback_when: [{ ...condition, window_ms: 59_999 }] }, "window_ms"],
    [{ n: 1, rollback_when: [{ ...condition, min_runs: 0 }] }, "min_runs"],
    [{ n: 1, rollback_when: [{ ...condition, min_runs: CONTRACT_NUMBERS_MAX.min_runs + 1 }] }, "min_runs"],
    [{ n: 1, rollback_when: [{}] }, "/phase/rollback_when/0 The key metric is missing."],
    [
      { n: 1, rollback_when: repeat(CONTRACT_ITEMS_MAX.rollback_when + 1, () => condition) },
      "9 items; it takes at most 8",
    ],
  ])("is refused as %j", (phase, says) => expect(wrong({ phase }).join("\n")).toContain(says));
});
