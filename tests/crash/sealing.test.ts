import { readFileSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { openNote, parseVkey } from "../../server/src/evidence/log/note.ts";
import { eventually } from "../fixtures/eventually.ts";
import { temporaryDirectory } from "../fixtures/sqlite_store.ts";
import { type Child, start } from "./child.ts";
import { Dice, seedOfRun } from "./dice.ts";
import { logFaults, readLog, saidBy } from "./log_audit.ts";
import { POINTS } from "./sealing_child.ts";

const CHILD = [process.execPath, "--import", "tsx", fileURLToPath(new URL("./sealing_child.ts", import.meta.url))];
/** Lives that end at a moment of their own, besides one for each point. */
const KILLS = Number(process.env["CRASH_KILLS"] ?? 10);
const WAR_MS = 60_000 + (KILLS + POINTS.length) * 15_000;
const POINT_MS = 60_000;

const seed = seedOfRun();
const repeat = `SEED=${seed} npx vitest run --project crash tests/crash/sealing.test.ts`;

let directory: Awaited<ReturnType<typeof temporaryDirectory>>;
/** Over all lives, in the order in which it was said. */
const acknowledged: string[] = [];
const released: string[] = [];
const rotated: string[] = [];
const reached: string[] = [];

function remember(child: Child): void {
  for (const line of child.lines) {
    if (line.acknowledged !== undefined) acknowledged.push(line.acknowledged);
    if (typeof line["released"] === "string") released.push(line["released"]);
    if (typeof line["rotated"] === "string") rotated.push(line["rotated"]);
    expect(line.refused, repeat).toBeUndefined();
  }
}

const hasEnded = ({ process }: Child) => process.signalCode !== null || process.exitCode !== null;

/** One life until its point, or until a moment that the dice choose. */
async function live(point: string, passes: number, dice?: Dice): Promise<void> {
  const child = start([...CHILD, directory.path, point, String(passes)]);
  if (dice !== undefined) {
    await eventually(() => child.lines.length > 0, "the child to open", POINT_MS);
    const lines = dice.whole(1, 400);
    await eventually(() => child.lines.length >= lines || hasEnded(child), "lines", POINT_MS);
    child.process.kill("SIGKILL");
  }
  await eventually(() => hasEnded(child), point, POINT_MS);
  await child.ended;
  if (child.process.signalCode === "SIGKILL" && dice === undefined) reached.push(point);
  remember(child);
}

beforeAll(async () => {
  console.log(repeat);
  directory = await temporaryDirectory();
  const dice = new Dice(seed);
  for (const point of POINTS) {
    // A rotation is rare, and the file beside the database is written once a second.
    await live(point, /key|beside/.test(point) ? dice.whole(0, 1) : dice.whole(0, 6));
  }
  for (let n = 0; n < KILLS; n++) await live("never", 0, new Dice(seed, n));
}, WAR_MS);
afterAll(() => directory.remove());

describe(`a sealer that is killed ${KILLS + POINTS.length} times`, () => {
  it("came to every point", () => {
    expect(reached).toEqual([...POINTS]);
    expect(acknowledged.length).toBeGreaterThan(100);
    expect(released.length).toBeGreaterThan(POINTS.length);
    expect(rotated.length).toBeGreaterThan(0);
  });

  it("has lost no acknowledged entry, gave no index twice, and contradicts no checkpoint that it has shown", () => {
    const log = readLog(`${directory.path}/gantry.db`);
    expect(logFaults(log, released), repeat).toEqual([]);
    const there = new Set(log.entries.map(({ id }) => id));
    expect(
      acknowledged.filter((id) => !there.has(id)),
      repeat,
    ).toEqual([]);
    const sizes = released.map((note) => saidBy(note).size);
    expect(sizes, repeat).toEqual([...sizes].sort((a, b) => a - b));
    expect(new Set(sizes).size, repeat).toBe(sizes.length);
  });

  it("has signed all of it with keys that are known", () => {
    const vkeys = readFileSync(`${directory.path}/log.pub`, "utf8").trimEnd().split("\n");
    const keys = vkeys.map((vkey) => parseVkey(vkey)!);
    const faults = released.map((note) => openNote(note, keys)).filter((opened) => "fault" in opened);
    expect(faults, repeat).toEqual([]);
    expect(vkeys).toEqual(expect.arrayContaining(rotated));
  });

  it("seals what was left when it starts again, and goes on", async () => {
    const before = readLog(`${directory.path}/gantry.db`).entries.length;
    const child = start([...CHILD, directory.path]);
    await eventually(
      () => child.lines.some((line) => typeof line["released"] === "string" && saidBy(line["released"]).size >= before),
      "all that was left to be sealed",
      POINT_MS,
    );
    child.process.kill("SIGKILL");
    await child.ended;
    remember(child);
    expect(logFaults(readLog(`${directory.path}/gantry.db`), released), repeat).toEqual([]);
  });

  it("would not have passed with a leaf, an index, an entry or a checkpoint that is not right", () => {
    const log = readLog(`${directory.path}/gantry.db`);
    const [first, ...others] = log.leaves;
    expect(logFaults({ ...log, leaves: others })).not.toEqual([]);
    expect(logFaults({ ...log, leaves: [first!, first!, ...others] })).not.toEqual([]);
    expect(logFaults({ ...log, entries: log.entries.slice(1) })).not.toEqual([]);
    expect(
      logFaults({ ...log, pending: [...log.pending, { arrival: first!.arrival, leaf: new Uint8Array(32) }] }),
    ).not.toEqual([]);
    const [entry, ...rest] = log.entries;
    const edited = { ...entry!, body: Buffer.concat([entry!.body, Buffer.from(" ")]) };
    expect(logFaults({ ...log, entries: [edited, ...rest] })).not.toEqual([]);
    const note = released.at(-1)!.replace(/\n\d+\n/, "\n1\n");
    expect(logFaults(log, [note])).not.toEqual([]);
    expect(logFaults(log, [released.at(-1)!.replace(/\n\d+\n/, "\n99999999\n")])).not.toEqual([]);
  });
});
