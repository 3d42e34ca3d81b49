import { copyFile, mkdir, open, rm, stat, truncate } from "node:fs/promises";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { temporaryDirectory } from "../fixtures/sqlite_store.ts";
import { Dice, seedOfRun } from "./dice.ts";
import { openChildStore, survey } from "./storage_child.ts";

/** SQLite's write-ahead log as a loss of power may leave it: cut off, or with other bytes from some place on. */

const UNITS = 16;
const UNIT_ROWS = 5;
const INSERT = "INSERT INTO parts (unit, part, body) VALUES (?, ?, ?)";
/** https://www.sqlite.org/fileformat2.html#the_write_ahead_log */
const WAL_HEADER_BYTES = 32;
const FRAME_BYTES = 24 + 4_096;

const seed = seedOfRun();
const repeat = `SEED=${seed} npx vitest run --project crash tests/crash/torn_wal.test.ts`;
let base: { path: string; remove(): Promise<void> };
let wal_bytes: number;
/** Sizes of the log after each unit: up to there it is durable. */
const durable_at: number[] = [];

beforeAll(async () => {
  base = await temporaryDirectory();
  const storage = await openChildStore(`${base.path}/whole`);
  const wal = `${base.path}/whole/gantry.db-wal`;
  for (let unit = 0; unit < UNITS; unit++) {
    await storage.write((tx) => {
      for (let part = 0; part < UNIT_ROWS; part++) tx.run(INSERT, [nameOf(unit), part, new Uint8Array(300)], 1);
    });
    durable_at.push((await stat(wal)).size);
  }
  wal_bytes = (await stat(wal)).size;
  await mkdir(`${base.path}/kept`);
  await copyFile(`${base.path}/whole/gantry.db`, `${base.path}/kept/gantry.db`);
  await copyFile(wal, `${base.path}/kept/gantry.db-wal`);
  await storage.close();
});
afterAll(() => base.remove());

const nameOf = (unit: number) => String(unit).padStart(4, "0");

/** Opens a copy whose log `spoil` has been at. @returns the units that are there */
async function unitsAfter(spoil: (wal: string) => Promise<void>): Promise<string[]> {
  const directory = `${base.path}/torn`;
  await mkdir(directory, { mode: 0o700 });
  for (const name of ["gantry.db", "gantry.db-wal"])
    await copyFile(`${base.path}/kept/${name}`, `${directory}/${name}`);
  await spoil(`${directory}/gantry.db-wal`);
  const storage = await openChildStore(directory);
  try {
    expect(await survey(storage, []), repeat).toEqual({ lost: [], torn: [] });
    const rows = await storage.all("SELECT DISTINCT unit FROM parts ORDER BY unit", []);
    const written = storage.write((tx) => tx.run(INSERT, ["later", 0, new Uint8Array(1)], 1));
    await expect(written, "it takes writes").resolves.toBeUndefined();
    return rows.map((row) => String(row["unit"]));
  } finally {
    await storage.close();
    await rm(directory, { recursive: true });
  }
}

/** The units whose commits lie before the place. */
const expectedBefore = (bytes: number) => durable_at.flatMap((size, unit) => (size <= bytes ? [nameOf(unit)] : []));

describe("a write-ahead log that is torn", () => {
  it("at the end of any frame holds exactly the units that were committed before", async () => {
    const frames = Math.floor((wal_bytes - WAL_HEADER_BYTES) / FRAME_BYTES);
    expect(frames).toBeGreaterThan(UNITS);
    for (let frame = 0; frame <= frames; frame++) {
      const bytes = WAL_HEADER_BYTES + frame * FRAME_BYTES;
      expect(await unitsAfter((wal) => truncate(wal, bytes)), `${frame} frames`).toEqual(expectedBefore(bytes));
    }
  });

  it("at any byte holds a whole unit or none of it, and no later one without the earlier", async () => {
    const dice = new Dice(seed);
    for (let round = 0; round < 12; round++) {
      const bytes = dice.whole(0, wal_bytes);
      const spoil = (wal: string) => truncate(wal, bytes);
      expect(await unitsAfter(spoil), `${repeat}: ${bytes} bytes`).toEqual(expectedBefore(bytes));
    }
  });

  it("by other bytes from some place on holds what was committed before that place", async () => {
    const dice = new Dice(seed, 1);
    for (let round = 0; round < 8; round++) {
      const from = dice.whole(WAL_HEADER_BYTES, wal_bytes - 1);
      expect(await unitsAfter((wal) => garble(wal, from)), `${repeat}: from ${from}`).toEqual(expectedBefore(from));
    }
  });
});

/** Writes other bytes from `from` to the end. */
async function garble(path: string, from: number): Promise<void> {
  const file = await open(path, "r+");
  await file.write(Buffer.alloc(wal_bytes - from, 0xa5), 0, wal_bytes - from, from);
  await file.close();
}
