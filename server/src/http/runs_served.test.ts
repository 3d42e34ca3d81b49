import { afterAll, beforeAll, beforeEach, describe, expect, it } from "vitest";
import { eventually } from "../../../tests/fixtures/eventually.ts";
import { heldScript } from "../../../tests/fixtures/scripted_pool.ts";
import { openServed, type Served } from "../../../tests/fixtures/served_runs.ts";
import { IDEMPOTENCY_KEY_MAX, RUNS_PAGE_MAX } from "../intent/contract.ts";

let served: Served;
let house: Served["house"];
let listener: Served["listener"];
let call: Served["call"];
let run: Served["run"];

beforeAll(async () => {
  served = await openServed();
  ({ house, listener, call, run } = served);
});
afterAll(() => served.close());
beforeEach(() => {
  house.pool.script = () => ({});
  served.readiness.cause = undefined;
});

describe("a run over HTTP", () => {
  it("ends with 200, its result and the request's id", async () => {
    house.pool.script = () => ({ result: '{"a":1}' });
    const { status, body, headers } = await run();
    expect(status).toBe(200);
    expect(body).toMatchObject({ state: "ended", termination: "completed", result: { a: 1 } });
    expect(headers.get("gantry-request")).toMatch(/^req_/);
    const again = await call("GET", `/v1/runs/${body.id}?wait_ms=10`);
    expect(again.body).toEqual(body);
  });

  it("that goes on is 202 with its place, and is cancelled by a POST", async () => {
    house.pool.script = heldScript().script;
    const { status, body, headers } = await run({ wait_ms: 0 });
    expect(status).toBe(202);
    expect(headers.get("location")).toBe(`/v1/runs/${body.id}`);
    const cancelled = await call("POST", `/v1/runs/${body.id}/cancel`);
    expect(cancelled).toMatchObject({ status: 200, body: { termination: "cancelled" } });
    expect((await call("POST", `/v1/runs/${body.id}/cancel`)).body).toEqual(cancelled.body);
  });

  it("goes on when the client hangs up", async () => {
    const held = heldScript();
    house.pool.script = held.script;
    const gone = new AbortController();
    const started = fetch(`${listener.url}/v1/runs`, {
      method: "POST",
      signal: gone.signal,
      headers: { authorization: `Bearer ${house.secret}`, "content-type": "application/json" },
      body: JSON.stringify({ code: { source: "export default () => 1" } }),
    }).catch(() => "gone");
    await eventually(() => held.waiting.length === 1);
    const [id] = held.waiting;
    gone.abort();
    expect(await started).toBe("gone");
    held.end(id ?? "", { result: "3" });
    expect((await call("GET", `/v1/runs/${id}?wait_ms=5000`)).body).toMatchObject({
      termination: "completed",
      result: 3,
    });
  });

  it("with an idempotency key is one run, and another body is 409", async () => {
    const key = { "idempotency-key": "a key" };
    const one = await run({ input: 1 }, key);
    expect((await run({ input: 1 }, key)).body.id).toBe(one.body.id);
    expect(await run({ input: 2 }, key)).toMatchObject({ status: 409, body: { code: "IDEMPOTENCY_MISMATCH" } });
    expect((await run({}, { "idempotency-key": "x".repeat(IDEMPOTENCY_KEY_MAX) })).status).toBe(200);
    expect((await run({}, { "idempotency-key": "x".repeat(IDEMPOTENCY_KEY_MAX + 1) })).body).toMatchObject({
      code: "REQUEST_INVALID",
    });
  });

  it("that is denied is a 403 problem with the run, the reasons and the snapshot", async () => {
    const text = "kind: Contract\nname: small\nextends: scratch\nlimits: {cpu_ms: 10}\n";
    await house.policy.apply({ name: "small.yaml", text }, house.owner);
    const { status, body, headers } = await run({ contract: "small", limits: { cpu_ms: 11 } });
    expect(status).toBe(403);
    expect(headers.get("content-type")).toBe("application/problem+json");
    expect(body).toMatchObject({ type: "urn:gantry:error:CONTRACT_LIMIT", code: "CONTRACT_LIMIT", status: 403 });
    expect(body.run).toMatch(/^run_/);
    expect(body.snapshot).toMatch(/^snp_/);
    expect(body.request).toBe(headers.get("gantry-request"));
    expect(body.reasons[0].code).toBe("CONTRACT_LIMIT");
  });

  it("that finds no room is 503 with Retry-After", async () => {
    house.pool.boot_failures = 5;
    const { status, body, headers } = await run();
    expect({ status, code: body.code }).toEqual({ status: 503, code: "RUN_CAPACITY" });
    expect(Number(headers.get("retry-after"))).toBeGreaterThanOrEqual(1);
    house.pool.boot_failures = 0;
  });

  it("is listed", async () => {
    const { body } = await run();
    const page = await call("GET", "/v1/runs?limit=1");
    expect(page.body.items.map((item: { id: string }) => item.id)).toEqual([body.id]);
    expect(page.body.next).toBe(body.id);
    expect((await call("GET", `/v1/runs?limit=${RUNS_PAGE_MAX + 1}`)).body).toMatchObject({
      code: "REQUEST_INVALID",
      problems: [{ at: "limit" }],
    });
    expect((await call("GET", `/v1/runs?limit=${RUNS_PAGE_MAX}`)).status).toBe(200);
    expect((await call("GET", "/v1/runs?limit=0x1")).status).toBe(400);
    expect((await call("GET", "/v1/runs?stat=ended")).body.problems[0]).toEqual({
      at: "stat",
      text: 'is not known here; did you mean "state"?',
    });
  });
});

describe("a log over HTTP", () => {
  it("is NDJSON, or events that resume after the last id", async () => {
    house.pool.script = (_job, door) => {
      for (const text of ["a", "b", "c"]) door.log({ seq: 1, at: 7, level: "info", text });
      return {};
    };
    const { body } = await run();
    const path = `/v1/runs/${body.id}/logs`;
    const plain = await call("GET", `${path}?after=1`);
    expect(plain.headers.get("content-type")).toContain("application/x-ndjson");
    const lines = String(plain.body).trim();
    expect(lines.split("\n").map((line) => JSON.parse(line))).toEqual([
      { seq: 2, at: 7, level: "info", text: "b" },
      { seq: 3, at: 7, level: "info", text: "c" },
    ]);
    const events = await call("GET", path, { headers: { accept: "text/event-stream", "last-event-id": "2" } });
    expect(events.headers.get("content-type")).toContain("text/event-stream");
    expect(events.body).toBe('id: 3\ndata: {"seq":3,"at":7,"level":"info","text":"c"}\n\nevent: end\ndata: {}\n\n');
  });

  it("is followed live, and a follower that hangs up leaves", async () => {
    let say = (_text: string) => {};
    let end = () => {};
    house.pool.script = (_job, door) => {
      say = (text) => door.log({ seq: 1, at: 7, level: "log", text });
      return new Promise((resolve) => {
        end = () => resolve({});
      });
    };
    const { body } = await run({ wait_ms: 0 });
    const gone = new AbortController();
    const answer = await fetch(`${listener.url}/v1/runs/${body.id}/logs?follow=1`, {
      headers: { authorization: `Bearer ${house.secret}` },
      signal: gone.signal,
    });
    const reader = (answer.body as ReadableStream<Uint8Array>).getReader();
    say("now");
    expect(new TextDecoder().decode((await reader.read()).value)).toContain('"text":"now"');
    gone.abort();
    end();
    await call("GET", `/v1/runs/${body.id}?wait_ms=5000`);
  });
});
