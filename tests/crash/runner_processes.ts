import { createHash } from "node:crypto";
import { existsSync, readdirSync, readFileSync, rmSync } from "node:fs";
import { join } from "node:path";
import type { TestServer } from "../fixtures/server.ts";

/** A runner as the server records it for whoever sweeps after a crash. */
export interface RunnerRecord {
  /** Name of its directory. */
  name: string;
  pid: number;
  /** The process's start, in clock ticks since the host's boot (proc(5), field 22). */
  start_ticks: number;
}

/** A process as /proc shows it. */
export interface HostProcess {
  pid: number;
  start_ticks: number;
  command: string;
}

/** For servers of these tests: their runtime directories then lie below /tmp, as root's always do. */
export const RUNTIME_ENV = { XDG_RUNTIME_DIR: undefined };

/** Where the server over a data directory keeps its runners. Its name is in the world of each of their processes. */
export function runtimeOf(data: string): string {
  const hash = createHash("sha256").update(data).digest("hex").slice(0, 8);
  return `/tmp/gantry-${process.getuid?.() ?? 0}-${hash}`;
}

/** Runners whose directories are there, whether or not they live. */
export function runnersOf(data: string): RunnerRecord[] {
  const parent = join(runtimeOf(data), "r");
  if (!existsSync(parent)) return [];
  return readdirSync(parent).flatMap((name) => {
    const text = readOr(join(parent, name, "pid"), "");
    const [pid, start_ticks] = text.trim().split(" ").map(Number);
    return pid === undefined || start_ticks === undefined ? [] : [{ name, pid, start_ticks }];
  });
}

/** Runners that live. */
export function liveRunnersOf(data: string): RunnerRecord[] {
  return runnersOf(data).filter(({ pid, start_ticks }) => startTicksOf(pid) === start_ticks);
}

/** Undefined for a process that is gone, or dead and not reaped. */
export function startTicksOf(pid: number): number | undefined {
  const stat = readOr(`/proc/${pid}/stat`, "");
  const fields = stat.slice(stat.lastIndexOf(")") + 2).split(" ");
  return stat === "" || fields[0] === "Z" || fields[0] === "X" ? undefined : Number(fields[19]);
}

/**
 * Every process on this host that belongs to a server's runners: jail, shell or engine. They are found by what they
 * were started with and by what is mounted in their world, not by any list, so none can be missed.
 */
export function processesOf(data: string): HostProcess[] {
  const mark = runtimeOf(data).slice("/tmp/".length);
  return readdirSync("/proc")
    .filter((name) => /^\d+$/.test(name))
    .flatMap((name) => {
      const command = readOr(`/proc/${name}/cmdline`, "").replaceAll("\0", " ");
      const is_ours = command.includes(mark) || readOr(`/proc/${name}/mountinfo`, "").includes(mark);
      const start_ticks = startTicksOf(Number(name));
      return is_ours && start_ticks !== undefined ? [{ pid: Number(name), start_ticks, command }] : [];
    });
}

/**
 * What bubblewrap 0.8.0 leaves when it is killed while its child waits for the word that its ids are mapped: a child
 * that waits for ever, with no guest, no engine and no world of its own. Only the server's next start can end it.
 */
export function isBlockedBubblewrap({ command }: HostProcess): boolean {
  return command.startsWith("bwrap ");
}

/** Disposes of a server that may have been killed, and of what it keeps outside its data directory. */
export async function disposeWithRunners(server: TestServer): Promise<void> {
  await server.dispose();
  rmSync(runtimeOf(server.data), { recursive: true, force: true });
}

/** A process may go between the listing and the reading. */
function readOr(path: string, otherwise: string): string {
  try {
    return readFileSync(path, "latin1");
  } catch {
    return otherwise;
  }
}
