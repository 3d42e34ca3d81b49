import type { OpenAPIHono } from "@hono/zod-openapi";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { ScriptedApprovals } from "../../../../tests/fixtures/approvals.ts";
import { type Ground, openGround } from "../../../../tests/fixtures/ground.ts";
import { roomApp } from "../../../../tests/fixtures/room_app.ts";
import type { Principal, RouteEnv } from "../../identity/contract.ts";
import { Directory } from "../../identity/directory.ts";
import { POLICY_CASES_MAX, type RunRequests, TABLE_CONTRACTS_MAX } from "../contract.ts";
import { ContractPolicy } from "../policy.ts";
import { Explainer, type Explanation } from "./explain.ts";
import { explainRoutes } from "./routes.ts";
import { linesOf } from "./source_lines.ts";

const SOURCE = `kind: Contract
name: acme
extends: staging-mutation
# What it may reach.
egress:
  - hosts: [api.example.com]
    protocol: https
    methods: [GET]
limits: {cpu_ms: 500}
gates:
  - {on: app.deploy, name: deploy, quorum: 2}
tools:
  - name: issues.*
cedar:
  - |
    @code("NO_FRIDAYS")
    forbid(principal, action == Action::"tool.call", resource) when { context has tool && context.tool == "issues.close" };
  - |
    @code("DEPLOYS")
    permit(principal, action == Action::"app.deploy", resource);
`;

let ground: Ground;
let who: Principal;
let policy: ContractPolicy;
let approvals: ScriptedApprovals;
let app: OpenAPIHono<RouteEnv>;
let runs: RunRequests["of"] = async () => undefined;

beforeAll(async () => {
  ground = await openGround();
  who = ground.owner;
  policy = new ContractPolicy(ground);
  approvals = new ScriptedApprovals(ground.storage, policy);
  await policy.apply({ name: "acme.yaml", text: SOURCE }, who);
  await approvals.decide("approved");
  const actors = new Directory({ ...ground, instance: async () => "x" });
  const explainer = new Explainer({ ...ground, policy, runs: { of: (...asked) => runs(...asked) } });
  app = roomApp(() => who);
  app.route("/", explainRoutes({ policy, explainer, identity: ground.identity, actors }));
});
afterAll(() => ground.remove());

async function send(path: string, body?: unknown) {
  const init =
    body === undefined
      ? {}
      : { method: "POST", headers: { "content-type": "application/json" }, body: JSON.stringify(body) };
  const answer = await app.request(path, init);
  return { status: answer.status, body: (await answer.json()) as Explanation & Record<string, unknown> };
}
const explain = async (asked: object) =>
  (await send("/v1/policy/explain", { contract: "acme", resource: "x:y", ...asked })).body;
const call = { host: "api.example.com", protocol: "https", port: 443, path: "/" };

