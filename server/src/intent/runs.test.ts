import { afterAll, beforeAll, beforeEach, describe, expect, it } from "vitest";
import { eventually } from "../../../tests/fixtures/eventually.ts";
import { ask, openRunsGround, type RunsGround } from "../../../tests/fixtures/runs_ground.ts";
import { heldScript } from "../../../tests/fixtures/scripted_pool.ts";
import type { Principal } from "../identity/contract.ts";
import { GantryError } from "../kernel/errors.ts";
import type { TenantId } from "../kernel/ids.ts";
import { INLINE_BYTES_MAX } from "../kernel/limits.ts";
import { BUILTIN_VERSION } from "../policy/builtin.ts";
import { CANCEL_WAIT_MS, RUN_KEY_TTL_MS, type RunRequest, type RunView } from "./contract.ts";

let house: RunsGround;
let who: Principal;

beforeAll(async () => {
  house = await openRunsGround();
  who = house.owner;
  const documents = { small: "limits: {cpu_ms: 100}", jailed: "jail: required" };
  for (const [name, rule] of Object.entries(documents)) {
    const text = `kind: Contract\nname: ${name}\nextends: scratch\n${rule}\n`;
    await house.policy.apply({ name: `${name}.yaml`, text }, who);
  }
  await house.runs.recover();
});
afterAll(() => house.remove());
beforeEach(() => {
  house.pool.script = () => ({});
  house.pool.jail = "unshare";
  house.pool.boot_failures = 0;
  house.pool.boot_error = undefined;
});

/** The error's code, or what came instead. */
async function refusal(work: Promise<unknown>): Promise<GantryError> {
  const got = await work.then(
    (value) => value,
    (error: unknown) => error,
  );
  if (got instanceof GantryError) return got;
  throw new Error(`expected a refusal, got ${JSON.stringify(got)}`);
}
const submit = (more: Partial<RunRequest> = {}, key?: string): Promise<RunView> =>
  house.runs.submit(who, ask(more), key === undefined ? {} : { key });

