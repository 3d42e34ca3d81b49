import { readFileSync } from "node:fs";
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from "vitest";
import { eventually } from "../../../tests/fixtures/eventually.ts";
import { need } from "../../../tests/fixtures/need.ts";
import { isGone, openPoolGround, type PoolGround } from "../../../tests/fixtures/pool_ground.ts";
import { VirtualClock } from "../../../tests/fixtures/virtual_clock.ts";
import { startTicks } from "./adapters/procfs.ts";
import { BOOT_FAILURES_MAX, type Runner, type RunnerPool } from "./contract.ts";

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

const acquire = (pool: RunnerPool, memory_mb = 128, signal = new AbortController().signal): Promise<Runner> =>
  pool.acquire({ kind: "process", tenant: "ten_a", memory_mb }, signal);

describe("warm processes", () => {
  it("are kept ready, and one that is claimed is replaced", async () => {
    const pool = ground.open({ warm: 2 });
    await eventually(() => pool.stats().primed === 2);
    expect(pool.stats()).toMatchObject({ jail: "unshare", booting: 0, active: 0, boot_failures: 0 });
    const runner = await acquire(pool);
    expect(runner).toMatchObject({ cold: false, jail: "unshare" });
    // Only one is missing: its boot waits for the run.
    expect(pool.stats()).toMatchObject({ active: 1, primed: 1, booting: 0 });
    runner.discard();
    runner.discard();
    // And until its end has been told.
    expect(pool.stats()).toMatchObject({ active: 0, primed: 1, booting: 0 });
    await eventually(() => pool.stats().primed === 2);
    expect(ground.booted).toHaveLength(3);
    await eventually(() => isGone(ground.processOf(runner)));
  });

  it("are replaced beside the runs that go on when more than one is missing", async () => {
    const pool = ground.open({ warm: 4 });
    await eventually(() => pool.stats().primed === 4);
    const runners = [await acquire(pool)];
    expect(pool.stats()).toMatchObject({ active: 1, primed: 3, booting: 0 });
    runners.push(await acquire(pool));
    expect(pool.stats()).toMatchObject({ active: 2, primed: 2, booting: 1 });
    await eventually(() => pool.stats().primed === 3);
    for (const runner of runners) runner.discard();
    await eventually(() => pool.stats().primed === 4);
  });

  it("are claimed by one run each", async () => {
    const pool = ground.open({ warm: 2 });
    const runners = await Promise.all(Array.from({ length: 4 }, () => acquire(pool)));
    expect(new Set(runners.map(({ id }) => id)).size).toBe(4);
    for (const runner of runners) runner.discard();
  });

  it("may die before anyone claims them, and are replaced", async () => {
    const pool = ground.open({ warm: 1 });
    await eventually(() => pool.stats().primed === 1);
    process.kill(ground.booted[0]!.process.pid, "SIGKILL");
    await eventually(() => ground.booted.length === 2 && pool.stats().primed === 1);
    expect(pool.stats().boot_failures).toBe(0);
  });

  it("that have just died are not handed out", async () => {
    const pool = ground.open({ warm: 1 });
    await eventually(() => pool.stats().primed === 1);
    const [dead] = ground.booted;
    process.kill(dead!.process.pid, "SIGKILL");
    // Without giving way: the exit has happened, and the pool has not heard of it.
    while (startTicks(dead!.process.pid) !== undefined);
    expect(pool.stats().primed).toBe(1);
    const runner = await acquire(pool);
    expect(runner.id).not.toBe(dead!.process.id);
    runner.discard();
  });
});

describe("acquiring", () => {
  it("waits for a boot where none is warm", async () => {
    const pool = ground.open();
    const runners = await Promise.all([acquire(pool), acquire(pool), acquire(pool)]);
    expect(runners.map(({ cold }) => cold)).toEqual([true, true, true]);
    for (const runner of runners) runner.discard();
  });

  it("gives up with the signal's reason, and leaves the process to the next one", async () => {
    const pool = ground.open({ boots: 1 });
    const reason = new Error("changed my mind");
    await expect(acquire(pool, 128, AbortSignal.abort(reason))).rejects.toBe(reason);
    expect(pool.stats().booting).toBe(0);
    const abort = new AbortController();
    const waiting = acquire(pool, 128, abort.signal);
    expect(pool.stats().booting).toBe(1);
    abort.abort(reason);
    await expect(waiting).rejects.toBe(reason);
    await eventually(() => pool.stats().primed === 1);
    expect((await acquire(pool)).cold).toBe(false);
  });

  it("a class that is ground.booted on demand gives up as well, and its process is killed", async () => {
    const pool = ground.open();
    const abort = new AbortController();
    const reason = new Error("changed my mind");
    const waiting = acquire(pool, 256, abort.signal);
    abort.abort(reason);
    await expect(waiting).rejects.toBe(reason);
    expect(pool.stats().active).toBe(0);
    await eventually(() => ground.booted.length === 1 && isGone(ground.booted[0]!.process));
  });

  it.each([
    [16, 128, false],
    [128, 128, false],
    [129, 256, true],
    [256, 256, true],
    [257, 512, true],
    [512, 512, true],
  ])("%i MB get the class %i", async (memory_mb, size, cold) => {
    const pool = ground.open({ warm: 1 });
    await eventually(() => pool.stats().primed === 1);
    const runner = await acquire(pool, memory_mb);
    expect(runner.cold).toBe(cold);
    const { process, memory_mb: booted_mb } = ground.booted.find((each) => each.process.id === runner.id)!;
    expect(booted_mb).toBe(size);
    expect(readFileSync(`/proc/${process.pid}/cmdline`, "latin1")).toContain(`/${size}.capnp`);
    runner.discard();
  });

  it("is refused where there is no jail, with what would help", async () => {
    const problems = [{ code: "USER_NAMESPACES", fix: "Allow user namespaces." }];
    const pool = ground.open({ boot: undefined, report: { ...ground.jailed.report, ok: false, problems } });
    expect(pool.stats().jail).toBeNull();
    await expect(acquire(pool)).rejects.toMatchObject({
      code: "RUNNER_NO_JAIL",
      parts: { detail: "No guest code runs here. Allow user namespaces." },
    });
  });
});

