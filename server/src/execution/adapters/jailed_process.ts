import { readdirSync } from "node:fs";
import { rm } from "node:fs/promises";
import { setPriority } from "node:os";
import { join } from "node:path";
import { createInterface } from "node:readline";
import type { Readable } from "node:stream";
import type { Clock } from "../../kernel/clock.ts";
import type { RunnerId } from "../../kernel/ids.ts";
import { HostClient } from "./host_client.ts";
import type { Jail } from "./jails.ts";
import type { ChildExit, Nursery, NurseryChild } from "./nursery.ts";
import { onlyChild, rssPeakBytes, StatReader, threadsCpuMs } from "./procfs.ts";
import { createRunnerDir, type RunnerDir, type RuntimeDir, recordPid } from "./runtime_dir.ts";

/** From spawn to ready; a healthy boot takes 80-200 ms. */
export const BOOT_MS_MAX = 10_000;
/** Characters of a runner's id that name its directory: 40 random bits, and socket paths are short. */
const SHORT_ID = 8;
const STDERR_KEPT = 4_096;
/** A boot takes ten times the CPU of a small run: beside one it must wait. */
const BOOT_NICE = 15;

/** What jails are built with. */
export interface JailHost {
  runtime: RuntimeDir;
  nursery: Nursery;
  clock: Clock;
}

export interface ExitInfo extends ChildExit {
  /** The end of what the process wrote to stderr. */
  stderr: string;
}

/** One jailed workerd process with its sockets. Everything about it is gone after `dead`. */
export class JailedProcess {
  readonly id: RunnerId;
  readonly jail: Jail["name"];
  /** The guest's process as the host sees it. */
  readonly pid: number;
  readonly client: HostClient;
  /** The process has been reaped and its output read to the end. */
  readonly dead: Promise<ExitInfo>;
  readonly stdout: Readable;
  readonly stderr: Readable;
  readonly #stat: StatReader;
  #niced: boolean;

  private constructor(
    id: RunnerId,
    jail: Jail["name"],
    child: Started,
    pid: number,
    client: HostClient,
    niced: boolean,
  ) {
    this.id = id;
    this.jail = jail;
    this.pid = pid;
    this.client = client;
    this.stdout = child.stdout;
    this.stderr = child.stderr;
    this.#stat = new StatReader(pid);
    this.#niced = niced;
    this.dead = child.dead.then((info) => {
      client.close();
      this.#stat.close();
      return info;
    });
  }

  /** @throws Error with the end of the process's stderr, when it is not ready within `BOOT_MS_MAX`. */
  static async boot(host: JailHost, o: { jail: Jail; id: RunnerId; memory_mb: number }): Promise<JailedProcess> {
    const dir = createRunnerDir(host.runtime, o.id.slice(-SHORT_ID));
    const command = o.jail.command({ runtime: host.runtime, dir, memory_mb: o.memory_mb });
    const child = await startJail(host, o.id, command, dir);
    try {
      await ready(child, host.clock);
      const pid = o.jail.guest === "self" ? child.pid : onlyChild(child.pid);
      if (pid === undefined) throw new Error("the jail has no single child");
      recordPid(dir, pid);
      const client = await HostClient.connect(join(dir.sockets, "in.sock"));
      return new JailedProcess(o.id, o.jail.name, child, pid, client, canRaise(host.runtime));
    } catch (cause) {
      killPid(child.pid);
      const { stderr } = await child.dead;
      throw new Error(`${o.jail.name}: ${(cause as Error).message}: ${stderr.trim()}`, { cause });
    }
  }

  /** Undefined once it is gone. */
  use(): { cpu_ms: number; rss_bytes: number; rss_peak_bytes: number } | undefined {
    const stat = this.#stat.read();
    const cpu_ms = threadsCpuMs(this.pid);
    if (stat === undefined || cpu_ms === undefined) return undefined;
    return { cpu_ms, rss_bytes: stat.rss_bytes, rss_peak_bytes: rssPeakBytes(this.pid) ?? stat.rss_bytes };
  }

  /** A boot gives way to runs; what has been claimed does not any more. */
  raise(): void {
    if (!this.#niced) return;
    this.#niced = false;
    // On Linux a priority is a thread's (setpriority(2)).
    for (const thread of threadsOf(this.pid)) setPriority(thread, 0);
  }

  kill(): void {
    // A read through the descriptor proves that the pid still names this process.
    if (this.#stat.read() !== undefined) killPid(this.pid);
  }
}

/** Only root may give a priority back that it took away. */
function canRaise(runtime: RuntimeDir): boolean {
  return runtime.uid !== undefined;
}

function threadsOf(pid: number): number[] {
  try {
    return readdirSync(`/proc/${pid}/task`).map(Number);
  } catch {
    return []; // it has died
  }
}

function killPid(pid: number): void {
  try {
    process.kill(pid, "SIGKILL");
  } catch {
    // ESRCH: it went in between.
  }
}

interface Started extends Omit<NurseryChild, "exited" | "pid"> {
  pid: number;
  /** It has been reaped, its output read to the end, and its directory removed. */
  dead: Promise<ExitInfo>;
}

/** @throws Error when the command cannot be started. */
async function startJail(host: JailHost, id: string, command: string[], dir: RunnerDir): Promise<Started> {
  const remove = (): Promise<void> => rm(dir.path, { recursive: true, force: true });
  const order = { id, command, cwd: dir.path, nice: canRaise(host.runtime) ? BOOT_NICE : 0 };
  const { pid, control, stdout, stderr, exited } = await host.nursery.start(order).catch(async (error: unknown) => {
    await remove();
    throw error;
  });
  let tail = "";
  stderr.on("data", (chunk: Buffer) => {
    tail = (tail + chunk.toString("utf8")).slice(-STDERR_KEPT);
  });
  const ended = [stdout, stderr].map((stream) => new Promise<void>((resolve) => stream.on("close", () => resolve())));
  const dead = exited.then(async (exit) => {
    if (stdout.listenerCount("data") === 0) stdout.resume(); // nobody reads a warm one, so its end would not be seen
    control.destroy();
    await Promise.all(ended);
    await remove();
    return { ...exit, stderr: tail };
  });
  if (pid === undefined) throw new Error((await dead).error);
  return { pid, control, stdout, stderr, dead };
}

/** Answers the jail when it is built, and waits for workerd's own message on the same descriptor (`--control-fd`). */
async function ready(child: Started, clock: Clock): Promise<void> {
  const lines = createInterface({ input: child.control });
  const cancel = clock.after(BOOT_MS_MAX, () => killPid(child.pid));
  try {
    for await (const line of lines) {
      if (line.includes('"event":"jail"')) child.control.write("\n");
      if (line.includes('"event":"listen"')) return;
    }
    throw new Error("the process ended before it was ready");
  } finally {
    cancel();
    lines.close();
    // Whatever else the engine says there is of no use to us, but must not fill the pipe.
    child.control.resume();
  }
}