describe("a run", () => {
  it("is answered with its result, its usage and its entries once all of it is recorded", async () => {
    house.pool.script = (job) => ({
      result: JSON.stringify({ got: JSON.parse(job.input) }),
      blocked: [{ host: "example.com", method: "GET", count: 2 }],
    });
    const view = await submit({ input: { n: 1.5 }, vars: { A: "b" }, why: "to see" });
    expect(view).toMatchObject({
      state: "ended",
      termination: "completed",
      retry_class: "guest",
      result: { got: { n: 1.5 } },
      contract: { name: "scratch", version: BUILTIN_VERSION },
      jail: "unshare",
      cold: false,
      usage: { cpu_ms: 1, rss_peak_mb: 3, output_bytes: 4 },
      timing: { startup_ms: 1.5, completion_ms: 2.25 },
      blocked: [{ host: "example.com", method: "GET", count: 2 }],
    });
    const entries = await house.entriesOf(view.id);
    expect(entries.map(({ kind }) => kind)).toEqual(["run.admitted", "run.ended"]);
    expect(view.evidence.entries).toEqual(entries.map(({ id }) => id));
    expect(entries[0]?.data).toMatchObject({ run: view.id, attempt: 1, code_facts: { modules: 1 } });
    expect(entries[0]?.decision).toEqual({ verdict: "allow", codes: [] });
    expect(entries[1]?.data).toMatchObject({
      termination: "completed",
      startup_ms: 2,
      egress: [{ host: "example.com", method: "GET", count: 2, verdict: "denied" }],
    });
    expect(house.pool.jobs.at(-1)).toMatchObject({ run: view.id, vars: { A: "b" } });
    expect(await house.runs.get(who, view.id)).toEqual(view);
  });

  it("that asks for nothing gets the smaller of default and ceiling", async () => {
    const view = await submit();
    expect(view.limits.cpu_ms).toBe(1_000);
    expect(view.limits.memory_mb).toBe(128);
  });

  it("that throws is a normal answer with the guest's error", async () => {
    house.pool.script = () => ({
      ending: "threw",
      error: { code: "RUN_THREW", detail: "boom", name: "Error", stack: "at main.ts:1" },
    });
    const view = await submit();
    expect(view).toMatchObject({ termination: "threw", error: { code: "RUN_THREW", detail: "boom", name: "Error" } });
    expect(view).not.toHaveProperty("result");
  });

  it("with a result that is not JSON after all has none", async () => {
    house.pool.script = () => ({ result: "{" });
    expect(await submit()).toMatchObject({ termination: "threw", error: { code: "RUN_RESULT_NOT_JSON" } });
  });

  it.each([INLINE_BYTES_MAX, INLINE_BYTES_MAX + 1])("keeps input and result of %i bytes", async (size) => {
    const text = "x".repeat(size - 2);
    house.pool.script = (job) => ({ result: job.input });
    const view = await submit({ input: text, limits: { input_bytes_max: size } });
    expect(view.result).toBe(text);
    expect((await house.runs.get(who, view.id)).result).toBe(text);
    const row = await house.storage.get("SELECT result, result_blob, input_blob FROM runs WHERE id = ?", [view.id]);
    expect(row?.["result_blob"] === null).toBe(size <= INLINE_BYTES_MAX);
    expect(row?.["input_blob"] === null).toBe(size <= INLINE_BYTES_MAX);
  });

  it("whose input is one byte past its limit is refused before any record", async () => {
    const limits = { input_bytes_max: 10 };
    expect((await submit({ input: "x".repeat(8), limits })).termination).toBe("completed");
    const error = await refusal(submit({ input: "x".repeat(9), limits }));
    expect(error.code).toBe("INPUT_TOO_LARGE");
    expect(error.parts.run).toBeUndefined();
  });

  it.each([
    ["cpu_ms", 0],
    ["cpu_ms", 60_001],
    ["memory_mb", 1.5],
    ["wall_ms", Number.NaN],
    ["modules_max", "1"],
  ])("with %s of %s is LIMIT_RANGE at its pointer", async (name, value) => {
    const error = await refusal(submit({ limits: { [name]: value } as never }));
    expect(error.code).toBe("LIMIT_RANGE");
    expect(error.parts.problems?.[0]?.at).toBe(`/limits/${name}`);
  });

  it("with a syntax error tells where, and leaves no row", async () => {
    const error = await refusal(submit({ code: { source: "export default (" } }));
    expect(error.code).toBe("CODE_SYNTAX");
    expect(error.parts.problems?.[0]).toMatchObject({ at: "main.ts", line: 1 });
  });

  it("under an unknown contract, or another snapshot than the active one, is refused", async () => {
    expect((await refusal(submit({ contract: "nope" }))).code).toBe("CONTRACT_UNKNOWN");
    expect((await refusal(submit({ snapshot: "snp_0" }))).code).toBe("SNAPSHOT_STALE");
  });

  it("that no runner can be had for ends as capacity, recorded", async () => {
    house.pool.boot_error = "the jail did not start";
    const error = await refusal(submit());
    expect(error.code).toBe("RUN_CAPACITY");
    expect(error.parts.reasons?.[0]?.detail).toBe("the jail did not start");
    const run = error.parts.run ?? "";
    expect(await house.kindsOf(run)).toEqual(["run.admitted", "run.ended"]);
    expect(await house.runs.get(who, run)).toMatchObject({ termination: "capacity", retry_class: "capacity" });
  });

  it("is refused without a row where there is no jail, or boots keep failing", async () => {
    house.pool.jail = null;
    expect((await refusal(submit())).code).toBe("RUNNER_NO_JAIL");
    house.pool.jail = "unshare";
    house.pool.boot_failures = 5;
    const error = await refusal(submit());
    expect(error.code).toBe("RUN_CAPACITY");
    expect(error.parts.run).toBeUndefined();
    house.pool.boot_failures = 4;
    expect((await submit()).termination).toBe("completed");
  });

  it("that must have started by now ends expired", async () => {
    const view = await submit({ expires_at: house.clock.now() });
    expect(view).toMatchObject({ termination: "expired", retry_class: "timeout", error: { code: "RUN_EXPIRED" } });
    expect(await house.kindsOf(view.id)).toEqual(["run.ended"]);
  });
});

