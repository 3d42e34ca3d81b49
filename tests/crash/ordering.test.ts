import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from "vitest";
import { kinds as egress_kinds } from "../../server/src/egress/kinds.ts";
import { loadStateKey } from "../../server/src/evidence/state_key.ts";
import { bwrapJail, type Jail, unshareJail } from "../../server/src/execution/adapters/jails.ts";
import type { RunnerPool } from "../../server/src/execution/contract.ts";
import { kinds as gates_kinds } from "../../server/src/gates/kinds.ts";
import { migrations as gates_migrations } from "../../server/src/gates/store.ts";
import { migrations as webhook_migrations } from "../../server/src/gates/webhook_store.ts";
import type { RunRequest, Runs } from "../../server/src/intent/contract.ts";
import { kinds } from "../../server/src/intent/kinds.ts";
import { createRuns, type RunsLife } from "../../server/src/intent/runs.ts";
import { migrations } from "../../server/src/intent/store.ts";
import { GantryError } from "../../server/src/kernel/errors.ts";
import { silentLogger } from "../../server/src/kernel/log.ts";
import { noMetrics } from "../../server/src/kernel/telemetry.ts";
import { contractDelta } from "../../server/src/policy/delta/delta.ts";
import { ContractPolicy } from "../../server/src/policy/policy.ts";
import { buildEgress, type EgressBuilt } from "../../server/src/serving/egress_parts.ts";
import { buildGates, enterRuns } from "../../server/src/serving/gates_parts.ts";
import { errors as storage_errors } from "../../server/src/storage/contract.ts";
import { eventually } from "../fixtures/eventually.ts";
import { type Ground, openGround } from "../fixtures/ground.ts";
import { type JailedPool, openJailedPool } from "../fixtures/jailed_pool.ts";
import { egress_migrations, testNetwork } from "../fixtures/leaving.ts";
import { need } from "../fixtures/need.ts";
import { StallingStorage } from "../fixtures/stalling_storage.ts";

/** Stalled and failing commits around real guests in real jails: what is released, and what lives on. */

const SLEEPS = "export default ({ n, ms }) => new Promise((done) => setTimeout(() => done(n), ms));";
const FOR_EVER = 3_600_000;
/** Long enough for anything that would be released wrongly to come. */
const PATIENCE_MS = 300;

