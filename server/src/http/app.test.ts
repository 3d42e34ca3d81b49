import { request } from "node:http";
import { connect } from "node:net";
import { afterAll, beforeAll, beforeEach, describe, expect, it } from "vitest";
import { openServed, type Served } from "../../../tests/fixtures/served_runs.ts";
import {
  PROMPT_BYTES_MAX,
  RUN_BODY_BYTES_MAX,
  VAR_BYTES_MAX,
  VARS_MAX,
  WAIT_MS_MAX,
  WHY_MAX,
} from "../intent/contract.ts";
import { BODY_BYTES_MAX, TASK_BODY_BYTES_MAX } from "./contract.ts";

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

describe("a refusal", () => {
  it.each([
    [{ zz: 1 }, "/zz", "is not known here"],
    [{ inptu: 1 }, "/inptu", 'is not known here; did you mean "input"?'],
    [{ session: "s 1" }, "/session", "has 1 to 64"],
    [{ session: "s", isolation: "pooled" }, "/session", 'ask for that instead of "pooled"'],
    [{ isolation: "session" }, "/session", "names its session"],
    [{ plan: {} }, "/plan", "is not known here"],
    [{ isolation: "shared" }, "/isolation", "is not valid"],
    [{ lane: "fast" }, "/lane", "is not valid"],
    [{ wait_ms: WAIT_MS_MAX + 1 }, "/wait_ms", "is not valid"],
    [{ limits: { cpu: 1 } }, "/limits/cpu", 'is not known here; did you mean "cpu_ms"?'],
    [{ why: "x".repeat(WHY_MAX + 1) }, "/why", "is not valid"],
    [{ why: "\0" }, "/why", "has U+0000"],
    [{ prompt: "é".repeat(PROMPT_BYTES_MAX / 2 + 1) }, "/prompt", "longer than 32768 bytes"],
    [{ vars: { "1a": "x" } }, "/vars/1a", ""],
    [{ vars: { A: "é".repeat(VAR_BYTES_MAX / 2 + 1) } }, "/vars/A", "longer than 5120 bytes"],
    [
      { vars: Object.fromEntries(Array.from({ length: VARS_MAX + 1 }, (_, i) => [`v${i}`, ""])) },
      "/vars",
      "more than 64",
    ],
    [{ code: { entry: "a.ts" } }, "/code/modules", ""],
    [{ code: { entry: "a.ts", modules: {}, modulez: {} } }, "/code/modulez", 'did you mean "modules"?'],
    [{ code: 7 }, "/code", ""],
  ])("of %j says where and what", async (more, at, text) => {
    const { status, body } = await run(more);
    expect({ status, code: body.code }).toEqual({ status: 400, code: "REQUEST_INVALID" });
    const problem = body.problems.find((each: { at: string }) => each.at === at);
    expect(problem?.text, JSON.stringify(body.problems)).toContain(text);
  });

  it("is not made at the limits themselves", async () => {
    const vars = Object.fromEntries(
      Array.from({ length: VARS_MAX }, (_, i) => [`v${i}`, "é".repeat(VAR_BYTES_MAX / 2)]),
    );
    const prompt = "é".repeat(PROMPT_BYTES_MAX / 2);
    expect((await run({ vars, why: "x".repeat(WHY_MAX), prompt, wait_ms: WAIT_MS_MAX })).status).toBe(200);
  });

  it.each([
    [{ limits: { cpu_ms: 0 } }, "LIMIT_RANGE", "/limits/cpu_ms"],
    [{ limits: { cpu_ms: "many" } }, "LIMIT_RANGE", "/limits/cpu_ms"],
    [{ code: { entry: "../a.ts", modules: { "../a.ts": "" } } }, "CODE_NAME", undefined],
  ])("of %j has its own code", async (more, expected, at) => {
    const { status, body } = await run(more);
    expect({ status, code: body.code }).toEqual({ status: 400, code: expected });
    if (at !== undefined) expect(body.problems[0].at).toBe(at);
  });

  it("of numbers beyond JSON's own, and of a module that a record would drop, has its own code too", async () => {
    const huge = await call("POST", "/v1/runs", { raw: '{"code":{"source":""},"limits":{"cpu_ms":1e999}}' });
    expect(huge.body.code).toBe("LIMIT_RANGE");
    const proto = await call("POST", "/v1/runs", { raw: '{"code":{"entry":"a","modules":{"__proto__":"x"}}}' });
    expect(proto.body).toMatchObject({ code: "CODE_NAME", problems: [{ at: "/code/modules/__proto__" }] });
  });

  it("of broken JSON says the line and the column", async () => {
    const { status, body } = await call("POST", "/v1/runs", { raw: '{\n  "code": {"source" "x"}\n}' });
    expect({ status, code: body.code }).toEqual({ status: 400, code: "REQUEST_JSON" });
    expect(body.problems[0]).toMatchObject({ line: 2, column: 21 });
    expect(
      (await call("POST", "/v1/runs", { raw: "", headers: { "content-type": "application/json" } })).body.code,
    ).toMatch(/^REQUEST_/);
  });

  it("of another content type comes before the token is looked at", async () => {
    const headers = { "content-type": "text/plain", authorization: "" };
    expect(await run({}, headers)).toMatchObject({ status: 415, body: { code: "REQUEST_CONTENT_TYPE" } });
    expect(await run({}, { "content-type": "application/json; charset=latin1" })).toMatchObject({ status: 415 });
    expect((await run({}, { "content-type": "application/json; charset=utf-8" })).status).toBe(200);
  });

  it("without a token, with a bad one, or without the scope comes before the body is judged", async () => {
    const none = await run({ zz: 1 }, { authorization: "" });
    expect(none).toMatchObject({ status: 401, body: { code: "AUTH_REQUIRED" } });
    expect(none.headers.get("www-authenticate")).toBe("Bearer");
    expect((await run({ zz: 1 }, { authorization: "Bearer nonsense" })).body.code).toBe("TOKEN_MALFORMED");
    const minted = await house.identity.mintToken(house.owner, { scopes: ["run:read"] });
    const weak = { authorization: `Bearer ${minted.secret}` };
    expect(await run({ zz: 1 }, weak)).toMatchObject({ status: 403, body: { code: "SCOPE_MISSING" } });
    expect((await call("GET", "/v1/runs", { headers: weak })).status).toBe(200);
  });

  it("of unknown paths and methods", async () => {
    expect(await call("GET", "/v1/nope")).toMatchObject({ status: 404, body: { code: "REQUEST_UNKNOWN_PATH" } });
    const wrong = await call("DELETE", "/v1/runs");
    expect(wrong).toMatchObject({ status: 405, body: { code: "REQUEST_METHOD" } });
    expect(wrong.headers.get("allow")).toBe("POST, GET");
    expect(await call("GET", "/v1/nope", { headers: { authorization: "" } })).toMatchObject({ status: 401 });
    expect(await call("GET", "/v1/runs/run_x")).toMatchObject({ status: 404, body: { code: "RUN_NOT_FOUND" } });
  });

  it("that is our fault tells nothing but where the log has it", async () => {
    const { status, body, headers } = await call("GET", "/v1/broken");
    expect({ status, code: body.code }).toEqual({ status: 500, code: "REQUEST_INTERNAL" });
    expect(JSON.stringify(body)).not.toContain("secret");
    const line = served.logged.find(
      ({ fields }) => (fields as { request?: string }).request === headers.get("gantry-request"),
    );
    expect(String((line?.fields as { error?: unknown } | undefined)?.error)).toContain("secret detail");
  });
});

