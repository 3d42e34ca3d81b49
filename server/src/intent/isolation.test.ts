import { afterAll, beforeAll, beforeEach, describe, expect, it } from "vitest";
import { eventually } from "../../../tests/fixtures/eventually.ts";
import { ask, openRunsGround, type RunsGround } from "../../../tests/fixtures/runs_ground.ts";
import { runner_errors } from "../execution/contract.ts";
import { GantryError } from "../kernel/errors.ts";
import { RUNNER_TRIES_MAX, type RunRequest } from "./contract.ts";

/** Whom a run shares its process with: asked, decided, recorded, and asked of the pool. */

let house: RunsGround;

beforeAll(async () => {
  house = await openRunsGround();
  const documents = {
    silent: "",
    shared: "isolation: pooled",
    sessions: "isolation: session\nisolation_floor: session",
    alone: "isolation_floor: process",
  };
  for (const [name, rule] of Object.entries(documents)) {
    const text = `kind: Contract\nname: ${name}\nextends: scratch\n${rule}\n`;
    await house.policy.apply({ name: `${name}.yaml`, text }, house.owner);
  }
  await house.runs.recover();
});
afterAll(() => house.remove());
beforeEach(() => {
  house.pool.script = () => ({});
  house.pool.claim_error = undefined;
  house.pool.dying = 0;
  house.pool.on_death = () => {};
});

const submit = (more: Partial<RunRequest> = {}) => house.runs.submit(house.owner, ask(more));
async function refusal(work: Promise<unknown>): Promise<GantryError> {
  const got: unknown = await work.catch((error: unknown) => error);
  if (got instanceof GantryError) return got;
  throw new Error(`expected a refusal, got ${JSON.stringify(got)}`);
}

describe("a run gets", () => {
  it.each([
    ["scratch", {}, "pooled"],
    ["scratch", { isolation: "process" }, "process"],
    ["scratch", { session: "s" }, "session"],
    ["silent", {}, "process"],
    ["silent", { isolation: "pooled" }, "pooled"],
    ["shared", {}, "pooled"],
    ["shared", { isolation: "process" }, "process"],
    ["sessions", { session: "s", isolation: "session" }, "session"],
    ["sessions", { isolation: "process" }, "process"],
    ["sessions", {}, "process"],
    ["alone", {}, "process"],
  ] as const)("under %s, asking for %j, the isolation %s", async (contract, asked, isolation) => {
    const view = await submit({ contract, ...asked });
    const { session } = { session: undefined, ...asked };
    expect(view).toMatchObject({ isolation, termination: "completed", ...(session === undefined ? {} : { session }) });
    expect("session" in view).toBe(session !== undefined);
    const want = house.pool.wants.at(-1);
    expect(want).toMatchObject({ kind: isolation, tenant: house.owner.tenant, memory_mb: 128 });
    if (isolation === "process") expect(want).not.toHaveProperty("key");
    else expect(want?.key).toMatch(/^[0-9a-f]{64}$/);
    expect(house.pool.jobs.at(-1)?.session).toBe(session);
    const [admitted, ended] = await house.entriesOf(view.id);
    expect(admitted?.data).toMatchObject({ isolation, ...(session === undefined ? {} : { session }) });
    expect("session" in (admitted?.data ?? {})).toBe(session !== undefined);
    expect(ended?.data).toMatchObject({ isolation, jail: "unshare" });
    expect(await house.runs.get(house.owner, view.id)).toEqual(view);
  });
});

describe("a key", () => {
  const keyOf = async (more: Partial<RunRequest>) => {
    await submit(more);
    return house.pool.wants.at(-1)?.key;
  };

  it("is equal for runs of one authority, whatever they run", async () => {
    const key = await keyOf({});
    expect(await keyOf({ input: 5, vars: { A: "b" }, code: { source: "export default () => 2" } })).toBe(key);
    expect(await keyOf({ contract: "shared" })).not.toBe(key);
    const one = await keyOf({ session: "one" });
    expect(one).not.toBe(key);
    expect(await keyOf({ session: "one" })).toBe(one);
    expect(await keyOf({ session: "two" })).not.toBe(one);
  });

  it("changes with the version of the contract", async () => {
    const key = await keyOf({ contract: "shared" });
    const text = "kind: Contract\nname: shared\nextends: scratch\nisolation: pooled\nlimits: {cpu_ms: 500}\n";
    await house.policy.apply({ name: "shared.yaml", text }, house.owner);
    expect(await keyOf({ contract: "shared" })).not.toBe(key);
  });
});

