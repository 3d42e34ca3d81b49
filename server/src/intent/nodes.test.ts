import { rm } from "node:fs/promises";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { eventually } from "../../../tests/fixtures/eventually.ts";
import { ask, openRunsGround, type RunsGround } from "../../../tests/fixtures/runs_ground.ts";
import { heldScript } from "../../../tests/fixtures/scripted_pool.ts";
import { VirtualClock } from "../../../tests/fixtures/virtual_clock.ts";
import { type LogLine, NOTICE_KEEP_MS, NOTICE_POLL_MS, PEER_POLL_MS } from "./contract.ts";
import { RowReader } from "./row_reader.ts";
import { findRun } from "./store.ts";

/** One node that shares its database; what the other nodes do is written into the rows. */

const SILENT_MS = 1_000;

let house: RunsGround;
beforeEach(async () => {
  house = await openRunsGround({ capacity: { slots: 1, memory_mb: 1_024 }, shared: { silent_ms: SILENT_MS } });
  await house.runs.recover();
});
afterEach(async () => {
  await house.stop();
  await rm(house.directory, { recursive: true, force: true });
});

const sql = (text: string, params: (string | number)[] = []) =>
  house.storage.write((tx) => {
    tx.run(text, params, 1);
  });
const beat = (by: number) =>
  sql("INSERT INTO nodes (id, boot, heartbeat_at, silent_ms) VALUES ('b', '1', ?, ?)", [by, SILENT_MS]);
const boot = async () => String((await house.storage.get("SELECT boot FROM nodes WHERE id = 'node-a'", []))?.["boot"]);

/** A run that holds the only slot, and one behind it. */
async function two() {
  const held = heldScript();
  house.pool.script = held.script;
  const started = await house.runs.submit(house.owner, ask({ wait_ms: 0 }));
  await eventually(() => held.waiting.includes(started.id));
  const queued = await house.runs.submit(house.owner, ask({ wait_ms: 0, lane: "batch", input: "queued" }));
  return { started: started.id, queued: queued.id };
}
const giveTo = (id: string, other: string) =>
  sql("UPDATE runs SET holder = ? WHERE id = ? AND state = 'queued'", [other, id]);
const get = (id: string, wait_ms = 0) => house.runs.get(house.owner, id, wait_ms);

describe("a node that was declared lost", () => {
  it("kills what it has, says so, and comes back under another boot that takes it up", async () => {
    const { started, queued } = await two();
    const [one, other] = [get(started, 20_000), get(queued, 20_000)];
    house.pool.script = (job) => ({ result: job.input });
    await sql("DELETE FROM nodes WHERE id = 'node-a'");
    expect(await one).toMatchObject({ termination: "node_lost" });
    expect(await other).toMatchObject({ termination: "completed", result: "queued" });
    expect(await boot()).toBe("boot-1.2");
    expect(house.runs.trouble()).toBeUndefined();
    expect(await house.kindsOf(queued)).toEqual(["run.queued", "run.admitted", "run.ended"]);
    expect((await house.runs.submit(house.owner, ask())).termination).toBe("completed");
  });

  it("refuses new runs until it has come back", async () => {
    const release = house.stalling.hold("before");
    await eventually(() => house.runs.trouble() !== undefined);
    await expect(house.runs.submit(house.owner, ask())).rejects.toMatchObject({ code: "RUN_CAPACITY" });
    release();
    await eventually(() => house.runs.trouble() === undefined);
    expect((await house.runs.submit(house.owner, ask())).termination).toBe("completed");
  });
});

