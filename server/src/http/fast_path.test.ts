import { connect } from "node:net";
import fc from "fast-check";
import { afterAll, beforeAll, beforeEach, describe, expect, it } from "vitest";
import { eventually } from "../../../tests/fixtures/eventually.ts";
import { heldScript } from "../../../tests/fixtures/scripted_pool.ts";
import { openServed, type Served } from "../../../tests/fixtures/served_runs.ts";
import { IDEMPOTENCY_KEY_MAX, RUN_BODY_BYTES_MAX, runRequest } from "../intent/contract.ts";
import { silentLogger } from "../kernel/log.ts";
import { HEADERS_MAX } from "./contract.ts";
import { runFastPath } from "./fast_path.ts";
import { type Listener, listen } from "./server.ts";

let served: Served;
let house: Served["house"];
/** The app with the fast path ahead of it, and without. */
let fast: Listener;
let plain: Listener;
/** Requests that the fast path left to the app. */
let passed_on = 0;

beforeAll(async () => {
  served = await openServed();
  house = served.house;
  const { app, ahead } = served;
  const counted: typeof app.fetch = (...request) => {
    passed_on += 1;
    return app.fetch(...request);
  };
  fast = await listen({ fetch: counted, ahead }, { port: 0, clock: house.clock });
  plain = await listen({ fetch: app.fetch }, { port: 0, clock: house.clock });
  await served.run(); // a token that was never looked up is the app's
});
afterAll(async () => {
  await Promise.all([fast.close(1_000), plain.close(1_000)]);
  await served.close();
});
beforeEach(() => {
  house.pool.script = () => ({});
  passed_on = 0;
});

const SOURCE = { code: { source: "export default () => 1" } };

interface Said {
  head?: string[];
  body?: string | Buffer;
  path?: string;
  method?: string;
}

/** The bytes of a request. Members of `head` take the place of the headers of the same name. */
function bytesOf({ head = [], body = JSON.stringify(SOURCE), path = "/v1/runs", method = "POST" }: Said): Buffer {
  const usual = {
    host: "127.0.0.1:4280",
    connection: "close",
    authorization: `Bearer ${house.secret}`,
    "content-type": "application/json",
    "content-length": String(Buffer.byteLength(body)),
  };
  const named = new Set(head.map((line) => line.split(":")[0]?.toLowerCase()));
  const lines = Object.entries(usual).flatMap(([name, value]) => (named.has(name) ? [] : [`${name}: ${value}`]));
  const kept = head.filter((line) => !line.endsWith(": -"));
  return Buffer.concat([
    Buffer.from(`${[`${method} ${path} HTTP/1.1`, ...lines, ...kept].join("\r\n")}\r\n\r\n`, "latin1"),
    Buffer.from(body),
  ]);
}

/** Everything that comes back, once it is seen to be whole, without what differs from one request to the next. */
async function answerOf(port: number, bytes: Buffer): Promise<string> {
  const text = await new Promise<string>((resolve, reject) => {
    const chunks: Buffer[] = [];
    const socket = connect(port, "127.0.0.1", () => socket.write(bytes));
    socket.on("data", (chunk) => void chunks.push(chunk));
    socket.on("error", reject);
    socket.on("close", () => resolve(Buffer.concat(chunks).toString()));
  });
  const [, length, body] = /content-length: (\d+)\r\n.*?\r\n\r\n(.*)$/s.exec(text) ?? [];
  if (length !== undefined) expect(Buffer.byteLength(body ?? "")).toBe(Number(length));
  return text.replaceAll(IDS, "$1*").replaceAll(TIMES, "$1*");
}
const IDS = /\b((?:req|run|ent)_)[0-9a-z]{26}/g;
/** A length is that of the times in the body. */
const TIMES = /(Date: |content-length: |"(?:created_at|queued_ms|startup_ms|completion_ms)":)[\w .,:]*[\w.]/g;

async function bothWays(said: Said): Promise<{ answer: string; passed_on: number }> {
  const bytes = bytesOf(said);
  const slow = await answerOf(plain.port, bytes);
  passed_on = 0;
  const answer = await answerOf(fast.port, bytes);
  expect(answer).toBe(slow);
  return { answer, passed_on };
}

const key = (length: number) => `idempotency-key: ${"k".repeat(length)}`;
const filled = (bytes: number) => JSON.stringify({ ...SOURCE, why: "x".repeat(bytes) });

