import { assert } from "../kernel/assert.ts";
import { GantryError } from "../kernel/errors.ts";
import type { Boot } from "./adapters/boot.ts";
import { PING_MS } from "./adapters/host_client.ts";
import type { JailedProcess, ProcessNumbers } from "./adapters/jailed_process.ts";
import { MEMORY_CLASSES_MB } from "./adapters/runtime_dir.ts";
import {
  type JailReport,
  type PoolStats,
  type Runner,
  type RunnerPool,
  type RunnerWant,
  runner_errors,
} from "./contract.ts";
import { KeyedRunners } from "./keyed_runners.ts";
import { type Claim, ClaimedRunner } from "./runner.ts";
import type { TrialDeps } from "./trial.ts";
import { type StockDeps, WarmStock } from "./warm_stock.ts";

export interface PoolOptions {
  /** Undefined where the host offers no jail: nothing is acquired then. */
  boot: Boot | undefined;
  report: JailReport;
  /** Primed processes kept ready. */
  warm: number;
  /** Processes that boot at the same time. */
  boots: number;
  /** Processes that serve one key, of all keys together. */
  bound_max: number;
}

export interface PoolDeps extends TrialDeps, StockDeps {}

/** How far the gauge of runners may be behind. */
const GAUGE_MS = 100;
const CLASS_MB = MEMORY_CLASSES_MB[0];

/**
 * Hands out jailed processes. A warm one holds nothing of any tenant. Claimed for a `process` run it serves that run and
 * dies; claimed for a key it serves the runs of that key, one at a time, until it is spent. Classes above the smallest
 * are booted on demand.
 */
export class WarmPool implements RunnerPool {
  readonly #report: JailReport;
  readonly #deps: PoolDeps;
  /** Undefined where nothing can be booted. */
  readonly #stock: WarmStock | undefined;
  readonly #keyed: KeyedRunners | undefined;
  #active = 0;
  #closed = false;
  readonly #stop_pings: () => void;
  /** Present while the gauge is behind. */
  #stop_gauging: (() => void) | undefined;

  constructor(o: PoolOptions, deps: PoolDeps) {
    this.#report = o.report;
    this.#deps = deps;
    this.#stop_pings = deps.clock.every(PING_MS, () => void this.#ping());
    if (o.boot === undefined) return;
    const users = { active: () => this.#active, changed: () => this.#gauge() };
    const stock = new WarmStock({ boot: o.boot, warm: o.warm, boots: o.boots }, deps, users);
    this.#stock = stock;
    this.#keyed = new KeyedRunners(
      {
        take: (memory_mb) => (classOf(memory_mb) === CLASS_MB ? stock.take() : undefined),
        next: (tenant, memory_mb, signal) => freshFrom(stock, tenant, memory_mb, signal),
        giveUp: (process) => stock.giveUp(process),
        refill: () => stock.refill(),
      },
      { bound_max: o.bound_max, clock: deps.clock, metrics: deps.metrics },
    );
  }

  async acquire(want: RunnerWant, signal: AbortSignal): Promise<Runner> {
    const stock = this.#stock;
    if (stock === undefined || this.#keyed === undefined || this.#closed) throw this.#noJail();
    signal.throwIfAborted();
    const { kind, key } = want;
    if (kind !== "process") {
      assert(key !== undefined && key !== "", "a keyed runner has a key");
      const { tenant, memory_mb } = want;
      const seat = await this.#keyed.acquire({ kind, tenant, key, memory_mb: classOf(memory_mb) }, signal);
      const { process, cold, before, release } = seat;
      return this.#claim(process, { cold, before, keeps: true, release });
    }
    const ready = classOf(want.memory_mb) === CLASS_MB ? stock.take() : undefined;
    const process = ready ?? (await freshFrom(stock, want.tenant, want.memory_mb, signal));
    const runner = this.#claim(process, {
      cold: ready === undefined,
      before: process.use(),
      keeps: false,
      release: () => stock.giveUp(process),
    });
    stock.refill(); // after the claim: it is the claimed run that the boot waits for
    return runner;
  }

  stats(): PoolStats {
    const stock = this.#stock?.stats() ?? { booting: 0, primed: 0, waiting: 0, boot_failures: 0 };
    const { booting, primed, boot_failures } = stock;
    return {
      jail: this.#stock === undefined ? null : this.#report.jail,
      ...{ booting, primed, boot_failures, active: this.#active },
      idle: this.#keyed?.idling ?? 0,
      waiting: stock.waiting + (this.#keyed?.waiting ?? 0),
    };
  }

  report(): JailReport {
    return this.#report;
  }

  async close(): Promise<void> {
    this.#closed = true;
    this.#stop_pings();
    this.#stop_gauging?.();
    this.#keyed?.close();
    await this.#stock?.close();
  }

  #claim(process: JailedProcess, { cold, before, keeps, release }: Claim): Runner {
    this.#active += 1;
    this.#gauge();
    let released = false;
    const once = (after: ProcessNumbers | undefined): void => {
      if (released) return;
      released = true;
      this.#active -= 1;
      release(after);
      this.#gauge();
      this.#stock?.refill();
    };
    return new ClaimedRunner(process, { cold, before, keeps, release: once }, this.#deps);
  }

  /** Keeps the connections of processes without a run open and finds the dead among them. */
  async #ping(): Promise<void> {
    // One that has been claimed meanwhile is its run's to judge.
    const failed = (process: JailedProcess): void => {
      if (this.#resting().includes(process)) process.kill();
    };
    await Promise.all(this.#resting().map((process) => process.client.ping().catch(() => failed(process))));
  }

  #resting(): JailedProcess[] {
    return [...(this.#stock?.primed ?? []), ...(this.#keyed?.idle() ?? [])];
  }

  /** Soon, and once for all changes until then: told at each, it was a hundredth of what a small run costs here. */
  #gauge(): void {
    this.#stop_gauging ??= this.#deps.clock.after(GAUGE_MS, () => {
      this.#stop_gauging = undefined;
      const { booting, primed, active, idle } = this.stats();
      for (const [state, count] of Object.entries({ booting, primed, active, idle })) {
        this.#deps.metrics.set("gantry_runners", count, { state });
      }
    });
  }

  #noJail(): GantryError {
    const [problem] = this.#report.problems;
    return new GantryError(runner_errors.NO_JAIL, {
      detail: `No guest code runs here. ${problem?.fix ?? "The pool is closed."}`,
      next_steps: [{ kind: "command", text: "See what this host lacks", command: "gantry doctor" }],
    });
  }
}

/** The smallest heap class that holds `memory_mb`. */
function classOf(memory_mb: number): number {
  return MEMORY_CLASSES_MB.find((size) => size >= memory_mb) ?? MEMORY_CLASSES_MB[2];
}

function freshFrom(stock: WarmStock, tenant: string, memory_mb: number, signal: AbortSignal): Promise<JailedProcess> {
  const size = classOf(memory_mb);
  return size === CLASS_MB ? stock.next(tenant, signal) : stock.onDemand(size, signal);
}
