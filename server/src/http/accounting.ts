import type { Clock } from "../kernel/clock.ts";
import type { Logger } from "../kernel/log.ts";
import type { Metrics } from "../kernel/telemetry.ts";

export interface AccountingDeps {
  metrics: Metrics;
  clock: Clock;
  log: Logger;
}

interface Answered {
  request: string;
  method: string;
  /** The pattern of its path. */
  route: string;
  status: number;
  /** When it was received, monotonic milliseconds. */
  from: number;
}

/** Counts an answer by route and status, and tells the log. */
export function account({ metrics, clock, log }: AccountingDeps, answered: Answered): void {
  const { from, ...fields } = answered;
  metrics.add("gantry_http_requests_total", { route: fields.route, status: String(fields.status) });
  log.debug({ ...fields, ms: Math.round(clock.monotonic() - from) }, "answered");
}
