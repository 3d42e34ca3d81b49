import { mkdir, readdir, readFile, stat, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { afterEach, beforeEach, expect, test } from "vitest";
import { writeOut } from "./out_file.ts";
import { tempDirectory } from "./testing.ts";

let home: { path: string; remove(): Promise<void> };
beforeEach(async () => {
  home = await tempDirectory();
});
afterEach(() => home.remove());

const io = () => ({ cwd: home.path });
async function* parts(...texts: (string | Error)[]) {
  for (const text of texts) {
    if (typeof text !== "string") throw text;
    yield text;
  }
}

test("a file is there when it is whole, with its mode, and in place of what was there", async () => {
  await writeFile(join(home.path, "f"), "old");
  expect(await writeOut("f", parts("né", "w"), io(), 0o600)).toBe(4);
  expect(await readFile(join(home.path, "f"), "utf8")).toBe("néw");
  expect((await stat(join(home.path, "f"))).mode & 0o777).toBe(0o600);
  expect(await readdir(home.path)).toEqual(["f"]);
});

test("one that cannot be finished leaves what was there, and nothing else", async () => {
  await writeFile(join(home.path, "f"), "old");
  await expect(writeOut("f", parts("half", new Error("gone")), io())).rejects.toThrow("gone");
  expect(await readFile(join(home.path, "f"), "utf8")).toBe("old");
  expect(await readdir(home.path)).toEqual(["f"]);
});

test("one that cannot be written is a sentence", async () => {
  await expect(writeOut("none/f", parts("a"), io())).rejects.toThrow(
    "none/f cannot be written: there is no such file.",
  );
  await mkdir(join(home.path, "dir"));
  await expect(writeOut("dir", parts("a"), io())).rejects.toThrow("dir cannot be written: it is a directory.");
  expect(await readdir(home.path)).toEqual(["dir"]);
});
