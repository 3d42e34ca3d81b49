/**
 * The watchdog's thread: a busy event loop of the control plane must not delay a kill. Every 5 ms it reads the use of
 * each running guest and kills the one past a budget. It pings nothing: what a guest answers decides nothing.
 */
import { parentPort } from "node:worker_threads";
import { systemClock } from "../../kernel/clock.ts";
import { LONG_RUN_CPU_MS } from "../contract.ts";
import type { Conviction, Order, Report, WatchOrder } from "../watch.ts";
import { setThreadsPriority } from "./priority.ts";
import { type ProcessUse, StatReader, TICK_MS } from "./procfs.ts";

const PERIOD_MS = 5;

interface Watched {
  order: WatchOrder;
  cpu_ticks_base: number;
  since: number;
  rss_peak: number;
  /** CPU since then that is not the run's. */
  allowed_ms: number;
  /** It has a lower priority than it began with. */
  niced: boolean;
}

const clock = systemClock();
const readers = new Map<string, StatReader>();
const watched = new Map<string, Watched>();
let stop: (() => void) | undefined;

function publish(report: Report): void {
  parentPort?.postMessage(report);
}

function judge(entry: Watched, use: ProcessUse): Conviction["reason"] | undefined {
  const { order } = entry;
  if ((use.cpu_ticks - entry.cpu_ticks_base) * TICK_MS - entry.allowed_ms > order.cpu_ms) return "cpu_exceeded";
  if (use.rss_bytes - order.rss_base_bytes > order.memory_bytes) return "memory_exceeded";
  if (clock.monotonic() - entry.since > order.wall_ms) return "wall_exceeded";
  if (use.threads > order.threads_max) return "threads_exceeded";
  return undefined;
}

function patrol(): void {
  for (const [runner, entry] of watched) {
    const use = readers.get(runner)?.read();
    if (use === undefined) continue;
    entry.rss_peak = Math.max(entry.rss_peak, use.rss_bytes);
    if (isLong(entry, use)) lower(entry);
    const reason = judge(entry, use);
    if (reason === undefined) continue;
    publish({
      convicted: {
        runner,
        watch: entry.order.watch,
        reason,
        cpu_ms: (use.cpu_ticks - entry.cpu_ticks_base) * TICK_MS,
        rss_peak_bytes: Math.max(0, entry.rss_peak - entry.order.rss_base_bytes),
      },
    });
    watched.delete(runner);
    try {
      process.kill(entry.order.pid, "SIGKILL");
    } catch {
      // ESRCH: it went by itself since the read.
    }
  }
  pace();
}

/** No running guest, no timer. */
function pace(): void {
  if (watched.size > 0) stop ??= clock.every(PERIOD_MS, patrol);
  else {
    stop?.();
    stop = undefined;
  }
}

function watch(order: WatchOrder): void {
  const use = readers.get(order.runner)?.read();
  if (use === undefined) return;
  watched.set(order.runner, {
    order,
    cpu_ticks_base: use.cpu_ticks,
    since: clock.monotonic(),
    rss_peak: use.rss_bytes,
    allowed_ms: 0,
    niced: false,
  });
}

function isLong({ order, cpu_ticks_base, niced }: Watched, use: ProcessUse): boolean {
  return order.long_run_nice > 0 && !niced && (use.cpu_ticks - cpu_ticks_base) * TICK_MS >= LONG_RUN_CPU_MS;
}

/** What runs for long gives way to what may be over in a moment. */
function lower(entry: Watched): void {
  entry.niced = true;
  setThreadsPriority(entry.order.pid, entry.order.long_run_nice);
}

function allow(runner: string, cpu_ms: number): void {
  const entry = watched.get(runner);
  if (entry !== undefined) entry.allowed_ms += cpu_ms;
}

/** The run has ended: the process may serve another, with the priority that all begin with. */
function rest(runner: string): void {
  const entry = watched.get(runner);
  if (entry?.niced === true) setThreadsPriority(entry.order.pid, 0);
  watched.delete(runner);
}

function adopt(runner: string, pid: number): void {
  try {
    readers.set(runner, new StatReader(pid));
  } catch {
    // It is gone already; its exit tells the main thread.
  }
}

function forget(runner: string): void {
  watched.delete(runner);
  readers.get(runner)?.close();
  readers.delete(runner);
}

parentPort?.on("message", (order: Order) => {
  if (order.op === "adopt") adopt(order.runner, order.pid);
  else if (order.op === "watch") watch(order);
  else if (order.op === "allow") allow(order.runner, order.cpu_ms);
  else if (order.op === "rest") rest(order.runner);
  else if (order.op === "forget") forget(order.runner);
  else publish({ synced: order.n });
  pace();
});
