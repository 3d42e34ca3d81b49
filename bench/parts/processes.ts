/** What the kernel tells of a process and of those below it (proc(5)). */
import { readdirSync, readFileSync } from "node:fs";
import { sleep } from "./measure.ts";

/** USER_HZ is 100 on every Linux that Node runs on. */
const TICK_MS = 10;

/** Pids of all workerd processes below a process. */
export function runnersOf(pid: number): number[] {
  return childrenOf(pid).flatMap((child) => (nameOf(child) === "workerd" ? [child] : runnersOf(child)));
}

/** CPU time of a process since its start, of threads that have ended too; milliseconds in steps of 10. */
export function cpuMsOf(pid: number): number {
  return ticksOf(pid).own * TICK_MS;
}

/** CPU time of all processes below it, with those that have ended and were waited for. */
export function cpuMsBelow(pid: number): number {
  return ticksBelow(pid) * TICK_MS;
}

/** CPU time of its children that have ended and were waited for, and of theirs. */
export function cpuMsWaitedFor(pid: number): number {
  return ticksOf(pid).waited * TICK_MS;
}

/** Waits until the processes below it do nothing: what they owe to earlier calls must not be done beside later ones. */
export async function quiet(pid: number): Promise<void> {
  const deadline = performance.now() + 15_000;
  let before = cpuMsOf(pid) + cpuMsBelow(pid);
  for (let still = 0; still < 3 && performance.now() < deadline; ) {
    await sleep(100);
    const now = cpuMsOf(pid) + cpuMsBelow(pid);
    still = now - before <= TICK_MS ? still + 1 : 0;
    before = now;
  }
}

function ticksBelow(pid: number): number {
  return childrenOf(pid).reduce((sum, child) => sum + ticksOf(child).own + ticksBelow(child), ticksOf(pid).waited);
}

/** Fields 14 to 17, counted from 1; the second is in brackets and may hold anything. Zero once it is gone. */
function ticksOf(pid: number): { own: number; waited: number } {
  const text = read(`/proc/${pid}/stat`);
  const fields = text.slice(text.lastIndexOf(")") + 2).split(" ");
  const field = (number: number): number => Number(fields[number - 3] ?? 0);
  return { own: field(14) + field(15), waited: field(16) + field(17) };
}

function childrenOf(pid: number): number[] {
  try {
    return readdirSync(`/proc/${pid}/task`).flatMap((task) =>
      read(`/proc/${pid}/task/${task}/children`).split(" ").filter(Boolean).map(Number),
    );
  } catch {
    return []; // it has just ended
  }
}

function nameOf(pid: number): string {
  return read(`/proc/${pid}/comm`).trim();
}

/** Empty when the process has just ended. */
function read(path: string): string {
  try {
    return readFileSync(path, "latin1");
  } catch {
    return "";
  }
}
