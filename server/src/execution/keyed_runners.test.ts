import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from "vitest";
import { eventually } from "../../../tests/fixtures/eventually.ts";
import { need } from "../../../tests/fixtures/need.ts";
import { isGone, openPoolGround, type PoolGround } from "../../../tests/fixtures/pool_ground.ts";
import { VirtualClock } from "../../../tests/fixtures/virtual_clock.ts";
import { startTicks } from "./adapters/procfs.ts";
import {
  HUNGRY_MS_MAX,
  POOLED_RUNNERS_MAX,
  RUNNER_IDLE_CPU_MS_MAX,
  RUNNER_IDLE_MS_MAX,
  RUNNER_WAIT_MS_MAX,
  type Runner,
  type RunnerPool,
  type RunnerWant,
  SESSION_RUNNERS_TENANT_MAX,
  SESSION_WAITING_MAX,
} from "./contract.ts";

let ground: PoolGround;
beforeAll(async () => {
  ground = await openPoolGround();
});
afterAll(() => ground.close());
beforeEach((context) => {
  const { ok, problems } = ground.jailed.report;
  need(context, "userns", ok ? undefined : (problems[0]?.fix ?? "the jail does not hold"));
});
afterEach(() => ground.closePools());

const MANY_BOOTS_MS = 120_000;
const claim = (
  pool: RunnerPool,
  key: string,
  more: Partial<RunnerWant> = {},
  signal = new AbortController().signal,
): Promise<Runner> => pool.acquire({ kind: "pooled", key, tenant: "ten_a", memory_mb: 128, ...more }, signal);
/** Runs a small program; the process is free for the next run of its key afterwards. */
async function run(runner: Runner): Promise<void> {
  const outcome = await ground.jailed.executeOn(runner, { "main.js": "export default () => 1;" });
  expect(outcome.ending, JSON.stringify(outcome)).toBe("completed");
}

describe("a key's runners", () => {
  it("serve its runs one at a time, and the next run gets the one used last", async () => {
    const pool = ground.open({ warm: 2 });
    await eventually(() => pool.stats().primed === 2);
    const first = await claim(pool, "a");
    const second = await claim(pool, "a");
    expect(second.id).not.toBe(first.id);
    expect(pool.stats()).toMatchObject({ active: 2, idle: 0 });
    await run(first);
    await run(second);
    expect(pool.stats()).toMatchObject({ active: 0, idle: 2 });
    const third = await claim(pool, "a");
    expect(third).toMatchObject({ id: second.id, cold: false });
    third.discard();
    expect(pool.stats().idle).toBe(2);
  });

  it("are at most POOLED_RUNNERS_MAX; the next run waits for the first that is free", {
    timeout: MANY_BOOTS_MS,
  }, async () => {
    const pool = ground.open({ warm: 2 });
    const held = await Promise.all(Array.from({ length: POOLED_RUNNERS_MAX }, () => claim(pool, "a")));
    expect(new Set(held.map(({ id }) => id)).size).toBe(POOLED_RUNNERS_MAX);
    const late = claim(pool, "a");
    await eventually(() => pool.stats().waiting === 1 && pool.stats().primed === 2);
    await run(held[3]!);
    expect((await late).id).toBe(held[3]!.id);
    for (const runner of held) runner.discard();
  });

  it("are what its waiting runs get, whichever is there first: a free one or a new one", async () => {
    const pool = ground.open({ warm: 0, boots: 1 });
    const first = await claim(pool, "a");
    const waiting = [claim(pool, "a"), claim(pool, "a")];
    await run(first);
    // A busy machine may have booted the new one before the other's run has ended.
    const got = await Promise.all(waiting);
    expect(got.map(({ id, cold }) => [id === first.id, cold]).sort()).toEqual([
      [false, true],
      [true, false],
    ]);
    // What was ordered for runs that were served otherwise is not kept for them.
    const abort = new AbortController();
    const third = claim(pool, "a", {}, abort.signal);
    abort.abort(new Error("changed my mind"));
    await expect(third).rejects.toThrow("changed my mind");
    expect(pool.stats().waiting).toBe(0);
  });

  it("go when they were idle for RUNNER_IDLE_MS_MAX, and the key is forgotten with them", async () => {
    const clock = new VirtualClock();
    const pool = ground.open({ clock });
    const runner = await claim(pool, "a");
    runner.discard();
    clock.advance(RUNNER_IDLE_MS_MAX - 1_000);
    expect(pool.stats().idle).toBe(1);
    clock.advance(1_000);
    expect(pool.stats().idle).toBe(0);
    await eventually(() => isGone(ground.processOf(runner)));
  });

  it("go when something goes on in them without a run", async () => {
    const pool = ground.open();
    const runner = await claim(pool, "a");
    await run(runner);
    const { client, use } = { client: ground.processOf(runner).client, use: () => ground.processOf(runner).use() };
    const before = use()?.cpu_ms ?? 0;
    // The pool may look before the loop has ended, and then the process goes in the midst of it.
    const busy = (): boolean => (use()?.cpu_ms ?? Number.POSITIVE_INFINITY) - before < 3 * RUNNER_IDLE_CPU_MS_MAX;
    while (busy()) await client.ping().catch(() => {});
    const next = await claim(pool, "a");
    expect(next.id).not.toBe(runner.id);
    next.discard();
  });

  it("that die while they are idle are not handed out", async () => {
    const pool = ground.open();
    const runner = await claim(pool, "a");
    await run(runner);
    const { pid } = ground.processOf(runner);
    process.kill(pid, "SIGKILL");
    // Without giving way: the exit has happened, and the pool has not heard of it.
    while (startTicks(pid) !== undefined);
    const next = await claim(pool, "a");
    expect(next.id).not.toBe(runner.id);
    await run(next);
  });

  it("that die with a call on their connection and another behind it cost those two calls only", async () => {
    const pool = ground.open();
    const runner = await claim(pool, "a");
    const { client, pid } = ground.processOf(runner);
    process.kill(pid, "SIGSTOP");
    const first = client.ping();
    const behind = ground.jailed.executeOn(runner, { "main.js": "export default () => 1;" });
    process.kill(pid, "SIGKILL");
    await expect(first).rejects.toThrow();
    expect(await behind).toMatchObject({ ending: "runner_lost", begun: false });
    await run(await claim(pool, "a"));
  });
});

