import type { OpenAPIHono } from "@hono/zod-openapi";
import { afterAll, beforeAll, expect, it } from "vitest";
import { ScriptedApprovals } from "../../../tests/fixtures/approvals.ts";
import { type Ground, openGround } from "../../../tests/fixtures/ground.ts";
import { roomApp } from "../../../tests/fixtures/room_app.ts";
import type { Principal, RouteEnv } from "../identity/contract.ts";
import { BUILTIN_VERSION, builtinContracts } from "./builtin.ts";
import { ContractPolicy } from "./policy.ts";
import { policyRoutes } from "./routes.ts";

let ground: Ground;
let who: Principal;
let app: OpenAPIHono<RouteEnv>;
let snapshot: string;
let approvals: ScriptedApprovals;

beforeAll(async () => {
  ground = await openGround();
  ({ owner: who } = ground);
  const policy = new ContractPolicy(ground);
  approvals = new ScriptedApprovals(ground.storage, policy);
  const text = "kind: Contract\nname: acme\nextends: scratch\nlimits: {cpu_ms: 500}\n";
  snapshot = (await policy.apply({ name: "acme.yaml", text }, ground.owner)).contract.snapshot;
  app = roomApp(() => who);
  app.route("/", policyRoutes({ policy, identity: ground.identity }));
});
afterAll(() => ground.remove());

const get = async (path: string) => {
  const answer = await app.request(path);
  return { status: answer.status, body: (await answer.json()) as Record<string, unknown> };
};

it("contracts are listed with what a run would be decided against", async () => {
  const { status, body } = await get("/v1/contracts");
  expect(status).toBe(200);
  expect(body["items"]).toMatchObject([
    ...[...builtinContracts().keys()].map((name) => ({
      name,
      version: BUILTIN_VERSION,
      built_in: true,
      pending: null,
    })),
    { name: "acme", version: 1, built_in: false, snapshot, contract: { limits: { cpu_ms: 500 } } },
  ]);
});

it("one contract is as in the list; an unknown one is 404", async () => {
  const list = (await get("/v1/contracts")).body["items"] as unknown[];
  expect((await get("/v1/contracts/acme")).body).toEqual(list.at(-1));
  expect(await get("/v1/contracts/none")).toMatchObject({ status: 404, body: { code: "CONTRACT_UNKNOWN" } });
});

it("a snapshot shows what its id is the hash of", async () => {
  const { status, body } = await get(`/v1/snapshots/${snapshot}`);
  expect(status).toBe(200);
  expect(body).toMatchObject({ id: snapshot, body: { contract: { name: "acme" }, policies: [] } });
  const absent = await get(`/v1/snapshots/snp_${"0".repeat(64)}`);
  expect(absent).toMatchObject({ status: 404, body: { code: "SNAPSHOT_UNKNOWN" } });
  expect((await get("/v1/snapshots/snp_1")).status).toBe(400);
});

it("reading needs contract:read", async () => {
  const token = await ground.identity.mintToken(ground.owner, { scopes: ["run:read"] });
  who = await ground.identity.authenticate(token.secret);
  for (const path of ["/v1/contracts", "/v1/contracts/acme", `/v1/snapshots/${snapshot}`]) {
    expect(await get(path)).toMatchObject({ status: 403, body: { code: "SCOPE_MISSING" } });
  }
  who = ground.owner;
});

it("another tenant sees the built-in contracts only", async () => {
  const { token } = await ground.identity.createTenant(ground.owner, "other");
  who = await ground.identity.authenticate(token.secret);
  expect(((await get("/v1/contracts")).body["items"] as unknown[]).length).toBe(5);
  expect((await get("/v1/contracts/acme")).status).toBe(404);
  expect((await get(`/v1/snapshots/${snapshot}`)).status).toBe(404);
  who = ground.owner;
});

const put = async (name: string, text: string, headers: Record<string, string> = {}) => {
  const init = { method: "PUT", headers: { "content-type": "application/yaml", ...headers }, body: text };
  const answer = await app.request(`/v1/contracts/${name}`, init);
  return {
    status: answer.status,
    etag: answer.headers.get("etag"),
    body: (await answer.json()) as Record<string, unknown>,
  };
};
const document = (name: string, cpu_ms: number) =>
  `kind: Contract\nname: ${name}\nextends: scratch\nlimits: {cpu_ms: ${cpu_ms}}\n`;

