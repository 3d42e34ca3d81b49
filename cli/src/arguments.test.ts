import { expect, test } from "vitest";
import { checkArguments, command, nearest, unknownCommand } from "./arguments.ts";

const args = {
  file: { type: "positional", required: true, description: "a file" },
  input: { type: "string", valueHint: "JSON" },
  limit: { type: "string", valueHint: "NAME=N ..." },
  lane: { type: "enum", options: ["interactive", "batch"] },
  "on-busy": { type: "string" },
  json: { type: "boolean" },
} as const;
const check = (...raw: string[]) =>
  checkArguments(raw, { ...args, lane: { type: "enum", options: ["interactive", "batch"] } });

test.each([
  [["a.ts", "--jsn"], "There is no flag --jsn. Did you mean --json?"],
  [["a.ts", "--limits", "x=1"], "There is no flag --limits. Did you mean --limit?"],
  [["a.ts", "--zebra=1"], "There is no flag --zebra."],
  [["a.ts", "-j"], "There is no flag -j."],
  [["a.ts", "--file", "b"], "There is no flag --file."],
  [["a.ts", "--input"], "--input needs a value: --input JSON"],
  [["a.ts", "--limit"], "--limit needs a value: --limit NAME=N"],
  [["a.ts", "--input", "--json"], "--input needs a value"],
  [["a.ts", "--json=yes"], "--json takes no value."],
  [["a.ts", "--input", "1", "--input", "2"], "--input is given twice"],
  [["a.ts", "--lane", "fast"], '--lane is one of interactive, batch, not "fast".'],
  [["a.ts", "b.ts"], '"b.ts" is one word too many: this command takes one word'],
  [[], "FILE is missing: a file."],
])("%j is refused with a sentence", (raw, sentence) => {
  expect(() => check(...raw)).toThrow(sentence);
});

test("values that look like flags are given with =, and - alone is a value", () => {
  expect(check("a.ts", "--input=-1").get("input")).toEqual(["-1"]);
  expect(check("a.ts", "--input", "-").get("input")).toEqual(["-"]);
});

test("a flag with a letter is given by either, once", async () => {
  const short = { out: { type: "string", alias: "o", valueHint: "FILE" } } as const;
  expect(checkArguments(["-o", "a"], short).get("out")).toEqual(["a"]);
  expect(checkArguments(["-oa"], short).get("out")).toEqual(["a"]);
  expect(() => checkArguments(["-o", "a", "--out", "b"], short)).toThrow("--out is given twice");
  expect(() => checkArguments(["-o"], short)).toThrow("-o needs a value: -o FILE");
  expect(() => checkArguments(["-x"], short)).toThrow("There is no flag -x.");
  const seen: unknown[] = [];
  const one = command({
    summary: "",
    args: short,
    examples: [],
    async run({ out }) {
      seen.push(out);
      return 0;
    },
  });
  await one.start(["-o", "a"]);
  await one.start(["-oa"]);
  expect(seen).toEqual(["a", "a"]);
});

test("after -- every word is positional", () => {
  expect(() => check("--", "--json")).not.toThrow();
});

test("a command gets typed values, and all values of a flag that repeats", async () => {
  const seen: unknown[] = [];
  const one = command({
    summary: "",
    args: {
      file: { type: "positional", required: true },
      limit: { type: "string", valueHint: "NAME=N ..." },
      "on-busy": { type: "string" },
      json: { type: "boolean" },
    },
    examples: [],
    async run(given, repeated) {
      seen.push(given.file, given.json, given["on-busy"], repeated("limit"), repeated("other"));
      return 7;
    },
  });
  expect(await one.start(["--limit", "a=1", "x.ts", "--limit=b=2", "--json", "--on-busy", "delay"])).toBe(7);
  expect(seen).toEqual(["x.ts", true, "delay", ["a=1", "b=2"], []]);
});

test("the nearest word is one of few edits, a swap counts as one", () => {
  const known = ["run", "runs", "evidence", "contracts", "doctor", "demo", "up"];
  expect(nearest("rusn", ["runs"])).toBe("runs");
  expect(nearest("evidnce", known)).toBe("evidence");
  expect(nearest("contract", known)).toBe("contracts");
  expect(nearest("doc", known)).toBe("doctor");
  expect(nearest("deploy", known)).toBeUndefined();
});

test("an unknown command names its noun's own", () => {
  expect(unknownCommand(["runs"], "lst", ["list", "show"]).message).toBe(
    '"gantry runs lst" is no command. Did you mean "gantry runs list"?',
  );
});
