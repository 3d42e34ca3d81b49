/** What the main thread and the watchdog thread say to each other. */

export interface WatchOrder {
  op: "watch";
  runner: string;
  /** Numbers the watches: a process serves one run after another, and what is found of one is not the next one's. */
  watch: number;
  pid: number;
  cpu_ms: number;
  wall_ms: number;
  /** Resident memory above `rss_base_bytes`. */
  memory_bytes: number;
  rss_base_bytes: number;
  threads_max: number;
  /** CPU priority (as nice(1)) of a run that has used `LONG_RUN_CPU_MS`; 0: that of all others. */
  long_run_nice: number;
}

export type Order =
  | { op: "adopt"; runner: string; pid: number }
  | WatchOrder
  /** So much of the process's CPU is not the watched run's. */
  | { op: "allow"; runner: string; cpu_ms: number }
  /** The run has ended; the process may serve another. */
  | { op: "rest"; runner: string }
  | { op: "forget"; runner: string }
  /** Answered after every conviction made before it. */
  | { op: "sync"; n: number };

/** Published before the kill, so that the exit that follows is never misread. */
export interface Conviction {
  runner: string;
  watch: number;
  reason: "cpu_exceeded" | "memory_exceeded" | "wall_exceeded" | "threads_exceeded";
  cpu_ms: number;
  /** Above the base. */
  rss_peak_bytes: number;
}

export type Report = { convicted: Conviction } | { synced: number };
