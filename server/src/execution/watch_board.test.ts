import { fileURLToPath } from "node:url";
import { Worker } from "node:worker_threads";
import { buildSync } from "esbuild";
import { expect, it } from "vitest";
import { type Budget, WATCHED_MAX, WatchBoard } from "./watch_board.ts";

const budget = (n: number): Budget => ({
  watch: n,
  cpu_ms: n,
  wall_ms: n,
  memory_bytes: n,
  rss_base_bytes: n,
  threads_max: n,
  long_run_nice: n,
  cpu_ticks_base: n,
  allowed_ms: n,
});

it("shows the other side what was begun, allowed and ended", () => {
  const board = new WatchBoard();
  const other = new WatchBoard(board.shared);
  expect(other.slots).toBe(0);
  board.begin(3, { ...budget(7), allowed_ms: 0 });
  board.allow(3, 20);
  board.allow(3, 5);
  expect(other.read(3)).toEqual({ ...budget(7), allowed_ms: 25 });
  expect(other.slots).toBe(4);
  expect(other.isStill(3, 7)).toBe(true);
  expect(other.read(2)).toBeUndefined();
  board.end(3);
  expect(other.read(3)).toBeUndefined();
  expect(other.isStill(3, 7)).toBe(false);
});

it("shows each number of a budget as itself", () => {
  const board = new WatchBoard();
  const names = Object.keys(budget(0)) as (keyof Budget)[];
  const distinct = Object.fromEntries(names.map((name, i) => [name, i + 1])) as unknown as Budget;
  board.begin(1, distinct);
  board.begin(0, budget(50));
  board.begin(2, budget(60));
  expect(board.read(1)).toEqual(distinct);
  board.allow(1, 0.5);
  expect(board.read(1)).toEqual({ ...distinct, allowed_ms: distinct.allowed_ms + 0.5 });
});

it("tells whoever ends a run that its priority was lowered, once", () => {
  const board = new WatchBoard();
  board.begin(0, budget(1));
  new WatchBoard(board.shared).lowered(0);
  expect(board.end(0)).toBe(true);
  board.begin(0, budget(2));
  expect(board.end(0)).toBe(false);
});

it("has WATCHED_MAX slots and not one more", () => {
  const board = new WatchBoard();
  board.begin(WATCHED_MAX - 1, budget(1));
  expect(board.read(WATCHED_MAX - 1)).toEqual(budget(1));
  expect(() => board.begin(WATCHED_MAX, budget(1))).toThrow("Invariant");
});

it("never shows half of one run and half of another, to a thread that reads while it changes", async () => {
  const board = new WatchBoard();
  const done = new Int32Array(new SharedArrayBuffer(4));
  // A thread of Node 20 loads no TypeScript.
  const entryPoints = [fileURLToPath(new URL("../../../tests/fixtures/board_reader.ts", import.meta.url))];
  const { outputFiles } = buildSync({ entryPoints, bundle: true, write: false, platform: "node", format: "cjs" });
  const reader = new Worker(outputFiles[0]!.text, { eval: true, workerData: { shared: board.shared, done } });
  const answer = new Promise<{ read: number; torn: number }>((resolve, reject) => {
    reader.once("error", reject);
    reader.on("message", (said) => {
      if (said === "reading") write();
      else resolve(said);
    });
  });
  const write = (): void => {
    for (let n = 1; n <= 300_000; n++) board.begin(0, budget(n));
    Atomics.store(done, 0, 1);
  };
  const { read, torn } = await answer;
  expect(torn).toBe(0);
  expect(read).toBeGreaterThan(0);
  await reader.terminate();
});
