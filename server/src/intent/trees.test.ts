import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from "vitest";
import { eventually } from "../../../tests/fixtures/eventually.ts";
import { ask, openRunsGround, type RunsGround } from "../../../tests/fixtures/runs_ground.ts";
import { heldScript } from "../../../tests/fixtures/scripted_pool.ts";
import type { ChainLink, Principal } from "../identity/contract.ts";
import { GantryError } from "../kernel/errors.ts";
import { addTreeCpu } from "./budget_store.ts";
import { type RunRequest, type RunView, SPAWN_DEPTH_MAX, TREE_CPU_MS_MAX } from "./contract.ts";
import { dayOf } from "./days.ts";
import { findRun } from "./store.ts";

/** Runs that start runs, spend budgets, give way and are stopped, from the request to the ledger. */

let house: RunsGround;
let held: ReturnType<typeof heldScript>;

beforeAll(async () => {
  house = await openRunsGround({ capacity: { slots: 2, memory_mb: 4_096 } });
  await house.runs.recover();
  house.storage.timers.start(() => {});
});
afterAll(async () => {
  await house.storage.timers.stop();
  await house.remove();
});
beforeEach(() => {
  held = heldScript();
  house.pool.script = held.script;
});
afterEach(async () => {
  house.pool.script = () => ({});
  await eventually(async () => {
    held.endAll();
    return (await house.runs.list(house.owner, { limit: 200 })).items.every(({ state }) => state === "ended");
  });
});

/** Whoever runs as the last of this chain, by a credential that was made for the run. */
function spawned(run: string, who: Principal = house.owner): Principal {
  const last = who.chain.at(-1) as ChainLink;
  return { ...who, chain: [...who.chain.slice(0, -1), { ...last, via: "spawn", ref: run }] };
}

/** The owner's agent. */
function agent(): Principal {
  const link: ChainLink = { actor: "act_agent" as ChainLink["actor"], kind: "agent", via: "token", ref: "tok_x" };
  return { ...house.owner, actor: link.actor, chain: [...house.owner.chain, link] };
}

const later = { wait_ms: 0, lane: "batch" } as const;
const submit = (who: Principal, more: Partial<RunRequest> = {}) => house.runs.submit(who, ask({ ...later, ...more }));
async function running(who: Principal, more: Partial<RunRequest> = {}): Promise<RunView> {
  const view = await submit(who, more);
  await eventually(() => held.waiting.includes(view.id));
  return view;
}
async function failure(work: Promise<unknown>): Promise<GantryError> {
  const got: unknown = await work.catch((error: unknown) => error);
  if (got instanceof GantryError) return got;
  throw new Error(`expected a failure, got ${JSON.stringify(got)}`);
}
const refused = async (root: string) => (await house.entriesOf(root)).filter(({ kind }) => kind === "run.refused");

