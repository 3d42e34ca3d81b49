import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { type Ground, openGround } from "../../../tests/fixtures/ground.ts";
import { AUTH_FAILURES_MAX, IDENTITY_PAGE_DEFAULT, IDENTITY_PAGE_MAX } from "../identity/contract.ts";
import { makeToken } from "../identity/token.ts";
import type { Logger } from "../kernel/log.ts";
import { noMetrics } from "../kernel/telemetry.ts";
import { identitySurfaces } from "../serving/identity_parts.ts";
import { createApp } from "./app.ts";
import { LOGIN_BODY_BYTES_MAX } from "./contract.ts";
import type { inProcess } from "./in_process.ts";
import { type Listener, listen } from "./server.ts";

let ground: Ground;
let listener: Listener;
let logged: string[];
let api: ReturnType<typeof inProcess>;

beforeEach(async () => {
  ground = await openGround();
  logged = [];
  const keep = (fields: object, message: string) => void logged.push(JSON.stringify({ ...fields, message }));
  const log: Logger = { debug: keep, info: keep, warn: keep, error: keep };
  let approvals = 0;
  const gate = { request: async () => ({ approval: `apr_${++approvals}`, statement_hash: "0".repeat(64) }) };
  const app = createApp({
    ...ground,
    routes: identitySurfaces({ ...ground, gate }),
    checks: {},
    prometheus: { render: async () => ({ type: "text/plain", text: "" }) as never },
    metrics: noMetrics,
    log,
    version: "0.0.0",
    clients: (made) => {
      api = made;
      return [];
    },
  });
  listener = await listen(app, { port: 0, clock: ground.clock });
});
afterEach(async () => {
  await listener.close(1_000);
  await ground.remove();
});

async function call(method: string, path: string, o: { json?: unknown; token?: string | null; headers?: object } = {}) {
  const token = o.token === undefined ? ground.secret : o.token;
  const answer = await fetch(`${listener.url}${path}`, {
    method,
    headers: {
      ...(token === null ? {} : { authorization: `Bearer ${token}` }),
      ...(o.json === undefined ? {} : { "content-type": "application/json" }),
      ...o.headers,
    },
    ...(o.json === undefined ? {} : { body: JSON.stringify(o.json) }),
  });
  // biome-ignore lint/suspicious/noExplicitAny: a test reads whatever the server says
  const body: any = await answer.json();
  return { status: answer.status, headers: answer.headers, body };
}

describe("a client in the process", () => {
  const login = (bytes: number, o: RequestInit = {}) => {
    const frame = JSON.stringify({ link: "" }).length;
    const body = JSON.stringify({ link: "x".repeat(bytes - frame) });
    const headers = { "content-type": "application/json" };
    return api({})("http://gantry/v1/login", { method: "POST", body, headers, ...o });
  };

  it("meets the limits of bodies as others do: LOGIN_BODY_BYTES_MAX, and one byte past it", async () => {
    expect((await login(LOGIN_BODY_BYTES_MAX)).status).not.toBe(413);
    expect((await login(LOGIN_BODY_BYTES_MAX + 1)).status).toBe(413);
  });

  it("hears no more of what it has aborted", async () => {
    const stop = new AbortController();
    const answer = login(100, { signal: stop.signal });
    stop.abort(new Error("gone"));
    await expect(answer).rejects.toThrow("gone");
    await expect(login(100, { signal: stop.signal })).rejects.toThrow("gone");
  });
});

