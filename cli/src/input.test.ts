import { mkdir, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { afterAll, beforeAll, expect, test } from "vitest";
import { INPUT_BYTES_MAX, readInput, readPrompt } from "./input.ts";
import { tempDirectory } from "./testing.ts";

let cwd = "";
let remove = async (): Promise<void> => undefined;
beforeAll(async () => {
  ({ path: cwd, remove } = await tempDirectory());
  await writeFile(join(cwd, "good.json"), '\ufeff{"a": [1]}');
  await writeFile(join(cwd, "bad.json"), '{\n  "a": 1,\n}');
  await writeFile(join(cwd, "rows.csv"), 'a,b\r\n1,"2"\n');
  await writeFile(join(cwd, "bytes.txt"), new Uint8Array([0x61, 0xff]));
  await writeFile(join(cwd, "full.txt"), "x".repeat(INPUT_BYTES_MAX));
  await writeFile(join(cwd, "over.txt"), "x".repeat(INPUT_BYTES_MAX + 1));
  await mkdir(join(cwd, "dir"));
});
afterAll(() => remove());
const read = (text: string | undefined, stdin = "") => readInput(text, { cwd, stdin: async () => stdin });

test("absent is null, text is JSON, - is standard input", async () => {
  expect(await read(undefined)).toBeNull();
  expect(await read('{"a":1}')).toEqual({ a: 1 });
  expect(await read("-", " [true]\n")).toEqual([true]);
});

test("a .json file is JSON, any other file one string of its exact text", async () => {
  expect(await read("@good.json")).toEqual({ a: [1] });
  expect(await read("@rows.csv")).toBe('a,b\r\n1,"2"\n');
  expect(await read(`@${join(cwd, "rows.csv")}`)).toBe('a,b\r\n1,"2"\n');
});

test("a prompt is the text itself, that of a file whatever its name, or standard input", async () => {
  const prompt = (text: string) => readPrompt(text, { cwd, stdin: async () => "typed\n" });
  expect(await prompt('say "hi"')).toBe('say "hi"');
  expect(await prompt("")).toBe("");
  expect(await prompt("-")).toBe("typed\n");
  expect(await prompt("@rows.csv")).toBe('a,b\r\n1,"2"\n');
  expect(await prompt("@bad.json")).toBe('{\n  "a": 1,\n}');
  await expect(prompt("@none.md")).rejects.toThrow("none.md cannot be read: there is no such file.");
});

test("a fault in JSON is told with line, column and the text to show", async () => {
  await expect(read("@bad.json")).rejects.toMatchObject({
    message: "bad.json is not valid JSON: line 3, column 1.",
    exit: 2,
    parts: { problems: [{ at: "bad.json", line: 3, column: 1 }] },
  });
  await expect(read("hello")).rejects.toThrow("--input is not valid JSON: line 1, column 1.");
  await expect(read("-", "{")).rejects.toThrow("standard input is not valid JSON: line 1, column 2.");
});

test("files that cannot be an input are refused in words", async () => {
  await expect(read("@none.json")).rejects.toThrow("none.json cannot be read: there is no such file.");
  await expect(read("@dir")).rejects.toThrow("dir cannot be read: it is a directory.");
  await expect(read("@bytes.txt")).rejects.toThrow("bytes.txt is not UTF-8 text");
});

test("an input is sent at its limit and refused one byte past it", async () => {
  expect(((await read("@full.txt")) as string).length).toBe(INPUT_BYTES_MAX);
  await expect(read("@over.txt")).rejects.toThrow("over.txt is larger than an input may be");
});
