import type { Metrics } from "../kernel/telemetry.ts";
import type { Storage } from "../storage/contract.ts";
import type { PrincipalCache } from "./cache.ts";
import type { LatestClock } from "./latest_clock.ts";
import type { RecordParts } from "./records.ts";

/** What every change of this room is made with. */
export interface Desk extends RecordParts {
  storage: Storage;
  clock: LatestClock;
  cache: PrincipalCache;
  metrics: Metrics;
}