describe("POST /v1/login", () => {
  it("needs no token, and is the one path under /v1/ that does not", async () => {
    const link = ground.owned.link!.secret;
    const { status, headers, body } = await call("POST", "/v1/login", { json: { link }, token: null });
    expect(status).toBe(200);
    expect(headers.get("cache-control")).toBe("no-store");
    expect(body).toMatchObject({ actor: ground.owned.owner, tenant: ground.owned.tenant });
    expect(body.scopes).toContain("gate:approve");
    const me = await call("GET", "/v1/me", { token: body.token.secret });
    expect(me.body).toMatchObject({ actor: { id: ground.owned.owner }, token: { kind: "hum" } });
    for (const path of [
      "/v1/login/",
      "/v1/me",
      "/v1/tokens",
      "/v1/actors",
      "/v1/actor-keys",
      "/v1/tenant",
      "/v1/tenants",
    ]) {
      expect((await call("GET", path, { token: null })).body.code).toBe("AUTH_REQUIRED");
    }
    expect((await call("GET", "/v1/login", { token: null })).status).toBe(405);
    const spent = await call("POST", "/v1/login", { json: { link }, token: null });
    expect(spent).toMatchObject({ status: 410, body: { code: "LOGIN_LINK_SPENT" } });
    const document = await call("GET", "/v1/openapi.json", { token: null });
    expect(document.body.paths["/v1/login"].post.security ?? []).toEqual([]);
    expect(document.body.paths["/v1/me"].get.security).toEqual([{ token: [] }]);
  });

  it("takes LOGIN_BODY_BYTES_MAX bytes at most, and a link and nothing else", async () => {
    const sized = (bytes: number) => ({ link: "x".repeat(bytes - '{"link":""}'.length) });
    const fits = await call("POST", "/v1/login", { json: sized(LOGIN_BODY_BYTES_MAX), token: null });
    expect(fits.body.code).toBe("REQUEST_INVALID");
    const large = await call("POST", "/v1/login", { json: sized(LOGIN_BODY_BYTES_MAX + 1), token: null });
    expect(large.body.code).toBe("REQUEST_TOO_LARGE");
    for (const json of [{}, { link: 1 }, { link: "x", more: 1 }, null]) {
      expect((await call("POST", "/v1/login", { json, token: null })).status).toBe(400);
    }
  });

  it("fails AUTH_FAILURES_MAX times for one address, and then says when to come back", async () => {
    const attempt = () => call("POST", "/v1/login", { json: { link: makeToken("lnk", ground.random) }, token: null });
    for (let i = 0; i < AUTH_FAILURES_MAX; i++) expect((await attempt()).status).toBe(410);
    const { status, headers, body } = await attempt();
    expect({ status, code: body.code }).toEqual({ status: 429, code: "AUTH_RATE" });
    expect(Number(headers.get("retry-after"))).toBeGreaterThan(0);
    expect((await call("GET", "/v1/me", { token: makeToken("hum", ground.random) })).body.code).toBe("AUTH_RATE");
    // What has worked before goes on.
    expect((await call("GET", "/v1/me")).status).toBe(200);
  });
});