describe("another node", () => {
  it("keeps what it has while it is heard, and loses it when it has been silent for long enough", async () => {
    const { started, queued } = await two();
    const ended = get(started, 20_000);
    await beat(1);
    await sql("UPDATE runs SET node = 'b', boot = '1' WHERE id = ?", [started]);
    await giveTo(queued, "b/1");
    const from = performance.now();
    for (let by = 2; performance.now() - from < 2 * SILENT_MS; by++) {
      await sql("UPDATE nodes SET heartbeat_at = ? WHERE id = 'b'", [by]);
      await new Promise((done) => setTimeout(done, SILENT_MS / 4)); // its heartbeats
    }
    expect(await get(started)).toMatchObject({ state: expect.stringMatching(/starting|running/) });
    house.pool.script = (job) => ({ result: job.input });
    await house.runs.cancel(house.owner, started);
    expect(await ended).toMatchObject({ termination: "node_lost" });
    expect(await get(queued, 20_000)).toMatchObject({ termination: "completed", result: "queued" });
  });

  it("that takes a queued run is told of by its row", async () => {
    const { started, queued } = await two();
    const waiting = get(queued, 20_000);
    await beat(1);
    await giveTo(queued, "b/1");
    house.pool.script = () => ({ result: "here" });
    const stop = setInterval(() => void beat(1).catch(() => {}), SILENT_MS); // it never goes for good
    await house.runs.cancel(house.owner, started);
    await sql(
      `UPDATE runs SET state = 'ended', holder = NULL, termination = 'completed', result = '"there"', ended_at = 1
       WHERE id = ?`,
      [queued],
    );
    expect(await waiting).toMatchObject({ result: "there" });
    clearInterval(stop);
    expect(house.pool.jobs.map(({ run }) => run)).toEqual([started]);
  });

  it("cancels a run that this one has, by a notice", async () => {
    const { started, queued } = await two();
    const at = house.clock.now();
    for (const run of [started, queued]) {
      await sql("INSERT INTO run_notices (run, actor, at) VALUES (?, 'act_other', ?)", [run, at]);
    }
    for (const run of [started, queued]) expect(await get(run, 5_000)).toMatchObject({ termination: "cancelled" });
  });

  it("is asked by a notice to cancel a run that it has, and its log is followed in the store", async () => {
    const { started, queued } = await two();
    await beat(1);
    await sql("UPDATE runs SET node = 'b', boot = '1' WHERE id = ?", [queued]);
    await giveTo(queued, "b/1");
    await sql("UPDATE runs SET state = 'starting' WHERE id = ?", [queued]);
    await sql("INSERT INTO run_notices (run, actor, at) VALUES (?, '', ?)", [queued, house.clock.now()]);
    await eventually(async () => (await get(queued)).position === undefined); // dropped from memory
    const seen: LogLine[] = [];
    const lines = await house.runs.logs(house.owner, queued, 0, true);
    const read = (async () => {
      for await (const line of lines) seen.push(line);
    })();
    const line = { seq: 1, at: 1, level: "log", text: "from there" } as const;
    await sql("INSERT INTO run_logs (run, seq, seq_last, lines) VALUES (?, 1, 1, ?)", [
      queued,
      `${JSON.stringify(line)}\n`,
    ]);
    await eventually(() => seen.length === 1);
    const cancelled = house.runs.cancel(house.owner, queued);
    await eventually(async () =>
      (await house.storage.all("SELECT actor FROM run_notices WHERE run = ?", [queued])).some(
        ({ actor }) => actor === house.owner.actor,
      ),
    );
    await sql(
      "UPDATE runs SET state = 'ended', termination = 'cancelled', ended_at = 1, cancelled_by = ? WHERE id = ?",
      [house.owner.actor, queued],
    );
    expect(await cancelled).toMatchObject({ termination: "cancelled" });
    await read;
    expect(seen).toEqual([line]);
    void started;
  });
});

it("a key that another node binds at the same moment names that node's run", async () => {
  const body = ask({ wait_ms: 20_000, input: "one" });
  const first = await house.runs.submit(house.owner, body, { key: "known" });
  const release = house.stalling.hold("before");
  // The other node's unit comes before this one's, and after this one has found the key to be free.
  const bound = sql(
    `INSERT INTO run_keys (tenant, actor, key, request_hash, run, expires_at)
     SELECT tenant, actor, 'raced', request_hash, run, expires_at FROM run_keys WHERE key = 'known'`,
  );
  const raced = [body, ask({ input: "two" })].map((request) =>
    house.runs.submit(house.owner, request, { key: "raced" }).catch((error: { code: string }) => error.code),
  );
  await eventually(() => house.stalling.held >= 2);
  release();
  await bound;
  expect(await raced[0]).toMatchObject({ id: first.id });
  expect(await raced[1]).toBe("IDEMPOTENCY_MISMATCH");
  expect(await house.storage.all("SELECT id FROM runs", [])).toHaveLength(1);
});

it("whoever waits for another node's run looks at its row after PEER_POLL_MS, and not before", async () => {
  const { started } = await two();
  const clock = new VirtualClock();
  let looks = 0;
  const get_row = house.storage.get.bind(house.storage);
  const storage = Object.assign(Object.create(house.storage), {
    get: (...args: Parameters<typeof get_row>) => {
      looks += 1;
      return get_row(...args);
    },
  }) as typeof house.storage;
  const row = await findRun(house.storage, started);
  const ended = new RowReader({ storage, clock }).awaitEnd(row!, 10 * PEER_POLL_MS);
  await sql("UPDATE runs SET state = 'ended', termination = 'cancelled', ended_at = 1 WHERE id = ?", [started]);
  clock.advance(PEER_POLL_MS - 1);
  await new Promise((done) => setImmediate(done));
  expect(looks).toBe(0);
  clock.advance(1);
  expect(await ended).toMatchObject({ state: "ended" });
  expect(looks).toBe(1);
});

it("a notice is forgotten when its run has ended and NOTICE_KEEP_MS are over", async () => {
  house.pool.script = () => ({});
  const { id } = await house.runs.submit(house.owner, ask());
  const now = house.clock.now();
  const notices = { old: now - NOTICE_KEEP_MS, young: now - NOTICE_KEEP_MS + 60 * NOTICE_POLL_MS };
  for (const [actor, at] of Object.entries(notices)) {
    await sql("INSERT INTO run_notices (run, actor, at) VALUES (?, ?, ?)", [id, actor, at]);
  }
  const left = async () => (await house.storage.all("SELECT actor FROM run_notices", [])).map(({ actor }) => actor);
  await eventually(async () => !(await left()).includes("old"));
  expect(await left()).toEqual(["young"]);
});
