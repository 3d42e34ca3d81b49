import { readdirSync } from "node:fs";
import { setPriority } from "node:os";

/** Sets the CPU priority of all threads of a process: on Linux it is a thread's (setpriority(2)). */
export function setThreadsPriority(pid: number, nice: number): void {
  for (const thread of threadsOf(pid)) {
    try {
      setPriority(thread, nice);
    } catch {
      // ESRCH: it has ended since.
    }
  }
}

function threadsOf(pid: number): number[] {
  try {
    return readdirSync(`/proc/${pid}/task`).map(Number);
  } catch {
    return []; // it has died
  }
}
