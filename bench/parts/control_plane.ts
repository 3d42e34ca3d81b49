/**
 * The control plane by itself, in a process of its own: everything of the server but guests. Forked by `plane.ts`. Its
 * argument says whether it records: with `none` nothing is, to see what recording costs.
 */
import { mkdtempSync, readdirSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { kinds as egress_kinds } from "../../server/src/egress/kinds.ts";
import type { Ledger } from "../../server/src/evidence/contract.ts";
import { kinds as evidence_kinds } from "../../server/src/evidence/kinds.ts";
import { EvidenceLedger } from "../../server/src/evidence/ledger.ts";
import { LogGuard } from "../../server/src/evidence/log/guard.ts";
import { Sealer } from "../../server/src/evidence/log/sealer.ts";
import { loadStateKey } from "../../server/src/evidence/state_key.ts";
import { migrations as evidence_migrations } from "../../server/src/evidence/store.ts";
import { esbuildTransform } from "../../server/src/execution/adapters/esbuild.ts";
import { createCompiler } from "../../server/src/execution/compiler.ts";
import { kinds as gates_kinds } from "../../server/src/gates/kinds.ts";
import { migrations as gates_migrations } from "../../server/src/gates/store.ts";
import { migrations as webhook_migrations } from "../../server/src/gates/webhook_store.ts";
import { createApp } from "../../server/src/http/app.ts";
import { runFastPath } from "../../server/src/http/fast_path.ts";
import { createLogger } from "../../server/src/http/logging.ts";
import { createPrometheus } from "../../server/src/http/metrics.ts";
import { listen } from "../../server/src/http/server.ts";
import { bootstrap } from "../../server/src/identity/bootstrap.ts";
import { kinds as identity_kinds } from "../../server/src/identity/contract.ts";
import { IdentityRegistry } from "../../server/src/identity/identity.ts";
import { migrations as identity_migrations } from "../../server/src/identity/store.ts";
import { kinds as intent_kinds } from "../../server/src/intent/kinds.ts";
import { runRoutes } from "../../server/src/intent/routes.ts";
import { createRuns } from "../../server/src/intent/runs.ts";
import { migrations as intent_migrations } from "../../server/src/intent/store.ts";
import { systemClock } from "../../server/src/kernel/clock.ts";
import { createIds } from "../../server/src/kernel/ids.ts";
import { systemRandom } from "../../server/src/kernel/random.ts";
import { kinds as policy_kinds } from "../../server/src/policy/contract.ts";
import { contractDelta } from "../../server/src/policy/delta/delta.ts";
import { ContractPolicy } from "../../server/src/policy/policy.ts";
import { migrations as policy_migrations } from "../../server/src/policy/store.ts";
import { buildEgress } from "../../server/src/serving/egress_parts.ts";
import { buildGates, enterRuns } from "../../server/src/serving/gates_parts.ts";
import { openPrivateFiles } from "../../server/src/storage/adapters/private_files.ts";
import { openSqlite } from "../../server/src/storage/adapters/sqlite.ts";
import { agreementsOf } from "../../server/src/storage/agreements.ts";
import { egress_migrations, testNetwork } from "../../tests/fixtures/leaving.ts";
import { ScriptedPool } from "../../tests/fixtures/scripted_pool.ts";
import type { Spent } from "./cpu.ts";

const directory = mkdtempSync(`${tmpdir()}/gantry-control-`);
const clock = systemClock();
const random = systemRandom();
const prometheus = createPrometheus();
const logger = createLogger({ level: "error" });
const common = { clock, random, ids: createIds(clock, random), metrics: prometheus.metrics, logger, log: logger };

const storage = await openSqlite({
  ...common,
  directory,
  migrations: [
    ...[...evidence_migrations, ...identity_migrations, ...policy_migrations],
    ...[...egress_migrations, ...gates_migrations, ...webhook_migrations, ...intent_migrations],
  ],
});
const files = openPrivateFiles(directory, random);
const kinds = {
  ...evidence_kinds,
  ...identity_kinds,
  ...policy_kinds,
  ...egress_kinds,
  ...gates_kinds,
  ...intent_kinds,
};
const guard = new LogGuard(common.metrics);
const sealer = new Sealer({ ...common, storage, files, guard, owner: "bench" });
const state_key = await loadStateKey(files, random);
const appended = (): void => sealer.appended();
const recording = new EvidenceLedger({ ...common, storage, guard, appended, state_key, kinds });
const silent: Ledger = { append: () => common.ids("ent") };
await bootstrap({ ...common, storage, files, ledger: recording });
await sealer.start();
const ledger = process.argv[2] === "none" ? silent : recording;
const identity = new IdentityRegistry({ ...common, storage, ledger, agreements: agreementsOf(storage) });
const policy = new ContractPolicy({ ...common, storage, ledger });
const pool = new ScriptedPool();
pool.script = () => {
  pool.jobs.length = 0; // it keeps them for tests, and a bench has many
  return { result: '{"sum":3}' };
};
const compiler = createCompiler(esbuildTransform(clock));
const network = testNetwork(clock);
const below = { ...common, network, storage, ledger, identity, policy, state_key };
const gating = buildGates({ webhooks_private: false }, below);
const node = { id: "bench", boot: "boot" };
const leaving = buildEgress({ ...below, node, approvals: gating.gates });
const runs = createRuns({
  ...common,
  ...gating,
  egress: leaving.egress,
  identity,
  delta: contractDelta,
  storage,
  ledger,
  policy,
  compiler,
  pool,
  node,
  capacity: { slots: 32, memory_mb: 32 * 128 },
});
enterRuns(gating, runs);
const app = createApp({
  ...common,
  identity,
  routes: [runRoutes({ runs, identity })],
  checks: {},
  prometheus,
  version: "0.0.0",
});
await runs.recover();
storage.timers.start(() => {});
const ahead = runFastPath({ ...common, identity, runs });
const listener = await listen({ fetch: app.fetch, ahead }, { port: 0, clock });

process.on("message", async (message) => {
  if (message === "spent") process.send?.(spent());
  if (message !== "close") return;
  await listener.close(1_000);
  await runs.drain(0);
  await storage.timers.stop();
  await sealer.close();
  await storage.close();
  await compiler.close();
  rmSync(directory, { recursive: true, force: true });
  process.exit();
});
const secret = new TextDecoder().decode(await files.read("owner.token")).trim();
process.send?.({ url: listener.url, secret });

/** CPU time so far, microseconds: of the process, of its main thread, and of the busiest other one, which writes. */
function spent(): Spent {
  const { user, system } = process.cpuUsage();
  const others = readdirSync("/proc/self/task").filter((id) => id !== String(process.pid));
  const writer = Math.max(...others.map(threadUs));
  return { process_us: user + system, main_us: threadUs(String(process.pid)), writer_us: writer };
}

/** The first field of schedstat is the time on a processor, nanoseconds (Documentation/scheduler/sched-stats). */
function threadUs(id: string): number {
  const [ns = "0"] = readFileSync(`/proc/self/task/${id}/schedstat`, "utf8").split(" ");
  return Number(ns) / 1_000;
}