describe.for([bwrapJail, unshareJail] satisfies Jail[])("with guests in $name", (jail) => {
  let jailed: JailedPool;
  let ground: Ground;
  let stalling: StallingStorage;
  let runs: Runs & RunsLife;
  let leaving: EgressBuilt;
  let pool: RunnerPool;
  let release = () => {};

  beforeAll(async () => {
    jailed = await openJailedPool(jail, { warm: 1 });
    pool = jailed.pool;
    ground = await openGround({
      migrations: [...egress_migrations, ...gates_migrations, ...webhook_migrations, ...migrations],
      kinds: { ...egress_kinds, ...gates_kinds, ...kinds },
      wrap: (inner) => {
        stalling = new StallingStorage(inner);
        return stalling;
      },
    });
    const { storage, ledger, clock, ids, files, random } = ground;
    const policy = new ContractPolicy({ storage, ledger, clock });
    const state_key = await loadStateKey(files, random);
    const network = testNetwork(clock);
    const below = { ...ground, policy, state_key, network, log: silentLogger, metrics: noMetrics };
    const gating = await buildGates({ webhooks_private: true }, below);
    const node = { id: "node", boot: "boot" };
    leaving = buildEgress({ ...below, node, approvals: gating.gates });
    // One slot: a run that did not give it back would hold up the next. Never recovered, so without a heartbeat: every
    // write that is held or fails here is a run's.
    runs = createRuns({
      ...{ storage, ledger, clock, ids, pool, compiler: jailed.compiler, log: silentLogger, metrics: noMetrics },
      ...{ ...gating, policy, identity: ground.identity, delta: contractDelta },
      egress: leaving.egress,
      node,
      capacity: { slots: 1, memory_mb: 1_024 },
    });
    enterRuns(gating, runs);
    // The first run of all writes more than its own rows: the tenant's snapshot.
    if (jailed.report.ok) await submit(0, 0);
  });
  afterAll(async () => {
    await runs.drain(0);
    await leaving.close();
    await ground.remove();
    await jailed.close();
  });
  beforeEach((context) => {
    const missing = jailed.report.ok ? undefined : (jailed.report.problems[0]?.fix ?? "the jail does not hold");
    need(context as Parameters<typeof need>[0], jail.name, missing);
  });
  afterEach(() => release());

  const submit = (n: number, ms: number, more: Partial<RunRequest> = {}) =>
    runs.submit(ground.owner, { code: { source: SLEEPS }, input: { n, ms }, ...more });
  const active = (count: number) => eventually(() => pool.stats().active === count, `${count} active runners`);
  const patience = (work: Promise<unknown>) =>
    Promise.race([
      work.then(
        () => "answered",
        () => "refused",
      ),
      new Promise<string>((done) => setTimeout(() => done("waits"), PATIENCE_MS)),
    ]);
  const kindsOf = async (run: string) =>
    (await ground.ledger.list({ tenant: ground.owner.tenant, ref: run, limit: 200 })).items.map(({ kind }) => kind);
  const newest = async () => (await runs.list(ground.owner, { limit: 1 })).items[0];
  async function failure(work: Promise<unknown>): Promise<GantryError> {
    const got: unknown = await work.catch((error: unknown) => error);
    if (got instanceof GantryError) return got;
    throw new Error(`expected a failure, got ${JSON.stringify(got)}`);
  }
  const full = () => new GantryError(storage_errors.FULL, { detail: "no space left on device" });
  const demandUnavailable = async (work: Promise<unknown>): Promise<void> => {
    const error = await failure(work);
    expect([error.code, error.kind.status]).toEqual(["EVIDENCE_UNAVAILABLE", 503]);
    expect(error.parts.reasons?.map(({ code }) => code)).toEqual(["STORAGE_FULL"]);
  };

  /** While `work` goes on, every write fails: a single one could be another run's, whose end is tried again. */
  async function whileFull(work: () => Promise<void>): Promise<void> {
    const { write } = stalling;
    stalling.write = () => Promise.reject(full());
    await work().finally(() => {
      stalling.write = write;
    });
  }

  it("a guest that has answered is dead, and its answer held back, while the admission is not durable", async () => {
    const before = await newest();
    release = stalling.hold("before");
    const run = submit(1, 300);
    await eventually(() => stalling.held === 1);
    await active(1);
    await active(0);
    expect(await patience(run)).toBe("waits");
    expect((await newest())?.id).toBe(before?.id);
    release();
    expect(await run).toMatchObject({ termination: "completed", result: 1 });
  });

  it("a guest that loops is ended at its limit, though its admission is not durable", async () => {
    release = stalling.hold("before");
    const run = runs.submit(ground.owner, {
      code: { source: "export default () => { for (;;); };" },
      limits: { cpu_ms: 300 },
    });
    await active(1);
    await active(0);
    expect(await patience(run)).toBe("waits");
    release();
    expect(await run).toMatchObject({ termination: "cpu_exceeded" });
  });

  it("no way shows an end that is not durable", async () => {
    const { id } = await submit(2, 500, { wait_ms: 0 });
    await active(1);
    release = stalling.hold("before");
    const waiting = runs.get(ground.owner, id, 30_000);
    await eventually(() => stalling.held === 1);
    await active(0);
    expect(await patience(waiting)).toBe("waits");
    for (const view of [await runs.get(ground.owner, id), await newest()]) {
      expect(view?.state).toBe("running");
      expect(view).not.toHaveProperty("termination");
      expect(view).not.toHaveProperty("result");
    }
    expect(await kindsOf(id)).toEqual(["run.admitted"]);
    release();
    expect(await waiting).toMatchObject({ termination: "completed", result: 2 });
    expect(await kindsOf(id)).toEqual(["run.admitted", "run.ended"]);
  });

  it("an admission that fails kills its guest and leaves nothing but a free slot", async () => {
    const before = await newest();
    await whileFull(() => demandUnavailable(submit(3, FOR_EVER)));
    await active(0);
    expect((await newest())?.id).toBe(before?.id);
    expect(await submit(4, 0)).toMatchObject({ termination: "completed", result: 4 });
  });

  it("an admission that fails while its guest is running kills it in the midst", async () => {
    let fail = (_error: unknown) => {};
    const gate = new Promise<never>((_, reject) => {
      fail = reject;
    });
    gate.catch(() => {});
    const { write } = stalling;
    stalling.write = () => gate;
    const run = submit(5, FOR_EVER);
    await active(1);
    stalling.write = write;
    fail(full());
    await demandUnavailable(run);
    await active(0);
    expect(await submit(6, 0)).toMatchObject({ termination: "completed", result: 6 });
  });

  it("an end that fails is never told, and is recorded as a loss when that is possible again", async () => {
    const { id } = await submit(7, 500, { wait_ms: 0 });
    const waiting = runs.get(ground.owner, id, 30_000);
    await whileFull(() => demandUnavailable(waiting));
    await active(0);
    expect(await runs.get(ground.owner, id)).not.toHaveProperty("result");
    await eventually(async () => (await runs.get(ground.owner, id)).state === "ended");
    expect(await runs.get(ground.owner, id)).toMatchObject({ termination: "node_lost", error: { code: "RUN_LOST" } });
    expect(await runs.get(ground.owner, id)).not.toHaveProperty("result");
    expect(await kindsOf(id)).toEqual(["run.admitted", "run.ended"]);
    expect(await submit(8, 0)).toMatchObject({ termination: "completed", result: 8 });
  });
});