describe("an isolation below the contract's floor", () => {
  it.each([
    ["sessions", { isolation: "pooled" }, "pooled", "session"],
    ["alone", { isolation: "pooled" }, "pooled", "process"],
    ["alone", { session: "s" }, "session", "process"],
  ] as const)("of %s, asking for %j, is denied and recorded, with both", async (contract, asked, got, floor) => {
    const error = await refusal(submit({ contract, ...asked }));
    expect(error.code).toBe("ISOLATION_FLOOR");
    expect(error.kind.status).toBe(403);
    const [reason] = error.parts.reasons ?? [];
    expect(reason).toMatchObject({ code: "ISOLATION_FLOOR" });
    expect(reason?.detail).toContain(`asked for is ${got}; the floor of the contract ${contract} is ${floor}`);
    const run = error.parts.run ?? "";
    const [ended, ...more] = await house.entriesOf(run);
    expect(more).toEqual([]);
    expect(ended?.decision).toEqual({ verdict: "deny", codes: ["ISOLATION_FLOOR"] });
    expect(await house.runs.get(house.owner, run)).toMatchObject({ termination: "denied", isolation: got });
  });
});

describe("a list", () => {
  it("narrows to one session", async () => {
    const mine = [(await submit({ session: "mine" })).id, (await submit({ session: "mine" })).id].reverse();
    await submit({ session: "Mine" });
    await submit();
    const { items } = await house.runs.list(house.owner, { session: "mine" });
    expect(items.map(({ id }) => id)).toEqual(mine);
    expect(items.every(({ session }) => session === "mine")).toBe(true);
    expect((await house.runs.list(house.owner, { session: "none" })).items).toEqual([]);
  });
});

describe("a session with as many waiting runs as it may have", () => {
  it("refuses one more as busy, recorded as capacity", async () => {
    const detail = "16 runs wait for this session already.";
    house.pool.claim_error = new GantryError(runner_errors.SESSION_BUSY, { detail });
    const error = await refusal(submit({ session: "s" }));
    expect(error.code).toBe("RUNNER_SESSION_BUSY");
    expect(error.kind.status).toBe(429);
    expect(error.parts).toMatchObject({ detail, reasons: [{ code: "RUNNER_SESSION_BUSY", detail }] });
    expect(error.parts.retry_after_ms).toBeGreaterThan(0);
    const run = error.parts.run ?? "";
    expect(await house.kindsOf(run)).toEqual(["run.admitted", "run.ended"]);
    expect(await house.runs.get(house.owner, run)).toMatchObject({
      termination: "capacity",
      retry_class: "capacity",
      error: { code: "RUNNER_SESSION_BUSY", detail },
    });
  });
});

describe("a runner that dies before it reaches the guest", () => {
  it("is followed by another, up to the limit, and the guest is reached once", async () => {
    const before = { wants: house.pool.wants.length, jobs: house.pool.jobs.length };
    house.pool.dying = RUNNER_TRIES_MAX - 1;
    const view = await submit();
    expect(view).toMatchObject({ termination: "completed", attempt: 1 });
    expect(house.pool.wants.length - before.wants).toBe(RUNNER_TRIES_MAX);
    expect(house.pool.jobs.length - before.jobs).toBe(1);
    expect(await house.kindsOf(view.id)).toEqual(["run.admitted", "run.ended"]);
  });

  it("is the end of the run when it is one more", async () => {
    const before = house.pool.wants.length;
    house.pool.dying = RUNNER_TRIES_MAX;
    expect(await submit()).toMatchObject({ termination: "runner_lost", error: { code: "RUNNER_LOST" } });
    expect(house.pool.wants.length - before).toBe(RUNNER_TRIES_MAX);
    expect(house.pool.dying).toBe(0);
  });

  it("is not followed by another when the guest may have been reached", async () => {
    const before = house.pool.wants.length;
    house.pool.script = () => ({ ending: "runner_lost", begun: true });
    expect(await submit()).toMatchObject({ termination: "runner_lost" });
    expect(house.pool.wants.length - before).toBe(1);
  });

  it("is not followed by another when the run has been cancelled", async () => {
    const before = house.pool.wants.length;
    house.pool.dying = 1;
    house.pool.on_death = async ({ run }, signal) => {
      const aborted = new Promise((resolve) => signal.addEventListener("abort", resolve, { once: true }));
      house.runs.cancel(house.owner, run).catch(() => {});
      await aborted;
    };
    expect(await submit()).toMatchObject({ termination: "cancelled" });
    expect(house.pool.wants.length - before).toBe(1);
  });

  it("is followed by none that would start after the run's own time", async () => {
    const discarded = house.pool.discarded;
    const expires_at = house.clock.now() + 300;
    house.pool.dying = 1;
    house.pool.on_death = () => eventually(() => house.clock.now() >= expires_at);
    expect(await submit({ expires_at })).toMatchObject({ termination: "expired" });
    expect(house.pool.discarded - discarded).toBe(1);
  });
});
