import { readdir, readFile, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { afterEach, beforeEach, expect, test } from "vitest";
import { runProgram } from "../program.ts";
import { tempDirectory, testTerminal } from "../testing.ts";

const examples = fileURLToPath(new URL("../../../examples", import.meta.url));
let cwd = "";
let remove = async () => {};
beforeEach(async () => {
  ({ path: cwd, remove } = await tempDirectory());
});
afterEach(() => remove());

async function run(...words: string[]) {
  const io = testTerminal({ cwd });
  const exit = await runProgram(["contracts", "new", ...words], io, { server: "", examples, version: "0" });
  return { exit, out: io.out(), err: io.err() };
}
const read = (file: string) => readFile(join(cwd, file), "utf8");

test("a worked contract is copied under a new name, with its table", async () => {
  const { exit, out } = await run("web-triage", "--like", "issue-triage");
  expect([exit, out]).toEqual([0, "wrote web-triage.yaml\nwrote web-triage.policy.yaml\n"]);
  const [contract, table] = [await read("web-triage.yaml"), await read("web-triage.policy.yaml")];
  expect(contract).toMatch(/^name: web-triage$/m);
  expect(contract).not.toContain("Copy it");
  expect(table.match(/^ +contract: web-triage$/gm)?.length).toBe(table.match(/^ +- name:/gm)?.length);
  expect(contract + table).not.toContain("issue-triage");
  const source = await readFile(join(examples, "contracts/issue-triage.yaml"), "utf8");
  expect(contract.split("\n").length).toBe(source.split("\n").length - 1);
});

test("without a name it is called after the other one, and programs are told which files there are", async () => {
  const { exit, out } = await run("--like", "docs-reader", "--json");
  expect(exit).toBe(0);
  expect(JSON.parse(out)).toEqual({
    name: "my-docs-reader",
    like: "docs-reader",
    files: ["my-docs-reader.yaml", "my-docs-reader.policy.yaml"],
  });
  expect(await read("my-docs-reader.yaml")).toContain("gantry policy test my-docs-reader.policy.yaml");
});

test("which worked contracts there are is said, and nothing is written", async () => {
  const unsaid = await run("mine");
  expect([unsaid.exit, unsaid.err]).toEqual([2, expect.stringContaining("there are: billing-action, docs-reader,")]);
  const unknown = await run("--like", "../demo");
  expect([unknown.exit, unknown.err]).toEqual([2, expect.stringContaining("There is no worked contract ../demo")]);
  const unnamed = await run("Web", "--like", "docs-reader");
  expect([unnamed.exit, unnamed.err]).toEqual([2, expect.stringContaining("Web is no name")]);
  expect((await run("../web", "--like", "docs-reader")).exit).toBe(2);
  expect(await readdir(cwd)).toEqual([]);
});

test("alone, it lists the worked contracts and what each is for", async () => {
  const { exit, out, err } = await run();
  expect(exit).toBe(0);
  expect(out).toMatch(/^docs-reader +Reads public documentation and nothing else$/m);
  expect(out).toMatch(/^production-change +Changes production$/m);
  expect(err).toContain("gantry contracts new --like billing-action");
  const { items } = JSON.parse((await run("--json")).out) as { items: { name: string; summary: string }[] };
  const files = await readdir(join(examples, "contracts"));
  expect(items.flatMap(({ name }) => [`${name}.policy.yaml`, `${name}.yaml`])).toEqual(files.sort());
  for (const { summary } of items) expect(summary).toMatch(/^[A-Z].{10,110}$/);
  expect(await readdir(cwd)).toEqual([]);
});

test("a file that exists is not touched, and no other is left beside it", async () => {
  await writeFile(join(cwd, "a.policy.yaml"), "mine");
  const { exit, err } = await run("a", "--like", "docs-reader");
  expect([exit, err]).toEqual([2, expect.stringContaining("a.policy.yaml cannot be written")]);
  expect(await readdir(cwd)).toEqual(["a.policy.yaml"]);
  expect(await read("a.policy.yaml")).toBe("mine");
});
