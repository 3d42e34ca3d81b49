import { expect, test } from "vitest";
import { codeFrame } from "./frame.ts";
import { logText, placeOfStack, problemText, resultText, runErrorText, type Sources, summaryText } from "./render.ts";
import { runView } from "./testing.ts";

const plain = (_tone: string, text: string): string => text;
const sources: Sources = {
  display: (at) => `src/${at}`,
  text: (at) => (at === "main.ts" ? 'const a = 1;\n\tthrow new Error("no");\n' : undefined),
};

test("a frame shows file, line and a caret under the column, past tabs too", () => {
  const place = { file: "src/main.ts", line: 2, column: 2, text: "thrown here" };
  expect(codeFrame(place, sources.text("main.ts"), plain)).toBe(
    ["src/main.ts:2:2", '    2 |   throw new Error("no");', "      |   ^ thrown here"].join("\n"),
  );
});

test("a frame in a line of a megabyte shows what is around the column", () => {
  const source = `${"x".repeat(500_000)}!${"y".repeat(500_000)}`;
  const [, code = "", caret = ""] = codeFrame({ file: "m", line: 1, column: 500_001 }, source, plain).split("\n");
  expect(code.length).toBeLessThan(120);
  expect(code[caret.indexOf("^")]).toBe("!");
});

test("a place without its source keeps its sentence", () => {
  expect(codeFrame({ file: "m.ts", line: 9, text: "bad" }, undefined, plain)).toBe("m.ts:9\n  bad");
});

test("a problem reads as sentences, with reasons, places and next steps", () => {
  const problem = {
    type: "urn:gantry:error:CODE_SYNTAX",
    status: 400,
    code: "CODE_SYNTAX",
    title: "The code has a syntax error.",
    detail: "main.ts does not parse.",
    request: "req_1",
    problems: [{ at: "main.ts", line: 1, column: 7, text: "odd name" }],
    reasons: [{ code: "WHY", detail: "Because of that." }],
    next_steps: [{ kind: "command" as const, text: "Look", command: "gantry help" }],
    retry_after_ms: 1_500,
  };
  expect(problemText(problem, sources, plain)).toBe(
    [
      "error main.ts does not parse.",
      "  The code has a syntax error.",
      "  CODE_SYNTAX  req_1",
      "",
      "src/main.ts:1:7",
      "    1 | const a = 1;",
      "      |       ^ odd name",
      "",
      "Because:",
      "  Because of that. (WHY)",
      "",
      "Next:",
      "  Look: gantry help",
      "  Try again in 1.5 s",
      "",
    ].join("\n"),
  );
});

test("what a guest threw is shown with its line of source", () => {
  const error = {
    code: "RUN_THREW",
    name: "RangeError",
    detail: "no",
    stack: "RangeError: no\n    at f (main.ts:2:8)",
  };
  const text = runErrorText(runView({ termination: "threw", error }), sources, plain);
  expect(text).toContain('error RangeError: no\n\nsrc/main.ts:2:8\n    2 |   throw new Error("no");');
  expect(text).toContain("    at f (main.ts:2:8)");
  expect(runErrorText(runView(), sources, plain)).toBe("");
});

test("what the detail says already is not said twice", () => {
  const detail = "/limits/cpu_ms must be a number";
  const problems = [{ at: "/limits/cpu_ms", text: "must be a number" }];
  expect(problemText({ detail, problems }, sources, plain)).toBe(`error ${detail}\n`);
  const error = { code: "RUN_THREW", name: "TypeError", detail: "TypeError: no" };
  expect(runErrorText(runView({ termination: "threw", error }), sources, plain)).toMatch(/^error TypeError: no\n/);
});

test("the place of a stack is its topmost line in a module that we have", () => {
  const stack = "Error: x\n  at a (node:fs:1:2)\n  at b (other.ts:3:4)\n  at main.ts:5:6\n  at main.ts:7:8";
  expect(placeOfStack(stack, sources)).toEqual({ at: "main.ts", line: 5, column: 6 });
  expect(placeOfStack("no stack", sources)).toBeUndefined();
});

test("the summary says how it ended, what it used, what was blocked and where the record is", () => {
  const blocked = [
    { host: "example.com", method: "GET", count: 2 },
    { host: "evil\u001b.test", method: "POST", count: 1 },
  ];
  expect(summaryText(runView({ blocked, cold: true }), plain)).toBe(
    [
      "completed  cpu 3.1 ms · wall 12 ms · peak 14 MB · startup 4.2 ms (cold)",
      "run       run_1  scratch@1, process",
      "jail      unshare",
      "snapshot  snp_1",
      "blocked   GET example.com (2x), POST evil\\x1b.test",
      "evidence  ent_1 ent_2",
      "",
    ].join("\n"),
  );
  expect(summaryText(runView({ isolation: "session", session: "s1" }), plain)).toContain("scratch@1, session s1\n");
  expect(summaryText(runView({ jail: "none" }), plain)).toContain("nothing held this run in");
});

test("a result that is a string is its text, anything else indented JSON", () => {
  expect(resultText("a\nb")).toBe("a\nb");
  expect(resultText({ a: [1] })).toBe('{\n  "a": [\n    1\n  ]\n}');
  expect(resultText(undefined)).toBe("null");
});

test("log lines say their level when it is not the ordinary one", () => {
  const line = { seq: 1, at: 0, text: "x\u001b[2J" } as const;
  expect(logText({ ...line, level: "log" }, plain)).toBe("x\\x1b[2J");
  expect(logText({ ...line, level: "error" }, plain)).toBe("error x\\x1b[2J");
});