describe("a boot that waits for runs", () => {
  it("waits no longer than a moment, and not at all when nothing is warm", async () => {
    const clock = new VirtualClock();
    const pool = ground.open({ clock, warm: 2 });
    await eventually(() => pool.stats().primed === 2);
    const first = await acquire(pool);
    expect(pool.stats()).toMatchObject({ primed: 1, booting: 0 });
    clock.advance(50);
    expect(pool.stats()).toMatchObject({ primed: 1, booting: 1 });
    await eventually(() => pool.stats().primed === 2);
    const others = [await acquire(pool), await acquire(pool)];
    expect(pool.stats()).toMatchObject({ primed: 0, active: 3, booting: 2 });
    for (const runner of [first, ...others]) runner.discard();
  });

  it("goes on while a run does, also where one process is all that is kept warm", async () => {
    const pool = ground.open({ warm: 1 });
    await eventually(() => pool.stats().primed === 1);
    const runner = await acquire(pool);
    await eventually(() => pool.stats().primed === 1);
    expect(pool.stats().active).toBe(1);
    runner.discard();
  });
});

describe("boots that fail", () => {
  it("are tried each second; BOOT_FAILURES_MAX in a row refuse who waits, and one that succeeds ends it", async () => {
    const clock = new VirtualClock();
    let broken = true;
    let tries = 0;
    const pool = ground.open({
      clock,
      boots: 1,
      warm: 1,
      boot: (id, memory_mb, urgent) => {
        tries += 1;
        return broken ? Promise.reject(new Error("no /proc here")) : ground.boot(id, memory_mb, urgent);
      },
    });
    let refused: unknown;
    void acquire(pool).catch((error: unknown) => {
      refused = error;
    });
    for (let failures = 1; failures < BOOT_FAILURES_MAX; failures++) {
      await eventually(() => pool.stats().boot_failures === failures && pool.stats().booting === 0);
      clock.advance(999);
      expect([tries, refused]).toEqual([failures, undefined]);
      clock.advance(1);
    }
    await eventually(() => refused !== undefined);
    expect(refused).toMatchObject({ code: "RUNNER_BOOT_FAILED", parts: { retry_after_ms: 1_000 } });
    expect(JSON.stringify(refused)).toContain("no /proc here");
    await expect(acquire(pool)).rejects.toHaveProperty("code", "RUNNER_BOOT_FAILED");
    expect(tries).toBe(BOOT_FAILURES_MAX);

    broken = false;
    clock.advance(1_000);
    await eventually(() => pool.stats().primed === 1);
    expect(pool.stats().boot_failures).toBe(0);
    (await acquire(pool)).discard();
  });

  it("a process that is dead on arrival is a boot that failed, and is handed to nobody", async () => {
    let first = true;
    const pool = ground.open({
      boots: 1,
      boot: async (id, memory_mb, urgent) => {
        const process = await ground.boot(id, memory_mb, urgent);
        if (!first) return process;
        first = false;
        process.kill();
        await process.dead;
        return process;
      },
    });
    const runner = await acquire(pool);
    expect(runner.id).toBe(ground.booted[1]?.process.id);
    runner.discard();
  });

  it("a larger class that does not boot is refused at once", async () => {
    const pool = ground.open({ boot: () => Promise.reject(new Error("no memory")) });
    await expect(acquire(pool, 512)).rejects.toHaveProperty("code", "RUNNER_BOOT_FAILED");
  });
});

describe("closing", () => {
  it("kills what is warm, claimed or still booting, and waits until it is gone", async () => {
    const pool = ground.open({ warm: 2 });
    await acquire(pool);
    await eventually(() => pool.stats().primed >= 1);
    const large = acquire(pool, 512).catch((error: unknown) => error);
    await pool.close();
    await large;
    expect(ground.booted.length).toBeGreaterThanOrEqual(3);
    expect(ground.booted.filter(({ process }) => !isGone(process))).toEqual([]);
  });

  it("refuses who waits, and who comes after", async () => {
    const pool = ground.open({ boots: 1 });
    const waiting = expect(acquire(pool)).rejects.toHaveProperty("code", "RUNNER_BOOT_FAILED");
    await pool.close();
    await waiting;
    await expect(acquire(pool)).rejects.toHaveProperty("code", "RUNNER_NO_JAIL");
    expect(ground.booted.filter(({ process }) => !isGone(process))).toEqual([]);
  });
});
