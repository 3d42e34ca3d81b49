import type { OpenAPIHono } from "@hono/zod-openapi";
import type { Config } from "../config.ts";
import { LogBundles } from "../evidence/account/bundle.ts";
import { bundleRoutes } from "../evidence/account/bundle_routes.ts";
import { RunStatements } from "../evidence/account/statement.ts";
import { statementRoutes } from "../evidence/account/statement_routes.ts";
import { Timelines } from "../evidence/account/timeline.ts";
import { timelineRoutes } from "../evidence/account/timeline_routes.ts";
import { Auditor } from "../evidence/audit/audit.ts";
import { auditRoutes } from "../evidence/audit/routes.ts";
import type { CheckpointSink, KindSchemas } from "../evidence/contract.ts";
import { EvidenceLedger } from "../evidence/ledger.ts";
import { LogGuard } from "../evidence/log/guard.ts";
import { keyRoutes } from "../evidence/log/key_routes.ts";
import { StoredLog } from "../evidence/log/reader.ts";
import { KeyRotation } from "../evidence/log/rotation.ts";
import { logRoutes } from "../evidence/log/routes.ts";
import { Sealer } from "../evidence/log/sealer.ts";
import { RecordedOpening } from "../evidence/private/values.ts";
import { evidenceRoutes } from "../evidence/routes.ts";
import { witnessRoutes } from "../evidence/witness/routes.ts";
import { Witnesses } from "../evidence/witness/witnesses.ts";
import type { Principal, RouteEnv } from "../identity/contract.ts";
import type { IdentityRegistry } from "../identity/identity.ts";
import type { Clock } from "../kernel/clock.ts";
import type { Ids } from "../kernel/ids.ts";
import type { Logger } from "../kernel/log.ts";
import type { Random } from "../kernel/random.ts";
import type { Metrics } from "../kernel/telemetry.ts";
import { AUDITED_TABLES } from "../schema.ts";
import { agreementsOf } from "../storage/agreements.ts";
import type { PrivateFiles, Storage } from "../storage/contract.ts";

/** How often a node of several looks for what the others have appended. */
const SHARED_POLL_MS = 100;

export interface EvidenceGround {
  clock: Clock;
  random: Random;
  ids: Ids;
  log: Logger;
  metrics: Metrics;
  storage: Storage;
  files: PrivateFiles;
  state_key: Uint8Array;
  /** The kinds of every room. */
  kinds: KindSchemas;
  /** This node, among those of its database. */
  node: string;
  sinks: CheckpointSink[];
}

/** The evidence room: the ledger, and what seals it. `sealer.start` comes when the owner of the instance is known. */
export function buildEvidence(config: Pick<Config, "log_origin" | "store">, ground: EvidenceGround) {
  const { storage, files, random, sinks, node } = ground;
  const guard = new LogGuard(ground.metrics);
  const sealer = new Sealer({
    ...ground,
    guard,
    // After a crash the lock is its own, and nobody waits for its time: two processes have no data directory in common.
    owner: node,
    origin: config.log_origin,
    witnesses: sinks,
    ...(config.store.engine === "postgres" ? { poll_ms: SHARED_POLL_MS } : {}),
  });
  const ledger = new EvidenceLedger({ ...ground, guard, appended: () => sealer.appended() });
  const log = new StoredLog(storage);
  const values = new RecordedOpening({ storage, ledger });
  const rotation = new KeyRotation({ storage, files, random, ledger, sealer });
  const audits = new Auditor({ ...ground, tables: AUDITED_TABLES });
  const bundles = new LogBundles({ ...ground, log, values });
  const statements = new RunStatements({ ...ground, ledger, log, agreements: agreementsOf(storage) });
  const timelines = new Timelines({ storage, ledger });
  const witnesses = new Witnesses({ ...ground, ledger, log, logger: ground.log });
  const records = { guard, sealer, ledger, log, values, rotation, witnesses };
  return { ...records, audits, clock: ground.clock, bundles, statements, timelines };
}

export type EvidenceParts = ReturnType<typeof buildEvidence>;

/** Everything of the room that is asked for over HTTP. */
export function evidenceSurfaces(
  { ledger, log, values, rotation, audits, clock, bundles, statements, timelines, witnesses }: EvidenceParts,
  identity: IdentityRegistry,
): OpenAPIHono<RouteEnv>[] {
  return [
    evidenceRoutes<Principal>({ ledger, identity, values }),
    logRoutes<Principal>({ log, identity }),
    keyRoutes<Principal>({ rotation, identity }),
    auditRoutes<Principal>({ audits, identity }),
    bundleRoutes<Principal>({ bundles, clock, identity }),
    statementRoutes<Principal>({ statements, identity }),
    timelineRoutes<Principal>({ timelines, identity }),
    witnessRoutes<Principal>({ witnesses, identity }),
  ];
}
