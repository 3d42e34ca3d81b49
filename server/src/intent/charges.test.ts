import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from "vitest";
import { type Ground, openGround } from "../../../tests/fixtures/ground.ts";
import { small_limits } from "../../../tests/fixtures/run_facts.ts";
import { VirtualClock } from "../../../tests/fixtures/virtual_clock.ts";
import type { ChainLink, Principal, TenantSettings } from "../identity/contract.ts";
import type { GantryError } from "../kernel/errors.ts";
import { silentLogger } from "../kernel/log.ts";
import type { PolicyView } from "../policy/contract.ts";
import { addToDay, addToTree, readDay, readTree } from "./budget_store.ts";
import { Charges } from "./charges.ts";
import {
  REFUSED_BUDGETS_MAX,
  REFUSED_ENTRY_MS,
  SETTINGS_FRESH_MS,
  SETTINGS_TENANTS_MAX,
  SPAWN_DEPTH_MAX,
  TREE_CPU_MS_MAX,
  TREE_RUNS_MAX,
} from "./contract.ts";
import { dayOf, TenantDays } from "./days.ts";
import { kinds } from "./kinds.ts";
import type { Creation } from "./recorder.ts";
import { insertRun } from "./row_store.ts";
import { migrations, type RunRow } from "./store.ts";

/** What runs are charged to, over a real store and ledger, by a clock that only the test moves. */

const NOON = Date.UTC(2026, 10, 24, 12);
const DAY = "2026-11-24";

let ground: Ground;
let clock: VirtualClock;
let charges: Charges;
let settings: TenantSettings;
let reads: number;

beforeAll(async () => {
  ground = await openGround({ migrations, kinds });
});
afterAll(() => ground.remove());
beforeEach(() => {
  clock = new VirtualClock(NOON);
  reads = 0;
  settings = { approval_independence: "principal", run_ms_day: null, egress_deny: [] };
  const identity = {
    settings: async () => {
      reads += 1;
      return settings;
    },
  };
  const { storage, ledger } = ground;
  const egress = { effects: async () => 0 };
  charges = new Charges({ storage, ledger, clock, log: silentLogger, identity, egress });
});
afterEach(async () => {
  for (const table of ["runs", "run_trees", "run_days"])
    await ground.storage.write((tx) => tx.run(`DELETE FROM ${table}`, []));
});

const CREATION = { input: "null", source: { entry: "main.ts", modules: {} } } satisfies Creation;

function viewWith(run_ms?: number): PolicyView {
  return { contract: { budgets_day: run_ms === undefined ? {} : { run_ms } } } as PolicyView;
}

/** The caller that a run of this id is: the owner, by a credential that was made for the run. */
function spawned(run: string, chain: ChainLink[] = ground.owner.chain): Principal {
  const last = chain.at(-1) as ChainLink;
  return { ...ground.owner, chain: [...chain.slice(0, -1), { ...last, via: "spawn", ref: run }] };
}

let made = 0;
function rowOf(over: Partial<RunRow> = {}): RunRow {
  made += 1;
  const { tenant, actor, chain, chain_hash } = ground.owner;
  const nothing = [
    ...[
      "input",
      "input_blob",
      "session",
      "why",
      "key_hash",
      "target",
      "approval",
      "facts",
      "authors",
      "parent",
      "root",
      "depth",
    ],
    ...[
      "termination",
      "node",
      "boot",
      "holder",
      "runner",
      "jail",
      "cold",
      "queued_at",
      "admitted_at",
      "started_at",
      "ended_at",
    ],
    ...["deadline_at", "expires_at", "startup_us", "completion_us", "cpu_us", "rss_peak_mb", "result", "result_blob"],
    ...[
      "result_hash",
      "http",
      "error",
      "output_bytes",
      "log_bytes",
      "log_dropped",
      "blocked",
      "egress",
      "cancelled_by",
      "override",
    ],
  ];
  const row = {
    ...Object.fromEntries(nothing.map((name) => [name, null])),
    ...{ id: `run_${made}`, tenant, actor, chain, chain_hash, contract: "scratch", contract_version: 1 },
    ...{ snapshot: "snp_x", code_hash: "0".repeat(64), input_hash: "0".repeat(64), vars: {}, lane: "batch" },
    ...{ isolation: "process", limits: small_limits, retry: "never", state: "starting", attempt: 1, created_at: NOON },
    ...{ entries: [] },
  };
  return { ...row, ...over } as unknown as RunRow;
}

