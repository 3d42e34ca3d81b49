/** The ledger with its sealer, over a store of its own, as the server builds it. */
import { mkdirSync } from "node:fs";
import { z } from "zod";
import type { EntryDraft } from "../../server/src/evidence/contract.ts";
import { kinds as evidence_kinds } from "../../server/src/evidence/kinds.ts";
import { EvidenceLedger } from "../../server/src/evidence/ledger.ts";
import { LogGuard } from "../../server/src/evidence/log/guard.ts";
import { StoredLog } from "../../server/src/evidence/log/reader.ts";
import { Sealer } from "../../server/src/evidence/log/sealer.ts";
import { loadStateKey } from "../../server/src/evidence/state_key.ts";
import { migrations } from "../../server/src/evidence/store.ts";
import { systemClock } from "../../server/src/kernel/clock.ts";
import { createIds, type TenantId } from "../../server/src/kernel/ids.ts";
import { silentLogger } from "../../server/src/kernel/log.ts";
import { systemRandom } from "../../server/src/kernel/random.ts";
import { type Metrics, noMetrics } from "../../server/src/kernel/telemetry.ts";
import { openPrivateFiles } from "../../server/src/storage/adapters/private_files.ts";
import { openSqlite } from "../../server/src/storage/adapters/sqlite.ts";
import type { Storage } from "../../server/src/storage/contract.ts";

export interface SealedLedger {
  storage: Storage;
  ledger: EvidenceLedger;
  log: StoredLog;
  sealer: Sealer;
  /** Appends one entry in a unit of its own, as small as most are; resolves when it is durable. */
  append(): Promise<void>;
  /** From the append of the oldest entry to the checkpoint that covers it, of each sealing since the last call; ms. */
  lags(): number[];
  close(): Promise<void>;
}

export const TENANT = "ten_bench" as TenantId;

/** What a step of a run is recorded with: a chain of two, one audited row, one ref. */
export function draft(n: number): EntryDraft {
  const id = `run_bench${n}`;
  return {
    kind: "step.made",
    tenant: TENANT,
    actor: [
      { actor: "act_01j00000000000000000000000", kind: "human" },
      { actor: "act_01j00000000000000000000001", kind: "agent" },
    ],
    subjects: [{ table: "steps", id, row: { id, state: "ended", result_hash: "0".repeat(64), ended_at: n } }],
    refs: [id],
    snapshot: "snp_0000000000000000000000000000000000000000000000000000000000000000",
    contract: { name: "scratch", version: 2 },
    data: { run: id, termination: "completed", cpu_ms: n % 100, result_hash: "0".repeat(64) },
  };
}

export async function openLedger(directory: string): Promise<SealedLedger> {
  mkdirSync(directory, { recursive: true });
  const clock = systemClock();
  const random = systemRandom();
  let lags: number[] = [];
  const metrics: Metrics = {
    ...noMetrics,
    observe: (name, value) => {
      if (name === "gantry_evidence_seal_lag_seconds") lags.push(value * 1_000);
    },
  };
  const common = { clock, random, metrics, log: silentLogger, logger: silentLogger, ids: createIds(clock, random) };
  const storage = await openSqlite({ ...common, directory, migrations });
  const files = openPrivateFiles(directory, random);
  const guard = new LogGuard(metrics);
  const sealer = new Sealer({ ...common, storage, files, guard, owner: "bench" });
  const ledger = new EvidenceLedger({
    ...common,
    storage,
    guard,
    appended: () => sealer.appended(),
    state_key: await loadStateKey(files, random),
    kinds: { ...evidence_kinds, "step.made": z.looseObject({}) },
  });
  await sealer.start();
  let n = 0;
  return {
    storage,
    ledger,
    sealer,
    log: new StoredLog(storage),
    append: () =>
      storage.write((tx) => {
        n += 1;
        ledger.append(tx, draft(n));
      }),
    lags() {
      const seen = lags;
      lags = [];
      return seen;
    },
    async close() {
      ledger.close();
      await sealer.close();
      await storage.close();
    },
  };
}