describe("an explanation", () => {
  it("of what is allowed names the rule's line, and nothing that would be needed", async () => {
    const { verdict, rules, allowed_by } = await explain({
      action: "egress.request",
      context: { ...call, method: "GET" },
    });
    expect({ verdict, allowed_by }).toEqual({ verdict: "allow", allowed_by: [] });
    expect(rules[0]).toMatchObject({ line: 6, text: "- hosts: [api.example.com]" });
  });

  it("of a limit names its line and the ceiling", async () => {
    const { verdict, reasons, rules, allowed_by } = await explain({
      action: "run.submit",
      context: { limits: { cpu_ms: 501 }, target: "staging" },
    });
    expect(verdict).toBe("deny");
    expect(reasons.map(({ code }) => code)).toEqual(["CONTRACT_LIMIT"]);
    expect(rules).toEqual([{ at: "/limits/cpu_ms", code: null, line: 9, text: "limits: {cpu_ms: 500}" }]);
    expect(allowed_by).toEqual(["Ask for cpu_ms 500 or less, or raise limits.cpu_ms in the contract."]);
  });

  it("of a missing permit names the place, and the narrowest rule", async () => {
    const { verdict, rules, allowed_by } = await explain({
      action: "egress.request",
      context: { ...call, method: "POST" },
    });
    expect(verdict).toBe("deny");
    expect(rules).toMatchObject([{ at: "/egress", line: 5, text: "egress:" }]);
    expect(allowed_by).toEqual([
      'Add to the contract\'s egress: {"hosts":["api.example.com"],"protocol":"https","ports":[443],"methods":["POST"],"paths":["/"]}',
    ]);
  });

  it("of a gate names its line, and how many people", async () => {
    const asked = { action: "app.deploy", context: { app: "web", target: "staging" } };
    const { verdict, gates, rules, allowed_by } = await explain(asked);
    expect({ verdict, gates: gates.map(({ name }) => name) }).toEqual({ verdict: "needs_human", gates: ["deploy"] });
    expect(rules).toContainEqual(expect.objectContaining({ at: "/gates/0", line: 11 }));
    expect(allowed_by).toEqual(["2 humans approve the gate deploy."]);
    expect((await explain({ ...asked, gates: ["deploy"] })).verdict).toBe("allow");
  });

  it("of a forbid of the contract's own names its code and its line", async () => {
    const { reasons, rules } = await explain({ action: "tool.call", context: { tool: "issues.close", args: {} } });
    expect(reasons.map(({ code }) => code)).toContain("NO_FRIDAYS");
    expect(rules).toContainEqual(expect.objectContaining({ at: "/cedar/0", line: 15 }));
  });

  it("of what is inherited says from whom", async () => {
    const { rules } = await explain({ action: "run.submit", context: { target: "production" } });
    expect(rules[0]).toMatchObject({ at: "/targets", line: null });
    expect(rules[0]!.text).toMatch(/^as staging-mutation has it/);
  });

  it("is for the caller, or for an actor that it may look at", async () => {
    const self = await explain({ action: "run.submit" });
    expect(self.request["principal"]).toEqual({ actor: who.actor, kind: "human", for: who.actor });
    const other = await explain({ action: "run.submit", as: ground.owned.agent });
    expect(other.request["principal"]).toEqual({ actor: ground.owned.agent, kind: "agent", for: who.actor });
    expect((await send("/v1/policy/explain", { action: "run.submit", resource: "x", as: "act_0" })).status).toBe(404);
  });

  it("refuses what it does not know, and needs contract:read", async () => {
    expect(await send("/v1/policy/explain", { action: "run.submit", resource: "x", contract: "none" })).toMatchObject({
      status: 404,
      body: { code: "CONTRACT_UNKNOWN" },
    });
    for (const odd of [{ action: "run.start" }, { action: "run.submit", context: { hosts: [] } }, { action: 1 }]) {
      expect((await send("/v1/policy/explain", { resource: "x", ...odd })).status).toBe(400);
    }
    const token = await ground.identity.mintToken(ground.owner, { scopes: ["run:read"] });
    who = await ground.identity.authenticate(token.secret);
    expect((await send("/v1/policy/explain", { action: "run.submit", resource: "x" })).status).toBe(403);
    expect((await send("/v1/policy/test", { table: { name: "t", text: "" } })).status).toBe(403);
    who = ground.owner;
  });
});

describe("a run's explanation", () => {
  it("is by the snapshot that the run was decided against, and says what would be now", async () => {
    const view = await policy.open(who.tenant, "acme");
    const request = {
      action: "run.submit" as const,
      resource: "code:1",
      context: { limits: { cpu_ms: 400 }, target: "staging" },
    };
    runs = async (tenant, run) =>
      run === "run_1" && tenant === who.tenant ? { snapshot: view.snapshot, contract: view.ref, request } : undefined;
    expect((await send("/v1/runs/run_1/policy")).body).toMatchObject({ verdict: "allow", now: null });
    await policy.apply({ name: "acme.yaml", text: SOURCE.replace("500", "100") }, who);
    const { status, body } = await send("/v1/runs/run_1/policy");
    expect(status).toBe(200);
    expect(body).toMatchObject({ contract: view.ref, snapshot: view.snapshot, verdict: "allow" });
    expect(body.now).toMatchObject({ contract: { name: "acme", version: 2 }, verdict: "deny" });
    expect(await send("/v1/runs/run_2/policy")).toMatchObject({ status: 404, body: { code: "POLICY_RUN_UNKNOWN" } });
  });
});

