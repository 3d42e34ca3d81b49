import { afterAll, afterEach, beforeAll, describe, expect, it } from "vitest";
import { Gantry } from "../../sdk/src/client.ts";
import type { Entry, LogLine, Page, RunView } from "../../sdk/src/types.ts";
import { eventually } from "../fixtures/eventually.ts";
import { ENDLESS, SLEEP, TICKER } from "../fixtures/guest_sources.ts";
import { DescribedApi } from "../fixtures/openapi.ts";
import { problemOf } from "../fixtures/problem.ts";
import { type RequestOptions, startServer, type TestServer } from "../fixtures/server.ts";
import { eventsOf, readUntil } from "../fixtures/streams.ts";

/** Runs of one tenant that hold a slot at once. */
const CONCURRENCY = 8;

let server: TestServer;
let api: DescribedApi;

beforeAll(async () => {
  server = await startServer({ config: { slots: CONCURRENCY + 2 } });
  api = await DescribedApi.of(server);
});
afterAll(() => server.dispose());
/** What a test leaves behind would hold a slot in the next one. */
afterEach(async () => {
  for (const state of ["queued", "starting", "running"]) {
    const { items } = await server.json<Page<RunView>>(`/v1/runs?state=${state}&limit=200`);
    for (const { id } of items) await server.json(`/v1/runs/${id}/cancel`, { method: "POST" });
  }
});

const submit = (source: string, members: object = {}, headers: Record<string, string> = {}): RequestOptions => ({
  json: { code: { source }, ...members },
  headers,
});

async function started(source: string, members: object = {}): Promise<RunView> {
  const view = await api.json<RunView>("/v1/runs", submit(source, { wait_ms: 0, ...members }), 202);
  const running = async () => (await server.json<RunView>(`/v1/runs/${view.id}`)).state === "running";
  await eventually(running, "the run to run", 20_000);
  return view;
}

describe("POST /v1/runs", () => {
  it("answers 200 with the whole run when it ends in time", async () => {
    const answer = await api.request("/v1/runs", submit("export default (n) => n + 1", { input: 41, why: "a test" }));
    expect(answer.status).toBe(200);
    const view = (await answer.json()) as RunView;
    expect(view).toMatchObject({ state: "ended", termination: "completed", result: 42, contract: { name: "scratch" } });
    expect(view.evidence.entries).toHaveLength(2);
    expect(await server.json<RunView>(`/v1/runs/${view.id}`)).toEqual(view);
  });

  it("a run that threw, and one past a limit, are answers and no errors", async () => {
    const threw = await api.json<RunView>("/v1/runs", submit("export default () => { throw new Error('no') }"));
    expect(threw).toMatchObject({ termination: "threw", retry_class: "guest", error: { code: "RUN_THREW" } });
    const spun = await api.json<RunView>(
      "/v1/runs",
      submit("export default () => { for (;;); }", { limits: { cpu_ms: 50 } }),
    );
    expect(spun).toMatchObject({ termination: "cpu_exceeded", error: { code: "RUN_CPU_EXCEEDED" } });
    const slow = await api.json<RunView>("/v1/runs", submit(ENDLESS, { limits: { wall_ms: 100 } }));
    expect(slow).toMatchObject({ termination: "wall_exceeded", retry_class: "timeout" });
  });

  it("with wait_ms 0 answers 202 and Location at once, and later 200 there", async () => {
    const answer = await api.request("/v1/runs", submit(SLEEP, { input: 150, wait_ms: 0 }));
    expect(answer.status).toBe(202);
    const view = (await answer.json()) as RunView;
    expect(answer.headers.get("location")).toBe(`/v1/runs/${view.id}`);
    expect(view.state).not.toBe("ended");
    expect(view).not.toHaveProperty("result");
    const ended = await api.json<RunView>(`${answer.headers.get("location")}?wait_ms=20000`);
    expect(ended).toMatchObject({ id: view.id, state: "ended", result: "slept" });
  });

  it("answers 202 when the run outlasts the wait", async () => {
    const answer = await api.request("/v1/runs", submit(ENDLESS, { wait_ms: 50 }));
    expect(answer.status).toBe(202);
    expect(answer.headers.get("location")).toMatch(/^\/v1\/runs\/run_/);
  });

  it("a run that has expired before it starts is told so, and recorded", async () => {
    const view = await api.json<RunView>("/v1/runs", submit("export default () => 1", { expires_at: 1 }));
    expect(view).toMatchObject({ state: "ended", termination: "expired", retry_class: "timeout" });
    expect(view.evidence.entries).toHaveLength(1);
  });

  it("goes on when the caller hangs up", async () => {
    const hang_up = new AbortController();
    const call = server.request("/v1/runs", {
      ...submit(SLEEP, { input: 1_000, why: "hang up" }),
      signal: hang_up.signal,
    });
    call.catch(() => undefined);
    let id: string | undefined;
    const runs = async () => {
      id = (await server.json<Page<RunView>>("/v1/runs?state=running")).items[0]?.id;
      return id !== undefined;
    };
    await eventually(runs, "the run to run", 20_000);
    hang_up.abort();
    await expect(call).rejects.toThrow();
    expect(await server.json<RunView>(`/v1/runs/${id}?wait_ms=20000`)).toMatchObject({
      termination: "completed",
      result: "slept",
    });
  });
});

