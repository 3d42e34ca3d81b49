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

/** `/proc/<pid>/stat` behind a descriptor that stays open: a dead process then reads ESRCH, so a reused pid cannot fool it. */
export class StatReader {
  readonly #fd: number;
  #closed = false;
  readonly #buffer = Buffer.alloc(1024);

  /** @throws ENOENT when there is no such process. */
  constructor(pid: number) {
    this.#fd = openSync(`/proc/${pid}/stat`, "r");
  }

  /** Undefined once the process is gone or the reader closed. About 4 µs. */
  read(): ProcessUse | undefined {
    // The number of a closed descriptor may already be that of another runner's.
    if (this.#closed) return undefined;
    try {
      const length = readSync(this.#fd, this.#buffer, 0, this.#buffer.length, 0);
      return parseStat(this.#buffer.toString("latin1", 0, length));
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

/**
 * Run time of all threads of a process, in milliseconds with fractions: finer than the ticks of `stat`. Descriptors stay
 * open, because opening them costs ten times what reading does (measured: 530 µs against 48 for 11 threads).
 */
export class ThreadTimes {
  readonly #pid: number;
  readonly #threads = new Map<string, { fd: number; ns: number; ended: boolean }>();
  readonly #buffer = Buffer.alloc(64);
  #live = 0;

  constructor(pid: number) {
    this.#pid = pid;
  }

  /** @param threads  how many it has now; another number than before makes it look again. */
  read(threads: number): number {
    if (threads !== this.#live) this.#look();
    let ns = 0;
    for (const thread of this.#threads.values()) ns += this.#read(thread);
    return ns / 1e6;
  }

  close(): void {
    for (const thread of this.#threads.values()) if (!thread.ended) closeSync(thread.fd);
    this.#threads.clear();
  }

  #read(thread: { fd: number; ns: number; ended: boolean }): number {
    if (thread.ended) return thread.ns;
    try {
      const length = readSync(thread.fd, this.#buffer, 0, this.#buffer.length, 0);
      const text = this.#buffer.toString("latin1", 0, length);
      thread.ns = Number(text.slice(0, text.indexOf(" ")));
    } catch {
      // ESRCH: the thread has ended; what it had used counts on.
      thread.ended = true;
      this.#live -= 1;
      closeSync(thread.fd);
    }
    return thread.ns;
  }

  #look(): void {
    try {
      for (const task of readdirSync(`/proc/${this.#pid}/task`)) {
        if (this.#threads.has(task)) continue;
        const fd = openSync(`/proc/${this.#pid}/task/${task}/schedstat`, "r");
        this.#threads.set(task, { fd, ns: 0, ended: false });
        this.#live += 1;
      }
    } catch {
      // It ends just now; what is known of it stays.
    }
  }
}

/** The most resident memory that a process ever had (VmHWM), behind a descriptor that stays open. */
export class PeakReader {
  readonly #fd: number;
  readonly #buffer = Buffer.alloc(4096);
  #closed = false;

  /** @throws ENOENT when there is no such process. */
  constructor(pid: number) {
    this.#fd = openSync(`/proc/${pid}/status`, "r");
  }

  /** In bytes; undefined once the process is gone. */
  read(): number | undefined {
    if (this.#closed) return undefined;
    try {
      const length = readSync(this.#fd, this.#buffer, 0, this.#buffer.length, 0);
      const kb = /^VmHWM:\s+(\d+) kB$/m.exec(this.#buffer.toString("latin1", 0, length))?.[1];
      return kb === undefined ? undefined : Number(kb) * 1024;
    } catch {
      return undefined;
    }
  }

  close(): void {
    if (this.#closed) return;
    this.#closed = true;
    closeSync(this.#fd);
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
