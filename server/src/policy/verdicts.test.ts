import { spawnSync } from "node:child_process";
import { fileURLToPath } from "node:url";
import { describe, expect, it } from "vitest";
import { AGENT, PRODUCTION, READ_ONLY, STAGING } from "../../../tests/fixtures/policy_contracts.ts";
import { canonicalJson } from "../kernel/canonical.ts";
import { sha256Hex } from "../kernel/hash.ts";
import { builtinContracts } from "./builtin.ts";
import { ACTIONS, type Contract, type PolicyContext, type PolicyRequest } from "./contract.ts";
import { Decider } from "./decide.ts";
import { Cedar } from "./engine/cedar.ts";
import { compile } from "./engine/compile.ts";
import { CEDAR_SCHEMA } from "./engine/schema.ts";
import { ENGINE_VERSION, SCHEMA_VERSION, snapshotOf } from "./snapshot.ts";

const CALL: PolicyContext = { host: "api.example.com", port: 443, protocol: "https", method: "GET", path: "/v1/a" };
const INNER: PolicyContext = { ...CALL, host: "a.internal.example" };

const decider = new Decider();
function ask(contract: Contract, action: string, context: PolicyContext = {}, rest: Partial<PolicyRequest> = {}) {
  const request = { action, resource: "x:y", principal: AGENT, context, ...rest } as PolicyRequest;
  return decider.decide(contract, snapshotOf(contract).id, request);
}