describe("a run that a run has started", () => {
  it("says so in its view, its entries and the list of its root, whether it starts at once or waits", async () => {
    const root = await running(house.owner);
    const child = await running(spawned(root.id));
    const waits = await submit(spawned(child.id));
    expect(waits).toMatchObject({ state: "queued", parent: child.id, root: root.id, depth: 2 });
    expect(await house.runs.get(house.owner, child.id)).toMatchObject({ parent: root.id, root: root.id, depth: 1 });
    expect(root.root).toBeUndefined();
    const [queued] = await house.entriesOf(waits.id);
    expect(queued).toMatchObject({ kind: "run.queued", data: { parent: child.id, root: root.id, depth: 2 } });
    const [admitted] = await house.entriesOf(child.id);
    expect(admitted).toMatchObject({ kind: "run.admitted", data: { parent: root.id, root: root.id, depth: 1 } });
    expect((await house.entriesOf(root.id))[0]?.data).not.toHaveProperty("root");
    const below = await house.runs.list(house.owner, { root: root.id });
    expect(below.items.map(({ id }) => id)).toEqual([waits.id, child.id]);
  });

  it("past the depth is refused before it takes a slot, and the refusal is recorded", async () => {
    const root = await running(house.owner);
    let parent = root;
    for (let i = 0; i < SPAWN_DEPTH_MAX; i++) parent = await submit(spawned(parent.id));
    const before = house.metrics.counts.get("gantry_runs_refused_total RUN_SPAWN_DEPTH") ?? 0;
    const error = await failure(submit(spawned(parent.id)));
    expect(error).toMatchObject({ code: "RUN_SPAWN_DEPTH", kind: { status: 429 } });
    expect(error.parts.run).toBeUndefined();
    expect(await refused(root.id)).toHaveLength(1);
    await failure(submit(spawned(parent.id)));
    expect(await refused(root.id)).toHaveLength(1);
    expect(house.metrics.counts.get("gantry_runs_refused_total RUN_SPAWN_DEPTH")).toBe(before + 2);
    const rows = await house.runs.list(house.owner, { root: root.id, limit: 200 });
    expect(rows.items).toHaveLength(SPAWN_DEPTH_MAX);
  });

  it("and has waited is not started when its tree has used up its CPU time meanwhile", async () => {
    const root = await running(house.owner);
    const child = await running(spawned(root.id));
    const waits = await submit(spawned(root.id));
    await house.storage.write((tx) => addTreeCpu(tx, root.id, TREE_CPU_MS_MAX));
    held.end(child.id);
    const ended = await house.runs.get(house.owner, waits.id, 5_000);
    expect(ended).toMatchObject({ termination: "denied", error: { code: "RUN_TREE_BUDGET" } });
    expect(await house.kindsOf(waits.id)).toEqual(["run.queued", "run.ended"]);
  });

  it("is refused when its parent has ended, also when that happens at the same moment", async () => {
    const root = await running(house.owner);
    held.end(root.id);
    await house.runs.get(house.owner, root.id, 5_000);
    expect((await failure(submit(spawned(root.id)))).code).toBe("RUN_PARENT_ENDED");
    const second = await running(house.owner);
    const release = house.stalling.hold("before");
    const late = failure(submit(spawned(second.id)));
    held.end(second.id); // its end is written before the child's first row
    release();
    const got = await late.catch(() => undefined);
    if (got !== undefined) expect(got.code).toBe("RUN_PARENT_ENDED");
  });
});

describe("a day's budget that is used up", () => {
  it("refuses the next run with the time of midnight, and denies what waits", async () => {
    const text = "kind: Contract\nname: short-day\nextends: scratch\nbudgets_day: {run_ms: 50}\n";
    await house.policy.apply({ name: "c.yaml", text }, house.owner);
    const first = await running(house.owner, { contract: "short-day" });
    const second = await running(house.owner, { contract: "short-day" });
    const waits = await submit(house.owner, { contract: "short-day" });
    const day = dayOf(house.clock.now());
    await new Promise((resolve) => house.clock.after(60, () => resolve(undefined))); // the run has its slot meanwhile
    held.end(first.id);
    const ended = await house.runs.get(house.owner, waits.id, 5_000);
    expect(ended).toMatchObject({ termination: "denied", error: { code: "RUN_TENANT_BUDGET" } });
    const error = await failure(submit(house.owner, { contract: "short-day" }));
    expect(error).toMatchObject({ code: "RUN_TENANT_BUDGET", kind: { status: 429, retry: "later" } });
    expect(error.parts.detail).toContain("The contract short-day may use 50 ms of run time a day and has used");
    expect(error.parts.retry_after_ms).toBeGreaterThan(0);
    expect(error.parts.retry_after_ms).toBeLessThanOrEqual(86_400_000);
    const { items } = await house.ledger.list({ tenant: house.owner.tenant, kind: "run.refused", limit: 200 });
    expect(items.at(-1)).toMatchObject({
      contract: { name: "short-day", version: 1 },
      data: { code: "RUN_TENANT_BUDGET", budget: "contract_run_ms", limit: 50, count: 1 },
    });
    held.end(second.id);
    await house.runs.get(house.owner, second.id, 5_000);
    const rows = await house.storage.all(
      "SELECT contract, runs, run_ms FROM run_days WHERE day = ? ORDER BY contract",
      [day],
    );
    const used = Object.fromEntries(rows.map((row) => [row["contract"], Number(row["run_ms"])]));
    expect(used["short-day"]).toBeGreaterThanOrEqual(120);
    expect(used["*"]).toBeGreaterThanOrEqual(used["short-day"] ?? 0);
  });
});

