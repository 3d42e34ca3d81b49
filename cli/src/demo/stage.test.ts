import { expect, test } from "vitest";
import { testTerminal } from "../testing.ts";
import { isDiffers, openScene, rowText } from "./stage.ts";

const scene = { number: 2, of: 7, name: "refusal", title: "A refusal" };
const open = (o: { quiet?: boolean; stop?: AbortController } = {}) => {
  const io = testTerminal();
  const signal = (o.stop ?? new AbortController()).signal;
  return { io, ...openScene(io, scene, { quiet: o.quiet === true, signal }) };
};

test("what holds is marked, and stands in the report", () => {
  const { io, stage, report } = open();
  stage.claim("the tracker saw nothing", true, "unseen", "there");
  stage.fact("run", "run_1");
  expect(io.out()).toBe("\n 2/7  A refusal\n     ✓ the tracker saw nothing\n");
  expect(report).toEqual({
    number: 2,
    name: "refusal",
    title: "A refusal",
    facts: { run: "run_1" },
    claims: [{ says: "the tracker saw nothing", held: true }],
  });
});

test("what does not hold ends the scene with what there is instead, and where to look", () => {
  const { io, stage, report } = open();
  let caught: unknown;
  try {
    stage.claim("the tracker saw nothing", false, [{ method: "GET" }], "the tracker");
  } catch (error) {
    caught = error;
  }
  expect(isDiffers(caught) && [caught.message, caught.look]).toEqual([
    'It is not so that the tracker saw nothing: [{"method":"GET"}].',
    "the tracker",
  ]);
  expect(report.claims).toEqual([{ says: "the tracker saw nothing", held: false, found: '[{"method":"GET"}]' }]);
  expect(io.out()).not.toContain("✓");
});

test("what was found is quoted up to 300 characters", () => {
  const { stage, report } = open();
  expect(() => stage.claim("it is short", false, "x".repeat(301), "")).toThrow("…");
  expect(report.claims[0]?.found).toBe(`${"x".repeat(300)}…`);
});

test("for a program nothing is printed, and everything is reported", () => {
  const { io, stage, report } = open({ quiet: true });
  stage.say("a");
  stage.row("b", "c");
  stage.block(["d"]);
  stage.wide("e");
  stage.claim("f", true, "", "");
  expect(io.out()).toBe("");
  expect(report.claims).toHaveLength(1);
});

test("a story that was stopped claims nothing more", async () => {
  const stop = new AbortController();
  const { stage, report } = open({ stop });
  stop.abort(new Error("stopped"));
  expect(() => stage.claim("it goes on", true, "", "")).toThrow("stopped");
  expect(report.claims).toEqual([]);
  await expect(stage.until(() => false, 10_000)).rejects.toThrow();
});

test("until looks until it holds, and gives up in time", async () => {
  const { stage } = open();
  let looks = 0;
  expect(await stage.until(() => ++looks === 3, 10_000)).toBe(true);
  expect(await stage.until(() => false, 0)).toBe(false);
});

test("a row goes on under itself, within 80 columns", () => {
  const paint = (_tone: string, text: string) => text;
  const lines = rowText("label", "word ".repeat(30).trim(), paint).split("\n");
  expect(lines.length).toBeGreaterThan(1);
  expect(lines[0]).toMatch(/^ {5}label {6}word/);
  expect(lines[1]).toMatch(/^ {16}word/);
  expect(Math.max(...lines.map((line) => line.length))).toBeLessThanOrEqual(80);
  expect(rowText("cpu_exceeded", "cpu", paint)).toBe("     cpu_exceeded cpu");
});
