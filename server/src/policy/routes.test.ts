import type { OpenAPIHono } from "@hono/zod-openapi";
import { afterAll, beforeAll, expect, it } from "vitest";
import { type Ground, openGround } from "../../../tests/fixtures/ground.ts";
import { roomApp } from "../../../tests/fixtures/room_app.ts";
import type { Principal, RouteEnv } from "../identity/contract.ts";
import { ContractPolicy } from "./policy.ts";
import { policyRoutes } from "./routes.ts";

let ground: Ground;
let who: Principal;
let app: OpenAPIHono<RouteEnv>;
let snapshot: string;

beforeAll(async () => {
  ground = await openGround();
  ({ owner: who } = ground);
  const policy = new ContractPolicy(ground);
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
    { name: "scratch", version: 2, class: "read-only", built_in: true },
    { name: "acme", version: 1, built_in: false, snapshot, contract: { limits: { cpu_ms: 500 } } },
  ]);
});

it("one contract is as in the list; an unknown one is 404", async () => {
  const list = (await get("/v1/contracts")).body["items"] as unknown[];
  expect((await get("/v1/contracts/acme")).body).toEqual(list[1]);
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

it("another tenant sees the built-in contract only", async () => {
  const { token } = await ground.identity.createTenant(ground.owner, "other");
  who = await ground.identity.authenticate(token.secret);
  expect(((await get("/v1/contracts")).body["items"] as unknown[]).length).toBe(1);
  expect((await get("/v1/contracts/acme")).status).toBe(404);
  expect((await get(`/v1/snapshots/${snapshot}`)).status).toBe(404);
  who = ground.owner;
});

it("the routes describe themselves", () => {
  const { paths } = app.getOpenAPIDocument({ openapi: "3.0.0", info: { title: "t", version: "1" } });
  expect(Object.keys(paths)).toEqual(["/v1/contracts", "/v1/contracts/{name}", "/v1/snapshots/{id}"]);
});
