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
  #closed = false;
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
    if (memory_mb !== CLASS_MB) return this.#claim(await this.#onDemand(boot, memory_mb), true);
    const primed = this.#primed.shift();
    if (primed !== undefined) {
      this.#refill();
      return this.#claim(primed, false);
    }
    return this.#claim(await this.#next(signal), true);
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
    for (const waiter of this.#waiters.splice(0)) waiter.reject(this.#bootFailed("the pool is closing"));
    for (const process of this.#alive) process.kill();
    await Promise.all([...this.#alive].map((process) => process.dead));
  }

  /** Waits for the next process that comes up. */
  #next(signal: AbortSignal): Promise<JailedProcess> {
    if (this.#boot_failures >= BOOT_FAILURES_MAX)
      throw this.#bootFailed("the last boots failed; one is tried each second");
    return new Promise((resolve, reject) => {
      const waiter: Waiter = { resolve, reject };
      this.#waiters.push(waiter);
      signal.addEventListener("abort", () => {
        const at = this.#waiters.indexOf(waiter);
        if (at >= 0) this.#waiters.splice(at, 1);
        reject(signal.reason);
      });
      this.#refill();
    });
  }

  async #onDemand(boot: Boot, memory_mb: number): Promise<JailedProcess> {
    try {
      return await this.#boot(boot, memory_mb);
    } catch (error) {
      throw this.#bootFailed((error as Error).message);
    }
  }

  #claim(process: JailedProcess, cold: boolean): Runner {
    this.#active += 1;
    this.#gauge();
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
      },
    });
  }

  /** Boots until enough are warm for the target and for whoever waits. */
  #refill(): void {
    const { boot, warm, boots } = this.#o;
    if (boot === undefined) return;
    while (!this.#closed && this.#booting < boots) {
      const missing = Math.max(warm, this.#waiters.length) - this.#primed.length - this.#booting;
      if (missing <= 0) return;
      void this.#bootOne(boot);
    }
  }

  async #bootOne(boot: Boot): Promise<void> {
    this.#booting += 1;
    try {
      this.#ready(await this.#boot(boot, CLASS_MB));
      this.#boot_failures = 0;
    } catch (error) {
      this.#failed(error as Error);
    } finally {
      this.#booting -= 1;
      this.#gauge();
    }
    if (this.#boot_failures === 0) this.#refill();
    else this.#deps.clock.after(BOOT_RETRY_MS, () => this.#refill());
  }

  async #boot(boot: Boot, memory_mb: number): Promise<JailedProcess> {
    const began = this.#deps.clock.monotonic();
    const process = await boot(this.#deps.ids("rnr"), memory_mb);
    this.#deps.watchdog.adopt(process.id, process.pid);
    this.#deps.metrics.observe("gantry_runner_boot_seconds", (this.#deps.clock.monotonic() - began) / 1000);
    this.#alive.add(process);
    void process.dead.then(() => this.#gone(process));
    if (this.#closed) process.kill();
    return process;
  }

  #ready(process: JailedProcess): void {
    const waiter = this.#waiters.shift();
    if (waiter !== undefined) waiter.resolve(process);
    else this.#primed.push(process);
  }

  #failed(error: Error): void {
    this.#boot_failures += 1;
    this.#deps.logger.error({ err: error, failures: this.#boot_failures }, "a runner did not boot");
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
