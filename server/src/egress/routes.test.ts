import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { type Ground, openGround } from "../../../tests/fixtures/ground.ts";
import { roomApp } from "../../../tests/fixtures/room_app.ts";
import type { Scope } from "../identity/contract.ts";
import { GantryError } from "../kernel/errors.ts";
import type { BlockedCallId } from "../kernel/ids.ts";
import { contract_errors, type PolicyView } from "../policy/contract.ts";
import { type BlockedCallView, type EgressVerdict, egress_errors, REDTEAM_RUNS_MAX } from "./contract.ts";
import { Catalogue } from "./destination/catalogue.ts";
import { migrations as catalogue_migrations } from "./destination/store.ts";
import { kinds } from "./kinds.ts";
import { Redteam } from "./redteam.ts";
import { egressRoutes } from "./routes.ts";
import { secretKeys } from "./secrets/key_wrap.ts";
import { LeaseBook } from "./secrets/leases.ts";
import { Secrets } from "./secrets/secret_list.ts";
import { migrations as secret_migrations } from "./secrets/store.ts";

let ground: Ground;
let scopes: Scope[];
let asked: unknown[];
let call: (method: string, path: string, body?: unknown) => Promise<{ status: number; body: Record<string, unknown> }>;

const blocked_call: BlockedCallView = {
  id: "blk_1" as BlockedCallId,
  subject: "run_1",
  contract: { name: "triage", version: 4 },
  code: "EGRESS_METHOD",
  method: "POST",
  url: "https://api.example.com/v1/issues",
  body_bytes: 3,
  state: "waiting",
  status: null,
  created_at: 1,
  expires_at: 2,
};
const verdict: EgressVerdict = {
  verdict: "deny",
  code: "EGRESS_METHOD",
  detail: "POST is not granted.",
  next_steps: [
    { kind: "contract.egress.rule", text: "The rule", rule: { methods: ["POST"] }, needs: "contract-change" },
  ],
};

beforeEach(async () => {
  ground = await openGround({ migrations: [...secret_migrations, ...catalogue_migrations], kinds });
  scopes = ["contract:read", "egress:read", "egress:manage", "secret:manage"];
  asked = [];
  const keys = secretKeys(ground.state_key);
  const leases = new LeaseBook({ ...ground, keys });
  const secrets = new Secrets({ ...ground, keys, leases });
  const known = (id: string): BlockedCallView => {
    if (id === blocked_call.id) return blocked_call;
    throw new GantryError(egress_errors.BLOCKED_UNKNOWN, { detail: "There is none of this id." });
  };
  const app = roomApp(() => ({ ...ground.owner, scopes: new Set(scopes) }));
  const routes = egressRoutes({
    identity: ground.identity,
    policy: {
      open: async (tenant, contract) => {
        asked.push({ tenant, contract });
        if (contract === "triage") return {} as PolicyView;
        throw new GantryError(contract_errors.UNKNOWN, { detail: "There is none of this name." });
      },
    },
    egress: {
      explain: async (_tenant, _view, question) => {
        asked.push(question);
        return verdict;
      },
    },
    secrets,
    leases,
    blocked: {
      list: async () => [blocked_call],
      show: async (_who, id) => known(id),
      retry: async (_who, id) => ({ ...known(id), state: "sent", status: 201 }),
      drop: async (_who, id) => void known(id),
    },
    services: new Catalogue(ground),
    redteam: new Redteam({ ...ground, runs: { outcomes: async () => [] } }),
  });
  for (const one of routes) app.route("/", one);
  call = async (method, path, body) => {
    const headers = { "content-type": "application/json" };
    const sent = body === undefined ? {} : { body: JSON.stringify(body), headers };
    const answer = await app.request(path, { method, ...sent });
    const text = await answer.text();
    return { status: answer.status, body: text === "" ? {} : JSON.parse(text) };
  };
});
afterEach(() => ground.remove());

