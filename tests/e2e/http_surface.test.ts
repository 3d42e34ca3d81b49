import { afterAll, beforeAll, describe, expect, it } from "vitest";
import type { Entry, Page, RunView } from "../../sdk/src/types.ts";
import { eventually } from "../fixtures/eventually.ts";
import { DescribedApi, referencesOf } from "../fixtures/openapi.ts";
import { problemOf } from "../fixtures/problem.ts";
import { run as runProcess } from "../fixtures/processes.ts";
import { startServer, type TestServer } from "../fixtures/server.ts";
import { eventsOf } from "../fixtures/streams.ts";

let server: TestServer;
let api: DescribedApi;

beforeAll(async () => {
  server = await startServer({ config: { log_level: "debug" } });
  api = await DescribedApi.of(server);
});
afterAll(() => server.dispose());

const submit = (source: string) => ({ json: { code: { source } } });

describe("with curl", () => {
  const curl = (args: string[], input?: string) =>
    runProcess(
      "curl",
      ["-sS", "-H", `authorization: Bearer ${server.token}`, ...args],
      input === undefined ? {} : { input },
    );

  it("runs code", async () => {
    const body = JSON.stringify({ code: { source: "export default (n) => n * 2" }, input: 21 });
    const out = await curl(["-i", "-H", "content-type: application/json", "-d", body, `${server.url}/v1/runs`]);
    const [head = "", text = ""] = out.stdout.split("\r\n\r\n");
    expect(head).toMatch(/^HTTP\/1\.1 200 OK/);
    expect(head).toMatch(/^gantry-request: req_/im);
    api.check("post", "/v1/runs", 200, "application/json", text);
    expect(JSON.parse(text)).toMatchObject({ result: 42 });
  });

  it("sends a large input after 100 Continue", async () => {
    const body = JSON.stringify({
      code: { source: "export default (text) => text.length" },
      input: "x".repeat(3_000_000),
      limits: { input_bytes_max: 4_000_000 },
    });
    const args = ["-H", "content-type: application/json", "-H", "expect: 100-continue", "--data-binary", "@-"];
    const out = await curl([...args, `${server.url}/v1/runs`], body);
    expect(JSON.parse(out.stdout)).toMatchObject({ result: 3_000_000 });
  });

  it("follows a log as events and resumes it", async () => {
    const source = "export default async () => { for (let i = 0; i < 5; i++) console.log('line', i); }";
    const { id } = await server.json<RunView>("/v1/runs", submit(source));
    const url = `${server.url}/v1/runs/${id}/logs?follow=1`;
    const out = await curl(["-N", "-H", "accept: text/event-stream", "-H", "last-event-id: 3", url]);
    expect(eventsOf(out.stdout).map((event) => event.id ?? event.event)).toEqual(["4", "5", "end"]);
  });

  it("is told of a form that it sends by mistake", async () => {
    const out = await curl(["-w", "%{http_code}", "-d", "code=1", `${server.url}/v1/runs`]);
    expect(out.stdout).toMatch(/"REQUEST_CONTENT_TYPE".*415$/s);
    expect(out.stdout).toContain("send application/json");
  });
});

describe("request ids", () => {
  it("each answer has its own, which the log has too, and no token is in the log", async () => {
    const answers = await Promise.all(
      ["/v1/runs", "/v1/runs/run_0", "/healthz", "/nothing"].map((path) => server.request(path)),
    );
    const ids = answers.map((answer) => answer.headers.get("gantry-request") ?? "");
    expect(new Set(ids).size).toBe(ids.length);
    for (const id of ids) {
      expect(id).toMatch(/^req_/);
      await eventually(() => server.log.some((line) => line.includes(id)), `${id} in the log`);
    }
    const lines = server.log.map((line) => JSON.parse(line) as { request?: string; status?: number });
    expect(lines.find(({ request }) => request === ids[1])).toMatchObject({ status: 404 });
    expect(server.log.join("\n")).not.toContain(server.token);
  });
});

