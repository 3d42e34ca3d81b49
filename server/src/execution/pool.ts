import type { Clock } from "../kernel/clock.ts";
import { GantryError } from "../kernel/errors.ts";
import type { Ids } from "../kernel/ids.ts";
import type { Logger } from "../kernel/log.ts";
import type { Metrics } from "../kernel/telemetry.ts";
import type { Boot } from "./adapters/boot.ts";
import { PING_MS } from "./adapters/host_client.ts";
import type { JailedProcess } from "./adapters/jailed_process.ts";
import { MEMORY_CLASSES_MB } from "./adapters/runtime_dir.ts";
import {
  BOOT_FAILURES_MAX,
  type JailReport,
  type PoolStats,
  type Runner,
  type RunnerPool,
  type RunnerWant,
  runner_errors,
} from "./contract.ts";
import { ProcessRunner } from "./runner.ts";
import type { TrialDeps } from "./trial.ts";

export interface PoolOptions {
  /** Undefined where the host offers no jail: nothing is acquired then. */
  boot: Boot | undefined;
  report: JailReport;
  /** Primed processes kept ready. */
  warm: number;
  /** Processes that boot at the same time. */
  boots: number;
}

export interface PoolDeps extends TrialDeps {
  clock: Clock;
  ids: Ids;
  logger: Logger;
  metrics: Metrics;
}

interface Waiter {
  resolve(process: JailedProcess): void;
  reject(error: unknown): void;
}

const BOOT_RETRY_MS = 1_000;
const CLASS_MB = MEMORY_CLASSES_MB[0];

/**
 * Keeps primed processes ready. A warm one holds nothing of any tenant; it is claimed by one run, serves it and dies,
 * and another is booted in its place. Classes above the smallest are booted on demand.
 */
export class WarmPool implements RunnerPool {
  readonly #o: PoolOptions;
  readonly #deps: PoolDeps;
  readonly #primed: JailedProcess[] = [];
  readonly #waiters: Waiter[] = [];
  readonly #alive = new Set<JailedProcess>();
  #booting = 0;
  #active = 0;
  #boot_failures = 0;
  /** Set while a boot that failed waits for its next try. */
  #stop_retry: (() => void) | undefined;
  #closed = false;
  readonly #boots = new Set<Promise<JailedProcess>>();
  readonly #stop_pings: () => void;

  constructor(o: PoolOptions, deps: PoolDeps) {
    this.#o = o;
    this.#deps = deps;
    this.#stop_pings = deps.clock.every(PING_MS, () => void this.#ping());
    this.#refill();
  }

