import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { closeSync, openSync } from "node:fs";
import { Worker } from "node:worker_threads";
import { afterEach, describe, expect, it } from "vitest";
import { eventually } from "../../../../tests/fixtures/eventually.ts";
import {
  confinement,
  MemoryReader,
  onlyChild,
  PeakReader,
  pssBytes,
  StatReader,
  startTicks,
  ThreadTimes,
} from "./procfs.ts";

const children: ChildProcess[] = [];

/** A real process that does nothing; its pid. */
async function sleeper(): Promise<number> {
  const child = spawn("sleep", ["60"], { stdio: "ignore" });
  children.push(child);
  const pid = child.pid ?? 0;
  await eventually(() => startTicks(pid) !== undefined);
  return pid;
}

/** Kills a process that was started here and waits until it is reaped. */
async function end(pid: number): Promise<void> {
  process.kill(pid, "SIGKILL");
  const child = children.find((each) => each.pid === pid);
  await eventually(() => child?.signalCode === "SIGKILL");
}

afterEach(async () => {
  for (const { pid, signalCode, exitCode } of children)
    if (pid && signalCode === null && exitCode === null) await end(pid);
  children.length = 0;
});

describe("a process's counters", () => {
  it("of our own process are those that Node knows", () => {
    const reader = new StatReader(process.pid);
    const use = reader.read();
    const { user, system } = process.cpuUsage();
    expect(Math.abs((use?.cpu_ticks ?? 0) * 10 - (user + system) / 1_000)).toBeLessThan(100);
    expect((use?.rss_bytes ?? 0) / process.memoryUsage.rss()).toBeCloseTo(1, 0);
    expect(use?.threads).toBeGreaterThan(1);
    expect(use?.start_ticks).toBe(startTicks(process.pid));
    const peak = new PeakReader(process.pid);
    expect(peak.read()).toBeGreaterThanOrEqual(process.memoryUsage.rss() / 2);
    peak.close();
    expect(peak.read()).toBeUndefined();
    expect(pssBytes(process.pid)).toBeGreaterThan(1_000_000);
    reader.close();
  });

  it("of its threads add up to its own, also of threads that have ended", async () => {
    const times = new ThreadTimes(process.pid);
    const stat = new StatReader(process.pid);
    const read = (): number => times.read(stat.read()?.threads ?? 0);
    const before = read();
    const burn = `const until = performance.now() + 100; while (performance.now() < until);`;
    const thread = new Worker(`${burn} setTimeout(() => {}, 200)`, { eval: true });
    await once(thread, "online");
    await eventually(() => read() - before >= 50);
    const seen = read();
    await once(thread, "exit");
    const after = read();
    expect(after).toBeGreaterThanOrEqual(seen);
    const { user, system } = process.cpuUsage();
    expect(Math.abs(after - (user + system) / 1_000)).toBeLessThan(300);
    times.close();
    stat.close();
  });

  it("grow with work", () => {
    const reader = new StatReader(process.pid);
    const before = reader.read()?.cpu_ticks ?? 0;
    const until = process.cpuUsage().user + 60_000;
    while (process.cpuUsage().user < until);
    expect((reader.read()?.cpu_ticks ?? 0) - before).toBeGreaterThanOrEqual(5);
    reader.close();
  });

  it("of a child are its own", async () => {
    const pid = await sleeper();
    const reader = new StatReader(pid);
    expect(reader.read()).toMatchObject({ threads: 1 });
    expect(startTicks(pid)).toBeGreaterThanOrEqual(startTicks(process.pid) ?? 0);
    reader.close();
  });

  it("of a dead one are undefined, through the descriptor and by pid", async () => {
    const pid = await sleeper();
    const reader = new StatReader(pid);
    await end(pid);
    expect(reader.read()).toBeUndefined();
    expect([startTicks(pid), pssBytes(pid), onlyChild(pid)]).toEqual(Array(3).fill(undefined));
    expect(() => new StatReader(pid)).toThrow("ENOENT");
    reader.close();
  });

  it("of one that has ended and waits to be reaped are undefined, though they were read before", async () => {
    const child = spawn("sh", ["-c", "sleep 60 & echo $!; exec sleep 60"], { stdio: ["ignore", "pipe", "ignore"] });
    children.push(child);
    const [line] = await once(child.stdout as NodeJS.ReadableStream, "data");
    const pid = Number(line);
    const [stat, peak, memory] = [new StatReader(pid), new PeakReader(pid), new MemoryReader(pid)];
    expect(peak.read()).toBeGreaterThan(0);
    expect(memory.read()).toBeGreaterThan(0);
    process.kill(pid, "SIGKILL");
    await eventually(() => stat.read() === undefined);
    expect(startTicks(pid)).toBeUndefined();
    expect([peak.read(), memory.read()]).toEqual([undefined, 0]);
    for (const reader of [stat, peak, memory]) reader.close();
  });

  it("a closed reader reads nothing, even when its descriptor's number has another file", () => {
    const reader = new StatReader(process.pid);
    reader.close();
    const fds = Array.from({ length: 8 }, () => openSync(`/proc/${process.pid}/stat`, "r"));
    expect(reader.read()).toBeUndefined();
    reader.close();
    for (const fd of fds) closeSync(fd); // throws if the second close had closed one of them
  });

  it("a name with brackets and blanks in it does not shift the fields", async () => {
    const child = spawn("sh", ["-c", 'printf "a) R 1 (b" >/proc/$$/comm; read _'], {
      stdio: ["pipe", "ignore", "ignore"],
    });
    children.push(child);
    const pid = child.pid ?? 0;
    await eventually(() => startTicks(pid) !== undefined);
    const reader = new StatReader(pid);
    expect(reader.read()).toMatchObject({ threads: 1 });
    expect(reader.read()?.start_ticks).toBeGreaterThanOrEqual(startTicks(process.pid) ?? 0);
    reader.close();
  });
});

describe("the sole child", () => {
  it("is undefined for none and for two", async () => {
    expect(onlyChild(await sleeper())).toBeUndefined();
    const shell = spawn("sh", ["-c", "sleep 60 & sleep 60 & wait"], { stdio: "ignore", detached: true });
    const pid = shell.pid ?? 0;
    await eventually(() => startTicks(pid) !== undefined);
    await eventually(() => onlyChild(pid) === undefined);
    process.kill(-pid, "SIGKILL");
  });

  it("is the one that there is", async () => {
    const shell = spawn("sh", ["-c", "sleep 60; true"], { stdio: "ignore", detached: true });
    const pid = shell.pid ?? 0;
    await eventually(() => onlyChild(pid) !== undefined);
    expect(startTicks(onlyChild(pid) ?? 0)).toBeDefined();
    process.kill(-pid, "SIGKILL");
  });
});

describe("confinement", () => {
  it("of an ordinary child is none", async () => {
    const found = confinement(await sleeper());
    expect(found.separate).toEqual({ user: false, net: false, pid: false, mnt: false });
    expect(found.uid).toBe(process.getuid?.());
  });

  it("of a process that gave up privileges says so", async () => {
    const child = spawn("setpriv", ["--no-new-privs", "sleep", "60"], { stdio: "ignore" });
    children.push(child);
    await eventually(() => confinement(child.pid ?? 0).no_new_privs);
  });
});