describe("Idempotency-Key", () => {
  it("the same key and request give the same run, before and after its end", async () => {
    const headers = { "idempotency-key": "sequence" };
    const first = await api.json<RunView>("/v1/runs", submit(SLEEP, { input: 100, wait_ms: 0 }, headers), 202);
    const second = await api.request("/v1/runs", submit(SLEEP, { input: 100, wait_ms: 0 }, headers));
    expect(((await second.json()) as RunView).id).toBe(first.id);
    await api.json(`/v1/runs/${first.id}?wait_ms=20000`);
    // The order of members does not make another request.
    const shuffled = { json: { wait_ms: 0, input: 100, code: { source: SLEEP } }, headers };
    expect(await api.json<RunView>("/v1/runs", shuffled)).toMatchObject({ id: first.id, result: "slept" });
  });

  it("20 at once are one run, in the list and in the ledger", async () => {
    const options = submit(SLEEP, { input: 200 }, { "idempotency-key": "at once" });
    const views = await Promise.all(Array.from({ length: 20 }, () => api.json<RunView>("/v1/runs", options)));
    const [{ id } = { id: "" }] = views;
    expect(new Set(views.map((view) => view.id))).toEqual(new Set([id]));
    expect(views.every((view) => view.result === "slept")).toBe(true);
    const { items } = await server.json<Page<RunView>>("/v1/runs?limit=200");
    expect(items.filter((item) => item.id === id)).toHaveLength(1);
    const entries = await api.json<Page<Entry>>(`/v1/evidence/entries?ref=${id}`);
    expect(entries.items.map(({ kind }) => kind)).toEqual(["run.admitted", "run.ended"]);
  });

  it("a refused request leaves its key free", async () => {
    const headers = { "idempotency-key": "refused first" };
    await problemOf(await api.request("/v1/runs", submit("export default (", {}, headers)), 400, "CODE_SYNTAX");
    const view = await api.json<RunView>("/v1/runs", submit("export default () => 1", {}, headers));
    expect(view.result).toBe(1);
  });
});

describe("POST /v1/runs/:id/cancel", () => {
  it("ends an endless program long before its wall limit, names who did it, and is idempotent", async () => {
    const { id } = await started(ENDLESS, { limits: { wall_ms: 600_000 } });
    const from = performance.now();
    const cancelled = await api.json<RunView>(`/v1/runs/${id}/cancel`, { method: "POST" });
    expect(performance.now() - from).toBeLessThan(5_000);
    expect(cancelled).toMatchObject({ state: "ended", termination: "cancelled", error: { code: "RUN_CANCELLED" } });
    expect(await api.json(`/v1/runs/${id}/cancel`, { method: "POST" })).toEqual(cancelled);
    const entries = await api.json<Page<Entry>>(`/v1/evidence/entries?ref=${id}&kind=run.ended`);
    expect(entries.items).toHaveLength(1);
    expect(entries.items[0]?.data["cancelled_by"]).toMatch(/^act_/);
  });

  it("ends a program that does not yield", async () => {
    const { id } = await started("export default () => { for (;;); }", { limits: { cpu_ms: 60_000, wall_ms: 60_000 } });
    const cancelled = await api.json<RunView>(`/v1/runs/${id}/cancel`, { method: "POST" });
    expect(cancelled.termination).toBe("cancelled");
  });

  it("a run that has ended is returned unchanged", async () => {
    const view = await api.json<RunView>("/v1/runs", submit("export default () => 1"));
    expect(await api.json(`/v1/runs/${view.id}/cancel`, { method: "POST" })).toEqual(view);
    expect(await api.json(`/v1/runs/${view.id}`)).toEqual(view);
  });
});

