import { type ChildProcess, spawn } from "node:child_process";
import { rmSync } from "node:fs";
import { join } from "node:path";
import { createInterface } from "node:readline";
import type { Duplex, Readable } from "node:stream";
import type { Clock } from "../../kernel/clock.ts";
import type { RunnerId } from "../../kernel/ids.ts";
import { HostClient } from "./host_client.ts";
import type { Jail } from "./jails.ts";
import { onlyChild, rssPeakBytes, StatReader, threadsCpuMs } from "./procfs.ts";
import { createRunnerDir, type RunnerDir, type RuntimeDir, recordPid } from "./runtime_dir.ts";

/** From spawn to ready; a healthy boot takes 80-200 ms. */
export const BOOT_MS_MAX = 10_000;
/** Characters of a runner's id that name its directory: 40 random bits, and socket paths are short. */
const SHORT_ID = 8;
const STDERR_KEPT = 4_096;

export interface ExitInfo {
  code: number | null;
  signal: NodeJS.Signals | null;
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

  private constructor(id: RunnerId, jail: Jail["name"], child: Spawned, pid: number, client: HostClient) {
    this.id = id;
    this.jail = jail;
    this.pid = pid;
    this.client = client;
    this.stdout = child.stdout;
    this.stderr = child.stderr;
    this.#stat = new StatReader(pid);
    this.dead = child.dead.then((info) => {
      client.close();
      this.#stat.close();
      return info;
    });
  }

  /** @throws Error with the end of the process's stderr, when it is not ready within `BOOT_MS_MAX`. */
  static async boot(o: {
    jail: Jail;
    runtime: RuntimeDir;
    id: RunnerId;
    memory_mb: number;
    clock: Clock;
  }): Promise<JailedProcess> {
    const dir = createRunnerDir(o.runtime, o.id.slice(-SHORT_ID));
    const spec = { runtime: o.runtime, dir, memory_mb: o.memory_mb };
    const child = spawnJail(o.jail.command(spec), dir);
    try {
      await ready(child, o.clock);
      const outer = child.process.pid ?? 0;
      const pid = o.jail.guest === "self" ? outer : onlyChild(outer);
      if (pid === undefined) throw new Error("the jail has no single child");
      recordPid(dir, pid);
      const client = await HostClient.connect(join(dir.sockets, "in.sock"));
      return new JailedProcess(o.id, o.jail.name, child, pid, client);
    } catch (cause) {
      child.process.kill("SIGKILL");
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

  kill(): void {
    // A read through the descriptor proves that the pid still names this process.
    if (this.#stat.read() === undefined) return;
    try {
      process.kill(this.pid, "SIGKILL");
    } catch {
      // ESRCH: it went in between.
    }
  }
}

interface Spawned {
  process: ChildProcess;
  control: Duplex;
  stdout: Readable;
  stderr: Readable;
  dead: Promise<ExitInfo>;
}

/**
 * From the main thread only: the death signal that takes jails down with us follows the spawning *thread*.
 * The environment is empty and the working directory the runner's own.
 */
function spawnJail(command: string[], dir: RunnerDir): Spawned {
  const [file = "", ...args] = command;
  const env = { PATH: "/usr/sbin:/usr/bin:/sbin:/bin" };
  const child = spawn(file, args, { stdio: ["ignore", "pipe", "pipe", "pipe"], env, cwd: dir.path });
  const [, stdout, stderr, control] = child.stdio as unknown as [null, Readable, Readable, Duplex];
  control.on("error", () => {}); // it died before it was answered: its end tells the story
  let tail = "";
  stderr.on("data", (chunk: Buffer) => {
    tail = (tail + chunk.toString("utf8")).slice(-STDERR_KEPT);
  });
  const dead = new Promise<ExitInfo>((resolve) => {
    child.on("error", (error) => {
      tail += error.message;
      // A command that could not be started emits no close.
      if (child.pid === undefined) resolve({ code: null, signal: null, stderr: tail });
    });
    child.on("close", (code, signal) => {
      rmSync(dir.path, { recursive: true, force: true });
      resolve({ code, signal, stderr: tail });
    });
  });
  return { process: child, control, stdout, stderr, dead };
}

/** Answers the jail when it is built, and waits for workerd's own message on the same descriptor (`--control-fd`). */
async function ready(child: Spawned, clock: Clock): Promise<void> {
  const lines = createInterface({ input: child.control });
  const cancel = clock.after(BOOT_MS_MAX, () => child.process.kill("SIGKILL"));
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
