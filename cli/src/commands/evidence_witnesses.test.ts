import type { Witness } from "@gantry/sdk";
import { afterEach, expect, test } from "vitest";
import { runProgram } from "../program.ts";
import { stubServer, testTerminal } from "../testing.ts";

const closers: (() => Promise<void>)[] = [];
afterEach(async () => {
  for (const close of closers.splice(0)) await close();
});

async function run(items: Witness[], ...words: string[]) {
  const server = await stubServer(() => [200, { items }]);
  closers.push(server.close);
  const io = testTerminal({ env: { GANTRY_URL: server.url, GANTRY_TOKEN: "gtr_x" } });
  const exit = await runProgram(["evidence", "witnesses", ...words], io, { server: "", examples: "", version: "0" });
  return { exit, out: io.out(), err: io.err(), urls: server.seen.map(({ method, url }) => `${method} ${url}`) };
}

const items: Witness[] = [
  { sink: "file:/mnt/w.txt", size: 1_204, lag_ms: 0, ok_at: 1_700_000_000_000, error: null },
  { sink: "webhook:https://w.example#0a1b2c3d", size: 0, lag_ms: 4_000, ok_at: null, error: "no\u001b answer" },
];

test("evidence witnesses is a table of who holds what", async () => {
  const { exit, out, urls } = await run(items);
  expect(exit).toBe(0);
  expect(urls).toEqual(["GET /v1/evidence/witnesses"]);
  const lines = out.split("\n").map((line) => line.split(/ {2,}/));
  expect(lines[0]).toEqual(["WITNESS", "SIZE", "LAG", "UP TO DATE", "ERROR"]);
  expect(lines[1]).toEqual(["file:/mnt/w.txt", "1204", "none", "11-14 22:13Z"]);
  expect(lines[2]?.slice(0, 4)).toEqual(["webhook:https://w.example#0a1b2c3d", "0", "4.0 s", "never"]);
  expect(out).not.toContain("\u001b");
});

test("evidence witnesses --json is what the server said, as one line", async () => {
  const { exit, out } = await run(items, "--json");
  expect(exit).toBe(0);
  expect(JSON.parse(out)).toEqual({ items, more: false });
});

test("without a witness it says what that means", async () => {
  const { exit, out, err } = await run([]);
  expect(exit).toBe(0);
  expect(out).toBe("");
  expect(err).toContain("proves nothing against whoever operates it");
});
