import { writeFile } from "node:fs/promises";
import { request } from "node:http";
import { connect, type Socket } from "node:net";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import type { RunView } from "../../sdk/src/types.ts";
import { systemClock } from "../../server/src/kernel/clock.ts";
import { createIds } from "../../server/src/kernel/ids.ts";
import { systemRandom } from "../../server/src/kernel/random.ts";
import { type ProblemAnswer, problemOf } from "../fixtures/problem.ts";
import { startServer, type TestServer } from "../fixtures/server.ts";
import { makeStrangers, type Strangers } from "../fixtures/strangers.ts";
import { entriesAfter, type Traces, tracesOf, warmedUp } from "../fixtures/traces.ts";
import { code } from "./refusals/code.ts";
import { http, who } from "./refusals/http.ts";
import { MB, type Refusal, raw, run } from "./refusals/refusal.ts";
import { body, limits } from "./refusals/request.ts";

let server: TestServer;
let strangers: Strangers;
let others_run: string;
let keyed: RunView;

beforeAll(async () => {
  server = await startServer({
    config: { contracts: ["small.yaml"] },
    async prepare(data) {
      const contract = "kind: Contract\nname: small\nextends: scratch\nlimits:\n  cpu_ms: 100\n  modules_max: 2\n";
      await writeFile(join(data, "..", "small.yaml"), contract);
      strangers = await makeStrangers(data);
    },
  });
  const first = { json: { code: { source: "export default () => 1" } } };
  others_run = (await server.json<RunView>("/v1/runs", { ...first, token: strangers.other_tenant })).id;
  keyed = await server.json<RunView>("/v1/runs", { ...first, headers: { "idempotency-key": "once" } });
  await warmedUp(server);
});
afterAll(() => server.dispose());

/** The place in the ledger before each test, so that it is read from there on only. */
let before: Traces;
async function remember(): Promise<void> {
  // A runner that boots for an earlier run is no trace of a later request.
  await warmedUp(server);
  before = await tracesOf(server, -1);
}
async function nothingHappened(): Promise<void> {
  expect(await tracesOf(server, before.index)).toEqual(before);
}

async function refused(refusal: Refusal): Promise<ProblemAnswer> {
  const options = typeof refusal.send === "function" ? refusal.send() : refusal.send;
  const answer = await server.request(refusal.path ?? "/v1/runs", options);
  const problem = await problemOf(answer, refusal.status, refusal.code);
  if (refusal.at !== undefined)
    expect(problem.problems, problem.detail).toContainEqual(expect.objectContaining(refusal.at));
  if (refusal.says !== undefined) expect(problem.detail).toMatch(refusal.says);
  if (refusal.status === 401) expect(answer.headers.get("www-authenticate")).toBe("Bearer");
  return problem;
}

describe.each([
  ["code", code],
  ["body", body],
  ["limits", limits],
  ["HTTP", http],
  ["who asks", who(() => ({ token: server.token, strangers }))],
])("bad %s", (_name, refusals) => {
  beforeAll(remember);

  it.each(refusals)("$what is $code, and nothing ran", async (refusal) => {
    await refused(refusal);
    await nothingHappened();
  });
});

describe("a body past its limit", () => {
  beforeAll(remember);

  const BODY_BYTES_MAX = 48 * MB;

  it("is refused by its stated length before a byte of it is sent", async () => {
    const { status, text } = await rawPost(server, { "content-length": String(BODY_BYTES_MAX + 1) });
    expect(status).toBe(413);
    expect(JSON.parse(text)).toMatchObject({ code: "REQUEST_TOO_LARGE" });
    await nothingHappened();
  });

  it("is refused while it comes when it states no length", async () => {
    const chunk = Buffer.alloc(MB, " ");
    const { status, text } = await rawPost(server, { "transfer-encoding": "chunked" }, Array(49).fill(chunk));
    expect(status).toBe(413);
    expect(JSON.parse(text)).toMatchObject({ code: "REQUEST_TOO_LARGE" });
    await nothingHappened();
  });
});

describe("headers past their limit", () => {
  it.each([
    ["one long header", { "x-long": "x".repeat(17 * 1024) }],
    ["a long path", { "x-short": "x" }],
  ])("%s: 431 with a problem document", async (what, headers) => {
    const path = what === "a long path" ? `/v1/runs?cursor=${"x".repeat(17 * 1024)}` : "/v1/runs";
    const { status, text, type } = await rawPost(server, headers, [], path);
    expect(status).toBe(431);
    expect(type).toBe("application/problem+json");
    expect(JSON.parse(text)).toMatchObject({ code: "REQUEST_HEADERS", status: 431 });
  });
});