/** What is asked of which contract, and the codes of the answer; a gate's name stands for "a person decides". */
const GOLDEN: [Contract, string, PolicyContext, string][] = [
  [STAGING, "run.submit", {}, "allow"],
  [STAGING, "run.submit", { target: "staging", carries: ["why"] }, "allow"],
  [STAGING, "run.submit", { target: "production" }, "POLICY_TARGET"],
  [STAGING, "run.submit", { limits: { cpu_ms: 60_001 } }, "CONTRACT_LIMIT"],
  [STAGING, "run.submit", { limits: { cpu_ms: 60_001 }, target: "production" }, "POLICY_TARGET CONTRACT_LIMIT"],
  [STAGING, "egress.request", CALL, "allow"],
  [STAGING, "egress.request", { ...CALL, method: "POST" }, "allow"],
  [STAGING, "egress.request", { ...CALL, method: "DELETE" }, "POLICY_NO_PERMIT"],
  [STAGING, "egress.request", { ...CALL, host: "evil.example" }, "POLICY_NO_PERMIT"],
  [STAGING, "egress.request", {}, "POLICY_NO_PERMIT"],
  [STAGING, "egress.request", { ...CALL, read_class: "internal" }, "POLICY_DATA_CLASS"],
  [STAGING, "egress.request", { ...INNER, read_class: "internal" }, "allow"],
  [STAGING, "egress.request", { ...INNER, read_class: "confidential" }, "POLICY_DATA_CLASS"],
  [STAGING, "egress.request", { ...CALL, data_class: "restricted" }, "POLICY_DATA_CLASS"],
  [STAGING, "egress.request", { ...CALL, method: "POST", data_class: "internal" }, "POLICY_DATA_CLASS"],
  [STAGING, "egress.retry", CALL, "allow"],
  [STAGING, "lease.use", { ...CALL, secret: "example-staging" }, "allow"],
  [STAGING, "lease.use", { ...CALL, secret: "other" }, "POLICY_NO_PERMIT"],
  [STAGING, "lease.use", CALL, "POLICY_NO_PERMIT"],
  [STAGING, "lease.use", { ...INNER, secret: "example-staging" }, "POLICY_NO_PERMIT"],
  [STAGING, "lease.use", { ...CALL, secret: "example-staging", read_class: "internal" }, "POLICY_DATA_CLASS"],
  [STAGING, "artifact.read", { repo: "work/a" }, "allow"],
  [STAGING, "artifact.read", { repo: "play/a" }, "POLICY_NO_PERMIT"],
  [STAGING, "artifact.read", { repo: "work/a", data_class: "internal" }, "allow"],
  [STAGING, "artifact.read", { repo: "work/a", data_class: "restricted" }, "POLICY_DATA_CLASS"],
  [STAGING, "artifact.read", { repo: "work/a", read_class: "internal" }, "POLICY_DATA_CLASS"],
  [STAGING, "artifact.write", { repo: "work/a" }, "allow"],
  [STAGING, "artifact.write", { repo: "work/a", read_class: "internal" }, "POLICY_DATA_CLASS"],
  [STAGING, "artifact.land", { repo: "work/a" }, "allow"],
  [STAGING, "artifact.release", {}, "POLICY_NO_PERMIT"],
  [STAGING, "app.deploy", { target: "staging" }, "needs_human: deploy"],
  [STAGING, "app.deploy", {}, "POLICY_TARGET"],
  [STAGING, "app.deploy", { target: "production" }, "POLICY_TARGET"],
  [STAGING, "flag.raise", { app: "web", flag: "dark", target: "staging" }, "allow"],
  [STAGING, "flag.raise", { app: "web", flag: "friday", target: "staging" }, "POLICY_FORBIDDEN NO_FRIDAY"],
  [STAGING, "flag.raise", { app: "web" }, "POLICY_TARGET"],
  [STAGING, "flag.reduce", { app: "web" }, "allow"],
  [STAGING, "flag.kill", { app: "web" }, "allow"],
  [STAGING, "flag.kill", { app: "shop" }, "POLICY_NO_PERMIT"],
  [STAGING, "tool.list", { tool: "issues.create" }, "allow"],
  [STAGING, "tool.list", { tool: "shell" }, "POLICY_TOOL"],
  [STAGING, "tool.call", { tool: "issues.create", args: { repo: "acme/web" } }, "allow"],
  [STAGING, "tool.call", { tool: "issues.create", args: { repo: "other/web" } }, "POLICY_ARGS"],
  [STAGING, "tool.call", { tool: "issues.create" }, "POLICY_ARGS"],
  [STAGING, "tool.call", {}, "POLICY_TOOL"],
  [STAGING, "workflow.start", {}, "POLICY_NO_PERMIT"],
  [STAGING, "contract.apply", {}, "POLICY_CLASS"],
  [STAGING, "tenant.set", {}, "POLICY_CLASS"],
  [STAGING, "secret.set", {}, "POLICY_CLASS"],
  [STAGING, "evidence.erase", {}, "POLICY_CLASS"],
  [STAGING, "evidence.succeed", {}, "POLICY_CLASS"],
  [READ_ONLY, "run.submit", { target: "staging" }, "allow"],
  [READ_ONLY, "egress.request", CALL, "allow"],
  [READ_ONLY, "egress.request", { ...CALL, method: "POST" }, "POLICY_CLASS"],
  [READ_ONLY, "lease.use", { ...CALL, method: "POST", secret: "example-staging" }, "POLICY_CLASS"],
  [READ_ONLY, "egress.retry", CALL, "POLICY_CLASS"],
  [READ_ONLY, "artifact.read", { repo: "work/a" }, "allow"],
  [READ_ONLY, "artifact.write", { repo: "work/a" }, "POLICY_CLASS"],
  [READ_ONLY, "app.deploy", { target: "staging" }, "POLICY_CLASS"],
  [READ_ONLY, "flag.kill", { app: "web" }, "POLICY_CLASS"],
  [READ_ONLY, "workflow.start", {}, "POLICY_CLASS"],
  [PRODUCTION, "run.submit", {}, "needs_human: production"],
  [PRODUCTION, "app.deploy", { target: "anything" }, "needs_human: production"],
  [PRODUCTION, "app.deploy", {}, "POLICY_TARGET"],
  [PRODUCTION, "flag.raise", { app: "web", flag: "dark", target: "x" }, "needs_human: production"],
  [PRODUCTION, "flag.reduce", { app: "web" }, "allow"],
  [PRODUCTION, "flag.kill", { app: "web" }, "allow"],
  [PRODUCTION, "secret.set", {}, "needs_human: production"],
  [PRODUCTION, "artifact.write", { repo: "play/a" }, "POLICY_NO_PERMIT"],
  [PRODUCTION, "egress.request", { ...CALL, method: "DELETE" }, "POLICY_NO_PERMIT"],
];

