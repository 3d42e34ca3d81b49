import type { ProcessNumbers } from "./adapters/jailed_process.ts";
import {
  RUNNER_AGE_MS_MAX,
  RUNNER_GROWTH_MB_MAX,
  RUNNER_IDLE_CPU_MS_MAX,
  RUNNER_IDLE_MS_MAX,
  RUNNER_RUNS_MAX,
} from "./contract.ts";
import type { Bound } from "./group.ts";

const MB = 1024 * 1024;

/** Why a keyed process is let go: a label of the metric. */
export type Retirement = "runs" | "age" | "growth" | "idle" | "leftover" | "died" | "unclean" | "evicted" | "shared";

/** Why it should not serve the next run, after one that ended cleanly. */
export function spentBy(bound: Bound, use: ProcessNumbers, now: number): Retirement | undefined {
  if (bound.runs >= RUNNER_RUNS_MAX) return "runs";
  if (now - bound.bound_at >= RUNNER_AGE_MS_MAX) return "age";
  if (use.rss_bytes - bound.primed_rss_bytes > RUNNER_GROWTH_MB_MAX * MB) return "growth";
  return undefined;
}

/**
 * Why a process that has no run should not get one.
 * Work that goes on in it shows as CPU: more than `RUNNER_IDLE_CPU_MS_MAX` in a second, or at that rate in more.
 */
export function staleBy(bound: Bound, use: ProcessNumbers | undefined, now: number): Retirement | undefined {
  if (use === undefined) return "died";
  const seconds = Math.max(1, (now - bound.seen_at) / 1_000);
  if (use.cpu_ms - bound.seen.cpu_ms > RUNNER_IDLE_CPU_MS_MAX * seconds) return "leftover";
  if (bound.idle_since !== null && now - bound.idle_since >= RUNNER_IDLE_MS_MAX) return "idle";
  return now - bound.bound_at >= RUNNER_AGE_MS_MAX ? "age" : undefined;
}
