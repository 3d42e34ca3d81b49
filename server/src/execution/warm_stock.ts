import type { Clock } from "../kernel/clock.ts";
import { GantryError } from "../kernel/errors.ts";
import type { Ids } from "../kernel/ids.ts";
import type { Logger } from "../kernel/log.ts";
import type { Metrics } from "../kernel/telemetry.ts";
import { Turns } from "../kernel/turns.ts";
import type { Boot } from "./adapters/boot.ts";
import type { JailedProcess } from "./adapters/jailed_process.ts";
import { MEMORY_CLASSES_MB } from "./adapters/runtime_dir.ts";
import type { Watchdog } from "./adapters/watchdog.ts";
import { BOOT_FAILURES_MAX, RUNNER_WAIT_MS_MAX, runner_errors } from "./contract.ts";

export interface StockOptions {
  boot: Boot;
  /** Primed processes kept ready. */
  warm: number;
  /** Processes that boot at the same time. */
  boots: number;
}

export interface StockDeps {
  clock: Clock;
  ids: Ids;
  logger: Logger;
  metrics: Metrics;
  watchdog: Watchdog;
}

/** What the stock asks of the pool that it serves. */
export interface StockUsers {
  /** Processes that have a run. */
  active(): number;
  /** A count has changed. */
  changed(): void;
}

interface Waiter {
  resolve(process: JailedProcess): void;
  reject(error: unknown): void;
}

const BOOT_RETRY_MS = 1_000;
/** How long a boot may wait for the runs that go on beside it. */
const BOOT_WAIT_MS = 50;
/** How long it waits after the last of them has ended: as long as it takes to record an end and to answer. */
const BOOT_PAUSE_MS = 10;
const CLASS_MB = MEMORY_CLASSES_MB[0];

/** Primed processes of the smallest class, which hold nothing of any tenant, and the boots that replace those taken. */
export class WarmStock {
  readonly #o: StockOptions;
  readonly #deps: StockDeps;
  readonly #users: StockUsers;
  readonly #primed: JailedProcess[] = [];
  readonly #waiters = new Turns<Waiter>();
  readonly #alive = new Set<JailedProcess>();
  readonly #boots = new Set<Promise<JailedProcess>>();
  /** Set while a boot that failed waits for its next try. */
  #stop_retry: (() => void) | undefined;
  /** Set while a boot waits for the runs that go on, or for the last of them to be answered. */
  #waiting_for: { runs: boolean; stop(): void } | undefined;
  #booting = 0;
  #boot_failures = 0;
  #closed = false;

  constructor(o: StockOptions, deps: StockDeps, users: StockUsers) {
    this.#o = o;
    this.#deps = deps;
    this.#users = users;
    this.refill();
  }

  stats(): { booting: number; primed: number; waiting: number; boot_failures: number } {
    return {
      booting: this.#booting,
      primed: this.#primed.length,
      waiting: this.#waiters.size,
      boot_failures: this.#boot_failures,
    };
  }

  /** The processes that wait to be claimed. */
  get primed(): readonly JailedProcess[] {
    return this.#primed;
  }

  /**
   * A warm process that still lives, or undefined: one that has just died is not seen to be gone yet. Whoever takes one
   * calls `refill` when it has put it to use, since it is the run in it that a boot waits for.
   */
  take(): JailedProcess | undefined {
    for (let process = this.#primed.shift(); process !== undefined; process = this.#primed.shift()) {
      if (process.alive()) return process;
      this.#deps.watchdog.forget(process.id);
    }
    return undefined;
  }

  /**
   * Waits for the next process that comes up; tenants take turns.
   * @throws RUNNER_BOOT_FAILED RUNNER_BUSY; rejects with the signal's reason when it aborts first.
   */
  next(tenant: string, signal: AbortSignal): Promise<JailedProcess> {
    if (this.#boot_failures >= BOOT_FAILURES_MAX) {
      return Promise.reject(bootFailed("the last boots failed; one is tried each second"));
    }
    return new Promise((resolve, reject) => {
      const leave = (reason: unknown): void => {
        this.#waiters.remove(tenant, waiter);
        waiter.reject(reason);
      };
      const aborted = (): void => leave(signal.reason);
      const stop_waiting = this.#deps.clock.after(RUNNER_WAIT_MS_MAX, () => leave(busy()));
      const settled = (): void => {
        signal.removeEventListener("abort", aborted);
        stop_waiting();
      };
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
      this.#waiters.add(tenant, waiter);
      signal.addEventListener("abort", aborted);
      this.refill();
    });
  }

  /** Boots one of a larger class. @throws RUNNER_BOOT_FAILED; rejects with the signal's reason when it aborts first. */
  async onDemand(memory_mb: number, signal: AbortSignal): Promise<JailedProcess> {
    const booting = this.#boot(memory_mb, true);
    try {
      return await unlessAborted(booting, signal);
    } catch (error) {
      // When the boot itself failed there is nothing to give up.
      void booting.then((process) => this.giveUp(process)).catch(() => {});
      throw signal.aborted ? signal.reason : bootFailed((error as Error).message);
    }
  }