describe("an ended run's remains", () => {
  /** Keeps the process busy before the next call on its only connection is read. */
  const occupy = (runner: Runner, cpu_ms: number): void => {
    const busy = `export default () => { const until = performance.now() + ${cpu_ms}; while (performance.now() < until); return 1; };`;
    const body = {
      run: "r",
      deadline: 0,
      entry: "m.js",
      modules: { "m.js": { js: busy } },
      node_compat: false,
      vars: {},
    };
    const call = JSON.stringify({ ...body, input: "1", output_bytes_max: 100, log_nonce: "l" });
    ground
      .processOf(runner)
      .client.run(call, "somebody-else", 100)
      .catch(() => {});
  };
  const spin = (ms: number) => ({
    "main.js": `export default () => { const until = performance.now() + ${ms}; while (performance.now() < until); return 1; };`,
  });

  it("are not on the next run's account", async () => {
    const pool = ground.open();
    const runner = await claim(pool, "a");
    occupy(runner, 150);
    const outcome = await ground.jailed.executeOn(runner, spin(1), { limits: { cpu_ms: 1_000 } });
    expect(outcome).toMatchObject({ ending: "completed", result: "1" });
    expect(outcome.cpu_ms).toBeLessThan(100);
    expect(outcome.log_bytes).toBe(0);
  });

  it("that use up a budget before the run begins cost the process, not the run", async () => {
    const pool = ground.open();
    const runner = await claim(pool, "a");
    occupy(runner, 10_000);
    const outcome = await ground.jailed.executeOn(runner, spin(1), { limits: { cpu_ms: 100 } });
    expect(outcome).toMatchObject({ ending: "runner_lost", begun: false, error: { code: "RUNNER_LOST" } });
  });

  it("do not shorten its budget: it has all of it, and is convicted past it", async () => {
    const pool = ground.open();
    const first = await claim(pool, "a");
    occupy(first, 250);
    const fits = await ground.jailed.executeOn(first, spin(200), { limits: { cpu_ms: 400 } });
    expect(fits.ending, JSON.stringify(fits)).toBe("completed");
    const second = await claim(pool, "a");
    occupy(second, 250);
    const loops = await ground.jailed.executeOn(second, spin(5_000), { limits: { cpu_ms: 400 } });
    expect(loops.ending, JSON.stringify(loops)).toBe("cpu_exceeded");
    expect(loops.cpu_ms).toBeGreaterThan(400);
  });
});