describe("secrets over HTTP", () => {
  it("are set as text or as bytes, listed without a value, and removed", async () => {
    const made = await call("PUT", "/v1/secrets/github-token", { value: "s3cret-of-github" });
    expect(made).toEqual({
      status: 200,
      body: { name: "github-token", version: 1, created_at: expect.any(Number), actor: ground.owner.actor },
    });
    const bytes = Buffer.from("s3cret-of-github-2").toString("base64");
    const again = await call("PUT", "/v1/secrets/github-token", { value_base64: bytes });
    expect(again.body).toMatchObject({ version: 2 });
    const listed = await call("GET", "/v1/secrets");
    expect(listed.body).toEqual({ items: [again.body] });
    expect(JSON.stringify([made, again, listed])).not.toMatch(/s3cret/);
    expect(await call("DELETE", "/v1/secrets/github-token")).toEqual({ status: 204, body: {} });
    expect(await call("DELETE", "/v1/secrets/github-token")).toMatchObject({
      status: 404,
      body: { code: "SECRETS_UNKNOWN" },
    });
  });

  it("take one value, and repeat none in a refusal", async () => {
    for (const body of [
      {},
      { value: "s3cret", value_base64: "s3cret" },
      { value: 3 },
      { value_base64: "s3cret!" },
      { value: "s3cret", more: 1 },
    ]) {
      const refused = await call("PUT", "/v1/secrets/n", body);
      expect(refused.status, JSON.stringify(body)).toBe(400);
      expect(JSON.stringify(refused.body)).not.toContain("s3cret");
    }
    expect(await call("PUT", "/v1/secrets/n", { value: "" })).toMatchObject({ body: { code: "SECRETS_SIZE" } });
    expect(await call("PUT", "/v1/secrets/N%2F", { value: "s3cret" })).toMatchObject({
      body: { code: "SECRETS_NAME" },
    });
  });
});

describe("questions over HTTP", () => {
  it("are answered by the contract's active version", async () => {
    const question = { url: "https://api.example.com/v1/issues", method: "POST", protocol: "https" };
    const answer = await call("POST", "/v1/egress/test", { contract: "triage", ...question });
    expect(answer).toEqual({ status: 200, body: verdict });
    expect(asked).toEqual([{ tenant: ground.owner.tenant, contract: "triage" }, question]);
    expect(await call("POST", "/v1/egress/test", { contract: "none", url: "https://a.example" })).toMatchObject({
      status: 404,
      body: { code: "CONTRACT_UNKNOWN" },
    });
    for (const body of [
      {},
      { contract: "triage" },
      { contract: "triage", url: 1 },
      { ...question, contract: "triage", protocol: "ftp" },
    ]) {
      expect((await call("POST", "/v1/egress/test", body)).status).toBe(400);
    }
  });
});

describe("stopped calls over HTTP", () => {
  it("are listed, shown, let go and dropped", async () => {
    const path = "/v1/egress/blocked";
    expect(await call("GET", path)).toEqual({ status: 200, body: { items: [blocked_call] } });
    expect(await call("GET", `${path}/blk_1`)).toEqual({ status: 200, body: blocked_call });
    expect((await call("POST", `${path}/blk_1/retry`)).body).toMatchObject({ state: "sent", status: 201 });
    expect(await call("DELETE", `${path}/blk_1`)).toEqual({ status: 204, body: {} });
    for (const [method, at] of [
      ["GET", ""],
      ["POST", "/retry"],
      ["DELETE", ""],
    ] as const) {
      expect(await call(method, `${path}/blk_2${at}`)).toMatchObject({
        status: 404,
        body: { code: "EGRESS_BLOCKED_UNKNOWN" },
      });
      expect((await call(method, `${path}/${"x".repeat(65)}${at}`)).status).toBe(400);
    }
  });
});

