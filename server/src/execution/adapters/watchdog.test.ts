import { type ChildProcess, spawn } from "node:child_process";
import { readFileSync } from "node:fs";
import { getPriority } from "node:os";
import { createInterface } from "node:readline";
import { afterEach, beforeEach, expect, it } from "vitest";
import { eventually } from "../../../../tests/fixtures/eventually.ts";
import { need } from "../../../../tests/fixtures/need.ts";
import { LONG_RUN_CPU_MS, RUNNER_THREADS_MAX } from "../contract.ts";
import type { Conviction } from "../watch.ts";
import { StatReader, startTicks, TICK_MS } from "./procfs.ts";
import { Watchdog, type WatchOrder } from "./watchdog.ts";

const MB = 1024 * 1024;
const GENEROUS = { cpu_ms: 60_000, wall_ms: 60_000, memory_bytes: 4_096 * MB, threads_max: 4_096, long_run_nice: 0 };

let watchdog: Watchdog;
const children: ChildProcess[] = [];

beforeEach(() => {
  watchdog = new Watchdog((error) => {
    throw error;
  });
});
afterEach(async () => {
  for (const child of children.splice(0)) child.kill("SIGKILL");
  await watchdog.close();
});

/** A real process that says "ready" once, and then does what its source says. */
async function start(source: string, env: Record<string, string> = {}): Promise<number> {
  const child = spawn(process.execPath, ["-e", source], { stdio: ["pipe", "pipe", "inherit"], env });
  children.push(child);
  for await (const line of createInterface({ input: child.stdout })) if (line === "ready") break;
  return child.pid ?? 0;
}

/** The number of the latest watch. */
let watch = 0;

/** Watches until the conviction, with only the given budget narrow. */
function convicted(pid: number, narrow: Partial<WatchOrder>): Promise<Conviction> {
  const base = new StatReader(pid);
  const { rss_bytes: rss_base_bytes = 0, cpu_ticks: cpu_ticks_base = 0 } = base.read() ?? {};
  base.close();
  watchdog.adopt("rnr_a", pid);
  return new Promise((resolve) => {
    watch = watchdog.watch({ runner: "rnr_a", rss_base_bytes, cpu_ticks_base, ...GENEROUS, ...narrow }, resolve);
  });
}

const dead = (child: ChildProcess | undefined): Promise<NodeJS.Signals | null> =>
  new Promise((resolve) => child?.on("exit", (_, signal) => resolve(signal)));

it("convicts and kills a process that is past its CPU", async () => {
  const pid = await start("console.log('ready'); for (;;);");
  const end = dead(children[0]);
  const conviction = await convicted(pid, { cpu_ms: 100 });
  expect(conviction).toMatchObject({ runner: "rnr_a", reason: "cpu_exceeded" });
  expect(conviction.cpu_ms).toBeGreaterThan(100);
  expect(await end).toBe("SIGKILL");
});

it("convicts a process that is past its memory, and says how much it had", async () => {
  const pid = await start("console.log('ready'); const a = []; setInterval(() => a.push(Buffer.alloc(4e6, 1)), 1);");
  const conviction = await convicted(pid, { memory_bytes: 64 * MB });
  expect(conviction.reason).toBe("memory_exceeded");
  expect(conviction.rss_peak_bytes).toBeGreaterThan(64 * MB);
});

it("convicts a process that sleeps past its time", async () => {
  const pid = await start("console.log('ready'); setInterval(() => {}, 1e6);");
  expect((await convicted(pid, { wall_ms: 50 })).reason).toBe("wall_exceeded");
});

/** Its thread pool decides how many threads it has: all of them start with the first work. */
const POOL =
  "for (let i = 0; i < 256; i++) require('fs').stat('/', () => { if (i === 255) console.log('ready'); });setInterval(() => {}, 1e6);";
const threadsOf = (pid: number): number =>
  Number(/^Threads:\s+(\d+)/m.exec(readFileSync(`/proc/${pid}/status`, "utf8"))?.[1]);

it("lets RUNNER_THREADS_MAX threads pass, and convicts one more", async () => {
  const others = threadsOf(await start(POOL, { UV_THREADPOOL_SIZE: "1" })) - 1;
  const full = await start(POOL, { UV_THREADPOOL_SIZE: String(RUNNER_THREADS_MAX - others) });
  expect(threadsOf(full)).toBe(RUNNER_THREADS_MAX);
  expect((await convicted(full, { threads_max: RUNNER_THREADS_MAX, wall_ms: 100 })).reason).toBe("wall_exceeded");
  const over = await start(POOL, { UV_THREADPOOL_SIZE: String(RUNNER_THREADS_MAX - others + 1) });
  expect((await convicted(over, { threads_max: RUNNER_THREADS_MAX })).reason).toBe("threads_exceeded");
});

it("lowers the priority of a run that goes on for long, and gives it back at the run's end", async (context) => {
  need(context, "root", process.getuid?.() === 0 ? undefined : "only root may give a priority back");
  const pid = await start("console.log('ready'); for (;;);");
  const stat = new StatReader(pid);
  const used_before = stat.read()?.cpu_ticks ?? 0;
  void convicted(pid, { long_run_nice: 10 });
  await eventually(() => getPriority(pid) === 10);
  expect(((stat.read()?.cpu_ticks ?? 0) - used_before) * TICK_MS).toBeGreaterThanOrEqual(LONG_RUN_CPU_MS);
  stat.close();
  watchdog.rest("rnr_a");
  await eventually(() => getPriority(pid) === 0);
  void convicted(pid, { cpu_ms: 200 });
  await dead(children[0]);
  expect((await watchdog.convictionOf("rnr_a", watch))?.reason).toBe("cpu_exceeded");
});

it("tells a run nothing of what was found of the one before it in the same process", async () => {
  const pid = await start("console.log('ready'); for (;;);");
  const end = dead(children[0]);
  const told: string[] = [];
  watchdog.adopt("rnr_a", pid);
  const order = { runner: "rnr_a", rss_base_bytes: 0, cpu_ticks_base: 0, ...GENEROUS };
  const first = watchdog.watch({ ...order, cpu_ms: 30 }, () => told.push("first"));
  // Without giving way: it is convicted and dead, and the message of that has not been read.
  while (startTicks(pid) !== undefined);
  watchdog.rest("rnr_a");
  const second = watchdog.watch(order, () => told.push("second"));
  await end;
  expect(await watchdog.convictionOf("rnr_a", second)).toBeUndefined();
  expect((await watchdog.convictionOf("rnr_a", first))?.reason).toBe("cpu_exceeded");
  expect(told).toEqual([]);
});

it("knows the conviction of a process as soon as its death is seen", async () => {
  const pid = await start("console.log('ready'); for (;;);");
  const end = dead(children[0]);
  void convicted(pid, { cpu_ms: 30 });
  await end;
  expect((await watchdog.convictionOf("rnr_a", watch))?.reason).toBe("cpu_exceeded");
});

it("knows nothing of a process that ended by itself", async () => {
  const pid = await start("process.stdin.once('data', () => process.exit(3)); console.log('ready');");
  const end = dead(children[0]);
  void convicted(pid, {});
  children[0]?.stdin?.write("go\n"); // It is watched by now.
  await end;
  expect(await watchdog.convictionOf("rnr_a", watch)).toBeUndefined();
});