describe("what is not HTTP", () => {
  it.each([
    ["nonsense", "hello\r\n\r\n"],
    ["a TLS handshake", "\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03"],
    ["two lengths", "POST /v1/runs HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n"],
  ])("%s is answered with 400 and what would be right, and the server lives", async (_what, text) => {
    const socket = connect(Number(new URL(server.url).port), "127.0.0.1");
    socket.write(Buffer.from(text, "latin1"));
    const answer = await textFrom(socket);
    expect(answer).toMatch(/^HTTP\/1\.1 400 Bad Request\r\n/);
    expect(JSON.parse(answer.split("\r\n\r\n")[1] ?? "")).toMatchObject({ code: "REQUEST_MALFORMED", status: 400 });
    await server.json("/healthz");
  });
});

async function textFrom(socket: Socket): Promise<string> {
  let text = "";
  for await (const chunk of socket) text += chunk;
  return text;
}

describe("UTF-8", () => {
  it("with a byte order mark, and with U+FFFD itself, is what it says", async () => {
    const body = '\ufeff{"code":{"source":"export default (text) => [text.length, text]"},"input":"a\ufffdü😀"}';
    const options = raw(Buffer.from(body));
    expect(await server.json<RunView>("/v1/runs", options)).toMatchObject({ result: [5, "a\ufffdü😀"] });
  });

  it("is asked of a body in chunks, too", async () => {
    const { status, text } = await rawPost(server, { "transfer-encoding": "chunked" }, [
      Buffer.from([0x22, 0xff, 0x22]),
    ]);
    expect({ status, code: JSON.parse(text).code }).toEqual({ status: 400, code: "REQUEST_JSON" });
  });
});

/** A request that `fetch` would not send. Resolves with the answer even when the server closes in the middle. */
function rawPost(
  to: TestServer,
  headers: Record<string, string>,
  chunks: Buffer[] = [],
  path = "/v1/runs",
): Promise<{ status: number; text: string; type: string | undefined }> {
  return new Promise((resolve, reject) => {
    const call = request(new URL(path, to.url), {
      agent: false,
      method: "POST",
      headers: { authorization: `Bearer ${to.token}`, "content-type": "application/json", ...headers },
    });
    let answered = false;
    call.on("error", (error) => (answered ? undefined : reject(error)));
    call.on("response", (answer) => {
      answered = true;
      let text = "";
      answer.setEncoding("utf8").on("data", (part: string) => {
        text += part;
      });
      answer.on("end", () => {
        resolve({ status: answer.statusCode ?? 0, text, type: answer.headers["content-type"] });
        call.destroy();
      });
    });
    call.flushHeaders();
    for (const chunk of chunks) call.write(chunk);
    if (headers["content-length"] === undefined) call.end();
  });
}

describe("runs of others", () => {
  const ids = () => [others_run, createIds(systemClock(), systemRandom())("run"), "run_", "x", "%00", "run_01j"];

  it("another tenant's run does not exist, whatever is asked of it, and neither does any other id", async () => {
    await remember();
    for (const id of ids()) {
      for (const [path, method] of [
        [`/v1/runs/${id}`, "GET"],
        [`/v1/runs/${id}/logs`, "GET"],
        [`/v1/runs/${id}/logs?follow=1`, "GET"],
        [`/v1/runs/${id}/cancel`, "POST"],
      ] as const) {
        await problemOf(await server.request(path, { method }), 404, "RUN_NOT_FOUND");
      }
    }
    await nothingHappened();
    const seen = await server.json<{ items: RunView[] }>("/v1/runs?limit=200");
    expect(seen.items.map(({ id }) => id)).not.toContain(others_run);
    const entries = await server.json<{ items: unknown[] }>(`/v1/evidence/entries?ref=${others_run}`);
    expect(entries.items).toEqual([]);
  });

  it("its own tenant sees it", async () => {
    const view = await server.json<RunView>(`/v1/runs/${others_run}`, { token: strangers.other_tenant });
    expect(view.result).toBe(1);
  });

  it("the same idempotency key of another tenant is another run", async () => {
    const again = { ...run({}), headers: { "idempotency-key": "once" }, token: strangers.other_tenant };
    expect((await server.json<RunView>("/v1/runs", again)).id).not.toBe(keyed.id);
  });
});

