/**
 * The only composition root: reads the configuration, builds every room, fills their ports, starts the listener.
 * `server.js up` serves until it is told to stop, of the parts in `serving/`; every other command works without a server,
 * on the host or on a store: `offline/`.
 */
import { readFileSync, rmSync, writeSync } from "node:fs";
import { hostname } from "node:os";
import { join } from "node:path";
import { type Config, readConfig, UsageError } from "./config.ts";
import { openSecretKeys } from "./egress/secrets/key_file.ts";
import type { LogGuard } from "./evidence/log/guard.ts";
import { openStateKey } from "./evidence/state_key.ts";
import { bootIn } from "./execution/adapters/boot.ts";
import { chooseJail } from "./execution/adapters/choose_jail.ts";
import { esbuildTransform } from "./execution/adapters/esbuild.ts";
import { Nursery } from "./execution/adapters/nursery.ts";
import { prepareRuntimeDir, sweepRunners } from "./execution/adapters/runtime_dir.ts";
import { Watchdog } from "./execution/adapters/watchdog.ts";
import { createCompiler } from "./execution/compiler.ts";
import { BOOT_FAILURES_MAX, type RunnerPool } from "./execution/contract.ts";
import { WarmPool } from "./execution/pool.ts";
import { createApp } from "./http/app.ts";
import { runFastPath } from "./http/fast_path.ts";
import { createPrometheus } from "./http/metrics.ts";
import { bootstrap, OWNER_TOKEN_FILE } from "./identity/bootstrap.ts";
import { IdentityRegistry } from "./identity/identity.ts";
import { liveRunOf } from "./intent/live_run_of.ts";
import { runRoutes } from "./intent/routes.ts";
import { runRequests } from "./intent/run_requests.ts";
import { createRuns, type RunsLife } from "./intent/runs.ts";
import { systemClock } from "./kernel/clock.ts";
import { isGantryError } from "./kernel/errors.ts";
import { sha256Hex } from "./kernel/hash.ts";
import { createIds } from "./kernel/ids.ts";
import type { Logger } from "./kernel/log.ts";
import { systemRandom } from "./kernel/random.ts";
import { mcpRoutes } from "./mcp/routes.ts";
import { openNetwork } from "./network.ts";
import { audit } from "./offline/audit_command.ts";
import { backup, verifyBackup } from "./offline/backup_command.ts";
import { doctor } from "./offline/doctor.ts";
import { loginLink } from "./offline/login_link_command.ts";
import { restore } from "./offline/restore_command.ts";
import { rewrap } from "./offline/rewrap_command.ts";
import { succeed } from "./offline/succeed_command.ts";
import { addDatabase } from "./own_places.ts";
import { pageRoutes } from "./pages/routes.tsx";
import { contractDelta } from "./policy/delta/delta.ts";
import { ContractPolicy } from "./policy/policy.ts";
import { KINDS, MIGRATIONS } from "./schema.ts";
import { banner } from "./serving/banner.ts";
import { buildEgress, egressSurfaces } from "./serving/egress_parts.ts";
import { buildEvidence, evidenceSurfaces } from "./serving/evidence_parts.ts";
import { buildGates, enterRuns, gateSurfaces } from "./serving/gates_parts.ts";
import { identitySurfaces } from "./serving/identity_parts.ts";
import { isInClear, openListener, pairAtStart } from "./serving/listening.ts";
import { openLog } from "./serving/log_output.ts";
import { policySurfaces } from "./serving/policy_parts.ts";
import { settingGate } from "./serving/setting_gate.ts";
import { listenForHangUp, untilToldToStop } from "./serving/signals.ts";
import { statsSurfaces } from "./serving/stats_parts.ts";
import { demandSharedBlobs } from "./storage/adapters/blob_mark.ts";
import { openPostgres } from "./storage/adapters/postgres.ts";
import { placeOf } from "./storage/adapters/postgres_connection.ts";
import { openPrivateFiles } from "./storage/adapters/private_files.ts";
import { openSqlite } from "./storage/adapters/sqlite.ts";
import { agreementsOf } from "./storage/agreements.ts";
import type { Storage } from "./storage/contract.ts";
import { VERSION } from "./version.ts";
import { openSinks } from "./witness_choice.ts";

