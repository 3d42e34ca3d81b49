import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from "vitest";
import { eventually } from "../../../tests/fixtures/eventually.ts";
import { ask, openRunsGround, type RunsGround } from "../../../tests/fixtures/runs_ground.ts";
import { heldScript } from "../../../tests/fixtures/scripted_pool.ts";
import type { Outcome } from "../execution/contract.ts";
import { GantryError } from "../kernel/errors.ts";
import { errors as storage_errors } from "../storage/contract.ts";

/** What is released, and when, while commits stall or fail. */

let house: RunsGround;
let release = () => {};

beforeAll(async () => {
  house = await openRunsGround();
  await house.runs.recover();
});
afterAll(() => house.remove());
beforeEach(() => {
  house.pool.script = () => ({});
});
afterEach(() => release());

const full = () => new GantryError(storage_errors.FULL, { detail: "no space left on device" });
const submit = (more = {}) => house.runs.submit(house.owner, ask(more));
async function settledWithin(work: Promise<unknown>, ms: number): Promise<boolean> {
  return Promise.race([
    work.then(
      () => true,
      () => true,
    ),
    new Promise<boolean>((resolve) => setTimeout(() => resolve(false), ms)),
  ]);
}
async function failure(work: Promise<unknown>): Promise<GantryError> {
  const got: unknown = await work.catch((error: unknown) => error);
  if (got instanceof GantryError) return got;
  throw new Error(`expected a failure, got ${JSON.stringify(got)}`);
}

describe("while the admission's commit stalls", () => {
  it("the guest runs, its door stays shut, and neither the run nor its result is released", async () => {
    let durable = false;
    let ended = false;
    house.pool.script = async (_job, door): Promise<Partial<Outcome>> => {
      void door.durable.then(() => {
        durable = true;
      });
      ended = true;
      return { result: "1" };
    };
    release = house.stalling.hold("before");
    const run = submit();
    await eventually(() => ended);
    expect(await settledWithin(run, 30)).toBe(false);
    expect(durable).toBe(false);
    release();
    expect((await run).termination).toBe("completed");
    expect(durable).toBe(true);
  });

  it("an answer that waits for nothing waits for that", async () => {
    const held = heldScript();
    house.pool.script = held.script;
    release = house.stalling.hold("before");
    const run = submit({ wait_ms: 0 });
    await eventually(() => held.waiting.length === 1);
    expect(await settledWithin(run, 30)).toBe(false);
    release();
    const { id } = await run;
    held.endAll();
    expect((await house.runs.get(house.owner, id, 5_000)).state).toBe("ended");
  });

  it("a follower sees no line of it", async () => {
    const held = heldScript();
    house.pool.script = (job, door, signal) => {
      door.log({ seq: 1, at: 1, level: "log", text: "hello" });
      return held.script(job, door, signal);
    };
    release = house.stalling.hold("before");
    const run = submit({ wait_ms: 0 });
    await eventually(() => held.waiting.length === 1);
    const id = held.waiting[0] ?? "";
    const lines = house.runs.logs(house.owner, id, 0, false);
    expect(await settledWithin(lines, 30)).toBe(false);
    release();
    await run;
    held.endAll();
    await lines;
  });
});

describe("while the end's commit stalls", () => {
  it("the result is not released, by any way", async () => {
    const held = heldScript();
    house.pool.script = held.script;
    const { id } = await submit({ wait_ms: 0 });
    await eventually(() => held.waiting.includes(id));
    release = house.stalling.hold("before");
    held.end(id, { result: "42" });
    const got = house.runs.get(house.owner, id, 10_000);
    expect(await settledWithin(got, 30)).toBe(false);
    const now = await house.runs.get(house.owner, id);
    expect(now.state).not.toBe("ended");
    expect(now).not.toHaveProperty("result");
    release();
    expect((await got).result).toBe(42);
  });
});

describe("when a commit fails", () => {
  it("of the admission: the guest is killed, the cause is named, nothing is there, the slot is free", async () => {
    const held = heldScript();
    house.pool.script = held.script;
    const killed = house.pool.killed.length;
    house.stalling.failNext(full());
    const error = await failure(submit());
    expect(error.code).toBe("EVIDENCE_UNAVAILABLE");
    expect(error.kind.status).toBe(503);
    expect(error.parts.reasons?.map(({ code }) => code)).toEqual(["STORAGE_FULL"]);
    await eventually(() => house.pool.killed.length === killed + 1 || house.pool.active === 0);
    await eventually(() => house.pool.active === 0);
    house.pool.script = () => ({});
    expect((await submit()).termination).toBe("completed");
  });

  it("of the end: the result is gone for good, and the row ends as lost when it can be written again", async () => {
    const held = heldScript();
    house.pool.script = held.script;
    const { id } = await submit({ wait_ms: 0 });
    await eventually(() => held.waiting.includes(id));
    const waiting = house.runs.get(house.owner, id, 10_000);
    house.stalling.failNext(full());
    held.end(id, { result: "42" });
    expect((await failure(waiting)).code).toBe("EVIDENCE_UNAVAILABLE");
    expect(await house.runs.get(house.owner, id)).not.toHaveProperty("result");
    await eventually(async () => (await house.runs.get(house.owner, id)).state === "ended");
    expect(await house.runs.get(house.owner, id)).toMatchObject({ termination: "node_lost", retry_class: "capacity" });
    expect(await house.kindsOf(id)).toEqual(["run.admitted", "run.ended"]);
  });

  it("of a denial: it is not answered as one", async () => {
    house.pool.jail = "none";
    await house.policy.apply(
      { name: "jailed.yaml", text: "kind: Contract\nname: jailed\nextends: scratch\njail: required\n" },
      house.owner,
    );
    house.stalling.failNext(full());
    expect((await failure(submit({ contract: "jailed" }))).code).toBe("EVIDENCE_UNAVAILABLE");
    house.pool.jail = "unshare";
  });

  it("of anything else than ours: no detail of it reaches the caller", async () => {
    house.stalling.failNext(new Error("SQLITE_IOERR at /var/lib/secret"));
    const error = await failure(submit());
    expect(error.code).toBe("EVIDENCE_UNAVAILABLE");
    expect(JSON.stringify([error.parts.detail, error.parts.reasons])).not.toContain("secret");
  });
});
