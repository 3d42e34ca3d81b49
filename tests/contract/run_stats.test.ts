import { afterAll, beforeAll, beforeEach, describe, expect, it, type TestContext } from "vitest";
import { pendingFigures } from "../../server/src/gates/pending_store.ts";
import { migrations as gates_migrations } from "../../server/src/gates/store.ts";
import type { Scope } from "../../server/src/identity/contract.ts";
import {
  STATS_RATE_MS,
  STATS_REFUSALS_MAX,
  STATS_RUNS_MAX,
  STATS_WINDOW_MS,
} from "../../server/src/intent/contract.ts";
import { RunFigures } from "../../server/src/intent/stats.ts";
import { migrations } from "../../server/src/intent/store.ts";
import type { TenantId } from "../../server/src/kernel/ids.ts";
import type { Storage, Value } from "../../server/src/storage/contract.ts";
import { need } from "../fixtures/need.ts";
import { openPostgresStore, type PostgresServer, postgresMissing, startPostgres } from "../fixtures/postgres.ts";
import { openSqliteStore } from "../fixtures/sqlite_store.ts";
import { VirtualClock } from "../fixtures/virtual_clock.ts";

/** What is counted of runs, over each engine. */

const BASE: Record<string, Value> = {
  ...{ id: "", tenant: "ten_1", actor: "act_1", chain: "[]", chain_hash: "c", contract: "scratch" },
  ...{ contract_version: 1, snapshot: "snp_1", code_hash: "h", input_hash: "i", vars: "{}", lane: "interactive" },
  ...{ isolation: "process", limits: "{}", retry: "never", state: "ended", attempt: 1, created_at: 0, entries: "[]" },
  ...{ termination: "completed", ended_at: 0, queued_at: null, admitted_at: null, startup_us: null },
  ...{ completion_us: null, error: null, blocked: null, egress: null },
};
const NAMES = Object.keys(BASE);
const INSERT = `INSERT INTO runs (${NAMES.join(", ")}) VALUES (${NAMES.map(() => "?").join(", ")})`;
const UNIT_ROWS = 1_000;

interface Store {
  storage: Storage;
  remove(): Promise<void>;
}

describe("SQLite", () => {
  figuresOver(() => openSqliteStore([...gates_migrations, ...migrations]));
});

describe("PostgreSQL", () => {
  let server: PostgresServer | undefined;
  beforeAll(async () => {
    if (postgresMissing() === undefined) server = await startPostgres();
  });
  afterAll(() => server?.remove());

  figuresOver(async () =>
    server === undefined ? undefined : openPostgresStore(server, [...gates_migrations, ...migrations]),
  );
});

