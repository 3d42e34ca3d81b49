import { type LimitTable, LOG_BYTES_KILL } from "../kernel/limits.ts";
import { type Ending, type Outcome, runner_errors } from "./contract.ts";

type LimitEnding = Exclude<Ending, "completed" | "threw" | "load_failed" | "runner_lost">;

/** The error of a run that was ended by a limit: which one, how far it got, what would be right. */
export function limitError(
  ending: LimitEnding,
  limits: LimitTable,
  used?: { cpu_ms: number; rss_peak_bytes: number },
): NonNullable<Outcome["error"]> {
  return { code: `RUN_${ending.toUpperCase()}`, detail: sentence(ending, limits, used) };
}

function sentence(ending: LimitEnding, limits: LimitTable, used?: { cpu_ms: number; rss_peak_bytes: number }): string {
  switch (ending) {
    case "cpu_exceeded":
      return `The program used ${used?.cpu_ms ?? "more than its"} ms of CPU; its limit is ${limits.cpu_ms} (cpu_ms).`;
    case "memory_exceeded":
      return `The program needed more than its ${limits.memory_mb} MB of memory (memory_mb).`;
    case "wall_exceeded":
      return `The program ran for longer than its ${limits.wall_ms} ms (wall_ms).`;
    case "output_exceeded":
      return `The result is longer than its ${limits.output_bytes_max} bytes (output_bytes_max).`;
    case "log_exceeded":
      return `The program wrote more than ${LOG_BYTES_KILL} bytes of log.`;
    case "cancelled":
      return "The run was cancelled.";
  }
}

export function lostError(why?: string): NonNullable<Outcome["error"]> {
  const said = why === undefined ? "" : `: ${why}`;
  return {
    code: runner_errors.LOST.code,
    detail: `The jailed process ended without a reason of the run's own${said}.`,
  };
}
