import type { OpenAPIHono } from "@hono/zod-openapi";
import { ledgerFigures } from "../evidence/log/figures_store.ts";
import type { WitnessReader } from "../evidence/witness/witnesses.ts";
import type { RunnerPool } from "../execution/contract.ts";
import { pendingFigures } from "../gates/pending_store.ts";
import type { Identity, RouteEnv } from "../identity/contract.ts";
import type { RunsLife } from "../intent/runs.ts";
import { RunFigures } from "../intent/stats.ts";
import { statsRoutes } from "../intent/stats_routes.ts";
import type { Clock } from "../kernel/clock.ts";
import type { Storage } from "../storage/contract.ts";

export interface StatsGround {
  storage: Storage;
  clock: Clock;
  pool: RunnerPool;
  runs: Pick<RunsLife, "slots">;
  witnesses: WitnessReader;
  identity: Pick<Identity, "demand">;
}

/** The figures of runs, with what the rooms below say of approvals and of the machine. */
export function statsSurfaces({
  storage,
  clock,
  pool,
  runs,
  witnesses,
  identity,
}: StatsGround): OpenAPIHono<RouteEnv>[] {
  const figures = new RunFigures({
    storage,
    clock,
    pool,
    slots: () => runs.slots(),
    approvals: (tenant, now) => pendingFigures(storage, tenant, now),
    ledger: () => ledgerFigures(storage, clock.now()),
    witnesses: async () =>
      (await witnesses.list()).map(({ sink, size, lag_ms, error }) => ({ sink, size, lag_ms, error })),
  });
  return [statsRoutes({ figures, identity })];
}