describe("a session's runner", () => {
  it("is one: its runs wait for it, SESSION_WAITING_MAX of them", async () => {
    const pool = ground.open({ warm: 2 });
    const session = { kind: "session" as const };
    const first = await claim(pool, "s", session);
    const waiting = Array.from({ length: SESSION_WAITING_MAX }, () => claim(pool, "s", session));
    await expect(claim(pool, "s", session)).rejects.toMatchObject({ code: "RUNNER_SESSION_BUSY" });
    let current = first;
    for (const next of waiting) {
      await run(current);
      current = await next;
      expect(current.id).toBe(first.id);
    }
    current.discard();
  });

  it("takes the place of the tenant's longest idle one past SESSION_RUNNERS_TENANT_MAX", {
    timeout: MANY_BOOTS_MS,
  }, async () => {
    const pool = ground.open({ warm: 2 });
    const ids: string[] = [];
    for (let n = 0; n < SESSION_RUNNERS_TENANT_MAX; n++) {
      const runner = await claim(pool, `s${n}`, { kind: "session" });
      ids.push(runner.id);
      runner.discard();
    }
    expect(pool.stats().idle).toBe(SESSION_RUNNERS_TENANT_MAX);
    (await claim(pool, "other", { kind: "session", tenant: "ten_b" })).discard();
    expect(pool.stats().idle).toBe(SESSION_RUNNERS_TENANT_MAX + 1);
    (await claim(pool, "one more", { kind: "session" })).discard();
    expect(pool.stats().idle).toBe(SESSION_RUNNERS_TENANT_MAX + 1);
    const again = await claim(pool, "s1", { kind: "session" });
    expect(again.id).toBe(ids[1]);
    again.discard();
    const evicted = await claim(pool, "s0", { kind: "session" });
    expect(evicted.id).not.toBe(ids[0]);
    evicted.discard();
  });
});

describe("a claim that waits", () => {
  it("gives up after RUNNER_WAIT_MS_MAX, and the next one is served", async () => {
    const clock = new VirtualClock();
    const pool = ground.open({ clock });
    const session = { kind: "session" as const };
    const first = await claim(pool, "s", session);
    let refused: unknown;
    const late = claim(pool, "s", session).catch((error: unknown) => {
      refused = error;
    });
    clock.advance(RUNNER_WAIT_MS_MAX - 1);
    expect([pool.stats().waiting, refused]).toEqual([1, undefined]);
    clock.advance(1);
    await late;
    expect(refused).toMatchObject({ code: "RUNNER_BUSY", parts: { detail: expect.stringContaining("30 s") } });
    expect(pool.stats().waiting).toBe(0);
    await run(first);
    expect((await claim(pool, "s", session)).id).toBe(first.id);
  });
});

describe("when the node holds as many as it may", () => {
  it("a new key takes the place of the longest idle runner of the tenant that holds most", async () => {
    const pool = ground.open({ bound_max: 3, warm: 1 });
    const held = [await claim(pool, "b", { tenant: "ten_b" }), await claim(pool, "a1"), await claim(pool, "a2")];
    for (const runner of held) runner.discard();
    const fresh = await claim(pool, "c", { tenant: "ten_c" });
    expect(pool.stats().idle).toBe(2);
    expect((await claim(pool, "b", { tenant: "ten_b" })).id).toBe(held[0]!.id);
    expect((await claim(pool, "a2")).id).toBe(held[2]!.id);
    fresh.discard();
  });

  it("a key that holds more than its share gives one up at a run's end", async () => {
    const pool = ground.open({ bound_max: 2, warm: 1 });
    const held = [await claim(pool, "a"), await claim(pool, "a")];
    const behind = claim(pool, "a");
    const other = claim(pool, "b", { tenant: "ten_b" });
    await eventually(() => pool.stats().waiting === 2);
    await run(held[0]!);
    const given = await other;
    expect(given.id).not.toBe(held[0]!.id);
    expect(isGone(ground.processOf(held[0]!)) || pool.stats().active === 2).toBe(true);
    await run(held[1]!);
    expect((await behind).id).toBe(held[1]!.id);
    given.discard();
  });

  it("a key waits HUNGRY_MS_MAX at most for the end of a run, whoever's it is", async () => {
    const clock = new VirtualClock();
    const pool = ground.open({ bound_max: 1, warm: 1, clock });
    let current = await claim(pool, "a");
    const hungry = claim(pool, "b", { tenant: "ten_b" });
    let next = claim(pool, "a");
    await run(current);
    current = await next; // it holds no more than its share, and the other has not waited for long
    clock.advance(HUNGRY_MS_MAX);
    next = claim(pool, "a");
    await run(current);
    const fed = await hungry;
    expect(fed.id).not.toBe(current.id);
    await run(fed);
    (await next).discard();
  });
});