describe("the routes of identity", () => {
  it("make, show, suspend and resume actors", async () => {
    const made = await call("POST", "/v1/actors", { json: { kind: "agent", name: "bot", team: "web" } });
    expect(made).toMatchObject({ status: 201, body: { kind: "agent", owner: ground.owned.owner, team: "web" } });
    const path = `/v1/actors/${made.body.id}`;
    expect((await call("PATCH", path, { json: { state: "suspended" } })).body.state).toBe("suspended");
    expect((await call("GET", path)).body.state).toBe("suspended");
    expect((await call("PATCH", path, { json: { state: "gone" } })).status).toBe(400);
    expect((await call("GET", "/v1/actors?kind=agent&state=suspended")).body.items).toEqual([
      expect.objectContaining({ name: "bot" }),
    ]);
    expect((await call("POST", "/v1/actors", { json: { kind: "agent", name: "\u0000" } })).status).toBe(400);
    expect((await call("GET", "/v1/actors/act_0")).body.code).toBe("ACTOR_UNKNOWN");
  });

  it("list by pages of IDENTITY_PAGE_DEFAULT, up to IDENTITY_PAGE_MAX", async () => {
    for (let i = 0; i < IDENTITY_PAGE_DEFAULT; i++) {
      await ground.identity.mintToken(ground.owner, { scopes: [] });
    }
    const first = await call("GET", "/v1/tokens");
    expect(first.body.items).toHaveLength(IDENTITY_PAGE_DEFAULT);
    const second = await call("GET", `/v1/tokens?cursor=${first.body.next}`);
    expect(second.body.items).toHaveLength(1);
    expect(second.body.next).toBeUndefined();
    const whole = await call("GET", `/v1/tokens?limit=${IDENTITY_PAGE_MAX}`);
    expect(whole.body.items).toEqual([...first.body.items, ...second.body.items]);
    for (const limit of [0, IDENTITY_PAGE_MAX + 1, "x"]) {
      expect((await call("GET", `/v1/tokens?limit=${limit}`)).status).toBe(400);
    }
  });

  it("mint and revoke tokens; a secret is never cached", async () => {
    const json = { actor: ground.owned.agent, scopes: ["run:read"], life_ms: 60_000 };
    const minted = await call("POST", "/v1/tokens", { json });
    expect(minted.status).toBe(201);
    expect(minted.headers.get("cache-control")).toBe("no-store");
    expect((await call("GET", "/v1/me", { token: minted.body.secret })).body.chain).toHaveLength(2);
    expect((await call("DELETE", `/v1/tokens/${minted.body.id}`)).body).toEqual({ revoked: 1 });
    expect((await call("GET", "/v1/me", { token: minted.body.secret })).body.code).toBe("TOKEN_REVOKED");
    for (const bad of [{ scopes: ["all"] }, { scopes: [], life_ms: 0 }, { scopes: [], life_ms: 1.5 }, {}]) {
      expect((await call("POST", "/v1/tokens", { json: bad })).status).toBe(400);
    }
    const human = await call("POST", "/v1/tokens", { json: { scopes: ["gate:approve"] } });
    expect(human.body).toMatchObject({
      code: "SCOPE_NOT_GRANTABLE",
      next_steps: [{ command: "gantry admin login-link" }],
    });
    expect(human.status).toBe(403);
  });

  it("register and revoke keys, and refuse a private one without keeping it", async () => {
    const public_jwk = { kty: "OKP", crv: "Ed25519", x: "A".repeat(43) };
    const made = await call("POST", "/v1/actor-keys", { json: { public_jwk, uses: ["code"] } });
    expect(made).toMatchObject({ status: 201, body: { uses: ["code"], state: "active", public_jwk } });
    const secret = "S".repeat(43);
    const leak = await call("POST", "/v1/actor-keys", {
      json: { public_jwk: { ...public_jwk, d: secret }, uses: ["code"] },
    });
    expect(leak.status).toBe(400);
    expect(JSON.stringify(leak.body) + logged.join("")).not.toContain(secret);
    expect((await call("DELETE", `/v1/actor-keys/${made.body.kid}`)).body.state).toBe("revoked");
    expect((await call("GET", "/v1/actor-keys")).body.items).toMatchObject([{ state: "revoked" }]);
  });

  it("change settings by If-Match: what tightens answers 200, what loosens 202", async () => {
    const own = await call("GET", "/v1/tenant");
    expect(own.headers.get("etag")).toBe('"1"');
    const json = { approval_independence: "independent" };
    expect((await call("PATCH", "/v1/tenant", { json })).status).toBe(400);
    const wrong = await call("PATCH", "/v1/tenant", { json, headers: { "if-match": '"7"' } });
    expect(wrong).toMatchObject({ status: 412, body: { code: "TENANT_CONFLICT" } });
    const tight = await call("PATCH", "/v1/tenant", { json, headers: { "if-match": '"1"' } });
    expect(tight).toMatchObject({ status: 200, body: { settings_rev: 2 } });
    const loose = await call("PATCH", "/v1/tenant", {
      json: { approval_independence: "principal" },
      headers: { "if-match": "2" },
    });
    expect(loose).toMatchObject({
      status: 202,
      body: { state: "pending", approval: "apr_1", next_steps: [{ command: "gantry approve apr_1" }] },
    });
    const odd = await call("PATCH", "/v1/tenant", { json: { passkeys: true }, headers: { "if-match": "2" } });
    expect(odd.status).toBe(400);
  });

  it("make, suspend and resume tenants, for who operates the installation", async () => {
    const made = await call("POST", "/v1/tenants", { json: { slug: "acme" } });
    expect(made).toMatchObject({ status: 201, body: { tenant: { slug: "acme" }, owner: { name: "owner" } } });
    const { tenant, token } = made.body;
    expect((await call("GET", "/v1/tenants")).body.items).toHaveLength(2);
    expect((await call("PATCH", `/v1/tenants/${tenant.id}`, { json: { state: "suspended" } })).body.state).toBe(
      "suspended",
    );
    expect((await call("GET", "/v1/me", { token: token.secret })).body.code).toBe("TENANT_SUSPENDED");
    await call("PATCH", `/v1/tenants/${tenant.id}`, { json: { state: "active" } });
    expect((await call("GET", "/v1/me", { token: token.secret })).body.tenant.slug).toBe("acme");
    expect((await call("GET", "/v1/tenants", { token: token.secret })).body.code).toBe("SCOPE_MISSING");
  });

  it("answer nothing under another method, and log no secret", async () => {
    expect((await call("PUT", "/v1/tokens", { json: {} })).status).toBe(405);
    expect(logged.join("\n")).not.toMatch(/gtr_(hum|agt|svc|lnk)_[0-9A-Za-z]{36}/);
    expect(logged.length).toBeGreaterThan(0);
  });
});