/** As a run is made: asked before it takes a slot, and again in the unit of its row. */
async function create(who: Principal, over: Partial<RunRow> = {}, view = viewWith()): Promise<RunRow> {
  const { row, days } = await charges.demand(who, rowOf(over), view);
  return record(row, { ...CREATION, days });
}

async function record(row: RunRow, creation: Creation = CREATION): Promise<RunRow> {
  await ground.storage.write(async (tx) => {
    await charges.created(tx, row, creation);
    insertRun(tx, row);
  });
  return row;
}

async function end(row: RunRow, over: Partial<RunRow> = {}): Promise<void> {
  const ended = { ...row, state: "ended" as const, admitted_at: NOON, ended_at: clock.now(), startup_us: 1, ...over };
  await ground.storage.write(async (tx) => {
    tx.run("UPDATE runs SET state = 'ended', cpu_us = ? WHERE id = ?", [ended.cpu_us, row.id], 1);
    await charges.ended(tx, ended, {});
  });
}

async function refusal(work: Promise<unknown>): Promise<GantryError> {
  return work.then(
    () => {
      throw new Error("expected a refusal");
    },
    (error: GantryError) => error,
  );
}

/** What was told of the tree's refusals, in their order. */
const told = async (root: string) =>
  (await ground.ledger.list({ tenant: ground.owner.tenant, ref: root, limit: 10 })).items;
async function entries(): Promise<number> {
  const row = await ground.storage.get("SELECT COUNT(*) AS n FROM evidence_entries WHERE kind = ?", ["run.refused"]);
  return Number(row?.["n"]);
}

describe("the tree of runs that start each other", () => {
  it("has its place from the credential, at any depth, and ends at SPAWN_DEPTH_MAX", async () => {
    const root = await create(ground.owner);
    expect(root).toMatchObject({ parent: null, root: null, depth: null });
    let parent = root;
    for (let depth = 1; depth <= SPAWN_DEPTH_MAX; depth++) {
      const child = await create(spawned(parent.id));
      expect(child).toMatchObject({ parent: parent.id, root: root.id, depth });
      parent = child;
    }
    const error = await refusal(create(spawned(parent.id)));
    expect(error.code).toBe("RUN_SPAWN_DEPTH");
    expect(error.parts.detail).toContain(root.id);
  });

  it("goes by the last run of the chain, whoever it has been handed on to", async () => {
    const root = await create(ground.owner);
    const child = await create(spawned(root.id));
    const { chain } = spawned(child.id, spawned(root.id).chain);
    const further: ChainLink = { actor: "act_2" as ChainLink["actor"], kind: "agent", via: "token", ref: "tok_1" };
    const handed = { ...ground.owner, chain: [...chain, further] };
    expect(await create(handed)).toMatchObject({ parent: child.id, depth: 2 });
  });

  it("has at most TREE_RUNS_MAX runs, however many come at once", async () => {
    const root = await create(ground.owner);
    for (let i = 2; i < TREE_RUNS_MAX - 1; i++) await create(spawned(root.id));
    expect(await readTree(ground.storage, root.id)).toMatchObject({ runs: TREE_RUNS_MAX - 2 });
    const five = await Promise.allSettled(Array.from({ length: 5 }, () => create(spawned(root.id))));
    expect(five.filter(({ status }) => status === "fulfilled")).toHaveLength(2);
    const refused = five.flatMap((each) => (each.status === "rejected" ? [each.reason as GantryError] : []));
    expect(refused.map(({ code }) => code)).toEqual(["RUN_TREE_BUDGET", "RUN_TREE_BUDGET", "RUN_TREE_BUDGET"]);
    expect(await readTree(ground.storage, root.id)).toMatchObject({ runs: TREE_RUNS_MAX });
    expect((await refusal(create(spawned(root.id)))).parts.detail).toContain(`has ${TREE_RUNS_MAX} runs`);
  });

  it("has at most TREE_CPU_MS_MAX of ended runs, the first one's own included", async () => {
    const root = await create(ground.owner);
    const child = await create(spawned(root.id));
    const other = await create(spawned(root.id));
    const waiting = await create(spawned(root.id));
    await end(child, { cpu_us: (TREE_CPU_MS_MAX - 1_000) * 1_000 });
    await end(root, { cpu_us: 999_000 });
    const grandchild = await create(spawned(other.id));
    expect(await charges.refusalOf(waiting, viewWith())).toBeUndefined();
    await end(grandchild, { cpu_us: 1_000 });
    const error = await refusal(create(spawned(other.id)));
    expect(error.code).toBe("RUN_TREE_BUDGET");
    expect(error.parts.detail).toContain(String(TREE_CPU_MS_MAX));
    // What had its place before is not started either.
    expect((await charges.refusalOf(waiting, viewWith()))?.code).toBe("RUN_TREE_BUDGET");
  });

  it("takes nothing from a run that has ended, of another principal, or that is not there", async () => {
    const root = await create(ground.owner);
    const late = { ...rowOf(), parent: root.id, root: root.id, depth: 1 };
    const [first, ...rest] = ground.owner.chain as [ChainLink, ...ChainLink[]];
    const stranger: ChainLink = { ...first, actor: "act_stranger" as ChainLink["actor"] };
    expect((await refusal(create(spawned(root.id, [stranger, ...rest])))).code).toBe("CHAIN_INVALID");
    expect((await refusal(create(spawned("run_none")))).code).toBe("CHAIN_INVALID");
    const tenant = "ten_other" as Principal["tenant"];
    expect((await refusal(create({ ...spawned(root.id), tenant }, { tenant }))).code).toBe("CHAIN_INVALID");
    await end(root);
    expect((await refusal(create(spawned(root.id)))).code).toBe("RUN_PARENT_ENDED");
    // It ends between the question and the row: the row's unit asks again.
    expect((await refusal(record(late))).code).toBe("RUN_PARENT_ENDED");
  });

  it("is charged for nothing that is not in it", async () => {
    const root = await create(ground.owner);
    await end(root, { cpu_us: 5_000 });
    expect(await ground.storage.all("SELECT root FROM run_trees", [])).toEqual([]);
    await ground.storage.write((tx) => addToTree(tx, root.id, root.tenant));
    expect(await readTree(ground.storage, root.id)).toEqual({ runs: 2, cpu_ms: 5 });
  });
});