const COMMANDS = "up, doctor, audit, login-link, backup, backup-verify, restore, succeed and secrets-rewrap";
const EXIT_USAGE = 2;
const EXIT_SOFTWARE = 70;
const SERVER_FILE = "server.json";

/** What every room is built from. */
function groundOf(config: Config) {
  const clock = systemClock();
  const random = systemRandom();
  const ids = createIds(clock, random);
  const prometheus = createPrometheus();
  const hang_up = listenForHangUp();
  const logger = openLog(config, clock, hang_up);
  const network = openNetwork(config.egress, clock);
  return { clock, random, ids, logger, log: logger, metrics: prometheus.metrics, prometheus, network, hang_up };
}

type Ground = ReturnType<typeof groundOf>;

function openStorage({ data, blobs, store }: Config, ground: Ground): Promise<Storage> {
  // Its log may go to a file; whoever starts it should see this.
  const copied = (copy: string): void => {
    process.stdout.write(`The schema was brought up to date. The database as it was before: ${copy}\n`);
  };
  const options = { ...ground, directory: data, blobs, migrations: MIGRATIONS, copied };
  return store.engine === "sqlite" ? openSqlite(options) : openPostgres({ ...options, url: store.url });
}

/** Of this node, among those of one database: the data directory makes it. */
function nodeId(config: Config): string {
  return `${hostname()}-${sha256Hex(config.data).slice(0, 8)}`;
}

/** Floors 0 to 3: the store, who may ask, what is recorded, what may run, what may leave. */
async function buildLower(config: Config, ground: Ground) {
  const storage = await openStorage(config, ground);
  try {
    const { store } = config;
    const is_shared = store.engine === "postgres";
    if (is_shared) await demandSharedBlobs(storage, config.blobs, ground.random);
    if (is_shared) await addDatabase(ground.network.own, store.url, ground.log);
    const files = openPrivateFiles(config.data, ground.random);
    const agreements = agreementsOf(storage);
    const state_key = await openStateKey(agreements, files, ground.random);
    const evidence = buildEvidence(config, {
      ...ground,
      storage,
      files,
      state_key,
      kinds: KINDS,
      node: nodeId(config),
      sinks: openSinks(config.witnesses, {
        clock: ground.clock,
        data: config.data,
        sender: ground.network.outgoing({ public_only: false }),
      }),
    });
    const { ledger } = evidence;
    const owned = await bootstrap({ ...ground, storage, files, ledger, node: is_shared ? nodeId(config) : undefined });
    const identity = new IdentityRegistry({ ...ground, storage, ledger, agreements, live_run: liveRunOf });
    const policy = new ContractPolicy({ ...ground, storage, ledger });
    const place = placeAmongNodes(config, ground);
    const gating = buildGates(config, { ...ground, storage, ledger, identity, policy, state_key });
    const leaving = buildEgress({
      ...ground,
      ...place,
      storage,
      ledger,
      identity,
      policy,
      state_key,
      secret_keys: await openSecretKeys(files, state_key),
      approvals: gating.gates,
    });
    // From here on nothing is recorded that the log could not take.
    await evidence.sealer.start();
    const documents = config.contracts.map((path) => ({ name: path, text: readContract(path) }));
    // As the local agent's request, so that its owner, who may be the only human, can approve what loosens.
    const chain = [
      { actor: owned.owner, kind: "human" as const },
      { actor: owned.agent, kind: "agent" as const },
    ];
    const { refused } = await policy.applyAtStart(owned.tenant, documents, chain);
    return { storage, files, evidence, ledger, identity, policy, place, gating, leaving, owned, refused };
  } catch (error) {
    await storage.close();
    throw error;
  }
}

/** @throws UsageError */
function readContract(path: string): string {
  try {
    return readFileSync(path, "utf8");
  } catch (error) {
    throw new UsageError(`A contract of the config file cannot be read: ${(error as Error).message}.`);
  }
}