describe("a denied run", () => {
  it("is recorded by its end alone and answered with the run, the reasons and the snapshot", async () => {
    expect((await submit({ contract: "small", limits: { cpu_ms: 100 } })).termination).toBe("completed");
    const error = await refusal(submit({ contract: "small", limits: { cpu_ms: 101 } }));
    expect(error.code).toBe("CONTRACT_LIMIT");
    expect(error.kind.status).toBe(403);
    expect(error.parts.reasons?.map(({ code }) => code)).toEqual(["CONTRACT_LIMIT"]);
    expect(error.parts.snapshot).toMatch(/^snp_/);
    const run = error.parts.run ?? "";
    const entries = await house.entriesOf(run);
    expect(entries.map(({ kind }) => kind)).toEqual(["run.ended"]);
    expect(entries[0]?.decision).toEqual({ verdict: "deny", codes: ["CONTRACT_LIMIT"] });
    expect(await house.runs.get(who, run)).toMatchObject({
      state: "ended",
      termination: "denied",
      retry_class: "policy",
      error: { code: "CONTRACT_LIMIT", status: 403 },
    });
  });

  it("is one whose contract requires a jail on a host without one", async () => {
    expect((await submit({ contract: "jailed" })).termination).toBe("completed");
    house.pool.jail = "none";
    expect((await submit()).jail).toBe("none");
    const error = await refusal(submit({ contract: "jailed" }));
    expect(error.code).toBe("ISOLATION_FLOOR");
    expect(await house.kindsOf(error.parts.run ?? "")).toEqual(["run.ended"]);
  });
});

describe("waiting", () => {
  it("of 0 ms answers as soon as the admission is durable", async () => {
    const held = heldScript();
    house.pool.script = held.script;
    const view = await submit({ wait_ms: 0 });
    expect(["starting", "running"]).toContain(view.state);
    expect(view.evidence.entries).toHaveLength(1);
    await eventually(() => held.waiting.includes(view.id));
    expect((await house.runs.get(who, view.id)).state).toBe("running");
    const later = house.runs.get(who, view.id, 5_000);
    held.end(view.id, { result: "7" });
    expect((await later).result).toBe(7);
  });

  it("that is too short answers with the run as it stands", async () => {
    const held = heldScript();
    house.pool.script = held.script;
    const view = await submit({ wait_ms: 5 });
    expect(view.state).not.toBe("ended");
    held.endAll();
    expect((await house.runs.get(who, view.id, 5_000)).state).toBe("ended");
  });
});

describe("another tenant's run", () => {
  it("is not found by any method, and neither is a name that is no id", async () => {
    const view = await submit();
    const stranger: Principal = { ...who, tenant: "ten_00000000000000000000000000" as TenantId };
    for (const work of [
      () => house.runs.get(stranger, view.id),
      () => house.runs.cancel(stranger, view.id),
      () => house.runs.logs(stranger, view.id, 0, false),
      () => house.runs.get(who, "run_x"),
      () => house.runs.get(who, "'; DROP TABLE runs"),
    ]) {
      expect((await refusal(work())).code).toBe("RUN_NOT_FOUND");
    }
    expect((await house.runs.list(stranger, {})).items).toEqual([]);
  });
});

describe("a list", () => {
  it("is newest first, without results, page by page, and narrows", async () => {
    const ids: string[] = [];
    for (let i = 0; i < 5; i++) ids.unshift((await submit()).id);
    house.pool.script = () => ({ ending: "threw" });
    ids.unshift((await submit()).id);
    const first = await house.runs.list(who, { limit: 4 });
    expect(first.items.map(({ id }) => id)).toEqual(ids.slice(0, 4));
    expect(first.items.every((item) => !("result" in item))).toBe(true);
    const second = await house.runs.list(who, {
      limit: 2,
      ...(first.next === undefined ? {} : { cursor: first.next }),
    });
    expect(second.items.map(({ id }) => id)).toEqual(ids.slice(4, 6));
    const threw = await house.runs.list(who, { termination: "threw", limit: 1 });
    expect(threw.items[0]?.id).toBe(ids[0]);
    expect((await house.runs.list(who, { state: "queued" })).items).toEqual([]);
  });
});