describe("a body", () => {
  const filler = (bytes: number) => `{"code":{"source":""},"why":"${"x".repeat(bytes)}"}`;

  it("whose stated length is too large is refused before it is read", async () => {
    const answer = await new Promise<{ status: number | undefined; text: string }>((resolve, reject) => {
      const sent = request(`${listener.url}/v1/runs`, {
        method: "POST",
        headers: { "content-type": "application/json", "content-length": RUN_BODY_BYTES_MAX + 1 },
      });
      sent.on("response", (response) => {
        let text = "";
        response.on("data", (chunk) => {
          text += chunk;
        });
        response.on("end", () => {
          sent.destroy();
          resolve({ status: response.statusCode, text });
        });
      });
      sent.on("error", reject);
      sent.flushHeaders();
    });
    expect(answer.status).toBe(413);
    expect(JSON.parse(answer.text).code).toBe("REQUEST_TOO_LARGE");
  });

  it("of no stated length is read up to the limit and no further", async () => {
    const send = async (bytes: number, path: string) => {
      const text = filler(bytes);
      const body = new ReadableStream({
        start(controller) {
          for (let at = 0; at < text.length; at += 65_536) controller.enqueue(Buffer.from(text.slice(at, at + 65_536)));
          controller.close();
        },
      });
      const answer = await fetch(`${listener.url}${path}`, {
        method: "POST",
        duplex: "half",
        headers: { authorization: `Bearer ${house.secret}`, "content-type": "application/json" },
        body,
      } as RequestInit);
      return ((await answer.json()) as { code: string }).code;
    };
    expect(await send(10, "/v1/runs")).toBe("CODE_NO_ENTRY"); // read and judged
    const overhead = filler(0).length;
    expect(await send(BODY_BYTES_MAX - overhead, "/v1/nope")).toBe("REQUEST_UNKNOWN_PATH");
    expect(await send(BODY_BYTES_MAX - overhead + 1, "/v1/nope")).toBe("REQUEST_TOO_LARGE");
  });

  it("that comes without a token, and so may bring a signed task, has a limit of its own", async () => {
    const send = async (bytes: number) => {
      const headers = { "content-type": "application/json" };
      const answer = await fetch(`${listener.url}/v1/runs`, { method: "POST", headers, body: filler(bytes) });
      return ((await answer.json()) as { code: string }).code;
    };
    const overhead = filler(0).length;
    expect(await send(TASK_BODY_BYTES_MAX - overhead)).toBe("AUTH_REQUIRED");
    expect(await send(TASK_BODY_BYTES_MAX - overhead + 1)).toBe("REQUEST_TOO_LARGE");
  });

  it("that never comes does not keep the server from others", async () => {
    const { port } = listener;
    const socket = connect(port, "127.0.0.1");
    socket.write(
      `POST /v1/runs HTTP/1.1\r\nhost: x\r\nauthorization: Bearer ${house.secret}\r\ncontent-type: application/json\r\ncontent-length: 100\r\n\r\n{`,
    );
    expect((await run()).status).toBe(200);
    socket.destroy();
  });
});