describe("services over HTTP", () => {
  it("are set, listed by name and removed", async () => {
    const fields = { class: "source-control", environment: "production", hosts: ["api.github.com"], protocol: "https" };
    const entry = { ...fields, name: "github-api" };
    expect(await call("PUT", "/v1/egress/services/github-api", fields)).toEqual({ status: 200, body: entry });
    expect((await call("GET", "/v1/egress/services")).body).toEqual({ items: [entry] });
    expect((await call("PUT", "/v1/egress/services/github-api", { ...fields, hosts: [] })).body).toMatchObject({
      code: "EGRESS_SERVICE",
    });
    expect((await call("PUT", "/v1/egress/services/x", { ...fields, protocol: "ftp" })).status).toBe(400);
    expect((await call("PUT", "/v1/egress/services/x", { ...fields, name: "y" })).status).toBe(400);
    expect((await call("DELETE", "/v1/egress/services/github-api")).status).toBe(204);
    expect((await call("DELETE", "/v1/egress/services/github-api")).body).toMatchObject({
      code: "EGRESS_SERVICE_UNKNOWN",
    });
  });
});

describe("leases and red teams over HTTP", () => {
  it("a lease that there is not is unknown", async () => {
    expect(await call("GET", "/v1/leases")).toEqual({ status: 200, body: { items: [] } });
    expect(await call("DELETE", `/v1/leases/${ground.ids("lse")}`)).toMatchObject({
      status: 404,
      body: { code: "LEASE_UNKNOWN" },
    });
  });

  it("a report is about runs that there are, 1 to REDTEAM_RUNS_MAX", async () => {
    const runs = (n: number) => Array.from({ length: n }, (_, at) => `run_${at}`);
    for (const body of [
      { runs: [], hits: 0 },
      { runs: runs(1), hits: -1 },
      { runs: runs(1) },
      { runs: runs(REDTEAM_RUNS_MAX + 1), hits: 0 },
    ]) {
      expect((await call("POST", "/v1/redteam", body)).status).toBe(400);
    }
    const body = { runs: runs(REDTEAM_RUNS_MAX), hits: 0 };
    expect(await call("POST", "/v1/redteam", body)).toMatchObject({
      status: 422,
      body: { code: "EGRESS_REDTEAM_RUN" },
    });
  });
});

describe("every route", () => {
  const service = { class: "c", environment: "e", hosts: ["a.example"], protocol: "https" };
  it.each([
    ["GET", "/v1/secrets", undefined, "egress:read"],
    ["PUT", "/v1/secrets/n", { value: "x" }, "secret:manage"],
    ["DELETE", "/v1/secrets/n", undefined, "secret:manage"],
    ["GET", "/v1/leases", undefined, "egress:read"],
    ["DELETE", "/v1/leases/lse_1", undefined, "secret:manage"],
    ["POST", "/v1/egress/test", { contract: "triage", url: "https://a.example" }, "contract:read"],
    ["GET", "/v1/egress/blocked", undefined, "egress:read"],
    ["GET", "/v1/egress/blocked/blk_1", undefined, "egress:read"],
    ["POST", "/v1/egress/blocked/blk_1/retry", undefined, "egress:manage"],
    ["DELETE", "/v1/egress/blocked/blk_1", undefined, "egress:manage"],
    ["GET", "/v1/egress/services", undefined, "egress:read"],
    ["PUT", "/v1/egress/services/n", service, "egress:manage"],
    ["DELETE", "/v1/egress/services/n", undefined, "egress:manage"],
    ["POST", "/v1/redteam", { runs: ["run_1"], hits: 0 }, "egress:manage"],
  ] as const)("%s %s takes one scope and no other", async (method, path, body, scope) => {
    const all: Scope[] = ["contract:read", "egress:read", "egress:manage", "secret:manage"];
    scopes = all.filter((one) => one !== scope);
    expect(await call(method, path, body)).toMatchObject({ status: 403, body: { code: "SCOPE_MISSING" } });
    scopes = [scope];
    expect((await call(method, path, body)).body).not.toMatchObject({ code: "SCOPE_MISSING" });
  });
});
