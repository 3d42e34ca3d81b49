import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from "vitest";
import { bwrapJail, missingPrograms, unshareJail } from "../../server/src/execution/adapters/jails.ts";
import type { DoorHandler, RunnerPool } from "../../server/src/execution/contract.ts";
import { createApp } from "../../server/src/http/app.ts";
import { createPrometheus } from "../../server/src/http/metrics.ts";
import { type Listener, listen } from "../../server/src/http/server.ts";
import type { Principal } from "../../server/src/identity/contract.ts";
import { IdentityRegistry } from "../../server/src/identity/identity.ts";
import { type RunView, SPAWN_DEPTH_MAX, TREE_RUNS_MAX } from "../../server/src/intent/contract.ts";
import { liveRunOf } from "../../server/src/intent/live_run_of.ts";
import { runRoutes } from "../../server/src/intent/routes.ts";
import { silentLogger } from "../../server/src/kernel/log.ts";
import { identitySurfaces } from "../../server/src/serving/identity_parts.ts";
import { agreementsOf } from "../../server/src/storage/agreements.ts";
import { eventually } from "../fixtures/eventually.ts";
import { fetchDoor } from "../fixtures/fetch_door.ts";
import { type JailedPool, openJailedPool } from "../fixtures/jailed_pool.ts";
import { need } from "../fixtures/need.ts";
import { openRunsGround, type RunsGround } from "../fixtures/runs_ground.ts";

/**
 * Real guests that start runs, through the HTTP interface and with tokens that were made for them. Their calls go
 * through a door of this test's own, which brings them to the listener and adds no authority but the token of the run that
 * calls, where the guest has brought none.
 */

const API = "http://gantry.test";
const jail = missingPrograms(bwrapJail.needs).length === 0 ? bwrapJail : unshareJail;
const LONG_MS = 180_000;

let jailed: JailedPool;
let house: RunsGround;
let listener: Listener;
const tokens = new Map<string, Promise<string>>();

beforeAll(async () => {
  jailed = await openJailedPool(jail, { warm: 4 });
  house = await openRunsGround({ pool: withDoor(jailed.pool), capacity: { slots: 8, memory_mb: 4_096 } });
  const { storage, ledger, clock, random, ids, metrics, runs } = house;
  const agreements = agreementsOf(storage);
  const identity = new IdentityRegistry({ storage, ledger, clock, random, ids, agreements, live_run: liveRunOf });
  const gate = { request: () => Promise.reject(new Error("nothing is loosened here")) };
  const app = createApp({
    ...{ identity, metrics, clock, ids, log: silentLogger, version: "0.0.0", checks: {} },
    routes: [runRoutes({ runs, identity }), ...identitySurfaces({ identity, storage, clock, gate })],
    prometheus: createPrometheus(),
  });
  listener = await listen(app, { port: 0, clock });
  await runs.recover();
  storage.timers.start(() => {});
}, LONG_MS);
afterAll(async () => {
  await listener.close(1_000);
  await house.storage.timers.stop();
  await house.remove();
  await jailed.close();
});
beforeEach((context) => {
  const { ok, problems } = jailed.report;
  need(context, jail.name, ok ? undefined : (problems[0]?.fix ?? "the jail does not hold"));
});
afterEach(async () => {
  await idle();
});

/** The same pool; each guest's calls go to the door of its run. */
function withDoor(pool: RunnerPool): RunnerPool {
  return {
    stats: () => pool.stats(),
    report: () => pool.report(),
    close: () => pool.close(),
    async acquire(want, signal) {
      const runner = await pool.acquire(want, signal);
      return {
        ...{ id: runner.id, jail: runner.jail, cold: runner.cold },
        discard: () => runner.discard(),
        execute: (job, door, abort) => runner.execute(job, { ...door, egress: doorOf(job.run) }, abort),
      };
    },
  };
}

function doorOf(run: string): DoorHandler {
  return fetchDoor(async (request) => {
    const { pathname, search } = new URL(request.url);
    if (pathname === "/token") return new Response(await tokenOf(run));
    const headers = new Headers(request.headers);
    if (!headers.has("authorization")) headers.set("authorization", `Bearer ${await tokenOf(run)}`);
    const body = request.method === "GET" ? {} : { body: await request.text() };
    return fetch(`${listener.url}${pathname}${search}`, { method: request.method, headers, ...body });
  });
}

/** Of a live run, as whoever started the guest mints it. */
function tokenOf(run: string): Promise<string> {
  const known = tokens.get(run);
  if (known !== undefined) return known;
  const minted = ownersCall("POST", "/v1/tokens", { run, scopes: ["run:submit", "run:read"] }).then(
    ({ secret }) => secret as string,
  );
  minted.catch(() => {});
  tokens.set(run, minted);
  return minted;
}