describe("GET /v1/runs/:id/logs", () => {
  it("gives NDJSON in order, with levels, and only what comes after a seq", async () => {
    const source = "export default () => { console.log('a', { b: 1 }); console.warn('c'); console.error('d\\ne'); }";
    const { id } = await api.json<RunView>("/v1/runs", submit(source));
    const answer = await api.request(`/v1/runs/${id}/logs`);
    expect(answer.headers.get("content-type")).toBe("application/x-ndjson");
    const lines = (await answer.text())
      .trimEnd()
      .split("\n")
      .map((line) => JSON.parse(line) as LogLine);
    expect(lines.map(({ seq, level }) => [seq, level])).toEqual([
      [1, "log"],
      [2, "warn"],
      [3, "error"],
    ]);
    expect(lines[0]?.text).toContain("b");
    const rest = await (await api.request(`/v1/runs/${id}/logs?after=2`)).text();
    expect(rest.trimEnd().split("\n")).toHaveLength(1);
    expect(await (await api.request(`/v1/runs/${id}/logs?after=3&follow=1`)).text()).toBe("");
  });

  it("follows a run while it runs, as NDJSON", async () => {
    const { id } = await started(TICKER);
    const text = await readUntil(
      await server.request(`/v1/runs/${id}/logs?follow=1`),
      (now) => now.split("\n").length > 5,
    );
    expect((await server.json<RunView>(`/v1/runs/${id}`)).state).toBe("running");
    const lines = text
      .trimEnd()
      .split("\n")
      .slice(0, 5)
      .map((line) => JSON.parse(line) as LogLine);
    expect(lines.map((line) => line.text)).toEqual(["tick 1", "tick 2", "tick 3", "tick 4", "tick 5"]);
  });

  it("as events, resumes after Last-Event-ID without a gap, and says when nothing will come", async () => {
    const { id } = await started(TICKER);
    const path = `/v1/runs/${id}/logs?follow=1`;
    const headers = { accept: "text/event-stream" };
    const first_answer = await server.request(path, { headers });
    expect(first_answer.headers.get("content-type")).toBe("text/event-stream");
    const first = eventsOf(await readUntil(first_answer, (now) => eventsOf(now).length >= 3));
    const last = first.at(-1)?.id ?? "";
    const resumed_answer = await server.request(path, { headers: { ...headers, "last-event-id": last } });
    const reading = readUntil(resumed_answer, (now) => now.includes("event: end"));
    const past = async () =>
      (await (await server.request(`/v1/runs/${id}/logs?after=${Number(last) + 3}`)).text()) !== "";
    await eventually(past, "more lines", 20_000);
    await server.json(`/v1/runs/${id}/cancel`, { method: "POST" });
    const second = eventsOf(await reading);
    expect(second.at(-1)).toEqual({ event: "end", data: "{}" });
    const ids = [...first, ...second.slice(0, -1)].map((event) => Number(event.id));
    expect(ids).toEqual(Array.from({ length: ids.length }, (_, i) => i + 1));
    expect(ids.length).toBeGreaterThan(first.length);
    expect(JSON.parse(second[0]?.data ?? "{}")).toMatchObject({ seq: Number(last) + 1, level: "log" });
  });

  it("the SDK follows a run to its end", async () => {
    const gantry = new Gantry({ url: server.url, token: server.token });
    const source = `export default async () => {
      for (let i = 0; i < 4; i++) { console.log(i); await new Promise((next) => setTimeout(next, 30)); }
    };`;
    const run = await gantry.runs.submit({ code: { source }, wait_ms: 0 });
    const texts: string[] = [];
    for await (const line of gantry.runs.logs(run.id, { follow: true })) texts.push(line.text);
    expect(texts).toEqual(["0", "1", "2", "3"]);
    expect((await gantry.runs.wait(run.id)).termination).toBe("completed");
  });
});