describe("/v1/openapi.json", () => {
  const ROUTES = [
    "get /healthz",
    "get /readyz",
    "get /metrics",
    "get /.well-known/gantry-tokens",
    "get /log/checkpoint",
    "get /log/keys",
    "get /log/tile/entries/{index}",
    "get /log/tile/{level}/{index}",
    "post /v1/runs",
    "get /v1/runs",
    "get /v1/runs/{id}",
    "get /v1/runs/{id}/logs",
    "post /v1/runs/{id}/cancel",
    "get /v1/contracts",
    "get /v1/contracts/{name}",
    "get /v1/snapshots/{id}",
    "get /v1/evidence/entries",
    "get /v1/evidence/entries/{id}",
    "get /v1/evidence/entries/{id}/proof",
    "get /v1/evidence/consistency",
    "get /v1/evidence/runs/{run}/statement",
    "get /v1/evidence/statement-key",
    "get /v1/evidence/witnesses",
    "get /v1/timelines",
    "get /v1/timelines/{ref}",
    "post /v1/evidence/audits",
    "post /v1/evidence/bundles",
    "post /v1/evidence/keys",
    "delete /v1/actor-keys/{id}",
    "delete /v1/tokens/{id}",
    "delete /v1/webhooks/{id}",
    "get /v1/actor-keys",
    "get /v1/actors",
    "get /v1/actors/{id}",
    "get /v1/approvals",
    "get /v1/approvals/{id}",
    "get /v1/contracts/{name}/{version}",
    "get /v1/gates/keys",
    "get /v1/me",
    "get /v1/review-debts",
    "get /v1/runs/{run}/policy",
    "get /v1/tenant",
    "get /v1/tenants",
    "get /v1/tokens",
    "get /v1/webhooks",
    "get /v1/webhooks/{id}/deliveries",
    "patch /v1/actors/{id}",
    "patch /v1/tenant",
    "patch /v1/tenants/{id}",
    "post /v1/actor-keys",
    "post /v1/actors",
    "post /v1/approvals/{id}/break-glass",
    "post /v1/approvals/{id}/votes",
    "post /v1/attendance",
    "post /v1/contracts/{name}/diff",
    "post /v1/login",
    "post /v1/policy/explain",
    "post /v1/policy/test",
    "post /v1/review-debts/{id}/close",
    "post /v1/tenants",
    "post /v1/tokens",
    "post /v1/webhooks",
    "post /v1/webhooks/{id}/test",
    "put /v1/contracts/{name}",
    "get /v1/runs/{id}/egress",
    "post /v1/egress/test",
    "get /v1/egress/blocked",
    "get /v1/egress/blocked/{id}",
    "post /v1/egress/blocked/{id}/retry",
    "delete /v1/egress/blocked/{id}",
    "get /v1/egress/services",
    "put /v1/egress/services/{name}",
    "delete /v1/egress/services/{name}",
    "get /v1/leases",
    "delete /v1/leases/{id}",
    "get /v1/secrets",
    "put /v1/secrets/{name}",
    "delete /v1/secrets/{name}",
    "post /v1/redteam",
    "get /v1/stats",
  ];

  it("is OpenAPI 3.1, knows every route, and every reference leads somewhere", () => {
    expect(api.document.openapi).toMatch(/^3\.1\./);
    const routes = Object.entries(api.document.paths).flatMap(([path, item]) =>
      Object.keys(item).map((method) => `${method} ${path}`),
    );
    expect(routes.sort()).toEqual([...ROUTES].sort());
    const references = referencesOf(api.document);
    expect(references.length).toBeGreaterThan(5);
    for (const { ref, target } of references) expect(target, ref).toBeDefined();
  });

  it("an answer that differs from the document would be found", () => {
    const found = (text: string) => () => api.check("get", "/readyz", 200, "application/json", text);
    expect(found('{"ready":true,"causes":[]}')).not.toThrow();
    expect(found('{"ready":1,"causes":[]}')).toThrow(/ready/);
    expect(found('{"ready":true,"causes":[],"more":1}')).toThrow(/more/);
    expect(() => api.check("get", "/readyz", 201, "application/json", "{}")).toThrow(/not described/);
  });

  it("every route under /v1 but the login says that it needs a token, and does", async () => {
    expect(api.document.paths["/v1/login"]?.["post"]?.security).toEqual([]);
    for (const route of ROUTES.filter((each) => each.includes("/v1/") && each !== "post /v1/login")) {
      const [method = "", path = ""] = route.split(" ");
      expect(api.document.paths[path]?.[method]?.security, route).toEqual([{ token: [] }]);
      // `fetch` writes "patch" as it is given.
      const answer = await api.request(path.replaceAll(/\{[^}]+\}/g, "x"), {
        method: method.toUpperCase(),
        token: null,
      });
      await problemOf(answer, 401, "AUTH_REQUIRED");
    }
  });

  it("what each route answers is what the document says", async () => {
    const sealed_yet = async () => (await server.request("/log/checkpoint", { token: null })).ok;
    await eventually(sealed_yet, "the first entries to be sealed");
    const run = await api.json<RunView>("/v1/runs", submit("export default () => fetch('http://example.com')"));
    expect(run.blocked).toHaveLength(1);
    await api.json(`/v1/runs/${run.id}`);
    await api.request(`/v1/runs/${run.id}/logs`);
    await api.json(`/v1/runs/${run.id}/egress`);
    await api.json("/v1/stats?window_ms=60000");
    await api.json("/v1/secrets/a-secret", { method: "PUT", json: { value: "a value" } });
    for (const path of ["/v1/secrets", "/v1/leases", "/v1/egress/blocked", "/v1/egress/services"]) await api.json(path);
    const tried = { contract: "scratch", url: "https://example.com/" };
    expect(await api.json("/v1/egress/test", { json: tried })).toMatchObject({ verdict: "deny" });
    const { items } = await api.json<{ items: { name: string; snapshot: string }[] }>("/v1/contracts");
    await api.json(`/v1/contracts/${items[0]?.name}`);
    await api.json(`/v1/snapshots/${items[0]?.snapshot}`);
    for (const path of ["/v1/me", "/v1/actors", "/v1/tokens", "/v1/actor-keys", "/v1/tenant", "/v1/tenants"]) {
      await api.json(path);
    }
    const entries = await api.json<Page<Entry>>("/v1/evidence/entries?limit=200");
    for (const kind of ["run.admitted", "tenant.created"]) {
      const entry = entries.items.find((each) => each.kind === kind);
      await api.json(`/v1/evidence/entries/${entry?.id}`);
    }
    const sealed = entries.items.find((each) => each.sealed);
    await api.request(`/v1/evidence/entries/${sealed?.id}/proof`);
    await api.json("/v1/evidence/consistency?from=1");
    await api.request("/log/tile/entries/000.p/1");
    await api.request("/log/tile/0/000.p/1", { token: null });
    for (const path of [
      "/healthz",
      "/readyz",
      "/.well-known/gantry-tokens",
      "/metrics",
      "/log/checkpoint",
      "/log/keys",
    ]) {
      expect((await api.request(path, { token: null })).status).toBe(200);
    }
    expect([...api.checked].length).toBeGreaterThan(10);
  });
});
