import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from "vitest";
import { eventually } from "../../../tests/fixtures/eventually.ts";
import { ask, openRunsGround, type RunsGround } from "../../../tests/fixtures/runs_ground.ts";
import { heldScript } from "../../../tests/fixtures/scripted_pool.ts";
import { systemClock } from "../kernel/clock.ts";
import { GantryError } from "../kernel/errors.ts";
import { errors as storage_errors } from "../storage/contract.ts";
import type { RunRequest, RunView } from "./contract.ts";

/** A node with one slot, held by one run, and what becomes of the others. */

let house: RunsGround;
let held: ReturnType<typeof heldScript>;
let holder: RunView;

/** How far the node's clock is ahead, so that what is due in a minute is due when a test says so. */
let ahead_ms = 0;

beforeAll(async () => {
  const real = systemClock();
  const clock = { ...real, now: () => real.now() + ahead_ms };
  house = await openRunsGround({ capacity: { slots: 1, memory_mb: 512 }, clock });
  await house.runs.recover();
  house.storage.timers.start(() => {});
});
afterAll(async () => {
  await house.storage.timers.stop();
  await house.remove();
});
beforeEach(async () => {
  held = heldScript();
  house.pool.script = held.script;
  holder = await submit({ wait_ms: 0 });
  await eventually(() => held.waiting.includes(holder.id));
});
afterEach(async () => {
  house.pool.script = () => ({});
  held.endAll();
  await eventually(async () => {
    held.endAll();
    return (await house.runs.list(house.owner, { limit: 200 })).items.every(({ state }) => state === "ended");
  });
});

const submit = (more: Partial<RunRequest> = {}) => house.runs.submit(house.owner, ask(more));
async function failure(work: Promise<unknown>): Promise<GantryError> {
  const got: unknown = await work.catch((error: unknown) => error);
  if (got instanceof GantryError) return got;
  throw new Error(`expected a failure, got ${JSON.stringify(got)}`);
}

describe("when there is no slot", () => {
  it("a run whose caller waits is rejected, with a time to come back, and leaves no row", async () => {
    const before = house.metrics.counts.get("gantry_runs_refused_total RUN_CAPACITY") ?? 0;
    const error = await failure(submit());
    expect(error.code).toBe("RUN_CAPACITY");
    expect(error.parts.retry_after_ms).toBeGreaterThanOrEqual(1_000);
    expect(error.parts.run).toBeUndefined();
    expect(house.metrics.counts.get("gantry_runs_refused_total RUN_CAPACITY")).toBe(before + 1);
  });

  it("one that need not be answered at once is queued, recorded, and started in its turn", async () => {
    const view = await submit({ wait_ms: 0, input: { big: "x".repeat(70_000) } });
    expect(view).toMatchObject({ state: "queued", position: 1 });
    expect(view.estimated_start_ms).toBeGreaterThanOrEqual(0);
    expect(await house.kindsOf(view.id)).toEqual(["run.queued"]);
    house.pool.script = (job) => ({ result: String(job.input.length) });
    held.end(holder.id);
    const ended = await house.runs.get(house.owner, view.id, 5_000);
    expect(ended).toMatchObject({ termination: "completed", result: 70_010 });
    expect(await house.kindsOf(view.id)).toEqual(["run.queued", "run.admitted", "run.ended"]);
    expect(ended.evidence.entries).toHaveLength(3);
  });

  it("one that waits for its end waits through the queue", async () => {
    const waiting = submit({ on_busy: "delay" });
    await eventually(async () => (await house.runs.list(house.owner, { state: "queued" })).items.length === 1);
    house.pool.script = () => ({ result: "5" });
    held.end(holder.id);
    expect((await waiting).result).toBe(5);
  });

  it("an interactive one may become a batch run, which is recorded", async () => {
    const view = await submit({ on_busy: "downgrade", wait_ms: 0 });
    expect(view).toMatchObject({ state: "queued", lane: "batch" });
    const [entry] = await house.entriesOf(view.id);
    expect(entry?.data).toMatchObject({ lane: "batch", downgraded: true });
    await house.runs.cancel(house.owner, view.id);
  });
});

describe("a queued run", () => {
  it("that waits too long ends expired, without ever having been admitted", async () => {
    const view = await submit({ wait_ms: 0, expires_at: house.clock.now() + 60_000 });
    expect(view.state).toBe("queued");
    ahead_ms += 60_000;
    const ended = await house.runs.get(house.owner, view.id, 10_000);
    expect(ended).toMatchObject({ termination: "expired", retry_class: "timeout" });
    expect(await house.kindsOf(view.id)).toEqual(["run.queued", "run.ended"]);
  });

  it("that is cancelled ends at once and holds nothing", async () => {
    const view = await submit({ wait_ms: 0 });
    const ended = await house.runs.cancel(house.owner, view.id);
    expect(ended).toMatchObject({ state: "ended", termination: "cancelled" });
    expect(await house.runs.cancel(house.owner, view.id)).toEqual(ended);
    expect(await house.kindsOf(view.id)).toEqual(["run.queued", "run.ended"]);
    const timers = await house.storage.all("SELECT key FROM timers WHERE owner = ?", ["intent.queue"]);
    expect(timers.map(({ key }) => key)).not.toContain(view.id);
  });

  it("whose cancelling cannot be recorded waits on", async () => {
    const view = await submit({ wait_ms: 0 });
    house.stalling.failNext(new GantryError(storage_errors.FULL, { detail: "full" }));
    expect((await failure(house.runs.cancel(house.owner, view.id))).code).toBe("EVIDENCE_UNAVAILABLE");
    expect((await house.runs.get(house.owner, view.id)).state).toBe("queued");
    house.pool.script = () => ({});
    held.end(holder.id);
    expect((await house.runs.get(house.owner, view.id, 5_000)).termination).toBe("completed");
  });

  it("whose queueing cannot be recorded was never there", async () => {
    house.stalling.failNext(new GantryError(storage_errors.FULL, { detail: "full" }));
    expect((await failure(submit({ wait_ms: 0 }))).code).toBe("EVIDENCE_UNAVAILABLE");
    expect((await house.runs.list(house.owner, { state: "queued" })).items).toEqual([]);
    held.end(holder.id);
    await house.runs.get(house.owner, holder.id, 5_000);
    house.pool.script = () => ({});
    expect((await submit()).termination).toBe("completed");
  });

  it("that policy would no longer allow is denied when its turn comes", async () => {
    const apply = (cpu_ms: number) =>
      house.policy.apply(
        { name: "c.yaml", text: `kind: Contract\nname: changing\nextends: scratch\nlimits: {cpu_ms: ${cpu_ms}}\n` },
        house.owner,
      );
    await apply(500);
    const view = await submit({ wait_ms: 0, contract: "changing" });
    expect(view.state).toBe("queued");
    await apply(400);
    held.end(holder.id);
    const ended = await house.runs.get(house.owner, view.id, 5_000);
    expect(ended).toMatchObject({ termination: "denied", error: { code: "SNAPSHOT_STALE" } });
    expect(await house.kindsOf(view.id)).toEqual(["run.queued", "run.ended"]);
  });
});