describe("what needs no token", () => {
  const bare = { headers: { authorization: "" } };

  it("is health, readiness with named causes, the token pattern and the API's description", async () => {
    expect((await call("GET", "/healthz", bare)).body).toEqual({ status: "ok" });
    expect((await call("GET", "/readyz", bare)).body).toEqual({ ready: true, causes: [] });
    const cause = "No jail works on this host.";
    served.readiness.cause = cause;
    expect(await call("GET", "/readyz", bare)).toMatchObject({
      status: 503,
      body: { ready: false, causes: [{ name: "runners", detail: cause }] },
    });
    const tokens = await call("GET", "/.well-known/gantry-tokens", bare);
    expect(house.secret).toMatch(new RegExp(tokens.body.patterns[0].regex));
    const { body } = await call("GET", "/v1/openapi.json", bare);
    expect(body.openapi).toBe("3.1.0");
    expect(Object.keys(body.paths)).toEqual(expect.arrayContaining(["/v1/runs", "/v1/runs/{id}", "/v1/contracts"]));
    const submit = body.paths["/v1/runs"].post;
    expect(submit.security).toEqual([{ token: [] }]);
    expect(submit.responses.default.content["application/problem+json"].schema.$ref).toBe(
      "#/components/schemas/Problem",
    );
    expect(body.components.schemas.Problem.properties.retry_after_ms).toBeDefined();
    expect(body.components.schemas.RunRequest.properties.limits.properties.cpu_ms).toEqual({
      type: "integer",
      minimum: 1,
      maximum: 60_000,
    });
    for (const [, ref] of JSON.stringify(body).matchAll(/"\$ref":"#\/components\/schemas\/([^"]+)"/g)) {
      expect(body.components.schemas).toHaveProperty(ref as string);
    }
  });

  it("is metrics, from this machine itself only", async () => {
    const local = await call("GET", "/metrics", bare);
    expect(local.status).toBe(200);
    expect(local.headers.get("content-type")).toContain("version=0.0.4");
    expect(local.body).toContain("# TYPE gantry_runs_ended_total counter");
    const proxied = { authorization: "", "x-forwarded-for": "203.0.113.9" };
    expect(await call("GET", "/metrics", { headers: proxied })).toMatchObject({ status: 401 });
    expect((await call("GET", "/metrics", { headers: { "x-forwarded-for": "203.0.113.9" } })).status).toBe(200);
  });
});

it("counts requests by route and status", async () => {
  await call("GET", "/v1/nope");
  const { body } = await run();
  await call("GET", `/v1/runs/${body.id}`);
  const keys = [...house.metrics.counts.keys()].filter((key) => key.startsWith("gantry_http_requests_total"));
  expect(keys).toEqual(
    expect.arrayContaining([
      "gantry_http_requests_total /v1/runs 200",
      "gantry_http_requests_total /v1/runs/:id 200",
      "gantry_http_requests_total unmatched 404",
    ]),
  );
  expect(keys.some((key) => key.includes(body.id))).toBe(false);
});
