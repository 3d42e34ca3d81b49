import type { IncomingMessage, ServerResponse } from "node:http";
import type { Duplex } from "node:stream";
import { defineErrors, type Problem } from "../kernel/errors.ts";
import type { RunId, RunnerId } from "../kernel/ids.ts";
import type { LimitTable } from "../kernel/limits.ts";

/** How a guest's execution can end: what the room above adds (denied, expired, …) never reaches a runner. */
export type Ending =
  | "completed"
  | "threw"
  | "load_failed"
  | "cpu_exceeded"
  | "memory_exceeded"
  | "wall_exceeded"
  | "output_exceeded"
  | "log_exceeded"
  | "cancelled"
  | "runner_lost";

/** Agent-written code as it came: texts, or bytes of binary modules. Names are relative POSIX paths. */
export interface SourceCode {
  entry: string;
  modules: Record<string, string | Uint8Array>;
}

/** What the lexer saw. Evidence and policy context, never the boundary. */
export interface CodeFacts {
  modules: number;
  bytes: number;
  /** Imports of the runtime, sorted: `node:…`, `cloudflare:…`. */
  imports: string[];
  /** Host names in literal URLs, sorted, at most 32. */
  hosts: string[];
  /** `eval`, `new Function`, or an import whose name is computed. */
  dynamic_code: boolean;
  wasm: boolean;
  /** Names of the secret patterns that matched, sorted. */
  secrets: string[];
}

/** A module graph that V8 can load: every import resolves, every syntax error has been answered. */
export interface CompiledCode {
  /** SHA-256 over the canonical sources, hex; names the code everywhere. */
  hash: string;
  entry: string;
  modules: CompiledModule[];
  facts: CodeFacts;
}

export interface CompiledModule {
  name: string;
  type: "js" | "json" | "text" | "data" | "wasm";
  /** Text of js, json and text modules; base64 of data and wasm. */
  content: string;
  /** Source map of a js module, JSON. */
  map?: string;
}

export interface Compiler {
  /** SHA-256 over the canonical sources, hex. */
  hash(code: SourceCode): string;
  /**
   * Checks names, sizes, syntax and imports, and strips types. Never reads a file.
   * @throws CODE_NAME CODE_TOO_LARGE CODE_SYNTAX CODE_IMPORT CODE_CYCLE CODE_NO_ENTRY CODE_COMPILER
   */
  compile(code: SourceCode, limits: Pick<LimitTable, "code_bytes_max" | "modules_max">): Promise<CompiledCode>;
  close(): Promise<void>;
}

export interface Job {
  run: RunId;
  code: CompiledCode;
  /** JSON text. */
  input: string;
  vars: Record<string, string>;
  limits: LimitTable;
  /** Milliseconds UTC; the guest sees it as `ctx.deadline`. */
  deadline_at: number;
  /** The guest sees it as `ctx.session`. */
  session?: string;
}

export interface LogLine {
  seq: number;
  /** Milliseconds UTC. */
  at: number;
  /** `runner`: what the engine said, not the guest. */
  level: "log" | "debug" | "info" | "warn" | "error" | "runner";
  text: string;
}

/**
 * What stands behind the door of one run: answers what its guest says, byte by byte. The guest is hostile, and so is what
 * it says. A target is the guest's own, absolute (`http://host:port/path`, of a tunnel `host:port`); whatever said whose
 * call it is has been taken out of it, all else is as it came. It is called only after the run's admission is durable,
 * and never after the run has ended. What it has been given is its own: who owns the run destroys what is left of it.
 */
export interface DoorHandler {
  request(call: IncomingMessage, answer: ServerResponse): void;
  /** Nothing has been answered yet. @param head  what the guest has said already. */
  connect(call: IncomingMessage, socket: Duplex, head: Buffer): void;
  upgrade(call: IncomingMessage, socket: Duplex, head: Buffer): void;
}

/** What a run may touch outside its process. */
export interface RunDoor {
  /** Resolves when the admission is durable; nothing leaves before. Rejects if it could not be recorded. */
  durable: Promise<void>;
  /** Absent: the contract grants no network; a call goes nowhere and is recorded as blocked. */
  egress?: DoorHandler;
  log(line: LogLine): void;
  /** The process has begun with it. */
  begun(): void;
}