  giveUp(process: JailedProcess): void {
    process.kill();
    this.#deps.watchdog.forget(process.id);
  }

  /** Boots until enough are warm for the target and for whoever waits. */
  refill(): void {
    this.#refill(true);
  }

  /** @param patient  may a boot wait for the runs that go on? */
  #refill(patient: boolean): void {
    const { warm, boots } = this.#o;
    // While boots fail only the timer tries again, however many runs ask.
    while (!this.#closed && this.#stop_retry === undefined && this.#booting < boots) {
      const missing = Math.max(warm, this.#waiters.size) - this.#primed.length - this.#booting;
      if (missing <= 0 || (patient && this.#waits())) return;
      void this.#bootOne();
    }
  }

  /** Kills every process that it ever booted and waits until they are gone. */
  async close(): Promise<void> {
    this.#closed = true;
    this.#stop_retry?.();
    this.#waiting_for?.stop();
    for (const waiter of this.#waiters.drain()) waiter.reject(bootFailed("the pool is closing"));
    for (const process of this.#alive) process.kill();
    await Promise.allSettled(this.#boots);
    await Promise.all([...this.#alive].map((process) => process.dead));
  }

  /**
   * A boot takes ten times the CPU of a small run. While only one process is missing and another is ready, its boot
   * waits a little for the runs that go on, and until their ends are told, and need not share the cores with them. With
   * more missing the server is busy, and boots are what it lacks: waiting would only make it slower (measured).
   */
  #waits(): boolean {
    const ready = this.#primed.length;
    if (ready === 0 || ready + this.#booting < this.#o.warm - 1) return false;
    const runs = this.#users.active() > 0;
    if (this.#waiting_for !== undefined && (runs || !this.#waiting_for.runs)) return true;
    this.#waiting_for?.stop();
    const stop = this.#deps.clock.after(runs ? BOOT_WAIT_MS : BOOT_PAUSE_MS, () => {
      this.#waiting_for = undefined;
      this.#refill(false);
    });
    this.#waiting_for = { runs, stop };
    return true;
  }

  async #bootOne(): Promise<void> {
    this.#booting += 1;
    try {
      this.#ready(await this.#boot(CLASS_MB, this.#waiters.size > 0));
      this.#boot_failures = 0;
      this.#stop_retry?.();
      this.#stop_retry = undefined;
    } catch (error) {
      this.#failed(error as Error);
    } finally {
      this.#booting -= 1;
      this.#users.changed();
    }
    this.refill();
  }

  #boot(memory_mb: number, urgent: boolean): Promise<JailedProcess> {
    const work = this.#start(memory_mb, urgent);
    this.#boots.add(work);
    return work.finally(() => this.#boots.delete(work));
  }

  async #start(memory_mb: number, urgent: boolean): Promise<JailedProcess> {
    const { clock, ids, metrics, watchdog } = this.#deps;
    const began = clock.monotonic();
    const process = await this.#o.boot(ids("rnr"), memory_mb, urgent);
    watchdog.adopt(process.id, process.pid);
    metrics.observe("gantry_runner_boot_seconds", (clock.monotonic() - began) / 1000);
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
      this.refill();
    });
    if (this.#boot_failures < BOOT_FAILURES_MAX) return;
    for (const waiter of this.#waiters.drain()) waiter.reject(bootFailed(error.message));
  }

  /** A warm process may die before anyone claims it: it is replaced without a word to anybody. */
  #gone(process: JailedProcess): void {
    this.#alive.delete(process);
    const at = this.#primed.indexOf(process);
    if (at < 0) return;
    this.#primed.splice(at, 1);
    this.#deps.watchdog.forget(process.id);
    this.refill();
  }
}

export function busy(): GantryError {
  return new GantryError(runner_errors.BUSY, {
    detail: `No jailed process was free within ${RUNNER_WAIT_MS_MAX / 1_000} s.`,
    retry_after_ms: BOOT_RETRY_MS,
  });
}

function bootFailed(why: string): GantryError {
  return new GantryError(runner_errors.BOOT_FAILED, {
    detail: "No jailed process could be started just now.",
    internal: { why },
    retry_after_ms: BOOT_RETRY_MS,
  });
}

/** `work`, or a rejection with the signal's reason if it aborts first. */
function unlessAborted<T>(work: Promise<T>, signal: AbortSignal): Promise<T> {
  return new Promise((resolve, reject) => {
    const aborted = (): void => reject(signal.reason);
    signal.addEventListener("abort", aborted);
    work.finally(() => signal.removeEventListener("abort", aborted)).then(resolve, reject);
  });
}
