import { afterEach, expect, test } from "vitest";
import { runProgram } from "../program.ts";
import { runView, stubServer, testTerminal } from "../testing.ts";

const closers: (() => Promise<void>)[] = [];
afterEach(async () => {
  for (const close of closers.splice(0)) await close();
});

const root = runView({ id: "run_1" });
const child = (id: string, parent: string, depth: number) => runView({ id, parent, root: "run_1", depth });
/** Newest first, as the server lists them. */
const below = [
  child("run_5", "run_2", 2),
  child("run_4", "run_3", 2),
  child("run_3", "run_1", 1),
  child("run_2", "run_1", 1),
];

async function tree(...words: string[]) {
  const server = await stubServer(({ url }) => {
    if (url.startsWith("/v1/runs?")) return [200, { items: below }];
    const id = url.split("/").at(-1);
    return [200, [root, ...below].find((run) => run.id === id)];
  });
  closers.push(server.close);
  const io = testTerminal({ env: { GANTRY_URL: server.url, GANTRY_TOKEN: "gtr_x" } });
  const exit = await runProgram(["runs", "tree", ...words], io, { server: "", examples: "", version: "0" });
  return { exit, out: io.out(), err: io.err(), urls: server.seen.map(({ url }) => url) };
}

test("runs tree shows each run below the one that started it, whichever of them is named", async () => {
  const { exit, out, err, urls } = await tree("run_4");
  expect(exit).toBe(0);
  expect(out.split("\n").map((line) => line.slice(0, 11).trimEnd())).toEqual([
    "RUN",
    "run_1",
    "  run_2",
    "    run_5",
    "  run_3",
    "    run_4 *",
    "",
  ]);
  expect(err).toMatch(/^5 runs, [\d.]+ ms of CPU\.\n$/);
  expect(urls).toEqual(["/v1/runs/run_4", "/v1/runs/run_1", "/v1/runs?root=run_1&limit=200"]);
});

test("runs tree as JSON is an array with the first of the tree in front", async () => {
  const { out } = await tree("run_1", "--json");
  const ids = (JSON.parse(out) as { id: string }[]).map(({ id }) => id);
  expect(ids).toEqual(["run_1", "run_2", "run_3", "run_4", "run_5"]);
});
