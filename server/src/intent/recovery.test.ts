import { rm } from "node:fs/promises";
import { afterEach, describe, expect, it } from "vitest";
import { eventually } from "../../../tests/fixtures/eventually.ts";
import { ask, openRunsGround, type RunsGround } from "../../../tests/fixtures/runs_ground.ts";
import { heldScript } from "../../../tests/fixtures/scripted_pool.ts";
import { ATTEMPTS_MAX, DRAIN_CANCEL_MS, type RunRequest } from "./contract.ts";

/** One data directory, several starts of the process. */

let open: RunsGround | undefined;
let directory: string | undefined;
let boots = 0;

afterEach(async () => {
  await open?.stop();
  open = undefined;
  if (directory !== undefined) await rm(directory, { recursive: true, force: true });
  directory = undefined;
});

/** Starts again over the same data. The process before is dead: what it still had in hand is thrown away. */
async function boot(o: { slots?: number } = {}): Promise<RunsGround> {
  await open?.crash();
  boots += 1;
  const house = await openRunsGround({
    boot: `boot-${boots}`,
    capacity: { slots: o.slots ?? 1, memory_mb: 1_024 },
    ...(directory === undefined ? {} : { directory }),
  });
  directory = house.directory;
  open = house;
  return house;
}

/** Starts one run that holds the slot, and queues another behind it. */
async function interrupted(house: RunsGround, more: Partial<RunRequest> = {}) {
  const held = heldScript();
  house.pool.script = held.script;
  const started = await house.runs.submit(house.owner, ask({ wait_ms: 0, ...more }));
  await eventually(() => held.waiting.includes(started.id));
  const queued = await house.runs.submit(house.owner, ask({ wait_ms: 0, lane: "batch", input: "queued" }));
  expect(queued.state).toBe("queued");
  return { started: started.id, queued: queued.id };
}

