import { beforeAll, describe, expect, it } from "vitest";
import { QUEUE_AGE_MS } from "../../server/src/intent/contract.ts";
import { digestOf, sha256, storyFaults } from "./audit.ts";
import { seedOfRun } from "./dice.ts";
import { naturalEnd, resultOf } from "./load.ts";
import { logFaults } from "./log_audit.ts";
import { type War, wageWar } from "./war.ts";

/** `CRASH_KILLS=200` for more. Each costs about a second on an idle machine. */
const KILLS = Number(process.env["CRASH_KILLS"] ?? 40);
const WAR_MS = Math.max(180_000, KILLS * 15_000);

const seed = seedOfRun();
const repeat = `SEED=${seed} npx vitest run --project crash tests/crash/server_kill.test.ts`;

let war: War;
beforeAll(async () => {
  console.log(repeat);
  const from = performance.now();
  war = await wageWar(seed, KILLS);
  const { diary, stored, kills, kills_in_start } = war;
  const refused = [...diary.refused].map(([code, count]) => `${count} ${code}`).join(", ") || "none";
  console.log(
    `${kills} kills (${kills_in_start} in a start) in ${Math.round((performance.now() - from) / 1_000)} s: ` +
      `${stored.runs.size} runs, ${diary.told.length} answers, ${diary.repeated} asked again, refused: ${refused}`,
  );
}, WAR_MS);

/** Has a run of the interactive lane waited as long as it may? On a busy host a start alone takes that long. */
function hadToWait(id: string): boolean {
  const { lane, queued_at, ended_at } = war.stored.runs.get(id)!.columns;
  return lane === "interactive" && Number(ended_at) - Number(queued_at ?? ended_at) >= QUEUE_AGE_MS.interactive;
}

const runs = () => [...war.stored.runs.values()];

describe(`a server that is killed ${KILLS} times under load`, () => {
  it("takes every process of its runners down with it", () => {
    expect(war.survivors, repeat).toEqual([]);
  });

  it("says after its next start what it had said before, and gives no answer that it may not give", () => {
    expect(war.contradictions, repeat).toEqual([]);
    expect(war.diary.strange, repeat).toEqual([]);
  });

  it("brings every accepted run to its own end, or tells that it was lost", () => {
    for (const { ask, view } of war.diary.told) {
      const end = war.ends.get(view.id);
      const ends = [naturalEnd(ask), "node_lost", ...(hadToWait(view.id) ? ["expired"] : [])];
      expect(ends, `${repeat}: ${JSON.stringify(end)}`).toContain(end?.termination);
      if (end?.termination === "completed") expect(end.result, repeat).toEqual(resultOf(ask));
      if (end?.termination === "node_lost") expect(end.error?.code, repeat).toBe("RUN_LOST");
    }
  });

  it("repeats a lost run only where that was asked for, three times in all", () => {
    for (const { ask, view } of war.diary.told) {
      const { attempt, termination } = war.ends.get(view.id)!;
      if (ask.request.retry === "if_lost") {
        expect(attempt, repeat).toBeLessThanOrEqual(3);
        if (termination === "node_lost") expect(attempt, repeat).toBe(3);
      } else expect(attempt, repeat).toBe(1);
    }
  });

  it("never makes two runs of one idempotency key", () => {
    const told = new Map<string, string>();
    for (const { ask, view } of war.diary.told) {
      if (ask.key === undefined) continue;
      expect(told.get(ask.key) ?? view.id, `${repeat}: ${ask.key}`).toBe(view.id);
      told.set(ask.key, view.id);
    }
    const hashes = runs().flatMap(({ key_hash }) => key_hash ?? []);
    expect(new Set(hashes).size, repeat).toBe(hashes.length);
    const bound = war.stored.keys.map(({ key, run }) => `${sha256(key)} ${run}`);
    const kept = runs().flatMap(({ key_hash, id }) => (key_hash === null ? [] : `${key_hash} ${id}`));
    expect(bound.sort(), repeat).toEqual(kept.sort());
  });

  it("leaves a file that is whole, in which every run has ended and nothing waits", () => {
    expect(war.stored.integrity, repeat).toBe("ok");
    expect(
      runs().filter(({ state }) => state !== "ended"),
      repeat,
    ).toEqual([]);
    expect(war.stored.queue_timers, repeat).toEqual([]);
  });

  it("has a ledger that tells each run's story once and in order, and of no run that is not there", () => {
    expect(
      runs().flatMap((run) => storyFaults(run, war.stored.entries_of(run.id))),
      repeat,
    ).toEqual([]);
    const named = war.stored.entries.flatMap(({ kind, body }) =>
      kind.startsWith("run.") ? (body.data.run ?? kind) : [],
    );
    expect(
      [...new Set(named)].filter((run) => !war.stored.runs.has(run)),
      repeat,
    ).toEqual([]);
  });

  it("keeps rows that are what their newest entries' digests say", () => {
    for (const run of runs()) {
      const newest = war.stored.entries_of(run.id).at(-1);
      expect(newest?.body.state[`runs/${run.id}`], `${repeat}: ${run.id}`).toBe(digestOf(run, war.stored.state_key));
      if (run.result !== null) expect(sha256(run.result), repeat).toBe(run.result_hash);
      if (run.input !== null) expect(sha256(run.input), repeat).toBe(run.input_hash);
      expect(war.stored.codes.has(run.code_hash), repeat).toBe(true);
    }
  });

  it("has each entry once in the signed log, or waiting for it", () => {
    expect(logFaults(war.stored.log), repeat).toEqual([]);
    expect(war.stored.log.checkpoints.length, repeat).toBeGreaterThan(0);
  });

  it("would not have passed with a row, an entry or a story that is not right", () => {
    const run = runs().find(({ state }) => state === "ended")!;
    const story = war.stored.entries_of(run.id);
    expect(storyFaults(run, story)).toEqual([]);
    expect(storyFaults(run, story.slice(0, -1))).not.toEqual([]);
    expect(storyFaults(run, [...story, story.at(-1)!])).not.toEqual([]);
    expect(storyFaults({ ...run, termination: "denied" }, story)).not.toEqual([]);
    expect(storyFaults({ ...run, attempt: run.attempt + 1 }, story)).not.toEqual([]);
    const edited = { ...run, columns: { ...run.columns, ended_at: Number(run.columns["ended_at"]) + 1 } };
    expect(digestOf(edited, war.stored.state_key)).not.toBe(digestOf(run, war.stored.state_key));
  });

  it("was killed at moments that mattered", () => {
    const ends = new Set(runs().map(({ termination }) => termination));
    expect(war.diary.told.some(({ status }) => status === 200)).toBe(true);
    expect(war.diary.told.some(({ status }) => status === 202)).toBe(true);
    expect([...ends], repeat).toEqual(expect.arrayContaining(["completed", "node_lost"]));
    if (KILLS < 40) return;
    expect([...ends], repeat).toEqual(expect.arrayContaining(["threw", "cpu_exceeded"]));
    expect(
      runs().some(({ attempt }) => attempt > 1),
      repeat,
    ).toBe(true);
    expect(war.diary.repeated, repeat).toBeGreaterThan(0);
    expect(war.kills_in_start, repeat).toBeGreaterThan(0);
  });
});
