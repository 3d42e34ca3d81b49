import { assert } from "../kernel/assert.ts";

/**
 * What the main thread lets the watchdog watch, in memory that both see. A message to a thread costs the sender 0.1 ms
 * (it wakes somebody up) and the run waits for it; two of them for each run were a tenth of its price.
 *
 * Each process has a slot for as long as it lives. Only the main thread writes numbers; a reader finds out by `seq`, odd
 * during a change, whether it has read one state (a seqlock).
 */

/** Processes at the same time: keyed, active, warm and booting ones, each at the most that the configuration allows. */
export const WATCHED_MAX = 4_096;

/** What is watched; the rest of a slot is zero while its process has no run. */
export interface Budget {
  /** Numbers the watches: a process serves one run after another, and what is found of one is not the next one's. */
  watch: number;
  cpu_ms: number;
  wall_ms: number;
  /** Resident memory above `rss_base_bytes`. */
  memory_bytes: number;
  rss_base_bytes: number;
  threads_max: number;
  /** CPU priority (as nice(1)) of a run that has used `LONG_RUN_CPU_MS`; 0: that of all others. */
  long_run_nice: number;
  /** What the process had used before, in ticks of `TICK_MS`. */
  cpu_ticks_base: number;
  /** CPU since then that is not the run's. */
  allowed_ms: number;
}

const FIELDS = [
  "watch",
  "cpu_ms",
  "wall_ms",
  "memory_bytes",
  "rss_base_bytes",
  "threads_max",
  "long_run_nice",
  "cpu_ticks_base",
  "allowed_ms",
] as const satisfies (keyof Budget)[];
const WATCH = FIELDS.indexOf("watch");
const ALLOWED = FIELDS.indexOf("allowed_ms");
/** Words before the slots. */
const HEAD = 2;
const AWAKE = 0;
const SLOTS = 1;

export class WatchBoard {
  readonly shared: SharedArrayBuffer;
  /** Of each slot: `seq`, and whether its priority is lowered. */
  readonly #words: Int32Array;
  readonly #numbers: Float64Array;

  /** @param shared  of the other side's board. */
  constructor(shared?: SharedArrayBuffer) {
    const numbers_bytes = WATCHED_MAX * FIELDS.length * Float64Array.BYTES_PER_ELEMENT;
    const words = HEAD + 2 * WATCHED_MAX;
    this.shared = shared ?? new SharedArrayBuffer(numbers_bytes + words * Int32Array.BYTES_PER_ELEMENT);
    this.#numbers = new Float64Array(this.shared, 0, WATCHED_MAX * FIELDS.length);
    this.#words = new Int32Array(this.shared, numbers_bytes, words);
  }

  /** Main thread: the run of a slot begins. */
  begin(slot: number, budget: Budget): void {
    assert(slot >= 0 && slot < WATCHED_MAX, "a slot is one of WATCHED_MAX");
    this.#change(slot, (numbers, at) => {
      for (let i = 0; i < FIELDS.length; i++) numbers[at + i] = budget[FIELDS[i] as keyof Budget];
    });
    if (slot >= Atomics.load(this.#words, SLOTS)) Atomics.store(this.#words, SLOTS, slot + 1);
  }

  /** Main thread: takes CPU off the run's account that was not its own. */
  allow(slot: number, cpu_ms: number): void {
    this.#change(slot, (numbers, at) => {
      numbers[at + ALLOWED] = (numbers[at + ALLOWED] ?? 0) + cpu_ms;
    });
  }

  /**
   * Main thread: the run has ended.
   * @returns whether its priority was lowered; whoever ends it gives the priority back.
   */
  end(slot: number): boolean {
    this.#change(slot, (numbers, at) => {
      numbers[at + WATCH] = 0;
    });
    return Atomics.exchange(this.#words, HEAD + 2 * slot + 1, 0) === 1;
  }

  /** Watchdog: the budget of the run in a slot; undefined when there is none, or it changes just now. */
  read(slot: number): Budget | undefined {
    const before = Atomics.load(this.#words, HEAD + 2 * slot);
    const at = slot * FIELDS.length;
    if (before % 2 !== 0 || this.#numbers[at + WATCH] === 0) return undefined;
    const [watch = 0, cpu_ms = 0, wall_ms = 0, memory_bytes = 0, rss_base_bytes = 0, ...rest] = this.#numbers.subarray(
      at,
      at + FIELDS.length,
    );
    const [threads_max = 0, long_run_nice = 0, cpu_ticks_base = 0, allowed_ms = 0] = rest;
    const numbers = { watch, cpu_ms, wall_ms, memory_bytes, rss_base_bytes };
    if (Atomics.load(this.#words, HEAD + 2 * slot) !== before) return undefined;
    return { ...numbers, threads_max, long_run_nice, cpu_ticks_base, allowed_ms };
  }

  /** Watchdog: is it still this run that a slot has? */
  isStill(slot: number, watch: number): boolean {
    return this.read(slot)?.watch === watch;
  }

  /** Watchdog: says that it lowers the priority of a slot's process. Said before it is done, so that `end` undoes it. */
  lowered(slot: number): void {
    Atomics.store(this.#words, HEAD + 2 * slot + 1, 1);
  }

  /** Watchdog: slots that were ever used are below this. */
  get slots(): number {
    return Atomics.load(this.#words, SLOTS);
  }

  /** Does the watchdog look at the board by itself? Asleep it waits for a message. */
  get isAwake(): boolean {
    return Atomics.load(this.#words, AWAKE) === 1;
  }

  /** Watchdog. */
  setAwake(awake: boolean): void {
    Atomics.store(this.#words, AWAKE, awake ? 1 : 0);
  }

  #change(slot: number, write: (numbers: Float64Array, at: number) => void): void {
    const seq = HEAD + 2 * slot;
    Atomics.add(this.#words, seq, 1);
    write(this.#numbers, slot * FIELDS.length);
    Atomics.add(this.#words, seq, 1);
  }
}
