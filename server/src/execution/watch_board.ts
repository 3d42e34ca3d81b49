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

/** Numbers of a slot. */
const FIELDS = 9;
const WATCH = 0;
const ALLOWED = 8;
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
    const numbers_bytes = WATCHED_MAX * FIELDS * Float64Array.BYTES_PER_ELEMENT;
    const words = HEAD + 2 * WATCHED_MAX;
    this.shared = shared ?? new SharedArrayBuffer(numbers_bytes + words * Int32Array.BYTES_PER_ELEMENT);
    this.#numbers = new Float64Array(this.shared, 0, WATCHED_MAX * FIELDS);
    this.#words = new Int32Array(this.shared, numbers_bytes, words);
  }

  /** Main thread: the run of a slot begins. */
  begin(slot: number, budget: Budget): void {
    assert(slot >= 0 && slot < WATCHED_MAX, "a slot is one of WATCHED_MAX");
    this.#change(slot);
    writeBudget(this.#numbers, slot * FIELDS, budget);
    this.#change(slot);
    if (slot >= Atomics.load(this.#words, SLOTS)) Atomics.store(this.#words, SLOTS, slot + 1);
  }

  /** Main thread: takes CPU off the run's account that was not its own. */
  allow(slot: number, cpu_ms: number): void {
    this.#change(slot);
    (this.#numbers[slot * FIELDS + ALLOWED] as number) += cpu_ms;
    this.#change(slot);
  }

  /**
   * Main thread: the run has ended.
   * @returns whether its priority was lowered; whoever ends it gives the priority back.
   */
  end(slot: number): boolean {
    this.#change(slot);
    this.#numbers[slot * FIELDS + WATCH] = 0;
    this.#change(slot);
    return Atomics.exchange(this.#words, HEAD + 2 * slot + 1, 0) === 1;
  }

  /** Watchdog: the budget of the run in a slot; undefined when there is none, or it changes just now. */
  read(slot: number): Budget | undefined {
    const before = Atomics.load(this.#words, HEAD + 2 * slot);
    const at = slot * FIELDS;
    if (before % 2 !== 0 || this.#numbers[at + WATCH] === 0) return undefined;
    const budget = readBudget(this.#numbers, at);
    return Atomics.load(this.#words, HEAD + 2 * slot) === before ? budget : undefined;
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

  /** Before the change of a slot, and after it. */
  #change(slot: number): void {
    Atomics.add(this.#words, HEAD + 2 * slot, 1);
  }
}

/** Number by number: what walks over names or an iterator takes several times as long (measured). */
function writeBudget(numbers: Float64Array, at: number, budget: Budget): void {
  numbers[at + WATCH] = budget.watch;
  numbers[at + 1] = budget.cpu_ms;
  numbers[at + 2] = budget.wall_ms;
  numbers[at + 3] = budget.memory_bytes;
  numbers[at + 4] = budget.rss_base_bytes;
  numbers[at + 5] = budget.threads_max;
  numbers[at + 6] = budget.long_run_nice;
  numbers[at + 7] = budget.cpu_ticks_base;
  numbers[at + ALLOWED] = budget.allowed_ms;
}

function readBudget(numbers: Float64Array, at: number): Budget {
  return {
    watch: numbers[at + WATCH] as number,
    cpu_ms: numbers[at + 1] as number,
    wall_ms: numbers[at + 2] as number,
    memory_bytes: numbers[at + 3] as number,
    rss_base_bytes: numbers[at + 4] as number,
    threads_max: numbers[at + 5] as number,
    long_run_nice: numbers[at + 6] as number,
    cpu_ticks_base: numbers[at + 7] as number,
    allowed_ms: numbers[at + ALLOWED] as number,
  };
}