describe("the fast path answers as the app would", () => {
  it.each<[string, Said]>([
    ["a plain request", {}],
    [
      "names in any case",
      { head: ["Content-Type: application/json; charset=utf-8", `CONTENT-LENGTH: ${JSON.stringify(SOURCE).length}`] },
    ],
    ["a type with its charset", { head: ["content-type: application/json; charset=UTF-8"] }],
    ["text beyond ASCII", { body: JSON.stringify({ ...SOURCE, input: "é\u2028\u{1f600}" }) }],
    ["an answer that cannot wait", { body: JSON.stringify({ ...SOURCE, lane: "batch" }) }],
    ["what the room refuses", { body: JSON.stringify({ ...SOURCE, contract: "nobody-has-it" }) }],
    ["code that does not compile", { body: JSON.stringify({ code: { source: "export default (" } }) }],
    ["a limit that the schema lets through", { body: JSON.stringify({ ...SOURCE, limits: { cpu_ms: 60_000 } }) }],
  ])("to %s", async (_, said) => {
    expect((await bothWays(said)).passed_on).toBe(0);
  });

  it("to a run that goes on, with its place", async () => {
    house.pool.script = heldScript().script;
    const { answer, passed_on } = await bothWays({ body: JSON.stringify({ ...SOURCE, wait_ms: 0 }) });
    expect(answer).toContain(
      "202 Accepted\r\ncontent-type: application/json\r\ngantry-request: req_*\r\nlocation: /v1/runs/run_*",
    );
    expect(passed_on).toBe(0);
  });

  it("to a key up to its limit: the same run, and a mismatch", async () => {
    const first = await bothWays({ head: [key(IDEMPOTENCY_KEY_MAX)] });
    expect(first).toMatchObject({ answer: expect.stringContaining("200 OK"), passed_on: 0 });
    const other = await bothWays({ head: [key(IDEMPOTENCY_KEY_MAX)], body: filled(1) });
    expect(other).toMatchObject({ answer: expect.stringContaining("IDEMPOTENCY_MISMATCH"), passed_on: 0 });
  });

  it("to what breaks in the room: with nothing of it but its place in the log", async () => {
    const { clock, identity, metrics, ids } = house;
    const logged: object[] = [];
    const log = { ...silentLogger, error: (fields: object) => void logged.push(fields) };
    const submit = () => Promise.reject(new Error("secret detail"));
    const ahead = runFastPath({ clock, identity, metrics, ids, log, runs: { submit } });
    const broken = await listen({ fetch: served.app.fetch, ahead }, { port: 0, clock });
    const answer = await answerOf(broken.port, bytesOf({}));
    expect(answer).toMatch(/^HTTP\/1\.1 500 .*"code":"REQUEST_INTERNAL"/s);
    expect(answer).not.toContain("secret");
    expect(String((logged[0] as { error?: unknown }).error)).toContain("secret detail");
    await broken.close(0);
  });
});

it("a log that cannot be written ends one connection and no more", async () => {
  const { clock, identity, metrics, ids, runs } = house;
  const debug = () => {
    throw new Error("no space left");
  };
  const ahead = runFastPath({ clock, identity, metrics, ids, runs, log: { ...silentLogger, debug } });
  const mute = await listen({ fetch: served.app.fetch, ahead }, { port: 0, clock });
  expect(await answerOf(mute.port, bytesOf({}))).toBe("");
  await mute.close(0);
});

