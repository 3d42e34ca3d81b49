import { Worker } from "node:worker_threads";
import { assert } from "../../kernel/assert.ts";
import { entryPoint } from "../../kernel/entries.ts";
import type { Conviction, Order, Report } from "../watch.ts";
import { type Budget, WATCHED_MAX, WatchBoard } from "../watch_board.ts";
import { setThreadsPriority } from "./priority.ts";

/** A run of a process, and what it may use. */
export interface WatchOrder extends Omit<Budget, "watch" | "allowed_ms"> {
  runner: string;
}

interface Adopted {
  slot: number;
  pid: number;
  /** Told of the run that is watched now. */
  listener: { watch: number; convicted(conviction: Conviction): void } | undefined;
}

/** The main thread's side of the watchdog. If its thread ends, guests must not run on: `on_lost` is called. */
export class Watchdog {
  readonly #board = new WatchBoard();
  readonly #thread: Worker;
  readonly #convictions = new Map<string, Conviction>();
  readonly #adopted = new Map<string, Adopted>();
  /** Slots below `#slots_used` that no process has. */
  readonly #slots_free: number[] = [];
  #slots_used = 0;
  readonly #syncs = new Map<number, () => void>();
  #sync_count = 0;
  #watch_count = 0;
  #closing = false;

  constructor(on_lost: (error: Error) => void) {
    this.#thread = new Worker(entryPoint("threads/watchdog.js"), { workerData: this.#board.shared });
    this.#thread.unref();
    this.#thread.on("message", (report: Report) => this.#receive(report));
    this.#thread.on("error", on_lost);
    this.#thread.on("exit", () => {
      if (!this.#closing) on_lost(new Error("the watchdog's thread ended"));
    });
  }

  /** Opens the process's counters; before any guest code is in it. */
  adopt(runner: string, pid: number): void {
    const slot = this.#slots_free.pop() ?? this.#slots_used++;
    assert(slot < WATCHED_MAX, "no more than WATCHED_MAX processes are watched");
    this.#adopted.set(runner, { slot, pid, listener: undefined });
    this.#send({ op: "adopt", runner, slot, pid });
  }

  /**
   * `convicted` is called at most once, before the process is seen to be dead.
   * @returns the number of this watch.
   */
  watch({ runner, ...budget }: WatchOrder, convicted: (conviction: Conviction) => void): number {
    this.#watch_count += 1;
    const watch = this.#watch_count;
    const adopted = this.#adopted.get(runner);
    if (adopted === undefined) return watch; // it has died since, and its end will say so
    adopted.listener = { watch, convicted };
    this.#board.begin(adopted.slot, { watch, ...budget, allowed_ms: 0 });
    if (!this.#board.isAwake) this.#send({ op: "wake" });
    return watch;
  }

  /** Takes CPU off a run's account that was not its own. */
  allow(runner: string, cpu_ms: number): void {
    const adopted = this.#adopted.get(runner);
    if (adopted !== undefined) this.#board.allow(adopted.slot, cpu_ms);
  }

  /** Ends the watch of a run; the process may be watched again, with the priority that all begin with. */
  rest(runner: string): void {
    const adopted = this.#adopted.get(runner);
    if (adopted === undefined) return;
    adopted.listener = undefined;
    if (this.#board.end(adopted.slot)) setThreadsPriority(adopted.pid, 0);
  }

  /** The process is dead or will be: nothing more is to be found of it. */
  forget(runner: string): void {
    const adopted = this.#adopted.get(runner);
    this.#convictions.delete(runner);
    if (adopted === undefined) return;
    this.#adopted.delete(runner);
    this.#board.end(adopted.slot);
    // Orders are taken in turn: whoever has the slot next is adopted after this is forgotten.
    this.#send({ op: "forget", slot: adopted.slot });
    this.#slots_free.push(adopted.slot);
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
    const listener = this.#adopted.get(convicted.runner)?.listener;
    if (this.#adopted.has(convicted.runner)) this.#convictions.set(convicted.runner, convicted);
    if (listener?.watch === convicted.watch) listener.convicted(convicted);
  }

  #send(order: Order): void {
    this.#thread.postMessage(order);
  }
}
