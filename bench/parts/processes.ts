import { readdirSync, readFileSync } from "node:fs";

/** Pids of all workerd processes below a process. */
export function runnersOf(pid: number): number[] {
  return childrenOf(pid).flatMap((child) => (nameOf(child) === "workerd" ? [child] : runnersOf(child)));
}

function childrenOf(pid: number): number[] {
  return readdirSync(`/proc/${pid}/task`).flatMap((task) => {
    const text = readFileSync(`/proc/${pid}/task/${task}/children`, "utf8").trim();
    return text === "" ? [] : text.split(" ").map(Number);
  });
}

function nameOf(pid: number): string {
  return readFileSync(`/proc/${pid}/comm`, "utf8").trim();
}