describe("GET /v1/runs", () => {
  it("pages through all runs, newest first, each once, without results", async () => {
    for (let i = 0; i < 5; i++) await server.json("/v1/runs", submit(`export default () => ${i}`));
    const whole = await api.json<Page<RunView>>("/v1/runs?limit=200");
    const seen: RunView[] = [];
    let cursor: string | undefined;
    do {
      const page: Page<RunView> = await api.json(`/v1/runs?limit=3${cursor === undefined ? "" : `&cursor=${cursor}`}`);
      expect(page.items.length).toBeLessThanOrEqual(3);
      seen.push(...page.items);
      cursor = page.next;
    } while (cursor !== undefined);
    expect(seen.map(({ id }) => id)).toEqual(whole.items.map(({ id }) => id));
    expect(new Set(seen.map(({ id }) => id)).size).toBe(seen.length);
    const created = seen.map(({ created_at }) => created_at);
    expect(created).toEqual([...created].sort((a, b) => b - a));
    expect(seen.every((view) => !("result" in view))).toBe(true);
  });

  it("filters by state and by termination", async () => {
    await server.json("/v1/runs", submit("export default () => { throw 1 }"));
    const { id } = await started(ENDLESS);
    const running = await api.json<Page<RunView>>("/v1/runs?state=running");
    expect(running.items.map((view) => view.id)).toEqual([id]);
    const threw = await api.json<Page<RunView>>("/v1/runs?termination=threw&limit=200");
    expect(threw.items.length).toBeGreaterThan(0);
    expect(new Set(threw.items.map((view) => view.termination))).toEqual(new Set(["threw"]));
    const both = await api.json<Page<RunView>>("/v1/runs?termination=threw&state=running");
    expect(both.items).toEqual([]);
  });
});

describe("when there is no room", () => {
  it("reject says 429 and when to come back, delay says 202 and where in the queue, downgrade yields", async () => {
    await Promise.all(Array.from({ length: CONCURRENCY }, () => started(ENDLESS)));
    const answer = await api.request("/v1/runs", submit("export default () => 1"));
    const problem = await problemOf(answer, 429, "RUN_CONCURRENCY");
    expect(problem).not.toHaveProperty("run");
    const seconds = Number(answer.headers.get("retry-after"));
    expect(seconds).toBeGreaterThanOrEqual(1);
    expect(seconds).toBeLessThanOrEqual(60);
    expect(seconds).toBe(Math.ceil((problem.retry_after_ms ?? 0) / 1_000));

    const delay = { on_busy: "delay", wait_ms: 0, lane: "batch" };
    const first = await api.json<RunView>("/v1/runs", submit("export default () => 1", delay), 202);
    const second = await api.json<RunView>("/v1/runs", submit("export default () => 2", delay), 202);
    expect(first).toMatchObject({ state: "queued", position: 1 });
    expect(second).toMatchObject({ state: "queued", position: 2 });
    expect(second.estimated_start_ms).toBeGreaterThanOrEqual(0);
    const yielding = { on_busy: "downgrade", wait_ms: 0 };
    const third = await api.json<RunView>("/v1/runs", submit("export default () => 3", yielding), 202);
    expect(third).toMatchObject({ state: "queued", lane: "batch", position: 3 });
    const entries = await api.json<Page<Entry>>(`/v1/evidence/entries?ref=${third.id}&kind=run.queued`);
    expect(entries.items[0]?.data).toMatchObject({ downgraded: true, lane: "batch" });

    expect(await api.json(`/v1/runs/${second.id}/cancel`, { method: "POST" })).toMatchObject({
      termination: "cancelled",
    });
    const { items } = await server.json<Page<RunView>>("/v1/runs?state=running");
    await server.json(`/v1/runs/${items[0]?.id}/cancel`, { method: "POST" });
    expect(await api.json(`/v1/runs/${first.id}?wait_ms=20000`)).toMatchObject({ result: 1 });
    expect(await api.json(`/v1/runs/${third.id}?wait_ms=20000`)).toMatchObject({ result: 3 });
  });
});
