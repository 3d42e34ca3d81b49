import { existsSync, readFileSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { ApprovalHistory, readEntries } from "../fixtures/approval_history.ts";
import { eventually } from "../fixtures/eventually.ts";
import { type GatesGround, openGates } from "../fixtures/gates_ground.ts";
import { temporaryDirectory } from "../fixtures/sqlite_store.ts";
import { EFFECTS_FILE, POINTS } from "./approvals_child.ts";
import { type Child, start } from "./child.ts";
import { Dice, seedOfRun } from "./dice.ts";

const CHILD = [process.execPath, "--import", "tsx", fileURLToPath(new URL("./approvals_child.ts", import.meta.url))];
/** Lives that end at a moment of their own, besides one for each point. */
const KILLS = Number(process.env["CRASH_KILLS"] ?? 5);
const POINT_MS = 60_000;
const WAR_MS = 60_000 + (KILLS + POINTS.length) * 15_000;
/** What may still become of an acknowledged status. */
const AFTER: Record<string, string[]> = {
  pending: ["approved", "declined", "expired", "superseded", "executed", "broken_glass"],
  approved: ["executed", "expired", "declined", "superseded"],
  declined: [],
  superseded: [],
  expired: [],
  broken_glass: [],
};

const seed = seedOfRun();
const repeat = `SEED=${seed} npx vitest run --project crash tests/crash/approvals.test.ts`;

let directory: Awaited<ReturnType<typeof temporaryDirectory>>;
let house: GatesGround;
let history: ApprovalHistory;
/** Over all lives. */
const acknowledged = new Map<string, string>();
const started: string[] = [];
const reviewed: string[] = [];
const reached: string[] = [];
let lines = 0;

const hasEnded = ({ process }: Child) => process.signalCode !== null || process.exitCode !== null;

function remember(child: Child): void {
  lines += child.lines.length;
  for (const line of child.lines) {
    if (line.acknowledged !== undefined) acknowledged.set(line.acknowledged, String(line["status"]));
    if (line["started"] !== undefined) started.push(String(line["started"]));
    if (line["reviewed"] !== undefined) reviewed.push(String(line["reviewed"]));
  }
}

/** One life until its point, or until a moment that the dice choose. */
async function live(point: string, passes: number, dice?: Dice): Promise<void> {
  const child = start([...CHILD, directory.path, point, String(passes)]);
  if (dice !== undefined) {
    const said = dice.whole(2, 40);
    await eventually(() => child.lines.length >= said || hasEnded(child), "lines", POINT_MS);
    child.process.kill("SIGKILL");
  }
  await eventually(() => hasEnded(child), point, POINT_MS);
  await child.ended;
  if (child.process.signalCode === "SIGKILL" && dice === undefined) reached.push(point);
  if (point === "take up") expect(child.process.exitCode, repeat).toBe(0);
  remember(child);
}

beforeAll(async () => {
  console.log(repeat);
  directory = await temporaryDirectory();
  const dice = new Dice(seed);
  for (const point of POINTS) await live(point, dice.whole(0, 1));
  for (let n = 0; n < KILLS; n++) await live("never", dice.whole(0, 5), new Dice(seed, n));
  await live("take up", 0);
  house = await openGates({ directory: directory.path });
  history = new ApprovalHistory(await readEntries(house.storage));
}, WAR_MS);
afterAll(async () => {
  await house?.stop();
  await directory.remove();
});

describe(`approvals whose process is killed ${KILLS + POINTS.length} times`, () => {
  it("came to every point", () => {
    expect(reached).toEqual(POINTS);
    expect(acknowledged.size).toBeGreaterThan(POINTS.length);
    expect(started.length).toBeGreaterThan(5);
    expect(lines).toBeGreaterThan(100);
  });

  it("were never started unapproved, twice or too late, and the tables say what the ledger says", async () => {
    expect(history.faults, repeat).toEqual([]);
    expect(await history.compare(house.storage), repeat).toEqual([]);
    expect(await history.compareWorks(house.storage), repeat).toEqual([]);
  });

  it("are as they were acknowledged, or further", () => {
    const lost = [...acknowledged].filter(([id, status]) => {
      const now = history.approvals.get(id)?.status ?? "nothing";
      return now !== status && !AFTER[status]?.includes(now);
    });
    expect(lost, repeat).toEqual([]);
    for (const id of started) expect(history.approvals.get(id)?.executed, `${id}: ${repeat}`).toBe(true);
    for (const id of reviewed) expect(history.glasses.get(id)?.debt, `${id}: ${repeat}`).toBe("closed");
  });

  it("had an effect once, or, killed between start and effect, never", () => {
    const file = `${directory.path}/${EFFECTS_FILE}`;
    const effects = existsSync(file) ? readFileSync(file, "utf8").trimEnd().split("\n") : [];
    expect(effects.length).toBeGreaterThan(5);
    expect(new Set(effects).size, repeat).toBe(effects.length);
    expect(effects.filter((id) => !history.approvals.get(id)?.executed)).toEqual([]);
    // A started one whose effect is missing is one that a kill came between.
    const without = [...history.approvals].filter(([id, { executed }]) => executed && !effects.includes(id));
    expect(without.length, repeat).toBeLessThanOrEqual(KILLS + POINTS.length);
  });

  it("are not forgotten: what was left waiting or approved was decided and started by a later life", () => {
    const left = [...history.approvals].filter(
      ([, { status, executed }]) =>
        status === "pending" || status === "approved" || (status === "broken_glass" && !executed),
    );
    expect(
      left.map(([id, { status }]) => `${id} ${status}`),
      repeat,
    ).toEqual([]);
  });
});