  async acquire(want: RunnerWant, signal: AbortSignal): Promise<Runner> {
    const { boot } = this.#o;
    if (boot === undefined || this.#closed) throw this.#noJail();
    signal.throwIfAborted();
    const memory_mb = MEMORY_CLASSES_MB.find((size) => size >= want.memory_mb) ?? MEMORY_CLASSES_MB[2];
    if (memory_mb !== CLASS_MB) return this.#claim(await this.#onDemand(boot, memory_mb, signal), true);
    const primed = this.#takePrimed();
    if (primed === undefined) return this.#claim(await this.#next(signal), true);
    const runner = this.#claim(primed, false);
    this.#refill(); // after the claim: it is the claimed run that the boot waits for
    return runner;
  }

  stats(): PoolStats {
    return {
      jail: this.#o.boot === undefined ? null : this.#o.report.jail,
      booting: this.#booting,
      primed: this.#primed.length,
      active: this.#active,
      boot_failures: this.#boot_failures,
    };
  }

  report(): JailReport {
    return this.#o.report;
  }

  async close(): Promise<void> {
    this.#closed = true;
    this.#stop_pings();
    this.#stop_retry?.();
    for (const waiter of this.#waiters.splice(0)) waiter.reject(this.#bootFailed("the pool is closing"));
    for (const process of this.#alive) process.kill();
    await Promise.allSettled(this.#boots);
    await Promise.all([...this.#alive].map((process) => process.dead));
  }

  /** The first warm process that still lives: one that has just died is not seen to be gone yet. */
  #takePrimed(): JailedProcess | undefined {
    for (let process = this.#primed.shift(); process !== undefined; process = this.#primed.shift()) {
      if (process.use() !== undefined) return process;
      this.#deps.watchdog.forget(process.id);
    }
    return undefined;
  }

  /** Waits for the next process that comes up. */
  #next(signal: AbortSignal): Promise<JailedProcess> {
    if (this.#boot_failures >= BOOT_FAILURES_MAX)
      throw this.#bootFailed("the last boots failed; one is tried each second");
    return new Promise((resolve, reject) => {
      const aborted = (): void => {
        this.#waiters.splice(this.#waiters.indexOf(waiter), 1);
        reject(signal.reason);
      };
      const settled = (): void => signal.removeEventListener("abort", aborted);
      const waiter: Waiter = {
        resolve: (process) => {
          settled();
          resolve(process);
        },
        reject: (error) => {
          settled();
          reject(error);
        },
      };
      this.#waiters.push(waiter);
      signal.addEventListener("abort", aborted);
      this.#refill();
    });
  }

  async #onDemand(boot: Boot, memory_mb: number, signal: AbortSignal): Promise<JailedProcess> {
    const booting = this.#boot(boot, memory_mb);
    try {
      return await unlessAborted(booting, signal);
    } catch (error) {
      // When the boot itself failed there is nothing to give up.
      void booting.then((process) => this.#giveUp(process)).catch(() => {});
      throw signal.aborted ? signal.reason : this.#bootFailed((error as Error).message);
    }
  }

  #giveUp(process: JailedProcess): void {
    process.kill();
    this.#deps.watchdog.forget(process.id);
  }

  #claim(process: JailedProcess, cold: boolean): Runner {
    this.#active += 1;
    this.#gauge();
    process.raise();
    let released = false;
    return new ProcessRunner({
      process,
      cold,
      deps: this.#deps,
      released: () => {
        if (released) return;
        released = true;
        this.#active -= 1;
        this.#gauge();
        this.#refill();
      },
    });
  }

  /**
   * A boot takes ten times the CPU of a small run. While only one process is missing, its boot waits for the runs that
   * go on, which then need not share the cores with it. With more missing the server is busy, and boots are what it
   * lacks: waiting would only make it slower (measured).
   */
  #canWait(): boolean {
    return this.#active > 0 && this.#primed.length + this.#booting >= this.#o.warm - 1;
  }

  /** Boots until enough are warm for the target and for whoever waits. */
  #refill(): void {
    const { boot, warm, boots } = this.#o;
    if (boot === undefined) return;
    // While boots fail only the timer tries again, however many runs ask.
    while (!this.#closed && this.#stop_retry === undefined && this.#booting < boots) {
      const missing = Math.max(warm, this.#waiters.length) - this.#primed.length - this.#booting;
      if (missing <= 0 || this.#canWait()) return;
      void this.#bootOne(boot);
    }
  }

  async #bootOne(boot: Boot): Promise<void> {
    this.#booting += 1;
    try {
      this.#ready(await this.#boot(boot, CLASS_MB));
      this.#boot_failures = 0;
      this.#stop_retry?.();
      this.#stop_retry = undefined;
    } catch (error) {
      this.#failed(error as Error);
    } finally {
      this.#booting -= 1;
      this.#gauge();
    }
    this.#refill();
  }

  #boot(boot: Boot, memory_mb: number): Promise<JailedProcess> {
    const work = this.#start(boot, memory_mb);
    this.#boots.add(work);
    return work.finally(() => this.#boots.delete(work));
  }

  async #start(boot: Boot, memory_mb: number): Promise<JailedProcess> {
    const began = this.#deps.clock.monotonic();
    const process = await boot(this.#deps.ids("rnr"), memory_mb);
    this.#deps.watchdog.adopt(process.id, process.pid);
    this.#deps.metrics.observe("gantry_runner_boot_seconds", (this.#deps.clock.monotonic() - began) / 1000);
    this.#alive.add(process);
    void process.dead.then(() => this.#gone(process));
    if (this.#closed) process.kill();
    return process;
  }

  /** @throws Error when it died before anyone could have it. */
  #ready(process: JailedProcess): void {
    if (!this.#alive.has(process)) {
      this.#deps.watchdog.forget(process.id);
      throw new Error("the process ended right after its boot");
    }
    const waiter = this.#waiters.shift();
    if (waiter !== undefined) waiter.resolve(process);
    else this.#primed.push(process);
  }

  #failed(error: Error): void {
    if (this.#closed) return;
    this.#boot_failures += 1;
    this.#deps.logger.error({ err: error, failures: this.#boot_failures }, "a runner did not boot");
    this.#stop_retry ??= this.#deps.clock.after(BOOT_RETRY_MS, () => {
      this.#stop_retry = undefined;
      this.#refill();
    });
    if (this.#boot_failures < BOOT_FAILURES_MAX) return;
    for (const waiter of this.#waiters.splice(0)) waiter.reject(this.#bootFailed(error.message));
  }

  /** A warm process may die before anyone claims it: it is replaced without a word to anybody. */
  #gone(process: JailedProcess): void {
    this.#alive.delete(process);
    const at = this.#primed.indexOf(process);
    if (at < 0) return;
    this.#primed.splice(at, 1);
    this.#deps.watchdog.forget(process.id);
    this.#refill();
  }

  /** Keeps the connections of warm processes open and finds the dead among them. */
  async #ping(): Promise<void> {
    await Promise.all(this.#primed.map((process) => process.client.ping().catch(() => process.kill())));
  }

  #gauge(): void {
    const { booting, primed, active } = this.stats();
    for (const [state, count] of Object.entries({ booting, primed, active })) {
      this.#deps.metrics.set("gantry_runners", count, { state });
    }
  }

  #noJail(): GantryError {
    const [problem] = this.#o.report.problems;
    return new GantryError(runner_errors.NO_JAIL, {
      detail: `No guest code runs here. ${problem?.fix ?? "The pool is closed."}`,
      next_steps: [{ kind: "command", text: "See what this host lacks", command: "gantry doctor" }],
    });
  }

  #bootFailed(why: string): GantryError {
    return new GantryError(runner_errors.BOOT_FAILED, {
      detail: "No jailed process could be started just now.",
      internal: { why },
      retry_after_ms: BOOT_RETRY_MS,
    });
  }
}

/** `work`, or a rejection with the signal's reason if it aborts first. */
function unlessAborted<T>(work: Promise<T>, signal: AbortSignal): Promise<T> {
  return new Promise((resolve, reject) => {
    const aborted = (): void => reject(signal.reason);
    signal.addEventListener("abort", aborted);
    work.finally(() => signal.removeEventListener("abort", aborted)).then(resolve, reject);
  });
}
