/** What the main thread and the watchdog thread say to each other, besides what stands on the board (watch_board.ts). */

export type Order =
  | { op: "adopt"; runner: string; slot: number; pid: number }
  | { op: "forget"; slot: number }
  /** The board has a run, and nobody looks at it. */
  | { op: "wake" }
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
