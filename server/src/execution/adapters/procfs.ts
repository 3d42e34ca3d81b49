import { closeSync, openSync, readdirSync, readFileSync, readlinkSync, readSync } from "node:fs";

/** Kernel facts of one process, read from /proc (proc(5)). */
export interface ProcessUse {
  /** User and system time since its start, in clock ticks of 10 ms: USER_HZ is 100 on every Linux that Node runs on. */
  cpu_ticks: number;
  rss_bytes: number;
  threads: number;
  /** Start time in ticks since boot: with the pid it names a process for good. */
  start_ticks: number;
}

export const TICK_MS = 10;
const PAGE_BYTES = 4096;

const TAB = 0x09;
const SPACE = 0x20;
const DIGIT_0 = 0x30;
const CLOSING_BRACKET = 0x29;
const DEAD = new Set([..."ZX"].map((state) => state.charCodeAt(0)));

/**
 * A file of /proc behind a descriptor that stays open: a dead process then reads ESRCH, so a reused pid cannot fool it, and
 * reading costs a tenth of opening (measured: 4 µs against 48 for each file). What is read is parsed as bytes: as text,
 * `stat` took 4.5 µs, three of them to cut it up, and 29 between two runs, when nothing is in the caches.
 */
class KeptFile {
  readonly #fd: number;
  /** What was read last, and behind it what was read before. */
  readonly bytes: Buffer;
  #closed = false;

  /** @throws ENOENT when there is no such process. */
  constructor(path: string, bytes: number) {
    this.bytes = Buffer.alloc(bytes);
    this.#fd = openSync(path, "r");
  }