describe("after a crash", () => {
  it("what was going on ends node_lost, what waited is run, and nothing is told twice", async () => {
    const before = await boot();
    await before.runs.recover();
    const { started, queued } = await interrupted(before);
    const after = await boot();
    after.pool.script = (job) => ({ result: job.input });
    expect(await after.runs.recover()).toEqual({ lost: 1, requeued: 0, queued: 1 });
    expect(await after.runs.get(after.owner, started)).toMatchObject({
      termination: "node_lost",
      retry_class: "capacity",
      error: { code: "RUN_LOST" },
    });
    expect(await after.runs.get(after.owner, queued, 5_000)).toMatchObject({ result: "queued" });
    expect(await after.kindsOf(started)).toEqual(["run.admitted", "run.ended"]);
    expect(await after.kindsOf(queued)).toEqual(["run.queued", "run.admitted", "run.ended"]);
    const last = await boot();
    expect(await last.runs.recover()).toEqual({ lost: 0, requeued: 0, queued: 0 });
  });

  it("a run is repeated only if the request says so and the contract allows it, three times in all", async () => {
    let house = await boot();
    await house.runs.recover();
    const { started } = await interrupted(house, { retry: "if_lost" });
    for (let attempt = 2; attempt <= ATTEMPTS_MAX; attempt++) {
      house = await boot({ slots: 4 });
      const held = heldScript();
      house.pool.script = held.script;
      expect(await house.runs.recover()).toMatchObject({ requeued: 1 });
      await eventually(() => held.waiting.includes(started));
      expect(await house.runs.get(house.owner, started)).toMatchObject({ attempt, state: "running" });
    }
    house = await boot();
    expect(await house.runs.recover()).toMatchObject({ requeued: 0 });
    expect(await house.runs.get(house.owner, started)).toMatchObject({
      termination: "node_lost",
      attempt: ATTEMPTS_MAX,
    });
    expect((await house.kindsOf(started)).filter((kind) => kind === "run.ended")).toHaveLength(1);
    expect((await house.kindsOf(started)).filter((kind) => kind === "run.admitted")).toHaveLength(ATTEMPTS_MAX);
  });

  it("a run is not repeated when only one of the two says so", async () => {
    const before = await boot();
    await before.runs.recover();
    const one = await interrupted(before);
    const between = await boot();
    expect(await between.runs.recover()).toMatchObject({ lost: 1, requeued: 0 });
    expect((await between.runs.get(between.owner, one.started)).termination).toBe("node_lost");
    await between.runs.get(between.owner, one.queued, 5_000);
    const text = "kind: Contract\nname: once\nextends: scratch\nidempotent: false\n";
    await between.policy.apply({ name: "once.yaml", text }, between.owner);
    const two = await interrupted(between, { retry: "if_lost", contract: "once" });
    const after = await boot();
    expect(await after.runs.recover()).toMatchObject({ lost: 1, requeued: 0 });
    expect((await after.runs.get(after.owner, two.started)).termination).toBe("node_lost");
  });

  it("the log of a repeated run goes on where the lost attempt's ended", async () => {
    const before = await boot();
    await before.runs.recover();
    const speak = (texts: string[]) => (house: RunsGround) => {
      house.pool.script = async (job, door) => {
        for (const text of texts) door.log({ seq: 1, at: 1, level: "log", text });
        return texts.length === 1 ? new Promise(() => {}) : { result: job.input };
      };
    };
    speak(["first"])(before);
    const { id } = await before.runs.submit(before.owner, ask({ wait_ms: 0, retry: "if_lost" }));
    await eventually(async () => (await before.storage.all("SELECT seq FROM run_logs WHERE run = ?", [id])).length > 0);
    const after = await boot();
    speak(["second", "third"])(after);
    await after.runs.recover();
    await after.runs.get(after.owner, id, 5_000);
    const lines: string[] = [];
    for await (const line of await after.runs.logs(after.owner, id, 0, false)) lines.push(`${line.seq} ${line.text}`);
    expect(lines).toEqual(["1 first", "2 second", "3 third"]);
  });

  it("a process that is alone with its database waits for no other node", async () => {
    const before = await boot();
    await before.runs.recover();
    const { started, queued } = await interrupted(before);
    await before.storage.write((tx) => {
      tx.run("UPDATE runs SET node = 'node-b', boot = 'b' WHERE id = ?", [started], 1);
      tx.run("UPDATE runs SET holder = 'node-b/b' WHERE id = ?", [queued], 1);
      tx.run("INSERT INTO nodes (id, boot, heartbeat_at) VALUES ('node-b', 'b', ?)", [before.clock.now()], 1);
    });
    const after = await boot();
    expect(await after.runs.recover()).toEqual({ lost: 1, requeued: 0, queued: 1 });
  });

  it("a run that an older version left in the queue is taken up", async () => {
    const before = await boot();
    await before.runs.recover();
    const { queued } = await interrupted(before);
    await before.storage.write((tx) => tx.run("UPDATE runs SET holder = NULL WHERE id = ?", [queued], 1));
    const after = await boot();
    expect(await after.runs.recover()).toMatchObject({ queued: 1 });
    expect((await after.runs.get(after.owner, queued, 5_000)).termination).toBe("completed");
  });

  it("a zombie of an earlier boot cannot end a run, and says of it what the row says", async () => {
    const house = await boot();
    await house.runs.recover();
    const { started } = await interrupted(house);
    // What another process would have done meanwhile.
    await house.storage.write((tx) => tx.run("UPDATE runs SET boot = 'later' WHERE id = ?", [started], 1));
    const ended = house.runs.get(house.owner, started, 1_000);
    house.pool.script = () => ({});
    await house.runs.cancel(house.owner, started);
    expect(await ended).toMatchObject({ state: "starting" });
    expect(await house.kindsOf(started)).toEqual(["run.admitted"]);
  });
});

describe("draining", () => {
  it("does not wait for ever for what it cancelled", async () => {
    const house = await boot();
    await house.runs.recover();
    let open_gate = () => {};
    house.pool.boot_gate = new Promise((resolve) => {
      open_gate = resolve;
    });
    const { id } = await house.runs.submit(house.owner, ask({ wait_ms: 0 }));
    house.hurried.add(DRAIN_CANCEL_MS);
    await house.runs.drain(0);
    expect((await house.runs.get(house.owner, id)).state).toBe("starting");
    open_gate();
    await eventually(async () => (await house.runs.get(house.owner, id)).state === "ended");
  });

  it("refuses new runs, waits for running ones, cancels what takes too long, and leaves the queue for the next start", async () => {
    const house = await boot();
    await house.runs.recover();
    const { started, queued } = await interrupted(house);
    const waiting = house.runs.get(house.owner, queued, 60_000);
    const drained = house.runs.drain(50);
    await expect(house.runs.submit(house.owner, ask())).rejects.toMatchObject({ kind: { code: "RUN_CAPACITY" } });
    expect((await waiting).state).toBe("queued"); // whoever waits for it is not kept
    await drained;
    expect((await house.runs.get(house.owner, started)).termination).toBe("cancelled");
    const after = await boot();
    expect(await after.runs.recover()).toMatchObject({ lost: 0, queued: 1 });
    expect((await after.runs.get(after.owner, queued, 5_000)).termination).toBe("completed");
  });
});
