import { describe, expect, it, test } from "vitest";
import { cutPainted, openScreen } from "./screen.ts";
import { figuresView, runView, testTerminal } from "./testing.ts";
import { paintFor, widthOf } from "./text.ts";
import { entriesPerSecond, plainFrame, topFrame } from "./top_frame.ts";

const plain = paintFor({ tty: false, columns: 80, rows: 24, write: () => undefined }, {});
const colours = paintFor({ tty: true, columns: 80, rows: 24, write: () => undefined }, {});
const figures = figuresView();
const running = Array.from({ length: 30 }, (_, i) =>
  runView({ id: `run_${i}`, state: "running", created_at: figures.at - 1_500 * (i + 1) }),
);
const data = { figures, before: undefined, running };
const place = "http://127.0.0.1:4280";

describe.each([40, 80, 200])("a frame of %i columns", (columns) => {
  it.each([5, 24, 60])("and %i rows has no line and no row too many, with colours and without", (rows) => {
    for (const paint of [plain, colours]) {
      const lines = topFrame(data, { columns, rows }, place, paint);
      expect(lines.length).toBeLessThanOrEqual(rows);
      for (const line of lines) expect(widthOf(line), line).toBeLessThanOrEqual(columns);
    }
  });

  it("says what goes on, how it ended, what was denied and how the machine is", () => {
    const text = topFrame(data, { columns, rows: 60 }, place, plain).join("\n");
    expect(text.replaceAll("\n", " ")).toContain(
      "2 running, 14 waiting, 3 for people (contract 1, run 1, setting 1), 1.2 runs/s",
    );
    expect(text).toMatch(columns < 60 ? /interactive +1,234 +0/ : /interactive +1,234 +1\.2 +0/);
    expect(text).toMatch(columns < 60 ? /batch +0 +14 +12\.0 s/ : /batch +0 +0\.0 +14 +12\.0 s/);
    expect(text).toMatch(/startup +4\.2 ms +12 ms +1\.3 s/);
    expect(text.replaceAll(/\s+/g, " ")).toContain("completed 1,200, denied 30, cpu_exceeded 4");
    expect(text.replaceAll(/\s+/g, " ")).toContain("EGRESS_HOST (calls) 7, calls without a way out 2");
    expect(text).toContain("2 of 8 used");
    expect(text).toMatch(/lacks one\s+for\s+1 min\s+35 s/);
  });
});

it("the running runs take the room that is left, the newest first", () => {
  const frame = (rows: number) => topFrame(data, { columns: 80, rows }, place, plain);
  const shown = (rows: number) => frame(rows).filter((line) => line.startsWith("run_"));
  expect(shown(60)[0]).toMatch(/^run_0 +1\.5 s +interactive +scratch@1$/);
  expect(shown(60)).toHaveLength(30);
  expect(shown(40).length).toBeLessThan(30);
  expect(frame(40)).toHaveLength(40);
  // A terminal of the usual size shows two.
  expect(shown(24)).toHaveLength(2);
});

it("both lanes stand side by side where there is room, else both together", () => {
  const head = (columns: number) =>
    topFrame(data, { columns, rows: 60 }, place, plain).find((line) => /^TIME/.test(line));
  expect(head(80)).toMatch(/INTERACTIVE P50 +P95 +P99 +BATCH P50/);
  expect(head(40)).toMatch(/^TIME +P50 +P95 +P99$/);
});

it("without the machine's figures, nothing is said of the machine", () => {
  const text = topFrame({ ...data, figures: figuresView({ machine: null }) }, { columns: 80, rows: 60 }, place, plain);
  expect(text.join("\n")).not.toMatch(/slots|ledger|runners/);
});

it("what waits for people is told by what it is for, unless all of it are runs or it may not be read", () => {
  const said = (parts: Parameters<typeof figuresView>[0]) =>
    plainFrame({ figures: figuresView(parts), before: undefined, running: [] }).split(", ")[2];
  expect(said({ approvals: { count: 2, oldest_ms: 5, by_subject: { run: 2 } } })).toBe("2 for people");
  expect(said({ approvals: { count: 1, oldest_ms: 5, by_subject: { setting: 1 } } })).toBe("1 for people (setting 1)");
  expect(said({ approvals: { count: 0, oldest_ms: 0, by_subject: {} } })).toBe("0 for people");
  expect(said({ approvals: null })).toBe("1 for people");
});

it("a sample is called one", () => {
  const runs = { ...figures.runs, sampled: true, since_at: figures.at - 60_000 };
  const frame = topFrame({ ...data, figures: { ...figures, runs } }, { columns: 120, rows: 60 }, place, plain);
  expect(frame.join("\n")).toContain("the newest 1,234 runs of the last 15 min, since 22:12:20Z (1 min)");
});

test("entries per second are the difference of two frames", () => {
  const machine = (entries: number) => ({ ...figures.machine!, ledger: { entries, sealed: entries, lag_ms: 0 } });
  const before = figuresView({ at: figures.at - 2_000, machine: machine(100) });
  const after = figuresView({ machine: machine(125) });
  expect(entriesPerSecond({ figures: after, before })).toBe(12.5);
  expect(entriesPerSecond({ figures: after, before: undefined })).toBeNull();
  expect(entriesPerSecond({ figures: after, before: after })).toBeNull();
  expect(plainFrame({ figures: after, before, running: [] })).toContain(
    "12.5 entries/s; 1,234 runs ended in the last 15 min",
  );
});

describe("a line that is too long", () => {
  it("is cut to its columns, and its colours end with it", () => {
    expect(cutPainted("abcdef", 6)).toBe("abcdef");
    expect(cutPainted("abcdefg", 6)).toBe("abcde…");
    const painted = colours("red", "abcdefg");
    expect(cutPainted(painted, 7)).toBe(painted);
    expect(cutPainted(painted, 4)).toBe("\u001b[31mabc\u001b[39m…");
  });
});

describe("the screen", () => {
  it("is another one until it is closed, once, and a frame is one write without a blank between", () => {
    const io = testTerminal({ tty: true, columns: 10, rows: 2 });
    const screen = openScreen(io);
    const entered = io.out();
    expect(entered).toContain("\u001b[?1049h");
    screen.draw(["one", "two two two two", "three"]);
    const frame = io.out().slice(entered.length);
    expect(frame).toContain("one\u001b[K\r\ntwo two t…\u001b[K");
    expect(frame).not.toContain("three");
    expect(frame).not.toContain("\u001b[2J");
    screen.close();
    screen.close();
    expect(io.out().split("\u001b[?1049l")).toHaveLength(2);
    expect(io.out().endsWith("\u001b[?25h\u001b[?1049l")).toBe(true);
    screen.draw(["late"]);
    expect(io.out()).not.toContain("late");
  });
});
