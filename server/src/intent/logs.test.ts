import { createHash } from "node:crypto";
import { setMaxListeners } from "node:events";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { eventually } from "../../../tests/fixtures/eventually.ts";
import { ask, openRunsGround, type RunsGround } from "../../../tests/fixtures/runs_ground.ts";
import { VirtualClock } from "../../../tests/fixtures/virtual_clock.ts";
import type { LogLine as GuestLine, Outcome } from "../execution/contract.ts";
import { LOG_FLUSH_BYTES, LOG_FLUSH_MS, LOG_FOLLOWERS_MAX, type LogLine } from "./contract.ts";
import type { LogChunk } from "./log_store.ts";
import { ndjsonOf, RunLog } from "./run_log.ts";

const line = (text: string, seq = 1): GuestLine => ({ seq, at: 1_000, level: "log", text });
async function all(lines: AsyncIterable<LogLine>): Promise<LogLine[]> {
  const kept: LogLine[] = [];
  for await (const each of lines) kept.push(each);
  return kept;
}

describe("a run's log in memory", () => {
  function open(fail = false) {
    const clock = new VirtualClock();
    const chunks: LogChunk[] = [];
    const log = new RunLog(clock, 0, async (chunk) => {
      if (fail) throw new Error("full");
      chunks.push(chunk);
    });
    return { clock, chunks, log };
  }

  it("is written each 250 ms, and at once when 64 KB wait", async () => {
    const { clock, chunks, log } = open();
    log.open();
    log.add(line("a"));
    clock.advance(LOG_FLUSH_MS - 1);
    expect(chunks).toHaveLength(0);
    clock.advance(1);
    await eventually(() => chunks.length === 1);
    log.add(line("x".repeat(LOG_FLUSH_BYTES)));
    await eventually(() => chunks.length === 2);
    expect(chunks.map(({ seq, seq_last }) => [seq, seq_last])).toEqual([
      [1, 1],
      [2, 2],
    ]);
    await eventually(() => log.tail(0).length === 0);
  });

  it("shows and writes nothing before the admission is durable", async () => {
    const { clock, chunks, log } = open();
    log.add(line("a"));
    clock.advance(10_000);
    expect(log.tail(0)).toEqual([]);
    expect(chunks).toEqual([]);
    log.open();
    expect(log.tail(0)).toHaveLength(1);
    await eventually(() => chunks.length === 1);
  });

  it("keeps what could not be written for the unit that ends the run", async () => {
    const { clock, log } = open(true);
    log.open();
    log.add(line("a"));
    clock.advance(LOG_FLUSH_MS);
    log.add(line("b"));
    const { chunks, hash } = await log.close();
    const text = chunks.map(({ lines }) => lines).join("");
    expect(text.trim().split("\n")).toHaveLength(2);
    expect(hash).toBe(createHash("sha256").update(text).digest("hex"));
    log.add(line("late"));
    expect(log.tail(0)).toHaveLength(2);
  });
});

describe("reading", () => {
  let house: RunsGround;
  beforeAll(async () => {
    house = await openRunsGround();
    await house.runs.recover();
  });
  afterAll(() => house.remove());
  const logs = (id: string, after = 0, follow = false, signal?: AbortSignal) =>
    house.runs.logs(house.owner, id, after, follow, signal);

  /** A run that writes when the test says so. */
  async function speaking() {
    let say: (text: string) => void = () => {};
    let end: (outcome: Partial<Outcome>) => void = () => {};
    house.pool.script = (_job, door) => {
      say = (text) => door.log(line(text));
      return new Promise((resolve) => {
        end = resolve;
      });
    };
    const jobs = house.pool.jobs.length;
    const { id } = await house.runs.submit(house.owner, ask({ wait_ms: 0 }));
    await eventually(() => house.pool.jobs.length > jobs);
    return { id, say: (text: string) => say(text), end: (outcome: Partial<Outcome> = {}) => end(outcome) };
  }

  it("gives every line in order, from any point, and the record has the digest of what is served", async () => {
    const run = await speaking();
    for (let i = 0; i < 300; i++) run.say(`line ${i} ${"é\n\0".repeat(200)}`);
    run.end();
    await house.runs.get(house.owner, run.id, 5_000);
    const lines = await all(await logs(run.id));
    expect(lines.map(({ seq }) => seq)).toEqual(Array.from({ length: 300 }, (_, i) => i + 1));
    expect(lines[7]?.text).toContain("line 7 é\n\0");
    expect(await all(await logs(run.id, 298))).toEqual(lines.slice(298));
    expect(await all(await logs(run.id, 300))).toEqual([]);
    const ended = (await house.entriesOf(run.id)).at(-1);
    const text = lines.map(ndjsonOf).join("");
    expect(ended?.data["log_hash"]).toBe(createHash("sha256").update(text).digest("hex"));
  });

  it("follows a live run to its end, each line once, across flushes", async () => {
    const run = await speaking();
    run.say("before");
    const followed = all(await logs(run.id, 0, true));
    for (let i = 0; i < 50; i++) {
      run.say(`${i} ${"x".repeat(5_000)}`);
      if (i % 10 === 0) await new Promise((resolve) => setImmediate(resolve));
    }
    run.end();
    const lines = await followed;
    expect(lines.map(({ seq }) => seq)).toEqual(Array.from({ length: 51 }, (_, i) => i + 1));
  });

  it("shows a follower a line at once, before it is stored", async () => {
    const run = await speaking();
    const iterator = (await logs(run.id, 0, true))[Symbol.asyncIterator]();
    const next = iterator.next();
    run.say("now");
    expect((await next).value).toMatchObject({ seq: 1, text: "now" });
    run.end();
    expect((await iterator.next()).done).toBe(true);
  });

  it("has room for so many followers and not one more, and a follower that leaves makes room", async () => {
    const run = await speaking();
    const leave = new AbortController();
    setMaxListeners(LOG_FOLLOWERS_MAX, leave.signal);
    const following: Promise<LogLine[]>[] = [];
    for (let i = 0; i < LOG_FOLLOWERS_MAX; i++) following.push(all(await logs(run.id, 0, true, leave.signal)));
    await expect(logs(run.id, 0, true)).rejects.toMatchObject({ kind: { code: "RUN_FOLLOWERS", status: 429 } });
    leave.abort();
    await Promise.all(following);
    const again = all(await logs(run.id, 0, true));
    run.end();
    expect(await again).toEqual([]);
  });
});