// biome-ignore lint/suspicious/noExplicitAny: a test reads whatever the server says
async function ownersCall(method: string, path: string, body?: unknown): Promise<any> {
  const headers = { authorization: `Bearer ${house.secret}`, "content-type": "application/json" };
  const answer = await fetch(`${listener.url}${path}`, {
    ...{ method, headers },
    ...(body === undefined ? {} : { body: JSON.stringify(body) }),
  });
  const text = await answer.text();
  if (!answer.ok) throw new Error(text);
  return JSON.parse(text);
}

/** What guests share: a way to start a run, and what it was answered. */
const START = `
  const start = async (ask, token) => {
    const headers = { "content-type": "application/json", ...(token ? { authorization: "Bearer " + token } : {}) };
    const answer = await fetch("${API}/v1/runs", { method: "POST", headers, body: JSON.stringify(ask) });
    const { id, code, detail, state, result } = await answer.json();
    return { status: answer.status, id, code, detail, state, result };
  };`;

const LIMITS = { cpu_ms: 10_000, wall_ms: 120_000 };
const pooled = { isolation: "pooled", contract: "spawns", lane: "batch", limits: LIMITS, wait_ms: 0 };

async function runs(query: string): Promise<RunView[]> {
  const all: RunView[] = [];
  let cursor = "";
  do {
    const page = await ownersCall("GET", `/v1/runs?limit=200${query}${cursor}`);
    all.push(...page.items);
    cursor = page.next === undefined ? "" : `&cursor=${page.next}`;
  } while (cursor !== "");
  return all;
}
const descendants = (root: string) => runs(`&root=${root}`);

async function endOf(id: string): Promise<RunView> {
  let view: RunView | undefined;
  await eventually(
    async () => {
      view = (await ownersCall("GET", `/v1/runs/${id}?wait_ms=1000`)) as RunView;
      return view.state === "ended";
    },
    "the run's end",
    LONG_MS,
  );
  return view as RunView;
}

async function idle(): Promise<void> {
  await eventually(async () => (await runs("")).every(({ state }) => state === "ended"), "all runs to end", LONG_MS);
}

/** Of each run that was admitted: where the ledger says that it stands. */
async function treeInLedger(ids: readonly string[]) {
  const places = new Map<string, { parent?: unknown; root?: unknown; depth?: unknown }>();
  for (const id of ids) {
    const entry = (await house.entriesOf(id)).find(({ kind }) => kind === "run.admitted");
    const { parent, root, depth } = (entry?.data ?? {}) as Record<string, unknown>;
    places.set(id, { parent, root, depth });
  }
  return places;
}

async function refusals(root: string) {
  const { items } = await house.ledger.list({ tenant: house.owner.tenant, ref: root, kind: "run.refused", limit: 50 });
  return items.map(({ data, actor, decision }) => ({ ...(data as Record<string, unknown>), actor, decision }));
}