it("what tightens is in force at once, and its document is kept as it was sent", async () => {
  const first = await put("sent", document("sent", 500), { "if-match": '"0"' });
  expect(first).toMatchObject({
    status: 200,
    etag: '"1"',
    body: { changed: true, contract: { version: 1, state: "active" } },
  });
  const json = JSON.stringify({ kind: "Contract", name: "sent", extends: "scratch", limits: { cpu_ms: 400 } }, null, 2);
  expect(await put("sent", json, { "content-type": "application/json" })).toMatchObject({ status: 200, etag: '"2"' });
  expect((await get("/v1/contracts/sent/2")).body).toMatchObject({ state: "active", source: json });
  expect((await get("/v1/contracts/sent/1")).body).toMatchObject({ state: "retired", source: document("sent", 500) });
  expect(await get("/v1/contracts/sent/3")).toMatchObject({ status: 404, body: { code: "CONTRACT_UNKNOWN" } });
  expect((await get("/v1/contracts/sent/0")).status).toBe(400);
});

it("what loosens waits: 202 with the approval, the hash to vote on and what to do", async () => {
  await put("waits", document("waits", 500));
  const { status, body } = await put("waits", document("waits", 600), { "if-match": "1" });
  const [asked] = approvals.asked;
  expect(status).toBe(202);
  expect(body).toMatchObject({
    changed: true,
    contract: { version: 2, state: "pending" },
    approval: asked!.id,
    delta: { loosens: true, lines: [{ at: "/limits/cpu_ms", loosens: true }] },
  });
  expect(body["statement_hash"]).toMatch(/^[0-9a-f]{64}$/);
  expect(JSON.stringify(body["next_steps"])).toContain(`gantry approvals show ${asked!.id}`);
  expect((await get("/v1/contracts/waits")).body).toMatchObject({ version: 1, pending: { approval: asked!.id } });
});

it("a version that was not the last, a name that is not the document's, and what is no number are refused", async () => {
  await put("seen", document("seen", 500));
  const stale = await put("seen", document("seen", 400), { "if-match": '"7"' });
  expect(stale).toMatchObject({ status: 412, body: { code: "CONTRACT_CONFLICT" } });
  expect(stale.body["detail"]).toContain("is at version 1, not at version 7");
  expect(await put("other", document("seen", 400))).toMatchObject({ status: 422, body: { code: "CONTRACT_INVALID" } });
  expect((await put("seen", document("seen", 400), { "if-match": "*" })).status).toBe(400);
  expect(await put("scratch", document("scratch", 4))).toMatchObject({
    status: 409,
    body: { code: "CONTRACT_BUILTIN" },
  });
  expect(await put("nul", `${document("nul", 5)}# \0`)).toMatchObject({ status: 422 });
});

it("a diff says what would wait, and applies nothing", async () => {
  await put("diffed", document("diffed", 500));
  const init = { method: "POST", headers: { "content-type": "application/yaml" }, body: document("diffed", 600) };
  const answer = await app.request("/v1/contracts/diffed/diff", init);
  expect(await answer.json()).toMatchObject({ name: "diffed", version: 1, delta: { loosens: true } });
  expect((await get("/v1/contracts/diffed")).body).toMatchObject({ version: 1, pending: null });
});

it("applying needs contract:propose", async () => {
  const token = await ground.identity.mintToken(ground.owner, { scopes: ["contract:read"] });
  who = await ground.identity.authenticate(token.secret);
  expect(await put("mine", document("mine", 5))).toMatchObject({ status: 403, body: { code: "SCOPE_MISSING" } });
  who = ground.owner;
});

it("the routes describe themselves", () => {
  const { paths } = app.getOpenAPIDocument({ openapi: "3.0.0", info: { title: "t", version: "1" } });
  expect(Object.keys(paths).sort()).toEqual([
    "/v1/contracts",
    "/v1/contracts/{name}",
    "/v1/contracts/{name}/diff",
    "/v1/contracts/{name}/{version}",
    "/v1/snapshots/{id}",
  ]);
});
