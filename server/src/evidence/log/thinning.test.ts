import { afterEach, beforeEach, expect, it } from "vitest";
import { type Ground, openGround } from "../../../../tests/fixtures/ground.ts";
import { VirtualClock } from "../../../../tests/fixtures/virtual_clock.ts";
import { CHECKPOINTS_WHOLE_MS } from "../contract.ts";
import { Thinning } from "./thinning.ts";

const HOUR_MS = 3_600_000;
const STEP_MS = 60_000;

let ground: Ground;
let clock: VirtualClock;
beforeEach(async () => {
  clock = new VirtualClock(Date.UTC(2026, 0, 3));
  ground = await openGround({ clock });
});
afterEach(() => ground.remove());

async function put(checkpoints: [size: number, at: number][]): Promise<void> {
  for (let i = 0; i < checkpoints.length; i += 500) {
    await ground.storage.write((tx) => {
      for (const [size, at] of checkpoints.slice(i, i + 500)) {
        tx.run("INSERT INTO evidence_checkpoints (size, root, note, at) VALUES (?, ?, ?, ?)", [
          size,
          new Uint8Array(32),
          "",
          at,
        ]);
      }
    });
  }
}

async function sizes(): Promise<number[]> {
  return (await ground.storage.all("SELECT size FROM evidence_checkpoints ORDER BY size", [])).map((row) =>
    Number(row["size"]),
  );
}

it("of checkpoints older than CHECKPOINTS_WHOLE_MS the last of each hour is kept, and all younger ones", async () => {
  const old = clock.now() - CHECKPOINTS_WHOLE_MS;
  const hour = old - (old % HOUR_MS);
  await put([
    [1, hour - 2 * HOUR_MS],
    [2, hour - 2 * HOUR_MS + 1],
    [3, hour - HOUR_MS - 1],
    [4, hour - HOUR_MS],
    [5, hour - 1],
    // Exactly as old as may be, and of one hour.
    [6, old],
    [7, old + 1],
  ]);
  const thinning = new Thinning(ground.storage, clock);
  await thinning.step();
  expect(await sizes()).toEqual([3, 5, 6, 7]);
  clock.advance(STEP_MS);
  await thinning.step();
  // What has become old meanwhile: the hour's last is the last that is old.
  expect(await sizes()).toEqual([3, 5, 7]);
});

it("those with which a key ended are kept", async () => {
  await ground.storage.write((tx) =>
    tx.run("INSERT INTO evidence_keys (vkey, from_size, to_size) VALUES ('k', 0, 2)", []),
  );
  const at = clock.now() - 2 * CHECKPOINTS_WHOLE_MS;
  await put([1, 2, 3, 4].map((size) => [size, at + size]));
  await new Thinning(ground.storage, clock).step();
  expect(await sizes()).toEqual([2, 4]);
});

it("goes on from step to step, and again from the start after a restart", async () => {
  const from = clock.now() - 2 * CHECKPOINTS_WHOLE_MS;
  await put(Array.from({ length: 2_500 }, (_, i) => [i + 1, from + Math.floor(i / 500) * HOUR_MS + (i % 500)]));
  const thinning = new Thinning(ground.storage, clock);
  for (let i = 0; i < 4; i++) {
    await thinning.step();
    await thinning.step(); // not before its time
    clock.advance(STEP_MS);
  }
  const kept = [500, 1_000, 1_500, 2_000, 2_500];
  expect(await sizes()).toEqual(kept);
  await new Thinning(ground.storage, clock).step();
  expect(await sizes()).toEqual(kept);
});
