import type { Logger } from "../kernel/log.ts";
import type { Metrics } from "../kernel/telemetry.ts";
import type { Policy } from "../policy/contract.ts";
import type { RunRow } from "./store.ts";

/** Counts a run whose end was a human's, against what an agent had begun. The entry says so by itself. */
export async function countOverride(
  { policy, metrics, log }: { policy: Policy; metrics: Metrics; log: Logger },
  { id, tenant, snapshot, override }: RunRow,
): Promise<void> {
  if (override === null) return;
  try {
    const { contract } = await policy.snapshot(tenant, snapshot);
    metrics.add("gantry_override_total", { kind: override, class: contract.class });
  } catch (error) {
    log.warn({ run: id, error }, "an override could not be counted");
  }
}