describe("cancel", () => {
  it("ends a running run once, names who asked, and leaves an ended one as it is", async () => {
    const held = heldScript();
    house.pool.script = held.script;
    const { id } = await submit({ wait_ms: 0 });
    await eventually(() => held.waiting.includes(id));
    const [one, two] = await Promise.all([house.runs.cancel(who, id), house.runs.cancel(who, id)]);
    expect(one).toMatchObject({ state: "ended", termination: "cancelled", error: { code: "RUN_CANCELLED" } });
    expect(two).toEqual(one);
    expect(await house.runs.cancel(who, id)).toEqual(one);
    const entries = await house.entriesOf(id);
    expect(entries.map(({ kind }) => kind)).toEqual(["run.admitted", "run.ended"]);
    expect(entries[1]?.data["cancelled_by"]).toBe(who.actor);
  });

  it("answers with the run as it stands when its end takes too long", async () => {
    let open = () => {};
    house.pool.boot_gate = new Promise((resolve) => {
      open = resolve;
    });
    const { id } = await submit({ wait_ms: 0 });
    house.hurried.add(CANCEL_WAIT_MS);
    expect((await house.runs.cancel(who, id)).state).toBe("starting");
    house.hurried.clear();
    house.pool.boot_gate = undefined;
    open();
    expect((await house.runs.get(who, id, 10_000)).termination).toBe("cancelled");
  });

  it("of a run whose runner is still booting ends it", async () => {
    let open = () => {};
    house.pool.boot_gate = new Promise((resolve) => {
      open = resolve;
    });
    const { id } = await submit({ wait_ms: 0 });
    const cancelled = house.runs.cancel(who, id);
    house.pool.boot_gate = undefined;
    open();
    expect((await cancelled).termination).toBe("cancelled");
  });
});

describe("an idempotency key", () => {
  it("makes exactly one run of concurrent and later duplicates", async () => {
    const held = heldScript();
    house.pool.script = held.script;
    const before = house.pool.jobs.length;
    const views = Array.from({ length: 10 }, (_, i) =>
      submit(i % 2 === 0 ? { input: { a: 1, b: 2 } } : { input: { b: 2, a: 1 } }, "key-1"),
    );
    await eventually(() => held.waiting.length === 1);
    held.endAll();
    const ids = new Set((await Promise.all(views)).map(({ id }) => id));
    expect(ids.size).toBe(1);
    const again = await submit({ input: { a: 1, b: 2 } }, "key-1");
    expect(ids.has(again.id)).toBe(true);
    expect(house.pool.jobs.length).toBe(before + 1);
  });

  it("with another body is a mismatch, also while the first is being accepted", async () => {
    const [one, two] = await Promise.allSettled([submit({ input: 1 }, "key-2"), submit({ input: 2 }, "key-2")]);
    expect(one.status).toBe("fulfilled");
    expect(two).toMatchObject({ status: "rejected", reason: { kind: { code: "IDEMPOTENCY_MISMATCH", status: 409 } } });
    expect((await refusal(submit({ input: 2 }, "key-2"))).code).toBe("IDEMPOTENCY_MISMATCH");
  });

  it("of a request that came to nothing is free again", async () => {
    expect((await refusal(submit({ contract: "nope" }, "key-3"))).code).toBe("CONTRACT_UNKNOWN");
    expect((await submit({ input: 3 }, "key-3")).termination).toBe("completed");
  });

  it("repeats a denial with the same run", async () => {
    const denied = { contract: "small", limits: { cpu_ms: 5_000 } };
    const first = await refusal(submit(denied, "key-4"));
    const second = await refusal(submit(denied, "key-4"));
    expect(second.code).toBe("CONTRACT_LIMIT");
    expect(second.parts.run).toBe(first.parts.run);
    expect(second.parts.reasons).toEqual(first.parts.reasons);
  });

  it("is free again when its time has passed, and belongs to its actor alone", async () => {
    const first = await submit({ input: 5 }, "key-5");
    const other: Principal = { ...who, actor: "act_00000000000000000000000000" as Principal["actor"] };
    expect((await house.runs.submit(other, ask({ input: 6 }), { key: "key-5" })).id).not.toBe(first.id);
    const key = await house.storage.get("SELECT expires_at FROM run_keys WHERE run = ?", [first.id]);
    const life = Number(key?.["expires_at"]) - first.created_at;
    expect(life).toBeGreaterThanOrEqual(RUN_KEY_TTL_MS);
    expect(life).toBeLessThan(RUN_KEY_TTL_MS + 60_000);
    await house.storage.write((tx) => tx.run("UPDATE run_keys SET expires_at = 1 WHERE run = ?", [first.id], 1));
    const second = await submit({ input: 7 }, "key-5");
    expect(second.id).not.toBe(first.id);
    expect((await submit({ input: 7 }, "key-5")).id).toBe(second.id);
  });
});
