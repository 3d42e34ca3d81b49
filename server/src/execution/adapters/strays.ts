import { readdirSync, readFileSync } from "node:fs";
import { basename, join } from "node:path";
import { startTicks } from "./procfs.ts";

/** The names under which a jail shows the runner's sockets; see `jails.ts` and `jail.sh`. */
const SOCKETS_INSIDE = "/gantry/s";

/**
 * Processes of jails below a runtime directory, whether or not a file names them. A server that is killed while it
 * builds a jail may leave a child of bubblewrap (0.8.0) that waits for its dead parent's word for ever: it has no death
 * signal yet, and nobody has written down its pid.
 * They are known by what only such a process has: the runner's sockets mounted at `/gantry/s`, or bubblewrap's
 * arguments that ask for that.
 * @param runtime  the path of a runtime directory that no server uses at the moment.
 */
export function strayProcesses(runtime: string): { pid: number; start_ticks: number }[] {
  return readdirSync("/proc").flatMap((name) => {
    if (!/^\d+$/.test(name)) return [];
    // Read before the marks: if the pid changes hands in between, the number no longer fits the process.
    const pid = Number(name);
    const start_ticks = startTicks(pid);
    if (start_ticks === undefined || !(asksForSockets(pid, runtime) || hasSockets(pid, runtime))) return [];
    return [{ pid, start_ticks }];
  });
}

function asksForSockets(pid: number, runtime: string): boolean {
  const runners = `${join(runtime, "r")}/`;
  const args = read(pid, "cmdline").split("\0");
  return args.some(
    (arg, at) => arg === "--bind" && args[at + 1]?.startsWith(runners) && args[at + 2] === SOCKETS_INSIDE,
  );
}

/** Fields 4 and 5 of a line of mountinfo (proc(5)): what is mounted, as its own file system names it, and where. */
function hasSockets(pid: number, runtime: string): boolean {
  const mark = `/${basename(runtime)}/r/`;
  return read(pid, "mountinfo")
    .split("\n")
    .map((line) => line.split(" "))
    .some(([, , , root, at]) => at === SOCKETS_INSIDE && root?.includes(mark));
}

function read(pid: number, file: string): string {
  try {
    return readFileSync(`/proc/${pid}/${file}`, "latin1");
  } catch {
    // It has gone, or belongs to another user, whose processes are none of ours.
    return "";
  }
}
