import type { Entry } from "@gantry/sdk";
import { expect, test } from "vitest";
import { countsOf, nextText, recapText } from "./recap.ts";
import { overlap } from "./scene_runaway.ts";
import { sizeOf } from "./scene_task.ts";

const paint = (_tone: string, text: string) => text;
const entry = (kind: string, data: Record<string, unknown> = {}): Entry => ({
  id: "ent_1",
  kind,
  at: 0,
  tenant: "ten_1",
  actor: [],
  refs: [],
  data,
  leaf: "",
  sealed: true,
});
const entries = [
  entry("run.admitted"),
  entry("run.ended", { termination: "completed" }),
  entry("run.ended", { termination: "threw" }),
  entry("run.ended", { termination: "completed" }),
  entry("approval.requested"),
  entry("approval.voted"),
  entry("lease.issued"),
  entry("effect.ended"),
];

test("the ledger is counted, not the story", () => {
  expect(countsOf(entries)).toMatchObject({
    entries: 8,
    runs: 3,
    endings: { completed: 2, threw: 1 },
    leases: 1,
    effects: 1,
    approvals: 1,
    votes: 1,
  });
});

test("a recap says that everything happened, or what did not and where to look", () => {
  const claims = [{ says: "a", held: true }];
  const reports = [{ number: 1, name: "task", title: "T", facts: {}, claims }];
  const counts = countsOf(entries);
  const good = recapText({ ok: true, took_ms: 4_200, counts, reports, trouble: undefined }, paint);
  expect(good).toContain("3 runs: 2 completed, 1 threw");
  expect(good).toContain("1 of 1 statement checked and found true, 4.2 s in all");
  expect(good).toContain("Everything happened as the story says.");
  const trouble = { scene: "task", says: "It is not so that b.", look: "the run" };
  const bad = recapText({ ok: false, took_ms: 1, counts: countsOf([]), reports, trouble }, paint);
  expect(bad).toContain("In scene 1 (task):\n  It is not so that b.\n  Where to look: the run");
  expect(bad).not.toContain("Everything");
  expect(bad).not.toContain("runs");
});

test("what comes next fits into 80 columns", () => {
  const lines = nextText(paint).split("\n");
  expect(Math.max(...lines.map((line) => line.length))).toBeLessThanOrEqual(80);
});

test("spans overlap when they have a moment in common; an unknown time has none", () => {
  expect(overlap({ from: 0, to: 10 }, { from: 9, to: 20 })).toBe(true);
  expect(overlap({ from: 0, to: 10 }, { from: 10, to: 20 })).toBe(false);
  expect(overlap({ from: 0, to: 10 }, { from: Number.NaN, to: 5 })).toBe(false);
  expect(overlap({ from: 0, to: 10 }, undefined)).toBe(false);
});

test("a checkpoint says its size in its second line; what is none has none", () => {
  expect(sizeOf("log\n12\nroot\n\n— sig\n")).toBe(12);
  expect(sizeOf("")).toBe(0);
  expect(sizeOf("a\nb\n")).toBe(0);
});
