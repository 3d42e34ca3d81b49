import { Worker } from "node:worker_threads";
import { entryPoint } from "../../kernel/entries.ts";
import type { Conviction, Order, Report, WatchOrder } from "../watch.ts";

/** The main thread's side of the watchdog. If its thread ends, guests must not run on: `on_lost` is called. */
export class Watchdog {
  readonly #thread: Worker;
  readonly #convictions = new Map<string, Conviction>();
  /** Of each runner, who is told. */
  readonly #listeners = new Map<string, { watch: number; convicted(conviction: Conviction): void }>();
  readonly #syncs = new Map<number, () => void>();
  #sync_count = 0;
  #watch_count = 0;
  #closing = false;

  constructor(on_lost: (error: Error) => void) {
    this.#thread = new Worker(entryPoint("threads/watchdog.js"));
    this.#thread.unref();
    this.#thread.on("message", (report: Report) => this.#receive(report));
    this.#thread.on("error", on_lost);
    this.#thread.on("exit", () => {
      if (!this.#closing) on_lost(new Error("the watchdog's thread ended"));
    });
  }

  /** Opens the process's counters; before any guest code is in it. */
  adopt(runner: string, pid: number): void {
    this.#send({ op: "adopt", runner, pid });
  }

  /**
   * `convicted` is called at most once, before the process is seen to be dead.
   * @returns the number of this watch.
   */
  watch(order: Omit<WatchOrder, "op" | "watch">, convicted: (conviction: Conviction) => void): number {
    this.#watch_count += 1;
    const watch = this.#watch_count;
    this.#listeners.set(order.runner, { watch, convicted });
    this.#send({ op: "watch", watch, ...order });
    return watch;
  }

  /** Takes CPU off a run's account that was not its own. */
  allow(runner: string, cpu_ms: number): void {
    this.#send({ op: "allow", runner, cpu_ms });
  }

  /** Ends the watch of a run; the process may be watched again. */
  rest(runner: string): void {
    this.#listeners.delete(runner);
    this.#send({ op: "rest", runner });
  }

  forget(runner: string): void {
    this.#listeners.delete(runner);
    this.#convictions.delete(runner);
    this.#send({ op: "forget", runner });
  }

  /** What a watch found of a process that has just died: waits for every message that was published before. */
  async convictionOf(runner: string, watch: number): Promise<Conviction | undefined> {
    await this.#sync();
    const conviction = this.#convictions.get(runner);
    return conviction?.watch === watch ? conviction : undefined;
  }

  async close(): Promise<void> {
    this.#closing = true;
    await this.#thread.terminate();
  }

  #sync(): Promise<void> {
    return new Promise((resolve) => {
      this.#sync_count += 1;
      this.#syncs.set(this.#sync_count, resolve);
      this.#send({ op: "sync", n: this.#sync_count });
    });
  }

  #receive(report: Report): void {
    if ("synced" in report) {
      this.#syncs.get(report.synced)?.();
      this.#syncs.delete(report.synced);
      return;
    }
    const { convicted } = report;
    this.#convictions.set(convicted.runner, convicted);
    const listener = this.#listeners.get(convicted.runner);
    if (listener?.watch === convicted.watch) listener.convicted(convicted);
  }

  #send(order: Order): void {
    this.#thread.postMessage(order);
  }
}
