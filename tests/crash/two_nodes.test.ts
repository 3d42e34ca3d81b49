import { cpSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from "vitest";
import type { Entry } from "../../sdk/src/types.ts";
import {
  type LogLine,
  NOTICE_POLL_MS,
  PEER_POLL_MS,
  type RunRequest,
  type RunView,
} from "../../server/src/intent/contract.ts";
import { eventually } from "../fixtures/eventually.ts";
import { need } from "../fixtures/need.ts";
import { ownPostgresMissing, type PostgresServer, startPostgres } from "../fixtures/postgres.ts";
import { startServer, type TestServer } from "../fixtures/server.ts";
import { type StoredEntry, type StoredRun, storyFaults } from "./audit.ts";
import { disposeWithRunners, liveRunnersOf, processesOf, RUNTIME_ENV } from "./runner_processes.ts";

/** Two control planes in one PostgreSQL database: the built program, twice, with a data directory each. */

const SILENT_MS = 4_000;
/** From a node's death until the other has settled what it had: silence, a look, and a busy machine. */
const TAKEN_MS = 20_000;
/** What a busy machine adds. */
const BUSY_MS = 3_000;
const FOR_EVER = 3_600_000;
const SLEEPS = "export default ({ n, ms }) => new Promise((done) => setTimeout(() => done(n), ms));";

let postgres: PostgresServer | undefined;
let url: string;
let shared: string;
let nodes: TestServer[];

beforeAll(async () => {
  if (ownPostgresMissing() === undefined) postgres = await startPostgres({ own: true });
}, 60_000);
afterAll(async () => {
  await postgres?.remove();
});
beforeEach(async (context) => {
  nodes = [];
  shared = mkdtempSync(join(tmpdir(), "gs-"));
  need(context, "postgres", ownPostgresMissing());
  url = await postgres!.createDatabase();
  mkdirSync(join(shared, "keys"), { mode: 0o700 });
  writeFileSync(join(shared, "keys", "state.key"), Buffer.alloc(32, 7), { mode: 0o600 });
});
afterEach(async () => {
  for (const node of nodes) {
    if (!node.ended) process.kill(node.pid, "SIGCONT");
    await disposeWithRunners(node);
  }
  rmSync(shared, { recursive: true, force: true });
});

async function node(config: Record<string, unknown> = {}, keys = join(shared, "keys")): Promise<TestServer> {
  const own = { warm_runners: 1, slots: 2, node_silent_ms: SILENT_MS, blobs: join(shared, "blobs"), store: url };
  const started = await startServer({
    config: { ...own, ...config },
    env: RUNTIME_ENV,
    prepare: async (data) => cpSync(keys, join(data, "keys"), { recursive: true }),
  });
  nodes.push(started);
  return started;
}
async function pair(config: Record<string, unknown> = {}): Promise<[TestServer, TestServer]> {
  return Promise.all([node(config), node(config)]);
}

const get = (at: TestServer, id: string, wait_ms = 0) => at.json<RunView>(`/v1/runs/${id}?wait_ms=${wait_ms}`);
const submit = (at: TestServer, n: number, ms: number, more: Partial<RunRequest> = {}) =>
  at.json<RunView>(
    "/v1/runs",
    { json: { code: { source: SLEEPS }, input: { n, ms }, wait_ms: 0, limits: { wall_ms: 900_000 }, ...more } },
    202,
  );
const running = (at: TestServer, id: string) =>
  eventually(async () => (await get(at, id)).state === "running", "the run to be running", TAKEN_MS);
const ended = async (at: TestServer, id: string): Promise<RunView> => {
  await eventually(async () => (await get(at, id)).state === "ended", `the end of ${id}`, TAKEN_MS);
  return get(at, id);
};

/** What the database says: every run with its entries. */
async function stories() {
  const rows = await postgres!.sql("SELECT * FROM runs ORDER BY id", url);
  const runs = rows.map((columns) => ({ ...columns, attempt: Number(columns["attempt"]) }) as unknown as StoredRun);
  const bodies = await postgres!.sql("SELECT arrival, id, kind, body FROM evidence_entries ORDER BY arrival", url);
  const entries = bodies.map(({ body, ...row }) => ({
    ...row,
    body: JSON.parse((body as Buffer).toString("utf8")),
  })) as unknown as StoredEntry[];
  const of = (run: string) => entries.filter(({ kind, body }) => kind.startsWith("run.") && body.data.run === run);
  return { runs, entries, of, faults: runs.flatMap((run) => storyFaults(run, of(run.id))) };
}

describe("two nodes that start for the first time at the same moment", () => {
  it("make one tenant with one owner, and a token for each that works at both", async () => {
    const [a, b] = await pair();
    expect(await postgres!.sql("SELECT slug FROM tenants", url)).toEqual([{ slug: "default" }]);
    expect(await postgres!.sql("SELECT kind FROM actors ORDER BY kind", url)).toEqual([
      { kind: "agent" },
      { kind: "human" },
    ]);
    expect(a.token).not.toBe(b.token);
    for (const at of [a, b]) {
      for (const { token } of [a, b]) expect((await at.request("/v1/runs", { token })).status).toBe(200);
      expect(at.printed).toContain("owner.token");
    }
    // Another start of one of them replaces no token of the other.
    const { token } = a;
    await b.restart();
    expect((await b.request("/v1/runs", { token })).status).toBe(200);
  });

  it("refuse keys and blobs that are not those of the database, and say what to do", async () => {
    await node();
    const other = mkdtempSync(join(shared, "other-"));
    writeFileSync(join(other, "state.key"), Buffer.alloc(32, 8), { mode: 0o600 });
    await expect(node({}, other)).rejects.toThrow(/keys\/state\.key is not the key .* Copy the folder keys/s);
    rmSync(join(other, "state.key"));
    await expect(node({}, other)).rejects.toThrow(/keys\/state\.key is missing.* Copy the folder keys/s);
    await expect(node({ blobs: join(shared, "elsewhere") })).rejects.toThrow(/another directory .*`blobs: DIR`/s);
    await node();
  });
});

describe("two nodes that live", () => {
  it("execute each run once, whoever is asked, and a follower at one of them misses no entry", async () => {
    const [a, b] = await pair({ slots: 4, warm_runners: 4 });
    const left = new AbortController();
    const seen: string[] = [];
    const answer = await b.request("/v1/evidence/entries?follow=1&limit=200", { signal: left.signal });
    const following = (async () => {
      let text = "";
      for await (const chunk of answer.body!) {
        text += Buffer.from(chunk).toString("utf8");
        const lines = text.split("\n");
        text = lines.pop() ?? "";
        seen.push(...lines.filter(Boolean).map((line) => (JSON.parse(line) as Entry).id));
      }
    })().catch(() => undefined);
    const asks = Array.from({ length: 100 }, (_, n) => {
      const json = { code: { source: SLEEPS }, input: { n, ms: 0 }, wait_ms: 60_000, lane: "batch", on_busy: "delay" };
      const at = n % 2 === 0 ? a : b;
      return at.json<RunView>("/v1/runs", { json }).then((view) => ({ n, view }));
    });
    // The same key at both at once, with the same request.
    const keyed = Array.from({ length: 10 }, async (_, n) => {
      const json = { code: { source: SLEEPS }, input: { n, ms: 0 }, wait_ms: 60_000, lane: "batch", on_busy: "delay" };
      const headers = { "idempotency-key": `key-${n}` };
      const views = await Promise.all([a, b].map((at) => at.json<RunView>("/v1/runs", { json, headers })));
      expect(views[0]!.id).toBe(views[1]!.id);
      return views[0]!;
    });
    for (const { n, view } of await Promise.all(asks))
      expect(view).toMatchObject({ termination: "completed", result: n });
    for (const view of await Promise.all(keyed)) expect(view.termination).toBe("completed");
    const { runs, entries, of, faults } = await stories();
    expect(faults).toEqual([]);
    expect(runs).toHaveLength(110);
    for (const { id } of runs) {
      const kinds = of(id).map(({ kind }) => kind);
      expect(kinds.filter((kind) => kind === "run.admitted")).toHaveLength(1);
      expect(kinds.filter((kind) => kind === "run.ended")).toHaveLength(1);
    }
    await eventually(() => seen.length === entries.length, "the follower to have seen every entry");
    expect(seen).toEqual(entries.map(({ id }) => id));
    left.abort();
    await following;
  });

  it("answer for each other's runs: wait, log, cancel", async () => {
    const [a, b] = await pair();
    const source = `export default async ({ n, ms }) => {
      for (let i = 0; i < 3; i++) { console.log("line", i); await new Promise((done) => setTimeout(done, ms)); }
      return n;
    };`;
    const talks = await submit(a, 5, 500, { code: { source } });
    const lines = b.request(`/v1/runs/${talks.id}/logs?follow=1`).then((answer) => answer.text());
    expect(await get(b, talks.id, 30_000)).toMatchObject({ termination: "completed", result: 5 });
    const texts = (await lines).trim().split("\n");
    expect(texts.map((line) => (JSON.parse(line) as LogLine).text)).toEqual(["line 0", "line 1", "line 2"]);

    const large = await a.json<RunView>("/v1/runs", {
      json: { code: { source: 'export default () => "x".repeat(200_000)' } },
    });
    expect((await get(b, large.id)).result).toHaveLength(200_000);

    const held = await Promise.all([submit(a, 1, FOR_EVER), submit(a, 2, FOR_EVER)]);
    for (const { id } of held) await running(a, id);
    const waits = await submit(a, 3, 0, { lane: "batch", on_busy: "delay" });
    expect((await get(a, waits.id)).state).toBe("queued");
    for (const { id } of [waits, ...held]) {
      const from = performance.now();
      const cancelled = await b.json<RunView>(`/v1/runs/${id}/cancel`, { method: "POST" });
      expect(cancelled).toMatchObject({ state: "ended", termination: "cancelled" });
      expect(performance.now() - from).toBeLessThan(NOTICE_POLL_MS + PEER_POLL_MS + BUSY_MS);
    }
    // A run that waits in one node's memory ends in time, whichever of the two hears its timer.
    const again = await Promise.all([submit(a, 1, FOR_EVER), submit(a, 2, FOR_EVER)]);
    for (const { id } of again) await running(a, id);
    const late = await submit(a, 4, 0, { on_busy: "delay" });
    expect(await get(a, late.id, 30_000)).toMatchObject({ termination: "expired" });
    expect((await stories()).faults).toEqual([]);
  });
});

describe("when one of the two", () => {
  it("is killed, the other settles what it had and runs what waited there", async () => {
    const [a, b] = await pair();
    const lost = await submit(a, 1, FOR_EVER);
    const repeated = await submit(a, 2, 1_000, { retry: "if_lost" });
    await running(a, lost.id);
    const waiting = await Promise.all([3, 4, 5].map((n) => submit(a, n, 0, { lane: "batch", on_busy: "delay" })));
    await a.kill();
    const from = performance.now();
    expect(await ended(b, lost.id)).toMatchObject({ termination: "node_lost", attempt: 1 });
    expect((await ended(b, repeated.id)).result).toBe(2);
    for (const [i, { id }] of waiting.entries()) {
      expect(await ended(b, id)).toMatchObject({ termination: "completed", result: 3 + i, attempt: 1 });
    }
    expect(performance.now() - from).toBeLessThan(TAKEN_MS);
    await a.restart();
    expect(await get(a, lost.id)).toMatchObject({ termination: "node_lost" });
    const next = await submit(a, 6, 0);
    expect(await get(b, next.id, 30_000)).toMatchObject({ termination: "completed" });
    expect((await stories()).faults).toEqual([]);
  });

  it("stands still for too long, it cannot finish what it lost, and serves again", async () => {
    const [a, b] = await pair();
    const goes_on = await submit(a, 2, FOR_EVER, { retry: "if_lost" });
    await running(a, goes_on.id);
    await eventually(() => liveRunnersOf(a.data).length === 2, "a warm runner beside it", TAKEN_MS);
    // The last one that is started: it must not have its answer before the node stands still, but while nobody listens.
    const done_meanwhile = await submit(a, 1, 2_000);
    await running(a, done_meanwhile.id);
    const runners = processesOf(a.data).map(({ pid }) => pid);
    const waits = await submit(a, 3, 0, { lane: "batch", on_busy: "delay" });
    const told = get(a, done_meanwhile.id, 60_000);
    process.kill(a.pid, "SIGSTOP");
    expect(await ended(b, done_meanwhile.id)).toMatchObject({ termination: "node_lost" });
    expect(await ended(b, waits.id)).toMatchObject({ termination: "completed", result: 3 });
    await eventually(async () => (await get(b, goes_on.id)).attempt === 2, "the second attempt", TAKEN_MS);
    process.kill(a.pid, "SIGCONT");
    expect(await told).toMatchObject({ state: "ended", termination: "node_lost" });
    await eventually(async () => (await a.request("/readyz")).status === 200, "the node to serve", TAKEN_MS);
    const alive = () => processesOf(a.data).filter(({ pid }) => runners.includes(pid));
    await eventually(() => alive().length < runners.length, "the lost runs' processes to die");
    expect(await submit(a, 4, 0).then(({ id }) => get(a, id, 30_000))).toMatchObject({ termination: "completed" });
    expect(await get(b, goes_on.id)).toMatchObject({ state: "running", attempt: 2 });
    const cancelled = await a.json<RunView>(`/v1/runs/${goes_on.id}/cancel`, { method: "POST" });
    expect(cancelled).toMatchObject({ termination: "cancelled", attempt: 2 });
    expect((await stories()).faults).toEqual([]);
  });

  it("leaves in good order, the other takes up its queue at once", async () => {
    // So long that a busy machine cannot make a moment of it: the queue is taken up by what the node says when it leaves.
    const silent_ms = 12_000;
    const [a, b] = await pair({ drain_ms: 500, node_silent_ms: silent_ms });
    for (const { id } of await Promise.all([submit(a, 1, FOR_EVER), submit(a, 2, FOR_EVER)])) await running(a, id);
    const waits = await submit(a, 3, 0, { lane: "batch", on_busy: "delay" });
    await a.stop();
    const from = performance.now();
    expect(await ended(b, waits.id)).toMatchObject({ termination: "completed", result: 3 });
    expect(performance.now() - from).toBeLessThan(silent_ms);
  });
});

describe("when the database is away for too long", () => {
  it("both nodes kill what they run, take nothing, and serve again when it is back", async () => {
    const [a, b] = await pair();
    const lost = await Promise.all([submit(a, 1, FOR_EVER), submit(b, 2, FOR_EVER)]);
    await running(a, lost[0]!.id);
    await running(b, lost[1]!.id);
    const before = new Map([a, b].map((at) => [at, processesOf(at.data).map(({ pid }) => pid)]));
    await postgres!.process!.stop("SIGKILL");
    for (const at of [a, b]) {
      await eventually(async () => (await at.request("/readyz")).status === 503, "the node to be out", TAKEN_MS);
      const still = () => processesOf(at.data).filter(({ pid }) => before.get(at)!.includes(pid)).length;
      await eventually(() => still() < before.get(at)!.length, "the run's process to be killed", TAKEN_MS);
    }
    await postgres!.process!.start();
    for (const at of [a, b]) {
      await eventually(async () => (await at.request("/readyz")).status === 200, "the node to serve", TAKEN_MS);
    }
    for (const { id } of lost) expect(await ended(a, id)).toMatchObject({ termination: "node_lost" });
    for (const at of [a, b]) {
      expect(await submit(at, 3, 0).then(({ id }) => get(at, id, 30_000))).toMatchObject({ termination: "completed" });
    }
    expect((await stories()).faults).toEqual([]);
  });
});
