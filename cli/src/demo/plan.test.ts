import { mkdir, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { afterEach, beforeEach, expect, test } from "vitest";
import { runView, tempDirectory } from "../testing.ts";
import { findDifference, firstDifference, readPlan, requestOf } from "./plan.ts";

let examples = "";
let remove = async (): Promise<void> => undefined;
beforeEach(async () => {
  ({ path: examples, remove } = await tempDirectory());
  await mkdir(join(examples, "a"));
  await writeFile(join(examples, "a/main.ts"), "export default 1;");
  await writeFile(join(examples, "a/rows.csv"), "1,2");
});
afterEach(() => remove());
const item = { name: "a", title: "A", file: "a/main.ts" };

test("a plan is a list of programs; what is wrong with it is told", async () => {
  const write = (text: string) => writeFile(join(examples, "demo.json"), text);
  await expect(readPlan(examples)).rejects.toThrow("there is no such file");
  await write("[1,]");
  await expect(readPlan(examples)).rejects.toThrow("line 1, column 4");
  await write("{}");
  await expect(readPlan(examples)).rejects.toThrow("is a list of programs");
  await write('[{"name":"a","title":"A"}]');
  await expect(readPlan(examples)).rejects.toThrow("Program 1 of");
  await write(JSON.stringify([item]));
  expect(await readPlan(examples)).toEqual([item]);
});

test("an item becomes a request with its modules and input", async () => {
  const code = { entry: "main.ts", modules: { "main.ts": "export default 1;" } };
  expect(await requestOf(item, examples)).toEqual({ code, input: null });
  expect(await requestOf({ ...item, input: "@a/rows.csv" }, examples)).toEqual({ code, input: "1,2" });
  expect(await requestOf({ ...item, input: { x: 1 }, limits: { cpu_ms: 5 } }, examples)).toEqual({
    code,
    input: { x: 1 },
    limits: { cpu_ms: 5 },
  });
});

test("an outcome differs by its termination, or by its result where expected.json names one", async () => {
  const look = (parts: Parameters<typeof runView>[0], expect = {}) =>
    findDifference({ ...item, expect }, runView(parts), examples);
  expect(await look({})).toBeUndefined();
  expect(await look({ termination: "threw" })).toBe("a ended threw, expected completed.");
  expect(await look({ termination: "cpu_exceeded" }, { termination: "cpu_exceeded" })).toBeUndefined();
  await writeFile(join(examples, "a/expected.json"), '{"result": {"escaped": [], "tried": 2}}');
  expect(await look({ result: { escaped: [], tried: 2, report: [1] } })).toBeUndefined();
  expect(await look({ result: { escaped: ["fetch"], tried: 2 } })).toContain('"/escaped"');
  await writeFile(join(examples, "a/expected.json"), '{"termination": "completed"}');
  expect(await look({ result: 9 })).toBeUndefined();
});

test("the first difference is a JSON pointer; objects may have more, lists may not", () => {
  expect(firstDifference({ a: [1, { b: 2 }] }, { a: [1, { b: 2, c: 3 }], d: 4 }, "")).toBeUndefined();
  expect(firstDifference({ a: [1, { b: 2 }] }, { a: [1, { b: 3 }] }, "")).toBe("/a/1/b");
  expect(firstDifference([1], [1, 2], "")).toBe("");
  expect(firstDifference({ a: [] }, { a: {} }, "")).toBe("/a");
  expect(firstDifference({ a: null }, {}, "")).toBe("/a");
});