describe("the fast path leaves to the app", () => {
  it.each<[string, Said, RegExp]>([
    ["a key past its limit", { head: [key(IDEMPOTENCY_KEY_MAX + 1)] }, /REQUEST_INVALID/],
    ["a key with spaces around it", { head: ["idempotency-key:  a b "] }, /200 OK/],
    ["a key beyond ASCII", { head: ["idempotency-key: k\xe9"] }, /REQUEST_INVALID/],
    ["an empty key", { head: ["idempotency-key:"] }, /REQUEST_INVALID/],
    ["a body past its limit", { head: [`content-length: ${RUN_BODY_BYTES_MAX + 1}`] }, /REQUEST_TOO_LARGE/],
    ["no body", { body: "" }, /REQUEST_JSON|REQUEST_INVALID/],
    [
      "a body of no stated length",
      { head: ["content-length: -", "transfer-encoding: chunked"], body: "2\r\n{}\r\n0\r\n\r\n" },
      /REQUEST_INVALID/,
    ],
    ["another content type", { head: ["content-type: text/plain"] }, /REQUEST_CONTENT_TYPE/],
    ["a content type that the app reads in its own way", { head: ["content-type: APPLICATION/JSON"] }, /200 OK/],
    [
      "one that it does not know at the end",
      { head: ["content-type: application/json ;charset=utf-8"] },
      /REQUEST_CONTENT_TYPE/,
    ],
    ["no content type", { head: ["content-type: -"] }, /REQUEST_CONTENT_TYPE/],
    ["a host in capitals", { head: ["host: LOCALHOST"] }, /200 OK/],
    ["no token", { head: ["authorization: -"] }, /AUTH_REQUIRED/],
    ["two tokens", { head: ["authorization: Bearer a", "authorization: Bearer b"] }, /AUTH_REQUIRED|TOKEN_MALFORMED/],
    ["a broken token", { head: ["authorization: Bearer nonsense"] }, /TOKEN_MALFORMED/],
    ["another scheme", { head: ["authorization: Basic YTpi"] }, /AUTH_REQUIRED/],
    ["broken JSON", { body: '{\n  "code": {"source" "x"}\n}' }, /REQUEST_JSON.*"line":2,"column":21/],
    ["JSON with a byte order mark", { body: `\ufeff${JSON.stringify(SOURCE)}` }, /200 OK/],
    ["bytes that are not UTF-8", { body: Buffer.from([0x7b, 0xff, 0x7d]) }, /REQUEST_JSON/],
    ["an unknown member", { body: '{"inptu":1}' }, /did you mean/],
    ["a limit out of range", { body: JSON.stringify({ ...SOURCE, limits: { cpu_ms: 0 } }) }, /LIMIT_RANGE/],
    ["a body that is no object", { body: "null" }, /REQUEST_INVALID/],
    ["a signed task", { body: JSON.stringify({ ...SOURCE, task: "a.b.c" }) }, /TASK_SIGNATURE/],
    ["a query", { path: "/v1/runs?x=1" }, /200 OK/],
    ["another path", { path: "/v1/runs/" }, /REQUEST_UNKNOWN_PATH/],
    ["another method", { method: "PUT" }, /REQUEST_METHOD/],
  ])("%s", async (_, said, expected) => {
    const { answer, passed_on } = await bothWays(said);
    expect(answer).toMatch(expected);
    expect(passed_on).toBe(1);
  });

  it.each(["host: -", "host: a b", "host: 1.2:99"])("%j, which is refused before the app", async (host) => {
    const { answer, passed_on } = await bothWays({ head: [host] });
    expect(answer).toMatch(/^HTTP\/1\.1 400 Bad Request\r\n(?!content-type)/);
    expect(passed_on).toBe(0);
  });

  it("a header too many, and not the last that may be", async () => {
    const more = (count: number) => ({ head: Array.from({ length: count }, (_, i) => `x-${i}: 1`) });
    expect(await bothWays(more(HEADERS_MAX - 5))).toMatchObject({
      answer: expect.stringContaining("200 OK"),
      passed_on: 0,
    });
    expect((await bothWays(more(HEADERS_MAX - 4))).answer).toContain("REQUEST_HEADERS");
  });

  it("a token that lacks the scope, was revoked or has expired", async () => {
    const weak = await house.identity.mintToken(house.owner, { scopes: ["run:read"] });
    const revoked = await house.identity.mintToken(house.owner, { scopes: ["run:submit"] });
    const bearer = (secret: string) => ({ head: [`authorization: Bearer ${secret}`] });
    expect((await bothWays(bearer(weak.secret))).answer).toContain("SCOPE_MISSING");
    await bothWays(bearer(revoked.secret));
    expect(await bothWays(bearer(revoked.secret))).toMatchObject({
      answer: expect.stringContaining("200 OK"),
      passed_on: 0,
    });
    await house.identity.revokeToken(house.owner, revoked.id);
    expect(await bothWays(bearer(revoked.secret))).toMatchObject({
      answer: expect.stringContaining("TOKEN_REVOKED"),
      passed_on: 1,
    });
  });

  it("a body that breaks off, which is counted as a bad request", async () => {
    const bad = () => house.metrics.counts.get("gantry_http_requests_total /v1/runs 400") ?? 0;
    const before = bad();
    connect(fast.port, "127.0.0.1")
      .on("error", () => {})
      .end(bytesOf({ head: ["content-length: 100"] }));
    await eventually(() => bad() === before + 1);
  });
});

it("answers whatever is asked as the app would", async () => {
  const odd = fc.oneof(
    fc.constantFrom(null, -1, 1.5, true, "", "x", "a.b.c", "batch", "pooled", "reject", "if_lost", "\u0000", "\ud800"),
    fc.jsonValue(),
  );
  // How far a run has come that nobody waits for differs from one request to the next.
  const names = Object.keys(runRequest.shape).filter((name) => name !== "code" && name !== "wait_ms");
  const code = fc.oneof({ weight: 3, arbitrary: fc.constant(SOURCE.code) }, odd);
  const rest = fc.dictionary(fc.constantFrom(...names, "__proto__", "constructor"), odd, { maxKeys: 2 });
  const head = fc.constantFrom(
    "x: y",
    "x:\t",
    "host: a",
    "host: [::1]",
    "content-type: application/json; x=y",
    "cookie: a",
  );
  await fc.assert(
    fc.asyncProperty(code, rest, fc.uniqueArray(head, { maxLength: 2 }), async (value, more, lines) => {
      await bothWays({ body: JSON.stringify({ code: value, ...more }), head: lines });
    }),
  );
});

it("requests of the fast path are counted by route and status", async () => {
  const counted = () => house.metrics.counts.get("gantry_http_requests_total /v1/runs 200") ?? 0;
  const before = counted();
  await answerOf(fast.port, bytesOf({}));
  expect({ passed_on, counted: counted() - before }).toEqual({ passed_on: 0, counted: 1 });
});
