import { chmod, mkdir, readdir, readFile, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { afterEach, beforeEach, expect, test } from "vitest";
import { runProgram } from "../program.ts";
import { tempDirectory, testTerminal } from "../testing.ts";

let cwd: string;
let remove: () => Promise<void>;

beforeEach(async () => {
  ({ path: cwd, remove } = await tempDirectory());
});
afterEach(() => remove());

async function run(...words: string[]) {
  const io = testTerminal({ cwd });
  const exit = await runProgram(["init", ...words], io, { server: "", examples: "", version: "0" });
  return { exit, out: io.out(), err: io.err() };
}
const read = (file: string) => readFile(join(cwd, file), "utf8");
const FILES = ["gantry.yaml", "contracts/first.yaml", "contracts/first.policy.yaml"];

test("a config file, a contract with its table and a .gitignore are written, and what comes next is said", async () => {
  const { exit, out } = await run();
  expect(exit).toBe(0);
  for (const file of [...FILES, ".gitignore"]) expect(out).toContain(`wrote ${file}\n`);
  expect(out).toMatch(/Next:\n {2}Start the server: gantry up --config gantry\.yaml\n/);
  expect(out).toContain("gantry contracts new\n");
  expect(await read("gantry.yaml")).toContain("contracts:\n  - contracts/first.yaml\n");
  expect(await read("contracts/first.yaml")).toMatch(/^name: first$/m);
  expect(await read(".gitignore")).toBe(".gantry/\n");
});

test("into another directory, under another name, for programs", async () => {
  const { exit, out } = await run("a/b", "--contract", "web-triage", "--json");
  expect(exit).toBe(0);
  const said = JSON.parse(out) as { written: string[]; kept: string[]; next_steps: { command: string }[] };
  expect(said.written).toEqual([
    "a/b/gantry.yaml",
    "a/b/contracts/web-triage.yaml",
    "a/b/contracts/web-triage.policy.yaml",
    "a/b/.gitignore",
  ]);
  expect(said.kept).toEqual([]);
  expect(said.next_steps[0]?.command).toBe("cd a/b");
  expect(await read("a/b/contracts/web-triage.policy.yaml")).not.toContain("first");
});

test("every file that stands in the way is named, and nothing is written", async () => {
  await mkdir(join(cwd, "contracts"));
  await writeFile(join(cwd, "gantry.yaml"), "mine");
  await writeFile(join(cwd, "contracts/first.policy.yaml"), "mine, too");
  const { exit, err } = await run();
  expect(exit).toBe(2);
  expect(err).toContain("gantry.yaml, contracts/first.policy.yaml exist already; nothing was written");
  expect([await read("gantry.yaml"), await read("contracts/first.policy.yaml")]).toEqual(["mine", "mine, too"]);
  expect((await readdir(cwd)).sort()).toEqual(["contracts", "gantry.yaml"]);
  expect(await readdir(join(cwd, "contracts"))).toEqual(["first.policy.yaml"]);
});

test("twice in the same directory changes nothing the second time", async () => {
  await run();
  const before = await Promise.all(FILES.map(read));
  expect((await run()).exit).toBe(2);
  expect(await Promise.all(FILES.map(read))).toEqual(before);
});

test("a .gitignore that exists stays as it is, and what it lacks is said", async () => {
  await writeFile(join(cwd, ".gitignore"), "node_modules/\n");
  const { exit, out } = await run();
  expect(exit).toBe(0);
  expect(out).toContain(".gitignore exists and stays as it is");
  expect(out).toContain("Add the line .gantry/ to .gitignore");
  expect(await read(".gitignore")).toBe("node_modules/\n");
  await writeFile(join(cwd, ".gitignore"), "node_modules/\n/.gantry\n");
  const other = await run("--contract", "second");
  expect(other.exit).toBe(2); // gantry.yaml is there by now
});

test("what is ignored already is not asked for again", async () => {
  await writeFile(join(cwd, ".gitignore"), "/.gantry\n");
  const { out } = await run();
  expect(out).toContain(".gitignore exists");
  expect(out).not.toContain("Add the line");
});

test("a name that no contract can have, and a place that is none, are sentences", async () => {
  expect(await run("--contract", "Web")).toMatchObject({ exit: 2, err: expect.stringContaining("Web is no name") });
  await writeFile(join(cwd, "file"), "");
  const { exit, err } = await run("file");
  expect([exit, err]).toEqual([2, expect.stringMatching(/cannot be/)]);
  if (process.getuid?.() === 0) return; // root may write anywhere
  await mkdir(join(cwd, "locked"));
  await chmod(join(cwd, "locked"), 0o500);
  expect(await run("locked")).toMatchObject({ exit: 2, err: expect.stringContaining("permission denied") });
});