/** A call that the guest tried and that went nowhere, because its contract grants no network. */
export interface BlockedCall {
  host: string;
  method: string;
  count: number;
}

export interface Outcome {
  ending: Ending;
  /**
   * Was the guest's code reached? False only with `runner_lost`, when the process is known to have died before: nothing
   * has happened then, and the job may be given to another runner.
   */
  begun: boolean;
  /** JSON text; present when completed. A `Response`: its JSON, its text as a string, or `{"base64": …}`. */
  result?: string;
  /** Present when the guest answered with a `Response`. */
  http?: { status: number; headers: [string, string][] };
  /** Present unless completed. */
  error?: { code: string; detail: string; name?: string; stack?: string; problems?: Problem[] };
  /** From `execute` until the guest's code was loaded, or until the process began with it when it gave no answer; milliseconds. */
  startup_ms: number;
  /** From loaded code until the outcome. */
  completion_ms: number;
  /** CPU time of the runner's process since `execute`. */
  cpu_ms: number;
  /** Peak resident memory above the primed process. */
  rss_peak_mb: number;
  output_bytes: number;
  log_bytes: number;
  /** Bytes of log past `log_bytes_max`. */
  log_dropped: number;
  /** At most `BLOCKED_MAX` rows, the rest folded into one with host `*`. */
  blocked: BlockedCall[];
}

export type JailName = "unshare" | "bwrap" | "none";

/** What a probe of a jail found on this host. */
export interface JailReport {
  jail: JailName;
  ok: boolean;
  user_ns: boolean;
  net_ns: boolean;
  pid_ns: boolean;
  /** The root file system could be made read-only; false is harmless where the uid was dropped. */
  ro_root: boolean;
  no_new_privs: boolean;
  /** The uid that the host sees. */
  outer_uid: number;
  seccomp: boolean;
  cgroup: "v2" | "v1" | "none";
  problems: { code: string; fix: string }[];
}

/** Who else may use the process: nobody; runs of the same key, one after another; the same, in one process per key. */
export type RunnerKind = "process" | "pooled" | "session";

export interface RunnerWant {
  kind: RunnerKind;
  /** Runners are shared fairly between tenants when they are scarce. */
  tenant: string;
  /**
   * Names who may share the process, one run at a time: everything that gives a run its authority, and the session.
   * Required for `pooled` and `session`, meaningless for `process`.
   */
  key?: string;
  memory_mb: number;
}

/** One jailed process, claimed for one run. */
export interface Runner {
  readonly id: RunnerId;
  readonly jail: JailName;
  /** True when the claim had to wait for a process to boot. */
  readonly cold: boolean;
  /**
   * Runs the job once. Afterwards the process is dead, or, if it is keyed and the run ended cleanly, waits for the next
   * run of its key. Never rejects: every fault is an `ending`.
   * @param signal  aborting it ends the run `cancelled`.
   */
  execute(job: Job, door: RunDoor, signal: AbortSignal): Promise<Outcome>;
  /** Gives an unused runner up. */
  discard(): void;
}

export interface PoolStats {
  jail: JailName | null;
  booting: number;
  primed: number;
  active: number;
  /** Keyed processes that wait for the next run of their key. */
  idle: number;
  /** Claims that wait for a process. */
  waiting: number;
  /** Boots that failed in a row; `BOOT_FAILURES_MAX` make the pool not ready. */
  boot_failures: number;
}

export interface RunnerPool {
  /** @throws RUNNER_NO_JAIL RUNNER_BOOT_FAILED RUNNER_BUSY RUNNER_SESSION_BUSY; rejects with the signal's reason when it aborts first. */
  acquire(want: RunnerWant, signal: AbortSignal): Promise<Runner>;
  stats(): PoolStats;
  /** The report of the jail in use, or of the one that came closest. */
  report(): JailReport;
  /** Kills every process and waits until they are gone. */
  close(): Promise<void>;
}

const bad = { status: 400, retry: "never", whose: "caller" } as const;