describe("the day's budget", () => {
  const fill = (contract: string, run_ms: number) =>
    ground.storage.write((tx) => addToDay(tx, ground.owner.tenant, contract, DAY, { runs: 1, run_ms, effects: 0 }));

  it("of a contract is what its ended runs have used, and is over when it is used up", async () => {
    await fill("scratch", 999);
    await create(ground.owner, {}, viewWith(1_000));
    await fill("other", 5_000); // another contract's is its own
    const run = await create(ground.owner, {}, viewWith(1_000));
    clock.advance(1);
    await end(run);
    const error = await refusal(create(ground.owner, {}, viewWith(1_000)));
    expect(error.code).toBe("RUN_TENANT_BUDGET");
    expect(error.parts.detail).toContain("The contract scratch may use 1000 ms");
    expect(error.parts.detail).toContain("has used 1000");
    expect(error.parts.retry_after_ms).toBe(12 * 3_600_000 - 1);
    expect((await charges.refusalOf(run, viewWith(1_000)))?.code).toBe("RUN_TENANT_BUDGET");
    await create(ground.owner, {}, viewWith(1_001));
    await create(ground.owner, {}, viewWith());
  });

  it("of a tenant is over all its contracts", async () => {
    settings = { ...settings, run_ms_day: 1_000 };
    await fill("scratch", 600);
    await fill("other", 399);
    await create(ground.owner);
    await fill("third", 1);
    const error = await refusal(create(ground.owner));
    expect(error.code).toBe("RUN_TENANT_BUDGET");
    expect(error.parts.detail).toContain("The tenant may use 1000 ms");
  });

  it("is judged again in the unit of the row", async () => {
    const { row, days } = await charges.demand(ground.owner, rowOf(), viewWith(10));
    await fill("scratch", 10);
    expect((await refusal(record(row, { ...CREATION, days }))).code).toBe("RUN_TENANT_BUDGET");
  });

  it("begins anew at midnight UTC", async () => {
    await fill("scratch", 1_000);
    clock.advance(12 * 3_600_000 - 1);
    expect((await refusal(create(ground.owner, {}, viewWith(1_000)))).parts.retry_after_ms).toBe(1);
    clock.advance(1);
    expect(dayOf(clock.now())).toBe("2026-11-25");
    await create(ground.owner, {}, viewWith(1_000));
  });

  it("is charged with the time that a run had its slot, and with no more than its limit when it was lost", async () => {
    const { tenant } = ground.owner;
    const run = await create(ground.owner);
    clock.advance(1_234);
    await end(run);
    expect(await readDay(ground.storage, tenant, "scratch", DAY)).toEqual({ run_ms: 1_234, effects: 0 });
    const lost = await create(ground.owner, { limits: { ...small_limits, wall_ms: 500 } });
    clock.advance(100_000);
    await end(lost, { startup_us: null });
    expect(await readDay(ground.storage, tenant, "scratch", DAY)).toEqual({ run_ms: 1_734, effects: 0 });
    const denied = await create(ground.owner);
    await end(denied, { admitted_at: null });
    expect(await readDay(ground.storage, tenant, "scratch", DAY)).toEqual({ run_ms: 1_734, effects: 0 });
  });

  it("of tenants is read again when it is older than SETTINGS_FRESH_MS", async () => {
    await create(ground.owner);
    settings = { ...settings, run_ms_day: 0 };
    clock.advance(SETTINGS_FRESH_MS - 1);
    await create(ground.owner);
    expect(reads).toBe(1);
    clock.advance(1);
    expect((await refusal(create(ground.owner))).code).toBe("RUN_TENANT_BUDGET");
    expect(reads).toBe(2);
  });

  it("is kept of at most SETTINGS_TENANTS_MAX tenants", async () => {
    const asked: string[] = [];
    const days = new TenantDays(
      {
        settings: async (_reader, tenant) => {
          asked.push(tenant);
          return settings;
        },
      },
      clock,
    );
    const limitOf = (n: number) => days.limitOf(ground.storage, `ten_${n}` as Principal["tenant"]);
    for (let n = 0; n < SETTINGS_TENANTS_MAX; n++) await limitOf(n);
    await limitOf(0);
    expect(asked).toHaveLength(SETTINGS_TENANTS_MAX);
    await limitOf(SETTINGS_TENANTS_MAX);
    await limitOf(0);
    expect(asked).toHaveLength(SETTINGS_TENANTS_MAX + 2);
  });
});