describe("a policy table", () => {
  const one = { name: "n", contract: "acme", action: "run.submit", resource: "code:1", expect: "allow" };
  const table = (cases: object[], name = "t.yaml") => ({ name, text: JSON.stringify({ cases }) });
  const test = async (body: object) => send("/v1/policy/test", body);

  it("is asked of active contracts, or of documents that come with it and are not applied", async () => {
    const tight = SOURCE.replace("500", "1");
    const asked = table([
      { ...one, context: { limits: { cpu_ms: 50 }, target: "staging" } },
      { ...one, name: "other", contract: "built", expect: "allow", context: {} },
    ]);
    const { body } = await test({ table: asked });
    expect(body["cases"]).toMatchObject([{ ok: true }, { ok: false, got: "deny" }]);
    const built = { name: "built.yaml", text: "kind: Contract\nname: built\nextends: scratch\n" };
    const second = await test({ table: asked, contracts: [built, { name: "acme.yaml", text: tight }] });
    expect(second.body).toMatchObject({
      passed: 1,
      failed: 1,
      cases: [{ ok: false, got: "deny", codes: ["CONTRACT_LIMIT"] }, { ok: true }],
    });
    expect((await policy.get(who.tenant, "acme")).version).toBe(2);
  });

  it("holds a case to its verdict and to the codes that it names", async () => {
    const denied = { ...one, expect: "deny", context: { target: "production" } };
    const { body } = await test({
      table: table([
        { ...denied, codes: ["POLICY_TARGET"] },
        { ...denied, codes: ["POLICY_CLASS"] },
        { ...denied, expect: "allow" },
      ]),
    });
    expect(body["cases"]).toMatchObject([
      { ok: true },
      { ok: false, detail: expect.stringMatching(/^without POLICY_CLASS: /) },
      { ok: false, detail: expect.stringMatching(/^expected allow, got deny: /) },
    ]);
  });

  it("that is wrong is refused with every place", async () => {
    const text = "cases:\n  - {name: a, contract: acme, action: run.start, resource: x, expect: allow}\n  - {nam: b}\n";
    const { status, body } = await test({ table: { name: "t.yaml", text } });
    expect({ status, code: body["code"] }).toEqual({ status: 422, code: "POLICY_TABLE" });
    const problems = body["problems"] as { at: string; line: number }[];
    expect(problems.map(({ line }) => line)).toEqual(expect.arrayContaining([2, 3]));
    expect(problems[0]!.at).toBe("t.yaml#/cases/0/action");
    for (const odd of ["", "cases: []", "a: &a 1", "- 1", "cases: {}", "{{{", "cases: [1]"]) {
      expect((await test({ table: { name: "t", text: odd } })).status).toBe(422);
    }
  });

  it("has POLICY_CASES_MAX cases and TABLE_CONTRACTS_MAX documents, and not one more", {
    timeout: 60_000,
  }, async () => {
    const many = (n: number) => table(Array.from({ length: n }, () => one));
    expect((await test({ table: many(POLICY_CASES_MAX) })).status).toBe(200);
    expect((await test({ table: many(POLICY_CASES_MAX + 1) })).status).toBe(422);
    const documents = (n: number) =>
      Array.from({ length: n }, (_, i) => ({ name: `c${i}`, text: `kind: Contract\nname: c${i}\nextends: scratch\n` }));
    expect((await test({ table: many(1), contracts: documents(TABLE_CONTRACTS_MAX) })).status).toBe(200);
    expect((await test({ table: many(1), contracts: documents(TABLE_CONTRACTS_MAX + 1) })).status).toBe(400);
  });
});

it("a place in a document is found by its pointer, and what is not there is not", () => {
  const lineOf = linesOf('{"a": {"b/c": [1,\n {"~": 2}]}}\n');
  expect(lineOf("")).toMatchObject({ line: 1 });
  expect(lineOf("/a/b~1c/1/~0")).toEqual({ line: 2, text: '{"~": 2}]}}' });
  for (const absent of ["/b", "/a/b~1c/2", "/a/b~1c/0/x", "/a/b~1c/x", "/__proto__"])
    expect(lineOf(absent)).toBeUndefined();
});