describe("the table of codes", () => {
  it.each(GOLDEN)("$name: %s %o: %s", (contract, action, context, expected) => {
    const { verdict, reasons, gates } = ask(contract, action, context);
    const names = gates.map(({ name }) => name).join(" ");
    const codes = reasons.map(({ code }) => code).join(" ");
    expect(verdict === "deny" ? codes : `${verdict}${names === "" ? "" : `: ${names}`}`).toBe(expected);
    for (const { detail } of reasons) expect(detail).toMatch(/^[^\n]{10,400}\.$/);
  });

  it("has every action", () => {
    const asked = new Set(GOLDEN.map(([, action]) => action));
    expect(ACTIONS.filter((action) => !asked.has(action))).toEqual([]);
  });

  it("starts workflows by their name", () => {
    const start = (resource: string) => ask(STAGING, "workflow.start", {}, { resource }).verdict;
    expect([start("workflow:nightly-sync"), start("workflow:daily"), start("code:nightly-x")]).toEqual([
      "allow",
      "deny",
      "deny",
    ]);
  });

  it("says the dimension at which a call stopped", () => {
    const detail = (change: PolicyContext) => ask(STAGING, "egress.request", { ...CALL, ...change }).reasons[0]?.detail;
    expect(detail({ host: "evil.example" })).toContain('no rule has the host "evil.example"');
    expect(detail({ protocol: "ws" })).toContain('has the protocol "ws"');
    expect(detail({ port: 8443 })).toContain("has the port 8443");
    expect(detail({ method: "PUT" })).toContain('has the method "PUT"');
    expect(detail({ path: "/v2" })).toContain("has the path");
  });

  it("explains with the rule's place in the contract and its text", () => {
    const request = {
      action: "flag.raise",
      resource: "x",
      principal: AGENT,
      context: { app: "web", flag: "friday", target: "staging" },
    } as const;
    const { decision, by } = decider.explain(STAGING, snapshotOf(STAGING).id, request);
    expect(decision.verdict).toBe("deny");
    expect(by).toEqual([{ at: "/cedar/0", code: "NO_FRIDAY", text: STAGING.cedar[0] }]);
    const deploy = { action: "app.deploy", resource: "x", context: { target: "staging" } } as const;
    expect(decider.explain(STAGING, snapshotOf(STAGING).id, deploy).by.map(({ at }) => at)).toEqual(["/gates/0"]);
    expect(JSON.stringify(decider.explain(STAGING, snapshotOf(STAGING).id, {} as PolicyRequest))).toContain(
      "POLICY_EVAL_ERROR",
    );
  });
});

describe("what contracts are compiled to", () => {
  it("is admitted by the schema that is asked of the policies they bring", () => {
    const cedar = new Cedar(CEDAR_SCHEMA);
    for (const contract of [...builtinContracts().values(), STAGING, READ_ONLY, PRODUCTION]) {
      const { policies } = compile(contract);
      expect([contract.name, cedar.validate(policies)]).toEqual([contract.name, new Map()]);
      for (const text of Object.values(policies)) expect(text).toMatch(/^@(code|gate)\("/);
    }
  });

  it("is pinned: whoever changes it raises a version, for old snapshots must mean what they meant", () => {
    const texts = [STAGING, READ_ONLY, PRODUCTION].map((contract) => compile(contract).policies);
    expect([SCHEMA_VERSION, sha256Hex(CEDAR_SCHEMA)]).toEqual([
      "gantry.contract.v5",
      "aebea03ac718c0ad9045a5cef806208fb11c562c8493b9bf2b47e3515aa1f77f",
    ]);
    expect([ENGINE_VERSION, sha256Hex(canonicalJson(texts))]).toEqual([
      "gantry.cedar.v1",
      "03d36828711ba5106e4d1412177262289b976da2b546ebf5eb9ee648f9fd0477",
    ]);
  });
});

describe("another process", () => {
  it("names the same snapshot and decides the same, whatever the order of keys", () => {
    const script = fileURLToPath(new URL("../../../tests/fixtures/policy_verdicts.ts", import.meta.url));
    const questions = GOLDEN.map(([contract, action, context]) => ({
      contract,
      request: { action, resource: "x:y", principal: AGENT, context },
    }));
    const { stdout, stderr } = spawnSync(process.execPath, ["--import", "tsx", script], {
      input: JSON.stringify(questions.map(reversed)),
      encoding: "utf8",
      timeout: 60_000,
      maxBuffer: 16 * 1024 * 1024,
    });
    expect(stderr).toBe("");
    const here = questions.map(({ contract, request }) => {
      const { id } = snapshotOf(contract);
      return decider.decide(contract, id, request as PolicyRequest);
    });
    expect(JSON.parse(stdout)).toEqual(JSON.parse(JSON.stringify(here)));
  }, 60_000);
});

/** The same, the members of every object in the other order. */
function reversed(value: unknown): unknown {
  if (Array.isArray(value)) return value.map(reversed);
  if (typeof value !== "object" || value === null) return value;
  return Object.fromEntries(
    Object.entries(value)
      .reverse()
      .map(([name, each]) => [name, reversed(each)]),
  );
}
