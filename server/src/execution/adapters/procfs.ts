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

/**
 * A file of /proc behind a descriptor that stays open: a dead process then reads ESRCH, so a reused pid cannot fool it, and
 * reading costs a tenth of opening (measured: 4 µs against 48 for each file).
 */
class KeptFile {
  readonly #fd: number;
  readonly #buffer: Buffer;
  #closed = false;

  /** @throws ENOENT when there is no such process. */
  constructor(path: string, bytes: number) {
    this.#buffer = Buffer.alloc(bytes);
    this.#fd = openSync(path, "r");
  }

  /** Undefined once the process is gone or the file closed. */
  read(): string | undefined {
    // The number of a closed descriptor may already be that of another runner's.
    if (this.#closed) return undefined;
    try {
      return this.#buffer.toString("latin1", 0, readSync(this.#fd, this.#buffer, 0, this.#buffer.length, 0));
    } catch {
      // ESRCH: it was reaped.
      return undefined;
    }
  }

  close(): void {
    if (this.#closed) return;
    this.#closed = true;
    closeSync(this.#fd);
  }
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
    const text = this.#file.read();
    return text === undefined ? undefined : parseStat(text);
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
    const text = this.#file.read();
    return text === undefined ? undefined : Number(text.split(" ", 2)[1]) * PAGE_BYTES;
  }

  close(): void {
    this.#file.close();
  }
}

/** Field numbers as in proc(5), counted from 1; the second is in brackets and may hold anything. */
function parseStat(text: string): ProcessUse | undefined {
  const fields = text.slice(text.lastIndexOf(")") + 2).split(" ");
  const field = (number: number): number => Number(fields[number - 3]);
  if (fields[0] === "Z" || fields[0] === "X") return undefined;
  return {
    cpu_ticks: field(14) + field(15),
    threads: field(20),
    start_ticks: field(22),
    rss_bytes: field(24) * PAGE_BYTES,
  };
}

/** When the process started, in ticks since boot; undefined if there is none. */
export function startTicks(pid: number): number | undefined {
  try {
    return parseStat(readFileSync(`/proc/${pid}/stat`, "latin1"))?.start_ticks;
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
      const text = thread.ended ? undefined : thread.file.read();
      if (text !== undefined) thread.ns = Number(text.slice(0, text.indexOf(" ")));
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

/** The most resident memory that a process ever had (VmHWM). */
export class PeakReader {
  readonly #file: KeptFile;

  /** @throws ENOENT when there is no such process. */
  constructor(pid: number) {
    this.#file = new KeptFile(`/proc/${pid}/status`, 4_096);
  }

  /** In bytes; undefined once the process is gone or the reader closed. */
  read(): number | undefined {
    const kb = /^VmHWM:\s+(\d+) kB$/m.exec(this.#file.read() ?? "")?.[1];
    return kb === undefined ? undefined : Number(kb) * 1024;
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
