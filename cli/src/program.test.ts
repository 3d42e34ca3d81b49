import { expect, test } from "vitest";
import type { Group } from "./arguments.ts";
import { SECTIONS } from "./help.ts";
import { commandTree, runProgram } from "./program.ts";
import { testTerminal } from "./testing.ts";

const installation = { server: "/nowhere/server.js", examples: "/nowhere/examples", version: "1.2.3" };
/** Every command and group below a group, by its words. */
function pagesOf(above: string[], group: Group): { path: string[]; is_group: boolean }[] {
  return Object.entries(group.commands).flatMap(([word, node]) => {
    const path = [...above, word];
    if (node.kind === "command") return [{ path, is_group: false }];
    return [{ path, is_group: true }, ...pagesOf(path, node)];
  });
}
async function run(...words: string[]) {
  const io = testTerminal();
  return { exit: await runProgram(words, io, installation), out: io.out(), err: io.err() };
}

test("the first page names every command and fits 80 columns", async () => {
  for (const words of [[], ["help"], ["--help"], ["-h"]]) {
    const { exit, out } = await run(...words);
    expect(exit).toBe(0);
    expect(Math.max(...out.split("\n").map((line) => line.length))).toBeLessThanOrEqual(80);
    for (const name of Object.keys(commandTree(testTerminal(), installation).commands)) {
      expect(out).toContain(`gantry ${name}`);
    }
  }
});

test("every command is in one section of the first page", () => {
  const shown = SECTIONS.flatMap(([, names]) => names);
  expect([...shown].sort()).toEqual(Object.keys(commandTree(testTerminal(), installation).commands).sort());
});

test("every command has a page with a summary, its flags and examples, within 80 columns", async () => {
  for (const { path, is_group } of pagesOf([], commandTree(testTerminal(), installation))) {
    const { exit, out } = await run("help", ...path);
    expect(exit).toBe(0);
    expect(out).toContain(`gantry ${path.join(" ")}`);
    if (!is_group) expect(out).toContain("Examples");
    expect(Math.max(...out.split("\n").map((line) => line.length)), path.join(" ")).toBeLessThanOrEqual(80);
    expect((await run(...path, "--help")).out).toBe(out);
  }
});

test("help run tells the exit codes", async () => {
  expect((await run("help", "run")).out).toContain("Exit codes: 0 completed, 1 threw");
});

test("the version is the package's", async () => {
  expect(await run("--version")).toEqual({ exit: 0, out: "1.2.3\n", err: "" });
});

test("unknown commands and flags exit 2 with the nearest known one", async () => {
  expect(await run("rn", "x.ts")).toMatchObject({ exit: 2, out: "" });
  expect((await run("evidnce", "list")).err).toContain('Did you mean "gantry evidence"?');
  expect((await run("runs", "shwo", "run_1")).err).toContain('Did you mean "gantry runs show"?');
  expect((await run("help", "rnu")).exit).toBe(2);
  expect((await run("toString")).exit).toBe(2);
  expect(await run("runs", "list", "--limt", "3")).toMatchObject({
    exit: 2,
    err: "error There is no flag --limt. Did you mean --limit?\n",
  });
});

test("a noun alone shows what it can do, and exits 2", async () => {
  const { exit, err } = await run("runs");
  expect(exit).toBe(2);
  for (const verb of ["list", "show", "logs", "cancel"]) expect(err).toContain(`gantry runs ${verb}`);
});

test("with --json a failure is one JSON document on standard output, too", async () => {
  const { exit, out, err } = await run("runs", "list", "--json");
  expect(exit).toBe(2);
  expect(JSON.parse(out)).toEqual({ code: "CLI_FAILURE", detail: expect.stringContaining("No Gantry server runs") });
  expect(err).toContain("npx gantry up");
});

test("a server that was never built is a sentence", async () => {
  for (const words of [["up"], ["doctor"], ["demo"]]) {
    const { exit, err } = await run(...words);
    expect(exit).toBe(2);
    expect(err).toContain("npm run build");
  }
});