describe("giving way", () => {
  it("changes the lane of a run and nothing else of it", async () => {
    const text = "kind: Contract\nname: floored\nextends: scratch\nisolation_floor: process\nlimits: {cpu_ms: 500}\n";
    await house.policy.apply({ name: "c.yaml", text }, house.owner);
    const fills = [await running(house.owner), await running(house.owner)];
    const asked: Partial<RunRequest> = { contract: "floored", lane: "interactive", why: "to see", vars: { A: "1" } };
    const plain = await submit(house.owner, { ...asked, on_busy: "delay" });
    const given = await submit(house.owner, { ...asked, on_busy: "downgrade" });
    expect([plain.lane, given.lane]).toEqual(["interactive", "batch"]);
    const [one, other] = [await findRun(house.storage, plain.id), await findRun(house.storage, given.id)];
    const { id: _1, lane: _2, created_at: _3, queued_at: _4, entries: _5, ...kept } = one ?? ({} as never);
    expect(other).toMatchObject(kept);
    const [entry] = await house.entriesOf(given.id);
    expect(entry?.data).toMatchObject({ lane: "batch", downgraded: true });
    // Policy is asked of it as of any other: what it forbids is not let in by another lane.
    const error = await failure(submit(house.owner, { ...asked, on_busy: "downgrade", isolation: "pooled" }));
    expect(error.code).toBe("ISOLATION_FLOOR");
    const past = await failure(submit(house.owner, { ...asked, on_busy: "downgrade", limits: { cpu_ms: 501 } }));
    expect(past.code).toBe("CONTRACT_LIMIT");
    for (const { id } of [plain, given, ...fills]) await house.runs.cancel(house.owner, id);
  });

  it("lets no run past the people who must approve it", async () => {
    const text = "kind: Contract\nname: asks\nextends: scratch\ngates: [{on: run.submit, name: look, quorum: 1}]\n";
    await house.policy.apply({ name: "c.yaml", text }, house.owner);
    const fills = [await running(house.owner), await running(house.owner)];
    const answer = await house.runs
      .submit(house.owner, ask({ contract: "asks", on_busy: "downgrade", wait_ms: 0 }))
      .catch((error: GantryError) => error);
    // Waiting for people, or nobody could ever approve it; never queued for a slot.
    if (answer instanceof GantryError) expect(answer.code).toBe("GATE_UNSATISFIABLE");
    else {
      expect(answer.state).toBe("waiting_approval");
      await house.runs.cancel(house.owner, answer.id);
    }
    for (const { id } of fills) await house.runs.cancel(house.owner, id);
  });
});

describe("a run that is cancelled", () => {
  const counted = () => house.metrics.counts.get("gantry_override_total cancel read-only") ?? 0;

  it("by a human, of an agent's, is an override in its entry and in the metric", async () => {
    const before = counted();
    const run = await running(agent());
    await house.runs.cancel(house.owner, run.id);
    const last = (await house.entriesOf(run.id)).at(-1);
    expect(last).toMatchObject({ kind: "run.ended", data: { termination: "cancelled", override: "cancel" } });
    await eventually(() => counted() === before + 1);
    await house.runs.cancel(house.owner, run.id);
    expect(counted()).toBe(before + 1);
  });

  it("by whoever started it is none", async () => {
    const before = counted();
    for (const who of [agent(), house.owner]) {
      const run = await running(who);
      await house.runs.cancel(who, run.id);
      expect((await house.entriesOf(run.id)).at(-1)?.data).not.toHaveProperty("override");
    }
    expect(counted()).toBe(before);
  });
});