describe("what policy denies", () => {
  it("is recorded as denied, with one entry, and reaches no runner", async () => {
    await remember();
    const answer = await server.request("/v1/runs", run({ contract: "small", limits: { cpu_ms: 101 } }));
    const problem = await problemOf(answer, 403, "CONTRACT_LIMIT");
    expect(problem.detail).toMatch(/cpu_ms/);
    const after = await tracesOf(server, before.index);
    expect(after.run).toBe(problem.run);
    expect({ boots: after.boots, admitted: after.admitted }).toEqual({
      boots: before.boots,
      admitted: before.admitted,
    });
    const entries = await entriesAfter(server, before.index);
    expect(entries.map(({ kind, refs }) => [kind, refs.includes(problem.run ?? "")])).toEqual([["run.ended", true]]);
    const view = await server.json<RunView>(`/v1/runs/${problem.run}`);
    expect(view).toMatchObject({ state: "ended", termination: "denied", retry_class: "policy" });
    expect(view.evidence.entries).toEqual(entries.map(({ id }) => id));
  });

  it("at the contract's ceiling a run is allowed", async () => {
    const view = await server.json<RunView>("/v1/runs", run({ contract: "small", limits: { cpu_ms: 100 } }));
    expect(view.termination).toBe("completed");
  });
});

describe("what only a run can show", () => {
  const ended = (text: string, members: object = {}) =>
    server.json<RunView>("/v1/runs", { json: { code: { source: text }, ...members } });

  it("a result at output_bytes_max is given whole, one byte more ends the run", async () => {
    const text = "export default (n) => 'x'.repeat(n);";
    const at_limit = await ended(text, { input: 998, limits: { output_bytes_max: 1_000 } });
    expect(at_limit).toMatchObject({ termination: "completed", usage: { output_bytes: 1_000 } });
    const past = await ended(text, { input: 999, limits: { output_bytes_max: 1_000 } });
    expect(past).toMatchObject({ termination: "output_exceeded", error: { code: "RUN_OUTPUT_EXCEEDED" } });
    expect(past).not.toHaveProperty("result");
  });

  it("a stream without an end is cut at output_bytes_max", async () => {
    const view = await ended(
      "export default { fetch: () => new Response(new ReadableStream({ pull(c) { c.enqueue(new Uint8Array(4096)); } })) };",
      { limits: { output_bytes_max: 100_000 } },
    );
    expect(view).toMatchObject({ termination: "output_exceeded", error: { code: "RUN_OUTPUT_EXCEEDED" } });
  });

  it("a log past log_bytes_max is dropped and counted, and past the hard limit it ends the run", async () => {
    const text = "export default (n) => { for (let i = 0; i < n; i++) console.log('x'.repeat(1000)); return n; };";
    const dropped = await ended(text, { input: 20, limits: { log_bytes_max: 10_000 } });
    expect(dropped.termination).toBe("completed");
    expect(dropped.usage?.log_bytes).toBeLessThanOrEqual(10_000);
    expect(dropped.usage?.log_dropped).toBeGreaterThan(9_000);
    const flood = await ended(text, { input: 1e6, limits: { cpu_ms: 20_000, log_bytes_max: 10_000 } });
    expect(flood).toMatchObject({ termination: "log_exceeded", error: { code: "RUN_LOG_EXCEEDED" } });
  });

  it("an export that cannot be run ends load_failed or throws nothing of ours", async () => {
    const view = await ended("export default 42;");
    expect(view).toMatchObject({ state: "ended", termination: "load_failed" });
    expect(view.error?.code).toBe("CODE_NO_ENTRY");
  });

  it.each([
    ["BigInt", "export default () => 1n;", "RUN_RESULT_NOT_JSON"],
    ["a cycle", "export default () => { const a = {}; a.a = a; return a; };", "RUN_RESULT_NOT_JSON"],
    ["an endless promise", "export default () => new Promise(() => {});", "RUN_NEVER_SETTLES"],
  ])("%s as result is a run that threw", async (_what, text, code_of_error) => {
    expect(await ended(text)).toMatchObject({ termination: "threw", error: { code: code_of_error } });
  });
});