/** Floor 4: the jail that this host offers, and the processes in it. */
async function buildExecution(config: Config, ground: Ground) {
  const { clock, logger } = ground;
  const runtime = prepareRuntimeDir({ data_dir: config.data, runner_uid: config.runner_uid });
  const swept = sweepRunners(runtime);
  if (swept > 0) logger.warn({ swept }, "killed runners that an earlier start left behind");
  // Guests that nobody watches must not run on, and without the nursery they die: the server goes down with either.
  const lost = (error: Error): void => {
    logger.error({ err: error }, "a part that guests depend on is lost");
    process.exit(EXIT_SOFTWARE);
  };
  const nursery = await Nursery.open(runtime, lost);
  const host = { runtime, nursery, clock };
  const { jail, report } = await chooseJail(host, config.insecure_no_jail);
  if (jail === undefined) logger.error({ problems: report.problems }, "this host offers no jail: runs are refused");
  if (jail?.name === "none")
    logger.warn({}, "guests run WITHOUT A JAIL (--insecure-no-jail); each run's record says so");
  const watchdog = new Watchdog(lost);
  const pool = new WarmPool(
    {
      boot: jail === undefined ? undefined : bootIn(jail, host),
      report,
      warm: config.warm_runners,
      boots: config.concurrent_boots,
      bound_max: config.bound_runners,
    },
    { ...ground, watchdog, long_run_nice: config.long_run_nice },
  );
  const compiler = createCompiler(esbuildTransform(clock));
  const close = async (): Promise<void> => {
    await pool.close();
    await nursery.close();
    await watchdog.close();
    await compiler.close();
    rmSync(runtime.path, { recursive: true, force: true });
  };
  return { pool, compiler, report, close };
}

function poolTrouble(pool: RunnerPool): string | undefined {
  const { jail, boot_failures } = pool.stats();
  if (jail === null) return "this host offers no jail";
  return boot_failures >= BOOT_FAILURES_MAX ? `the last ${boot_failures} boots of a runner failed` : undefined;
}

/** What makes `/readyz` red. */
function checksOf(storage: Storage, log: LogGuard, pool: RunnerPool, runs: RunsLife) {
  return {
    storage: () => storage.unwritable(),
    evidence: () => log.trouble(),
    runners: () => poolTrouble(pool),
    node: () => runs.trouble(),
  };
}

/** Which node this is, and whether others may use its database. */
function placeAmongNodes(config: Config, ground: Ground) {
  const boot = Buffer.from(ground.random.bytes(8)).toString("hex");
  const shared = config.store.engine === "postgres" ? { silent_ms: config.node_silent_ms } : undefined;
  return { node: { id: nodeId(config), boot }, shared };
}

/** Storage owns no ledger: a timer that it gives up is recorded here. */
function startTimers({ storage, ledger, owned }: Awaited<ReturnType<typeof buildLower>>, logger: Logger): void {
  storage.timers.start((tx, { owner, key, attempts }, error) => {
    logger.error({ owner, key, attempts, error }, "a timer was given up");
    const actor = [{ actor: owned.owner, kind: "human" as const }];
    ledger.append(tx, { kind: "timer.parked", tenant: owned.tenant, actor, data: { owner, key, attempts } });
  });
}

/** What was recorded is sealed before the store goes; nothing is appended any more. */
async function closeLower({
  storage,
  evidence,
  gating,
  leaving,
  policy,
}: Awaited<ReturnType<typeof buildLower>>): Promise<void> {
  gating.notices.close();
  await leaving.close();
  await policy.heads.close();
  await storage.timers.stop();
  await evidence.witnesses.stop();
  await evidence.sealer.close();
  await storage.close();
}

/** Everything that is asked for over HTTP. */
function surfaces(
  ground: Ground,
  { storage, evidence, ledger, identity, policy, gating, leaving }: Awaited<ReturnType<typeof buildLower>>,
  { pool }: Awaited<ReturnType<typeof buildExecution>>,
  runs: ReturnType<typeof createRuns>,
) {
  const { clock } = ground;
  const { fetch } = createApp({
    ...ground,
    identity,
    routes: [
      runRoutes({ runs, identity }),
      ...statsSurfaces({ storage, clock, pool, runs, witnesses: evidence.witnesses, identity }),
      ...policySurfaces({ policy, identity, storage, clock, runs: runRequests(storage) }),
      ...identitySurfaces({ identity, storage, clock, gate: settingGate(gating.gates) }),
      ...gateSurfaces(gating, identity),
      ...egressSurfaces({ ...leaving, identity, policy, storage, ledger }),
      ...evidenceSurfaces(evidence, identity),
    ],
    clients: (api) => [mcpRoutes({ ...ground, api, version: VERSION }), pageRoutes({ api, clock })],
    checks: checksOf(storage, evidence.guard, pool, runs),
    version: VERSION,
  });
  return { fetch, ahead: runFastPath({ ...ground, identity, runs }) };
}

