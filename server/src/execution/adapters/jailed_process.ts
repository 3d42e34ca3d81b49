import { rm } from "node:fs/promises";
import { join } from "node:path";
import { createInterface } from "node:readline";
import type { Readable } from "node:stream";
import type { Clock } from "../../kernel/clock.ts";
import type { RunnerId } from "../../kernel/ids.ts";
import { HostClient } from "./host_client.ts";
import type { Jail } from "./jails.ts";
import type { ChildExit, Nursery, NurseryChild } from "./nursery.ts";
import { OutSocket } from "./out_socket.ts";
import { setThreadsPriority } from "./priority.ts";
import { onlyChild, PeakReader, StatReader, ThreadTimes } from "./procfs.ts";
import { createRunnerDir, type RunnerDir, type RuntimeDir, recordPid } from "./runtime_dir.ts";

/** From spawn to ready; a healthy boot takes 80-200 ms, and one that gives way on a full machine some seconds. */
export const BOOT_MS_MAX = 30_000;
/** Characters of a runner's id that name its directory: 40 random bits, and socket paths are short. */
const SHORT_ID = 8;
const STDERR_KEPT = 4_096;
/**
 * A boot takes ten times the CPU of a small run: one that nobody waits for gives way. Not further than this: at nice 15 it
 * got a hundredth of a core beside three busy loops, and was given up before it was ready.
 */
const BOOT_NICE = 5;

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

/** What a process has used so far. */
export interface ProcessNumbers {
  /** With fractions. */
  cpu_ms: number;
  /** The same as the watchdog counts it, in ticks of `TICK_MS`. */
  cpu_ticks: number;
  rss_bytes: number;
  /** The most that it ever had. */
  rss_peak_bytes: number;
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
  readonly #times: ThreadTimes;
  readonly #peak: PeakReader;
  readonly #out_path: string;
  readonly #uid: number | undefined;
  #out: Promise<OutSocket> | undefined;
  readonly #can_raise: boolean;
  #niced: boolean;

  private constructor(
    o: { id: RunnerId; jail: Jail["name"]; child: Started; pid: number; client: HostClient },
    place: Place,
  ) {
    const { id, jail, child, pid, client } = o;
    this.id = id;
    this.jail = jail;
    this.pid = pid;
    this.client = client;
    this.stdout = child.stdout;
    this.stderr = child.stderr;
    this.#stat = new StatReader(pid);
    this.#times = new ThreadTimes(pid);
    this.#peak = new PeakReader(pid);
    this.#out_path = join(place.dir.sockets, "out.sock");
    this.#uid = place.host.runtime.uid;
    this.#can_raise = canRaise(place.host.runtime);
    this.#niced = place.niced;
    this.dead = child.dead.then(async (info) => {
      client.close();
      for (const reader of [this.#stat, this.#times, this.#peak]) reader.close();
      await this.#out?.then(
        (out) => out.close(),
        () => {}, // it was never opened: its directory went with the process
      );
      return info;
    });
  }

  /** @throws Error with the end of the process's stderr, when it is not ready within `BOOT_MS_MAX`. */
  static async boot(
    host: JailHost,
    o: { jail: Jail; id: RunnerId; memory_mb: number; urgent: boolean },
  ): Promise<JailedProcess> {
    const dir = createRunnerDir(host.runtime, o.id.slice(-SHORT_ID));
    const command = o.jail.command({ runtime: host.runtime, dir, memory_mb: o.memory_mb });
    const nice = canRaise(host.runtime) && !o.urgent ? BOOT_NICE : 0;
    const child = await startJail(host, { id: o.id, command, cwd: dir.path, nice });
    try {
      await ready(child, host.clock);
      const pid = o.jail.guest === "self" ? child.pid : onlyChild(child.pid);
      if (pid === undefined) throw new Error("the jail has no single child");
      recordPid(dir, pid);
      const client = await HostClient.connect(join(dir.sockets, "in.sock"));
      return new JailedProcess({ id: o.id, jail: o.jail.name, child, pid, client }, { host, dir, niced: nice > 0 });
    } catch (cause) {
      killPid(child.pid);
      const { stderr } = await child.dead;
      throw new Error(`${o.jail.name}: ${(cause as Error).message}: ${stderr.trim()}`, { cause });
    }
  }

  /** Undefined once it is gone. About 60 µs. */
  use(): ProcessNumbers | undefined {
    const stat = this.#stat.read();
    const rss_peak_bytes = this.#peak.read();
    if (stat === undefined || rss_peak_bytes === undefined) return undefined;
    const { cpu_ticks, rss_bytes, threads } = stat;
    return { cpu_ms: this.#times.read(threads), cpu_ticks, rss_bytes, rss_peak_bytes };
  }

  alive(): boolean {
    return this.#stat.read() !== undefined;
  }

  /** The socket that the guest's calls come out of. Opened at the first call: before any guest that may use it is loaded. */
  out(): Promise<OutSocket> {
    this.#out ??= OutSocket.listen(this.#out_path, this.#uid);
    return this.#out;
  }

  /** May its priority be lowered and given back? */
  get mayBeNiced(): boolean {
    return this.#can_raise;
  }

  /** A boot gives way to runs; what has been claimed does not any more. */
  raise(): void {
    if (!this.#niced) return;
    this.#niced = false;
    setThreadsPriority(this.pid, 0);
  }

  kill(): void {
    // A read through the descriptor proves that the pid still names this process.
    if (this.alive()) killPid(this.pid);
  }
}

/** Where a process lives, and how it was started. */
interface Place {
  host: JailHost;
  dir: RunnerDir;
  /** Did it boot with a lower priority? */
  niced: boolean;
}

/** Only root may give a priority back that it took away. */
function canRaise(runtime: RuntimeDir): boolean {
  return runtime.uid !== undefined;
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
async function startJail(
  host: JailHost,
  order: { id: string; command: string[]; cwd: string; nice: number },
): Promise<Started> {
  const remove = (): Promise<void> => rm(order.cwd, { recursive: true, force: true });
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