  /** How many bytes there are; 0 once the process is gone or the file closed. */
  read(): number {
    // The number of a closed descriptor may already be that of another runner's.
    if (this.#closed) return 0;
    try {
      return readSync(this.#fd, this.bytes, 0, this.bytes.length, 0);
    } catch {
      // ESRCH: it was reaped.
      return 0;
    }
  }

  close(): void {
    if (this.#closed) return;
    this.#closed = true;
    closeSync(this.#fd);
  }
}

/** The number that stands at a place, up to what is no digit. */
function numberAt(bytes: Uint8Array, from: number): number {
  let number = 0;
  for (let at = from; at < bytes.length; at++) {
    const digit = (bytes[at] as number) - DIGIT_0;
    if (digit < 0 || digit > 9) break;
    number = number * 10 + digit;
  }
  return number;
}

/** `/proc/<pid>/stat`. */
export class StatReader {
  readonly #file: KeptFile;

  /** @throws ENOENT when there is no such process. */
  constructor(pid: number) {
    this.#file = new KeptFile(`/proc/${pid}/stat`, 1_024);
  }

  /** Undefined once the process is gone or the reader closed. */
  read(): ProcessUse | undefined {
    return parseStat(this.#file.bytes, this.#file.read());
  }

  close(): void {
    this.#file.close();
  }
}

/** Resident memory from `/proc/<pid>/statm`: a fifth of the price of `stat`, which adds up the times of all threads. */
export class MemoryReader {
  readonly #file: KeptFile;

  /** @throws ENOENT when there is no such process. */
  constructor(pid: number) {
    this.#file = new KeptFile(`/proc/${pid}/statm`, 128);
  }

  /** In bytes; 0 of a zombie, undefined once it was reaped or the reader closed. */
  read(): number | undefined {
    const length = this.#file.read();
    if (length === 0) return undefined;
    const { bytes } = this.#file;
    let at = 0;
    while (at < length && bytes[at] !== SPACE) at++;
    return numberAt(bytes, at + 1) * PAGE_BYTES;
  }

  close(): void {
    this.#file.close();
  }
}

/** Field numbers as in proc(5), counted from 1; the second is in brackets and may hold anything. */
function parseStat(bytes: Buffer, length: number): ProcessUse | undefined {
  if (length === 0) return undefined;
  let at = bytes.lastIndexOf(CLOSING_BRACKET, length - 1) + 2;
  if (DEAD.has(bytes[at] as number)) return undefined;
  const use = { cpu_ticks: 0, rss_bytes: 0, threads: 0, start_ticks: 0 };
  for (let field = 3; field <= 24; field++) {
    if (field === 14 || field === 15) use.cpu_ticks += numberAt(bytes, at);
    else if (field === 20) use.threads = numberAt(bytes, at);
    else if (field === 22) use.start_ticks = numberAt(bytes, at);
    else if (field === 24) use.rss_bytes = numberAt(bytes, at) * PAGE_BYTES;
    while (at < length && bytes[at] !== SPACE) at++;
    at++;
  }
  return use;
}

/** When the process started, in ticks since boot; undefined if there is none. */
export function startTicks(pid: number): number | undefined {
  try {
    const bytes = readFileSync(`/proc/${pid}/stat`);
    return parseStat(bytes, bytes.length)?.start_ticks;
  } catch {
    return undefined;
  }
}

/** Run time of all threads of a process, in milliseconds with fractions: finer than the ticks of `stat`. */
export class ThreadTimes {
  readonly #pid: number;
  readonly #threads = new Map<string, { file: KeptFile; ns: number; ended: boolean }>();
  #live = 0;

  constructor(pid: number) {
    this.#pid = pid;
  }

  /** @param threads  how many it has now; another number than before makes it look again. */
  read(threads: number): number {
    if (threads !== this.#live) this.#look();
    let ns = 0;
    for (const thread of this.#threads.values()) {
      if (!thread.ended && thread.file.read() > 0) thread.ns = numberAt(thread.file.bytes, 0);
      else if (!thread.ended) {
        // What a thread had used counts on when it has ended.
        thread.ended = true;
        thread.file.close();
        this.#live -= 1;
      }
      ns += thread.ns;
    }
    return ns / 1e6;
  }

  close(): void {
    for (const { file } of this.#threads.values()) file.close();
    this.#threads.clear();
  }

  #look(): void {
    try {
      for (const task of readdirSync(`/proc/${this.#pid}/task`)) {
        if (this.#threads.has(task)) continue;
        const file = new KeptFile(`/proc/${this.#pid}/task/${task}/schedstat`, 64);
        this.#threads.set(task, { file, ns: 0, ended: false });
        this.#live += 1;
      }
    } catch {
      // It ends just now; what is known of it stays.
    }
  }
}

const PEAK = Buffer.from("\nVmHWM:");

/** The most resident memory that a process ever had (VmHWM). */
export class PeakReader {
  readonly #file: KeptFile;

  /** @throws ENOENT when there is no such process. */
  constructor(pid: number) {
    this.#file = new KeptFile(`/proc/${pid}/status`, 4_096);
  }

  /** In bytes; undefined once the process is gone or the reader closed. */
  read(): number | undefined {
    const { bytes } = this.#file;
    const length = this.#file.read();
    let at = bytes.indexOf(PEAK);
    // A zombie has no memory, and what stands behind its shorter text is what was read before.
    if (at < 0 || at >= length) return undefined;
    for (at += PEAK.length; bytes[at] === SPACE || bytes[at] === TAB; at++);
    return numberAt(bytes, at) * 1024;
  }

  close(): void {
    this.#file.close();
  }
}

/** Its share of the memory that it maps (Pss), in bytes. */
export function pssBytes(pid: number): number | undefined {
  try {
    const kb = /^Pss:\s+(\d+) kB$/m.exec(readFileSync(`/proc/${pid}/smaps_rollup`, "latin1"))?.[1];
    return kb === undefined ? undefined : Number(kb) * 1024;
  } catch {
    return undefined;
  }
}

/** The sole child of a process, or undefined. */
export function onlyChild(pid: number): number | undefined {
  try {
    const children = readFileSync(`/proc/${pid}/task/${pid}/children`, "latin1").trim().split(" ");
    return children.length === 1 && children[0] !== "" ? Number(children[0]) : undefined;
  } catch {
    return undefined;
  }
}

export interface Confinement {
  uid: number;
  no_new_privs: boolean;
  seccomp: boolean;
  /** Is the process in another namespace than we are? */
  separate: Record<"user" | "net" | "pid" | "mnt", boolean>;
  ro_root: boolean;
}

/** How the kernel confines a process; what a jail claims is checked against this. */
export function confinement(pid: number): Confinement {
  const status = readFileSync(`/proc/${pid}/status`, "latin1");
  const field = (name: string): string => new RegExp(`^${name}:\\s+(\\S+)`, "m").exec(status)?.[1] ?? "";
  const separate = (ns: string): boolean => {
    try {
      return readlinkSync(`/proc/${pid}/ns/${ns}`) !== readlinkSync(`/proc/self/ns/${ns}`);
    } catch {
      return false;
    }
  };
  const root = readFileSync(`/proc/${pid}/mountinfo`, "latin1")
    .split("\n")
    .find((line) => line.split(" ")[4] === "/");
  return {
    uid: Number(field("Uid")),
    no_new_privs: field("NoNewPrivs") === "1",
    seccomp: field("Seccomp") !== "0",
    separate: { user: separate("user"), net: separate("net"), pid: separate("pid"), mnt: separate("mnt") },
    ro_root: root?.split(" ")[5]?.split(",").includes("ro") ?? false,
  };
}