async function up(config: Config): Promise<void> {
  const ground = groundOf(config);
  const { logger } = ground;
  const pair = pairAtStart(config, ground);
  const lower = await buildLower(config, ground);
  const { files, evidence, ledger, policy, gating, leaving } = lower;
  const execution = await buildExecution(config, ground);
  const runs = createRuns({
    ...ground,
    ...lower,
    ...execution,
    ...lower.place,
    ...gating,
    ...leaving,
    delta: contractDelta,
    capacity: { slots: config.slots, memory_mb: config.slots_memory_mb },
  });
  enterRuns(gating, runs);
  const app = surfaces(ground, lower, execution, runs);
  await leaving.recover(logger);
  const recovered = await runs.recover();
  if (recovered.lost + recovered.requeued > 0) logger.warn(recovered, "took up what an earlier start left behind");
  startTimers(lower, logger);
  policy.heads.start();
  evidence.witnesses.start(lower.owned.tenant);
  const listener = await openListener(app, config, ground, pair).catch(async (error: unknown) => {
    await execution.close();
    throw error;
  });
  ground.hang_up.also(listener.reload);
  ground.network.own.addPort(listener.port);
  await files.replace(SERVER_FILE, `${JSON.stringify({ url: listener.url, pid: process.pid })}\n`);

  await stopSignal(logger);
  logger.info({ drain_ms: config.drain_ms }, "stopping: running runs may end, new ones are refused");
  rmSync(join(config.data, SERVER_FILE), { force: true });
  // Whoever follows the ledger would hold the listener open for as long as it is patient.
  ledger.close();
  await Promise.all([runs.drain(config.drain_ms), listener.close(config.drain_ms)]);
  await execution.close();
  await closeLower(lower);

  async function stopSignal(log: Logger): Promise<void> {
    const signalled = untilToldToStop();
    const { store } = config;
    process.stdout.write(
      banner({
        ...config,
        url: listener.url,
        in_clear: isInClear(config),
        report: execution.report,
        contracts: await policy.list(lower.owned.tenant),
        proposals: await policy.proposals(lower.owned.tenant),
        refused: lower.refused,
        link: lower.owned.link,
        database: store.engine === "sqlite" ? undefined : await placeOf(store.url),
      }),
    );
    if (config.ready_fd !== undefined) {
      const ready = { url: listener.url, token_file: join(config.data, OWNER_TOKEN_FILE), data: config.data };
      writeSync(config.ready_fd, `${JSON.stringify(ready)}\n`);
    }
    log.info({ signal: await signalled }, "told to stop");
  }
}

async function main([command = "", ...args]: string[]): Promise<number> {
  if (command === "up") {
    await up(readConfig(args));
    return 0;
  }
  if (command === "doctor") return doctor(args);
  if (command === "audit") return audit(args);
  if (command === "login-link") return loginLink(args);
  if (command === "backup") return backup(args);
  if (command === "backup-verify") return verifyBackup(args);
  if (command === "restore") return restore(args);
  if (command === "succeed") return succeed(args);
  if (command === "secrets-rewrap") return rewrap(args);
  throw new UsageError(`"${command}" is not a command of the server; there are ${COMMANDS}.`);
}

/** What a person reads who started this: a sentence where it is known what is wrong, else the stack. */
function saidOf(error: unknown): string {
  if (error instanceof UsageError) return error.message;
  if (!isGantryError(error)) return (error as Error).stack ?? String(error);
  const places = (error.parts.problems ?? []).map(({ at, line, column, text }) => {
    const [file] = at.split("#");
    return `\n  ${line === undefined ? at : `${file}:${line}:${column}`}: ${text}`;
  });
  return error.message + places.join("");
}

try {
  process.exitCode = await main(process.argv.slice(2));
} catch (error) {
  process.stderr.write(`gantry: ${saidOf(error)}\n`);
  const is_usage = error instanceof UsageError || (isGantryError(error) && error.kind.whose === "caller");
  process.exit(is_usage ? EXIT_USAGE : EXIT_SOFTWARE);
}