export const runner_errors = defineErrors("RUNNER", {
  NO_JAIL: { status: 503, retry: "later", whose: "gantry", title: "This host offers no jail, so no guest code runs." },
  BOOT_FAILED: { status: 503, retry: "later", whose: "gantry", title: "A jailed process did not start." },
  LOST: { status: 500, retry: "safe", whose: "gantry", title: "The jailed process ended for no reason of the run's." },
  CLOSED: { status: 409, retry: "never", whose: "caller", title: "The run that made this call has ended." },
  BUSY: { status: 503, retry: "later", whose: "capacity", title: "No jailed process was free in time." },
  SESSION_BUSY: {
    status: 429,
    retry: "later",
    whose: "capacity",
    title: "The session has as many runs waiting as it may.",
  },
});
export const code_errors = defineErrors("CODE", {
  SYNTAX: { ...bad, title: "The code has a syntax error." },
  IMPORT: { ...bad, title: "An import cannot be resolved." },
  CYCLE: { ...bad, title: "Modules import each other in a circle." },
  NO_ENTRY: { ...bad, title: "The entry module exports nothing that can be run." },
  NAME: { ...bad, title: "A module name is not valid." },
  TOO_LARGE: { status: 413, retry: "never", whose: "caller", title: "The code is larger than its limit." },
  UNSIGNED: {
    status: 403,
    retry: "never",
    whose: "policy",
    title: "The code has no signature that the tenant's keys prove.",
  },
  COMPILER: { status: 503, retry: "safe", whose: "gantry", title: "The compiler did not answer in time." },
});

/** Rows of `Outcome.blocked`. */
export const BLOCKED_MAX = 32;
/** Threads of a runner's process; more end the run. */
export const RUNNER_THREADS_MAX = 64;
/** Failed boots in a row after which the pool is not ready. */
export const BOOT_FAILURES_MAX = 5;
/** Characters of a module's name. */
export const MODULE_NAME_MAX = 128;
/** How long one module may keep the compiler. */
export const COMPILE_MS_MAX = 2_000;
/** Module graphs that are compiled at once: the compiler has no jail and no memory limit of its own. */
export const COMPILES_MAX = 8;
/** Module graphs that wait for their turn; one more is `CODE_COMPILER`. */
export const COMPILES_WAITING_MAX = 64;

/** CPU after which a run counts as long and may get a lower priority: ten times what a small one takes. */
export const LONG_RUN_CPU_MS = 50;
/** A key that holds no runner and has waited for room for so long gets the next that ends a run, whoever's it is. */
export const HUNGRY_MS_MAX = 500;
/** How long a claim waits for a process. */
export const RUNNER_WAIT_MS_MAX = 30_000;
/** Keyed processes of one pooled key. */
export const POOLED_RUNNERS_MAX = 8;
/** Session processes of one tenant; one more takes the place of the tenant's longest idle one, or waits. */
export const SESSION_RUNNERS_TENANT_MAX = 8;
/** Runs that wait for one session's process. */
export const SESSION_WAITING_MAX = 16;
/** A keyed process is replaced after so many runs: resident memory grew by 32 MB in 2,000 loads (measured). */
export const RUNNER_RUNS_MAX = 2_000;
/** … or when it is so old, … */
export const RUNNER_AGE_MS_MAX = 600_000;
/** … or has waited so long for its next run, … */
export const RUNNER_IDLE_MS_MAX = 30_000;
/** … or has grown by so much above its primed size, … */
export const RUNNER_GROWTH_MB_MAX = 64;
/** … or has used more CPU than this in a second in which it had no run: something of an ended run goes on in it. */
export const RUNNER_IDLE_CPU_MS_MAX = 20;
/** Connections that one runner may hold to its out-socket. */
export const OUT_CONNECTIONS_MAX = 512;
/** Header fields of one call through the out-socket. */
export const OUT_HEADERS_MAX = 100;
/** Bytes of the head of one call through the out-socket. */
export const OUT_HEAD_BYTES_MAX = 32 * 1024;
/** How long the head of one call may take to arrive. */
export const OUT_HEAD_MS_MAX = 10_000;
