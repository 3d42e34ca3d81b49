/// <reference types="node" />
import { createServer, type IncomingMessage, type ServerResponse } from "node:http";
import type { AddressInfo } from "node:net";
import { afterEach, expect, test } from "vitest";
import {
  ANSWER_UNREADABLE,
  Gantry,
  GantryApiError,
  GantryConnectionError,
  isApiError,
  isConnectionError,
} from "./client.ts";
import type { LogLine, ProblemDocument, RunView } from "./types.ts";

type Seen = { method: string; url: string; headers: IncomingMessage["headers"]; body: string };
type Answer = (seen: Seen, response: ServerResponse) => void;

const closers: (() => Promise<void>)[] = [];
afterEach(async () => {
  for (const close of closers.splice(0)) await close();
});

/** A real server that answers the n-th request with the n-th answer, and the last one from then on. */
async function serve(...answers: Answer[]): Promise<{ url: string; seen: Seen[] }> {
  const seen: Seen[] = [];
  const server = createServer((request, response) => {
    const chunks: Buffer[] = [];
    request.on("data", (chunk: Buffer) => chunks.push(chunk));
    request.on("end", () => {
      const one = {
        method: request.method ?? "",
        url: request.url ?? "",
        headers: request.headers,
        body: Buffer.concat(chunks).toString(),
      };
      seen.push(one);
      answers[Math.min(seen.length, answers.length) - 1]!(one, response);
    });
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  closers.push(
    () =>
      new Promise((resolve) => {
        server.close(() => resolve());
        server.closeAllConnections();
      }),
  );
  return { url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`, seen };
}

const json =
  (status: number, body: unknown, type = "application/json"): Answer =>
  (_seen, response) => {
    response.writeHead(status, { "content-type": type });
    response.end(JSON.stringify(body));
  };

function view(parts: Partial<RunView>): RunView {
  return { id: "run_1", state: "running", evidence: { entries: [] }, ...parts } as RunView;
}
const ended = view({ state: "ended", termination: "completed", result: { sum: 3 } });
const denied: ProblemDocument = {
  type: "urn:gantry:error:CONTRACT_LIMIT",
  status: 403,
  code: "CONTRACT_LIMIT",
  title: "A limit is past the contract's ceiling.",
  detail: "cpu_ms 5000 is past 1000.",
  reasons: [{ code: "CONTRACT_LIMIT", detail: "cpu_ms" }],
  run: "run_9",
};
const line = (seq: number, text = "hello"): LogLine => ({ seq, at: 1, level: "log", text });

test("submitting posts the request as JSON with the token and the idempotency key", async () => {
  const { url, seen } = await serve(json(200, ended));
  const gantry = new Gantry({ url: `${url}/`, token: " gtr_secret\n" });
  const run = await gantry.runs.submit({ code: { source: "x" }, input: [1] }, { idempotency_key: "k-1" });
  expect(run).toEqual(ended);
  expect(seen[0]).toMatchObject({ method: "POST", url: "/v1/runs", body: '{"code":{"source":"x"},"input":[1]}' });
  expect(seen[0]!.headers).toMatchObject({
    authorization: "Bearer gtr_secret",
    "idempotency-key": "k-1",
    "content-type": "application/json",
  });
});

test("a run that goes on is awaited until it has ended, and each state is told once", async () => {
  const { url, seen } = await serve(
    json(202, view({ state: "queued" })),
    json(200, view({ state: "queued" })),
    json(200, view({ state: "running" })),
    json(200, view({ state: "running" })),
    json(200, ended),
  );
  const { runs } = new Gantry({ url, token: "t" });
  const started = await runs.submit({ code: { source: "x" }, wait_ms: 0 });
  expect(started.state).toBe("queued");
  const states: string[] = [];
  const run = await runs.wait(started.id, { on_state: (now) => states.push(now.state) });
  expect(run.result).toEqual({ sum: 3 });
  expect(states).toEqual(["queued", "running", "ended"]);
  expect(seen.map(({ url }) => url)).toEqual([
    "/v1/runs",
    "/v1/runs/run_1?wait_ms=0",
    "/v1/runs/run_1?wait_ms=30000",
    "/v1/runs/run_1?wait_ms=30000",
    "/v1/runs/run_1?wait_ms=30000",
  ]);
});

test("aborting a wait rejects with the signal's reason", async () => {
  const { url } = await serve(json(200, view({})), () => undefined);
  const stop = new AbortController();
  const waiting = new Gantry({ url, token: "t" }).runs.wait("run_1", {
    signal: stop.signal,
    on_state: () => setImmediate(() => stop.abort(new Error("enough"))),
  });
  await expect(waiting).rejects.toThrow("enough");
});

test.each([403, 429, 503])("a %i problem document becomes an error that carries all its members", async (status) => {
  const { url } = await serve(json(status, { ...denied, status }, "application/problem+json"));
  const error = await new Gantry({ url, token: "t" }).runs.submit({ code: { source: "x" } }).catch((e: unknown) => e);
  expect(error).toBeInstanceOf(GantryApiError);
  expect(isApiError(error) && error.problem).toEqual({ ...denied, status });
  expect(String(error)).toBe("GantryApiError: CONTRACT_LIMIT: cpu_ms 5000 is past 1000.");
});

test("an answer without a problem document becomes a readable one", async () => {
  const page: Answer = (_seen, response) => {
    response.writeHead(502, { "content-type": "text/html" });
    response.end("<h1>Bad\n  Gateway</h1>");
  };
  const { url } = await serve(page);
  const error = await new Gantry({ url, token: "t" }).runs.get("run_1").catch((e: unknown) => e);
  if (!isApiError(error)) throw error;
  expect(error.problem).toMatchObject({ status: 502, code: ANSWER_UNREADABLE });
  expect(error.problem.detail).toBe(
    "Status 502 with text/html where JSON was expected; it begins: <h1>Bad Gateway</h1>",
  );
});

test("a success without JSON, and a redirect, are readable too", async () => {
  const { url } = await serve(
    (_seen, response) => response.end("welcome"),
    (_seen, response) => response.writeHead(302, { location: "http://127.0.0.1:1/" }).end(),
  );
  const { runs } = new Gantry({ url, token: "t" });
  await expect(runs.get("run_1")).rejects.toMatchObject({ code: ANSWER_UNREADABLE, status: 200 });
  await expect(runs.get("run_1")).rejects.toMatchObject({ code: ANSWER_UNREADABLE, status: 302 });
});

test("a refused connection says where nothing listens", async () => {
  const { url } = await serve(json(200, ended));
  await closers.splice(0)[0]!();
  const error = await new Gantry({ url, token: "t" }).runs.get("run_1").catch((e: unknown) => e);
  expect(error).toBeInstanceOf(GantryConnectionError);
  expect(isConnectionError(error) && [error.reason, error.message]).toEqual([
    "ECONNREFUSED",
    `Nothing listens at ${url}.`,
  ]);
});

test("a connection that breaks before the answer is a connection error", async () => {
  const { url } = await serve((_seen, response) => response.destroy());
  await expect(new Gantry({ url, token: "t" }).health()).rejects.toThrow(GantryConnectionError);
});

test("log lines are whole though the chunks end inside them", async () => {
  const { url, seen } = await serve((_seen, response) => {
    response.writeHead(200, { "content-type": "application/x-ndjson" });
    const bytes = Buffer.from(`${JSON.stringify(line(1, "grüße"))}\n\n${JSON.stringify(line(2))}\n`);
    const cut = bytes.indexOf(0xc3) + 1;
    response.write(bytes.subarray(0, cut));
    setImmediate(() => response.end(bytes.subarray(cut)));
  });
  const lines: LogLine[] = [];
  for await (const one of new Gantry({ url, token: "t" }).runs.logs("run_1", { after: 0 })) lines.push(one);
  expect(lines).toEqual([line(1, "grüße"), line(2)]);
  expect(seen[0]).toMatchObject({ url: "/v1/runs/run_1/logs?after=0" });
  expect(seen[0]!.headers.accept).toBe("application/x-ndjson");
});

test("a followed log is taken up again after the last line when the connection breaks", async () => {
  const { url, seen } = await serve(
    (_seen, response) => {
      response.writeHead(200, { "content-type": "application/x-ndjson" });
      response.write(`${JSON.stringify(line(7))}\n{"seq":8,`, () => setImmediate(() => response.destroy()));
    },
    (_seen, response) => response.end(`${JSON.stringify(line(8))}\n`),
  );
  const seqs: number[] = [];
  for await (const { seq } of new Gantry({ url, token: "t" }).runs.logs("run_1", { follow: true })) seqs.push(seq);
  expect(seqs).toEqual([7, 8]);
  expect(seen.map(({ url }) => url)).toEqual(["/v1/runs/run_1/logs?follow=1", "/v1/runs/run_1/logs?after=7&follow=1"]);
});

test("leaving a followed log closes its connection", async () => {
  let closed: () => void = () => undefined;
  const gone = new Promise<void>((resolve) => {
    closed = resolve;
  });
  const { url } = await serve((_seen, response) => {
    response.on("close", closed);
    response.writeHead(200, { "content-type": "application/x-ndjson" });
    response.write(`${JSON.stringify(line(1))}\n`);
  });
  for await (const one of new Gantry({ url, token: "t" }).runs.logs("run_1", { follow: true }))
    if (one.seq === 1) break;
  await gone;
});

test("the log of an unknown run is the server's problem", async () => {
  const { url } = await serve(json(404, { ...denied, code: "RUN_NOT_FOUND", status: 404 }));
  const logs = new Gantry({ url, token: "t" }).runs.logs("run_0");
  await expect(logs.next()).rejects.toMatchObject({ code: "RUN_NOT_FOUND" });
});

test("pages follow the cursor until there is none", async () => {
  const { url, seen } = await serve(
    json(200, { items: [view({ id: "run_1" })], next: "c 1" }),
    json(200, { items: [view({ id: "run_2" })] }),
  );
  const ids: string[] = [];
  for await (const page of new Gantry({ url, token: "t" }).runs.pages({ limit: 1, state: "ended" })) {
    ids.push(...page.items.map(({ id }) => id));
  }
  expect(ids).toEqual(["run_1", "run_2"]);
  expect(seen.map(({ url }) => url)).toEqual([
    "/v1/runs?limit=1&state=ended",
    "/v1/runs?limit=1&state=ended&cursor=c+1",
  ]);
});

test("a cursor that repeats ends the iteration with an error instead of never", async () => {
  const { url } = await serve(json(200, { items: [], next: "same" }));
  const pages = new Gantry({ url, token: "t" }).evidence.pages({ ref: "run_1", kind: "run.ended", since: 5 });
  await pages.next();
  await pages.next();
  await expect(pages.next()).rejects.toThrow("repeated the cursor");
});

test("cancel, evidence and contracts use their own paths, and ids are encoded", async () => {
  const { url, seen } = await serve(json(200, { items: [] }));
  const gantry = new Gantry({ url: `${url}/gantry/`, token: "t" });
  await gantry.runs.cancel("run_1/../x");
  await gantry.evidence.list({ ref: "run_1" });
  await gantry.evidence.get("ent_1");
  expect(await gantry.contracts.list()).toEqual([]);
  await gantry.contracts.get("read-only");
  expect(seen.map(({ method, url }) => `${method} ${url}`)).toEqual([
    "POST /gantry/v1/runs/run_1%2F..%2Fx/cancel",
    "GET /gantry/v1/evidence/entries?ref=run_1",
    "GET /gantry/v1/evidence/entries/ent_1",
    "GET /gantry/v1/contracts",
    "GET /gantry/v1/contracts/read-only",
  ]);
});

test("proofs and timelines use their own paths, and give text and bytes as they are", async () => {
  const text: Answer = (_seen, response) => void response.end("a+1\nb+2\n");
  const { url, seen } = await serve(text);
  const { proofs, timelines } = new Gantry({ url, token: "t" });
  expect(await proofs.checkpoint()).toBe("a+1\nb+2\n");
  expect(await proofs.keys()).toEqual(["a+1", "b+2"]);
  expect(await proofs.proof("ent_1/x")).toBe("a+1\nb+2\n");
  expect(await timelines.markdown({ ref: "run_1/x" })).toBe("a+1\nb+2\n");
  expect(await timelines.markdown({ since: 5 })).toBe("a+1\nb+2\n");
  const parts: Uint8Array[] = [];
  for await (const chunk of proofs.bundle({ refs: ["run_1"], open: ["why"] })) parts.push(chunk);
  expect(Buffer.concat(parts).toString()).toBe("a+1\nb+2\n");
  expect(seen.map(({ method, url }) => `${method} ${url}`)).toEqual([
    "GET /log/checkpoint",
    "GET /log/keys",
    "GET /v1/evidence/entries/ent_1%2Fx/proof",
    "GET /v1/timelines/run_1%2Fx?format=md",
    "GET /v1/timelines?since=5&format=md",
    "POST /v1/evidence/bundles",
  ]);
  expect(seen.at(-1)?.body).toBe('{"refs":["run_1"],"open":["why"]}');
});

test("what proves a thing and is JSON", async () => {
  const { url, seen } = await serve(json(200, {}));
  const { proofs, timelines } = new Gantry({ url, token: "t" });
  await proofs.statement("run_1/x");
  await proofs.statementKey();
  await proofs.rotate();
  await timelines.get({ ref: "run_1" });
  expect(seen.map(({ method, url }) => `${method} ${url}`)).toEqual([
    "GET /v1/evidence/runs/run_1%2Fx/statement",
    "GET /v1/evidence/statement-key",
    "POST /v1/evidence/keys",
    "GET /v1/timelines/run_1?format=json",
  ]);
});

test("a refusal is the same error for text and for bytes, and a bundle that breaks off is a lost connection", async () => {
  const problem = { type: "", status: 409, code: "EVIDENCE_NOT_SEALED", title: "t", detail: "d" };
  const { url } = await serve(
    json(409, problem, "application/problem+json"),
    json(409, problem, "application/problem+json"),
    (_seen, response) => {
      response.writeHead(200, { "content-length": "100" });
      response.write("half", () => response.destroy());
    },
  );
  const { proofs } = new Gantry({ url, token: "t" });
  await expect(proofs.proof("ent_1")).rejects.toMatchObject({ code: "EVIDENCE_NOT_SEALED" });
  await expect(proofs.bundle({ since: 0 }).next()).rejects.toMatchObject({ code: "EVIDENCE_NOT_SEALED" });
  const taken = async () => {
    for await (const chunk of proofs.bundle({ since: 0 })) expect(Buffer.from(chunk).toString()).toBe("half");
  };
  await expect(taken()).rejects.toSatisfy(isConnectionError);
});

test("health tells ready from not ready, with the causes, and needs no token", async () => {
  const causes = [{ name: "jail", detail: "there is none" }];
  const { url, seen } = await serve(
    json(200, { ready: true, causes: [] }),
    json(503, { ready: false, causes }),
    json(503, { message: "upstream" }),
    json(404, { ready: true, causes: [] }),
  );
  const gantry = new Gantry({ url });
  expect(await gantry.health()).toEqual({ ready: true, causes: [] });
  expect(await gantry.health()).toEqual({ ready: false, causes });
  await expect(gantry.health()).rejects.toMatchObject({ status: 503, code: ANSWER_UNREADABLE });
  await expect(gantry.health()).rejects.toMatchObject({ status: 404, code: ANSWER_UNREADABLE });
  expect(seen[0]!.headers.authorization).toBeUndefined();
});

test("a URL or a token that cannot be used is refused at once, and the token is not quoted", () => {
  expect(() => new Gantry({ url: "localhost:4280", token: "t" })).toThrow("http: or https:");
  expect(() => new Gantry({ url: "not a url", token: "t" })).toThrow("http://127.0.0.1:4280");
  const broken = () => new Gantry({ url: "http://127.0.0.1", token: "gtr_a\nb" });
  expect(broken).toThrow("copy it again");
  expect(broken).not.toThrow("gtr_a");
});