describe("a refusal past a budget", () => {
  const about = { contract: "scratch", contract_version: 1, snapshot: "snp_x", code_hash: "0".repeat(64) };
  const refuse = async (who: Principal, view = viewWith()) =>
    charges.refused(who, await refusal(create(who, {}, view)), about);

  it("is an entry with its numbers, and those that follow within REFUSED_ENTRY_MS are counted in the next", async () => {
    const root = await create(ground.owner);
    let parent = root;
    for (let i = 0; i < SPAWN_DEPTH_MAX; i++) parent = await create(spawned(parent.id));
    for (let i = 0; i < 5; i++) await refuse(spawned(parent.id));
    clock.advance(REFUSED_ENTRY_MS - 1);
    await refuse(spawned(parent.id));
    expect(await told(root.id)).toHaveLength(1);
    clock.advance(1);
    await refuse(spawned(parent.id));
    await refuse(spawned(parent.id));
    const depth = SPAWN_DEPTH_MAX + 1;
    const tree = { parent: parent.id, root: root.id, depth };
    const numbers = { code: "RUN_SPAWN_DEPTH", budget: "spawn_depth", used: depth, limit: SPAWN_DEPTH_MAX, ...tree };
    expect((await told(root.id)).map(({ kind, data }) => ({ kind, data }))).toEqual([
      { kind: "run.refused", data: { ...numbers, count: 1, code_hash: about.code_hash } },
      { kind: "run.refused", data: { ...numbers, count: 6, code_hash: about.code_hash } },
    ]);
  });

  it("of each budget is told apart, for at most REFUSED_BUDGETS_MAX of them", async () => {
    const before = await entries();
    const day = async (n: number) => {
      const refusal_of_day = await refusal(create(ground.owner, { contract: `c${n}` }, viewWith(0)));
      await charges.refused(ground.owner, refusal_of_day, about);
    };
    for (let n = 0; n <= REFUSED_BUDGETS_MAX; n++) await day(n);
    expect(await entries()).toBe(before + REFUSED_BUDGETS_MAX + 1);
    await day(0); // forgotten by now, so that it is told again
    await day(9);
    expect(await entries()).toBe(before + REFUSED_BUDGETS_MAX + 2);
  });

  it("of any other kind is no entry", async () => {
    const before = await entries();
    await charges.refused(ground.owner, await refusal(create(spawned("run_none"))), about);
    await charges.refused(ground.owner, new Error("x"), about);
    expect(await entries()).toBe(before);
  });
});