describe("a program that starts runs", () => {
  beforeAll(() =>
    house.policy.apply(
      { name: "spawns.yaml", text: "kind: Contract\nname: spawns\nextends: scratch\nisolation_floor: pooled\n" },
      house.owner,
    ),
  );

  it("of itself, over and over, is stopped at the depth", { timeout: LONG_MS }, async () => {
    const source = `${START}
      export default async (self) => start({ ...self.ask, input: self, code: { source: self.source } });`;
    const ask = { ...pooled };
    const first = await ownersCall("POST", "/v1/runs", { ...ask, code: { source }, input: { source, ask } });
    await endOf(first.id);
    await idle();
    const below = (await descendants(first.id)).sort((a, b) => (a.depth ?? 0) - (b.depth ?? 0));
    expect(below.map(({ depth }) => depth)).toEqual(Array.from({ length: SPAWN_DEPTH_MAX }, (_, i) => i + 1));
    const last = await endOf(below.at(-1)?.id as string);
    expect(last.result).toMatchObject({ status: 429, code: "RUN_SPAWN_DEPTH" });
    const places = await treeInLedger(below.map(({ id }) => id));
    let parent = first.id;
    for (const { id, depth } of below) {
      expect(places.get(id)).toEqual({ parent, root: first.id, depth });
      parent = id;
    }
    const told = await refusals(first.id);
    expect(told).toHaveLength(1);
    expect(told[0]).toMatchObject({ code: "RUN_SPAWN_DEPTH", parent: last.id, root: first.id, used: 9, limit: 8 });
    expect(told[0]?.decision).toEqual({ verdict: "deny", codes: ["RUN_SPAWN_DEPTH"] });
    // The child's chain still begins with whom the first run acted for.
    expect(told[0]?.actor[0]).toEqual({ actor: (house.owner as Principal).chain[0]?.actor, kind: "human" });
  });

  it("of another, as many as it can, is stopped at the size of the tree", { timeout: LONG_MS }, async () => {
    const source = `${START}
      export default async ({ ask }) => {
        const answers = [];
        for (let more = true; more; ) {
          const eight = await Promise.all(Array.from({ length: 8 }, () =>
            start({ ...ask, code: { source: "export default () => 1" } })));
          answers.push(...eight);
          more = eight.every(({ status }) => status < 300);
        }
        const codes = answers.filter(({ status }) => status >= 300).map(({ code }) => code);
        return { started: answers.filter(({ id }) => id).length, codes: [...new Set(codes)] };
      };`;
    const first = await ownersCall("POST", "/v1/runs", { ...pooled, code: { source }, input: { ask: pooled } });
    const ended = await endOf(first.id);
    expect(ended.result).toEqual({ started: TREE_RUNS_MAX - 1, codes: ["RUN_TREE_BUDGET"] });
    await idle();
    const below = await descendants(first.id);
    expect(below).toHaveLength(TREE_RUNS_MAX - 1);
    expect(
      below.every(
        ({ depth, parent, termination }) => depth === 1 && parent === first.id && termination === "completed",
      ),
    ).toBe(true);
    const places = await treeInLedger(below.map(({ id }) => id));
    expect([...places.values()].every(({ root }) => root === first.id)).toBe(true);
    expect(await refusals(first.id)).toEqual([
      expect.objectContaining({ code: "RUN_TREE_BUDGET", budget: "tree_runs", used: TREE_RUNS_MAX, count: 1 }),
    ]);
  });

  it("with a token that it was handed is stopped by the day's budget, and the token ends with its run", {
    timeout: LONG_MS,
  }, async () => {
    const RUN_MS = 2_000;
    await house.policy.apply(
      {
        name: "day.yaml",
        text: `kind: Contract\nname: a-day\nextends: scratch\nisolation_floor: pooled\nbudgets_day: {run_ms: ${RUN_MS}}\n`,
      },
      house.owner,
    );
    const ask = { ...pooled, contract: "a-day", wait_ms: 20_000, on_busy: "delay" };
    // It asks for its token, and gives it to those that it starts, which start more with it.
    const child = `${START}
      export default async ({ token, ask, go_on }) => {
        const until = performance.now() + 100;
        while (performance.now() < until);
        return go_on ? start({ ...ask, code: { source: "export default () => 1" } }, token) : null;
      };`;
    const source = `${START}
      export default async ({ ask, child }) => {
        const token = await (await fetch("${API}/token")).text();
        for (let n = 0; n < 100; n++) {
          const answer = await start({ ...ask, input: { token, ask, go_on: n === 0 }, code: { source: child } }, token);
          if (answer.status >= 300) return { n, token, code: answer.code, detail: answer.detail };
        }
      };`;
    const first = await ownersCall("POST", "/v1/runs", { ...pooled, code: { source }, input: { ask, child } });
    const ended = await endOf(first.id);
    expect(ended.result).toMatchObject({ code: "RUN_TENANT_BUDGET" });
    const { n, token, detail } = ended.result as { n: number; token: string; detail: string };
    expect(detail).toContain("The contract a-day may use 2000 ms");
    expect(n).toBeGreaterThan(1);
    await idle();
    const below = await descendants(first.id);
    // A run that was started with the first one's token stands right below the first, whoever has used the token.
    expect(below).toHaveLength(n + 1);
    expect(below.every(({ parent, depth }) => parent === first.id && depth === 1)).toBe(true);
    const [told] = await house.ledger
      .list({ tenant: house.owner.tenant, kind: "run.refused", limit: 50 })
      .then(({ items }) => items.filter(({ data }) => data["code"] === "RUN_TENANT_BUDGET"));
    expect(told?.data).toMatchObject({ budget: "contract_run_ms", limit: RUN_MS });
    expect(told?.data["used"]).toBeGreaterThanOrEqual(RUN_MS);
    // The run has ended, and what was made for it starts nothing any more.
    const late = await fetch(`${listener.url}/v1/runs`, {
      method: "POST",
      headers: { authorization: `Bearer ${token}`, "content-type": "application/json" },
      body: JSON.stringify({ code: { source: "export default () => 1" } }),
    });
    expect([401, 409]).toContain(late.status);
    expect(((await late.json()) as { code: string }).code).toMatch(/^(RUN_PARENT_ENDED|TOKEN_EXPIRED)$/);
  });
});