/** @param open  a store of its own; undefined where the engine is missing. */
function figuresOver(open: () => Promise<Store | undefined>): void {
  let store: Store | undefined;
  let last = 0;
  const clock = new VirtualClock();
  const now = clock.now();

  beforeAll(async () => {
    store = await open();
  });
  beforeEach(() => store?.storage.write((tx) => tx.run("DELETE FROM runs", [])));
  afterAll(() => store?.remove());

  async function put(rows: Record<string, Value>[]): Promise<void> {
    for (let at = 0; at < rows.length; at += UNIT_ROWS) {
      await store!.storage.write((tx) => {
        for (const row of rows.slice(at, at + UNIT_ROWS)) {
          last += 1;
          const whole: Record<string, Value> = { ...BASE, id: `run_${String(last).padStart(9, "0")}`, ...row };
          tx.run(
            INSERT,
            NAMES.map((name) => whole[name] ?? null),
            1,
          );
        }
      });
    }
  }

  async function putApprovals(
    rows: { subject: string; ago_ms: number; status: string; tenant: string }[],
  ): Promise<void> {
    await store!.storage.write((tx) => {
      for (const [n, { subject, ago_ms, status, tenant }] of rows.entries()) {
        tx.run(
          `INSERT INTO approvals (id, tenant_id, subject, subject_id, gate, action, action_key, status, statement_json,
             statement_hash, excluded_json, quorum, privileged, not_after_at, execute_before_ms, created_at, rev)
           VALUES (?, ?, ?, 'x', 'g', 'a', 'k', ?, '{}', ?, '[]', 1, 0, 0, 0, ?, 1)`,
          [`apr_${n}`, tenant, subject, status, `h${n}`, now - ago_ms],
          1,
        );
      }
    });
  }

  const ended = (ago_ms: number, parts: Record<string, Value> = {}) => ({ ended_at: now - ago_ms, ...parts });
  const live = (parts: Record<string, Value>) => ({ ended_at: null, termination: null, ...parts });

  function count(context: TestContext, { tenant = "ten_1", window_ms = STATS_WINDOW_MS, scopes = [] as Scope[] } = {}) {
    need(context, "postgres", store === undefined ? postgresMissing() : undefined);
    const figures = new RunFigures({
      storage: store!.storage,
      clock,
      pool: {
        stats: () => ({ jail: "bwrap", booting: 1, primed: 2, active: 3, idle: 4, waiting: 5, boot_failures: 6 }),
      },
      slots: () => ({ used: 3, of: 8 }),
      ledger: async () => ({ entries: 10, sealed: 9, lag_ms: 50 }),
      witnesses: async () => [],
      approvals: (of, at) => pendingFigures(store!.storage, of, at),
    });
    return figures.get({ tenant: tenant as TenantId, scopes: new Set(scopes) }, window_ms);
  }

  it("runs count by lane and by how they ended, of the tenant and in the window alone", async (context) => {
    need(context, "postgres", store === undefined ? postgresMissing() : undefined);
    await put([
      ended(0),
      ended(1, { lane: "batch", termination: "cpu_exceeded" }),
      ended(STATS_WINDOW_MS, { termination: "denied" }),
      ended(STATS_WINDOW_MS + 1, { termination: "threw" }),
      ended(5, { tenant: "ten_2", termination: "cancelled" }),
      live({ state: "queued", created_at: now }),
    ]);
    const { runs } = await count(context);
    expect(runs).toMatchObject({ sampled: false, since_at: now - STATS_WINDOW_MS });
    expect(runs.all.by_termination).toEqual({ completed: 1, cpu_exceeded: 1, denied: 1 });
    expect(runs.interactive).toMatchObject({ ended: 2, by_termination: { completed: 1, denied: 1 } });
    expect(runs.batch).toMatchObject({ ended: 1, by_termination: { cpu_exceeded: 1 } });
    expect((await count(context, { window_ms: 1_000 })).runs.all.ended).toBe(2);
    expect((await count(context, { tenant: "ten_2" })).runs.all.by_termination).toEqual({ cancelled: 1 });
  });

  it("percentiles are of the runs that had a runner, and the wait begins where nothing but a slot was missing", async (context) => {
    need(context, "postgres", store === undefined ? postgresMissing() : undefined);
    const times = (n: number) => ({ startup_us: n * 1_000, completion_us: n * 2_000 });
    const many = Array.from({ length: 100 }, (_, i) =>
      ended(1, { ...times(i + 1), created_at: now - 1_000, admitted_at: now - 1_000 + i }),
    );
    // Approved after an hour, and then 7 ms without a slot.
    const approved = { created_at: now - 3_600_000, queued_at: now - 20, admitted_at: now - 13, ...times(1) };
    await put([...many, ended(1, { ...approved, lane: "batch" }), ended(1, { termination: "denied" })]);
    const { interactive, batch, all } = (await count(context)).runs;
    expect(interactive).toMatchObject({
      ended: 101,
      executed: 100,
      startup: { p50_ms: 50, p95_ms: 95, p99_ms: 99 },
      completion: { p50_ms: 100, p95_ms: 190, p99_ms: 198 },
      queued: { p50_ms: 49, p95_ms: 94, p99_ms: 98 },
    });
    expect(batch.queued).toEqual({ p50_ms: 7, p95_ms: 7, p99_ms: 7 });
    expect(all.executed).toBe(101);
  });

  it("what ended in the last seconds is told per second", async (context) => {
    need(context, "postgres", store === undefined ? postgresMissing() : undefined);
    await put([ended(0), ended(STATS_RATE_MS - 1), ended(STATS_RATE_MS), ended(STATS_RATE_MS + 1)]);
    expect((await count(context)).runs.all).toMatchObject({ ended: 4, ended_per_s: 0.2 });
    expect((await count(context, { window_ms: 1_000 })).runs.all).toMatchObject({ ended: 1, ended_per_s: 1 });
  });

  it("past STATS_RUNS_MAX the newest runs are counted, and it is said so", async (context) => {
    need(context, "postgres", store === undefined ? postgresMissing() : undefined);
    const oldest = { termination: "threw" };
    await put([ended(500, oldest), ...Array.from({ length: STATS_RUNS_MAX - 1 }, (_, i) => ended(i % 400))]);
    const whole = await count(context);
    expect(whole.runs).toMatchObject({ sampled: false, all: { ended: STATS_RUNS_MAX, by_termination: { threw: 1 } } });
    await put([ended(0)]);
    const cut = await count(context);
    expect(cut.runs).toMatchObject({ sampled: true, since_at: now - 399, all: { ended: STATS_RUNS_MAX } });
    expect(cut.runs.all.by_termination).toEqual({ completed: STATS_RUNS_MAX });
    // So many within 399 ms: what is told per second is of that time, not of ten seconds.
    expect(cut.runs.all.ended_per_s / (STATS_RUNS_MAX / 0.399)).toBeCloseTo(1, 2);
  });

  it("denials are counted by code: of runs, and of their calls", async (context) => {
    need(context, "postgres", store === undefined ? postgresMissing() : undefined);
    const call = (verdict: string, code: string | null, calls: number) => ({ host: "a", verdict, code, count: calls });
    const egress = JSON.stringify([call("denied", "EGRESS_HOST", 3), call("allowed", "EGRESS_TLS", 5)]);
    const walled = [{ host: "b", method: "GET", count: 2 }];
    await put([
      ended(1, { termination: "denied", error: JSON.stringify({ code: "CONTRACT_LIMIT" }) }),
      ended(2, { termination: "denied", error: JSON.stringify({ code: "CONTRACT_LIMIT" }), blocked: "[]" }),
      // A door tells of what was blocked as well: it counts once.
      ended(3, { egress, blocked: JSON.stringify([{ host: "a", method: "GET", count: 3 }]) }),
      ended(4, { blocked: JSON.stringify(walled) }),
      ended(5, { blocked: "[]", egress: "[]" }),
      ended(STATS_WINDOW_MS + 1, { termination: "denied", error: JSON.stringify({ code: "OLD" }) }),
    ]);
    expect((await count(context)).denials).toEqual({
      sampled: false,
      items: [
        { what: "call", code: "EGRESS_HOST", count: 3 },
        { what: "run", code: "CONTRACT_LIMIT", count: 2 },
        { what: "call", code: null, count: 2 },
      ],
    });
  });

  it("past STATS_REFUSALS_MAX the newest are counted, and it is said so", async (context) => {
    need(context, "postgres", store === undefined ? postgresMissing() : undefined);
    const denied = (ago_ms: number) => ended(ago_ms, { termination: "denied", error: '{"code":"CONTRACT_LIMIT"}' });
    await put(Array.from({ length: STATS_REFUSALS_MAX }, (_, i) => denied(i)));
    const items = [{ what: "run", code: "CONTRACT_LIMIT", count: STATS_REFUSALS_MAX }];
    expect((await count(context)).denials).toEqual({ sampled: false, items });
    await put([denied(0)]);
    expect((await count(context)).denials).toEqual({ sampled: true, items });
  });

  it("what has not ended runs, waits for a slot or waits for people, and the longest wait is told", async (context) => {
    need(context, "postgres", store === undefined ? postgresMissing() : undefined);
    await put([
      live({ state: "starting", admitted_at: now }),
      live({ state: "queued", created_at: now - 9_000, queued_at: now - 700 }),
      live({ state: "queued", created_at: now - 300, queued_at: now - 200 }),
      live({ state: "queued", created_at: now - 50, queued_at: now - 50, lane: "batch" }),
      live({ state: "waiting_approval", created_at: now - 60_000, lane: "batch" }),
      live({ state: "queued", created_at: now - 90_000, tenant: "ten_2" }),
      ended(0),
    ]);
    expect(await count(context)).toMatchObject({
      running: 1,
      waiting: {
        interactive: { count: 2, oldest_ms: 700 },
        batch: { count: 1, oldest_ms: 50 },
        approval: { count: 1, oldest_ms: 60_000 },
      },
    });
  });

  it("approvals that wait are counted by what they are for, of the tenant alone", async (context) => {
    need(context, "postgres", store === undefined ? postgresMissing() : undefined);
    const scopes: Scope[] = ["gate:read"];
    expect((await count(context, { scopes })).approvals).toEqual({ count: 0, oldest_ms: 0, by_subject: {} });
    const asked = (subject: string, ago_ms: number, parts: { status?: string; tenant?: string } = {}) => ({
      ...{ subject, ago_ms, status: "pending", tenant: "ten_1", ...parts },
    });
    await putApprovals([
      ...[asked("run", 100), asked("run", 200), asked("contract", 70_000), asked("setting", 300)],
      ...[asked("run", 80_000, { status: "approved" }), asked("flag", 90_000, { tenant: "ten_2" })],
    ]);
    const by_subject = { contract: 1, run: 2, setting: 1 };
    expect((await count(context, { scopes })).approvals).toEqual({ count: 4, oldest_ms: 70_000, by_subject });
    expect((await count(context, { scopes, tenant: "ten_2" })).approvals).toMatchObject({ by_subject: { flag: 1 } });
    expect((await count(context)).approvals).toBeNull();
  });

  it("how the machine is, is told to whoever may read it", async (context) => {
    expect((await count(context)).machine).toBeNull();
    expect((await count(context, { scopes: ["ops:read"] })).machine).toEqual({
      slots: { used: 3, of: 8 },
      runners: { jail: "bwrap", booting: 1, warm: 2, bound: 4, busy: 3, waiting: 5, boot_failures: 6 },
      ledger: { entries: 10, sealed: 9, lag_ms: 50 },
      witnesses: [],
    });
  });
}
