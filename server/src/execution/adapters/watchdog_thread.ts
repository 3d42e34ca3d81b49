/**
 * The watchdog's thread: a busy event loop of the control plane must not delay a kill. Every 5 ms it reads the use of
 * each running guest and kills the one past a budget. It pings nothing: what a guest answers decides nothing.
 */
import { parentPort, workerData } from "node:worker_threads";
import { systemClock } from "../../kernel/clock.ts";
import { LONG_RUN_CPU_MS } from "../contract.ts";
import type { Conviction, Order, Report } from "../watch.ts";
import { type Budget, WatchBoard } from "../watch_board.ts";
import { setThreadsPriority } from "./priority.ts";
import { MemoryReader, StatReader, TICK_MS } from "./procfs.ts";

const PERIOD_MS = 5;
/** CPU is counted in ticks of 10 ms, and reading it costs five times what memory costs: it is read every other time. */
const CPU_EVERY = 2;
/** Nobody runs: the next run may be near, and waking up costs it more than some looks at the board cost us. */
const LINGER_MS = 1_000;

interface Watched {
  readonly runner: string;
  readonly pid: number;
  readonly stat: StatReader;
  readonly memory: MemoryReader;
  /** Of the run that it had when it was looked at last; 0: none. */
  watch: number;
  since: number;
  rss_peak: number;
  cpu_ms: number;
  threads: number;
  niced: boolean;
  convicted: boolean;
}

const clock = systemClock();
const board = new WatchBoard(workerData as SharedArrayBuffer);
const watched = new Map<number, Watched>();
let patrols = 0;
let busy_at = 0;
let stop: (() => void) | undefined;

function publish(report: Report): void {
  parentPort?.postMessage(report);
}

function patrol(): void {
  patrols += 1;
  const now = clock.monotonic();
  for (let slot = 0; slot < board.slots; slot++) {
    const budget = board.read(slot);
    if (budget === undefined) continue;
    busy_at = now;
    const entry = watched.get(slot);
    if (entry !== undefined) look(slot, entry, budget, now);
  }
  if (now - busy_at > LINGER_MS) sleep();
}

function look(slot: number, entry: Watched, budget: Budget, now: number): void {
  const is_new = entry.watch !== budget.watch;
  if (is_new) Object.assign(entry, { watch: budget.watch, since: now, rss_peak: 0, niced: false, convicted: false });
  if (entry.convicted) return;
  const rss_bytes = entry.memory.read();
  if (rss_bytes === undefined || rss_bytes === 0) return; // reaped, or a zombie
  entry.rss_peak = Math.max(entry.rss_peak, rss_bytes);
  if (is_new || patrols % CPU_EVERY === 0) {
    const use = entry.stat.read();
    if (use === undefined) return;
    entry.cpu_ms = (use.cpu_ticks - budget.cpu_ticks_base) * TICK_MS;
    entry.threads = use.threads;
    if (budget.long_run_nice > 0 && !entry.niced && entry.cpu_ms >= LONG_RUN_CPU_MS) lower(slot, entry, budget);
  }
  const reason = judge(entry, budget, rss_bytes, now);
  if (reason !== undefined) convict(slot, entry, budget, reason);
}

function judge(entry: Watched, budget: Budget, rss_bytes: number, now: number): Conviction["reason"] | undefined {
  if (entry.cpu_ms - budget.allowed_ms > budget.cpu_ms) return "cpu_exceeded";
  if (rss_bytes - budget.rss_base_bytes > budget.memory_bytes) return "memory_exceeded";
  if (now - entry.since > budget.wall_ms) return "wall_exceeded";
  if (entry.threads > budget.threads_max) return "threads_exceeded";
  return undefined;
}

function convict(slot: number, entry: Watched, budget: Budget, reason: Conviction["reason"]): void {
  const { runner, watch, cpu_ms } = entry;
  if (!board.isStill(slot, watch)) return; // it has ended since it was read
  entry.convicted = true;
  const rss_peak_bytes = Math.max(0, entry.rss_peak - budget.rss_base_bytes);
  publish({ convicted: { runner, watch, reason, cpu_ms, rss_peak_bytes } });
  try {
    process.kill(entry.pid, "SIGKILL");
  } catch {
    // ESRCH: it went by itself since the read.
  }
}

/** What runs for long gives way to what may be over in a moment. */
function lower(slot: number, entry: Watched, budget: Budget): void {
  entry.niced = true;
  board.lowered(slot);
  setThreadsPriority(entry.pid, budget.long_run_nice);
  // When it ended meanwhile, its end may have come before ours had an effect that it could undo.
  if (!board.isStill(slot, entry.watch)) setThreadsPriority(entry.pid, 0);
}

function wake(): void {
  busy_at = clock.monotonic();
  board.setAwake(true);
  stop ??= clock.every(PERIOD_MS, patrol);
}

/** No running guest, no timer. */
function sleep(): void {
  board.setAwake(false);
  // Who began between our look and this word has seen us awake, and sent nothing.
  for (let slot = 0; slot < board.slots; slot++) {
    if (board.read(slot) === undefined) continue;
    wake();
    return;
  }
  stop?.();
  stop = undefined;
}

function adopt(runner: string, slot: number, pid: number): void {
  try {
    const readers = { stat: new StatReader(pid), memory: new MemoryReader(pid) };
    const nothing = { watch: 0, since: 0, rss_peak: 0, cpu_ms: 0, threads: 0, niced: false, convicted: false };
    watched.set(slot, { runner, pid, ...readers, ...nothing });
  } catch {
    // It is gone already; its exit tells the main thread.
  }
}

function forget(slot: number): void {
  const entry = watched.get(slot);
  entry?.stat.close();
  entry?.memory.close();
  watched.delete(slot);
}

parentPort?.on("message", (order: Order) => {
  if (order.op === "adopt") adopt(order.runner, order.slot, order.pid);
  else if (order.op === "forget") forget(order.slot);
  else if (order.op === "wake") wake();
  else publish({ synced: order.n });
});
