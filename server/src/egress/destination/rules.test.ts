import { describe, expect, it } from "vitest";
import {
  callerUnder,
  contractWith,
  type JudgeOptions,
  judge,
  refusalOf,
  TRIAGE,
  TRIAGE_RULES,
  viewUnder,
} from "../../../../tests/fixtures/egress_calls.ts";
import { STRANGER_URLS } from "../../../../tests/fixtures/hostile_urls.ts";
import { gate } from "../../../../tests/fixtures/policy_contracts.ts";
import type { Contract, EgressRule, PolicyView } from "../../policy/contract.ts";
import { viewOf } from "../../policy/versions/opened.ts";
import { explainCall } from "./explain.ts";
import { judgeCall, ruleForName } from "./rules.ts";
import { parseTarget } from "./target.ts";

const refused = (url: string, o?: JudgeOptions, contract: Contract = TRIAGE) =>
  refusalOf(() => judge(contract, url, o));
/** A run's view of one version, in whose place another one stands now. */
function replaced(before: PolicyView, after: PolicyView): PolicyView {
  const opened = (view: PolicyView) => ({ ...view, snapshot: { id: view.snapshot, body: "" } });
  return viewOf(opened(before), { current: opened(after), suspension: null }, () => {});
}

describe("a call", () => {
  it("that a rule lets out has the rule, its pattern, and whether it may change something", () => {
    expect(judge(TRIAGE, "https://api.example.com/v1/issues?q=1")).toMatchObject({
      rule: TRIAGE_RULES[0],
      rule_id: "api",
      path_class: "/v1/*",
      mutating: false,
      method: "GET",
      target: { path: "/v1/issues", query: "?q=1" },
    });
    expect(judge(TRIAGE, "https://api.example.com/v2", { method: "POST" })).toMatchObject({
      path_class: "/v2",
      mutating: true,
    });
    expect(judge(TRIAGE, "https://a.docs.example/x")).toMatchObject({ rule_id: "1", path_class: "*" });
    expect(judge(TRIAGE, "tls://db.example.com:5432")).toMatchObject({ rule_id: "2", path_class: "*", mutating: true });
    expect(judge(TRIAGE, "wss://live.example.com/x")).toMatchObject({ rule_id: "3", mutating: true });
  });

  it.each([
    ["https://other.example.com/", "GET", "EGRESS_HOST", "The host other.example.com is not in contract triage@4."],
    ["http://api.example.com/v1/", "GET", "EGRESS_PROTO", "http to api.example.com is not in contract triage@4."],
    [
      "https://api.example.com:8443/v1/",
      "GET",
      "EGRESS_PORT",
      "The port 8443 of api.example.com, by https, is not in contract triage@4.",
    ],
    [
      "https://api.example.com/v1/x",
      "DELETE",
      "EGRESS_METHOD",
      "DELETE to api.example.com is not in contract triage@4.",
    ],
    [
      "https://api.example.com/v3",
      "GET",
      "EGRESS_PATH",
      "The path of this GET to api.example.com is not in contract triage@4.",
    ],
    [
      "tls://db.example.com:5433",
      "CONNECT",
      "EGRESS_PORT",
      "The port 5433 of db.example.com, by tls, is not in contract triage@4.",
    ],
    ["tcp://db.example.com:5432", "CONNECT", "EGRESS_PROTO", "tcp to db.example.com is not in contract triage@4."],
    ["https://live.example.com/", "GET", "EGRESS_PROTO", "https to live.example.com is not in contract triage@4."],
  ])("%s by %s is %s", (url, method, code, detail) => {
    expect(refused(url, { method })).toMatchObject({ code, parts: { detail } });
  });

  it.each(["/v1/%2f", "/v1/%2F..", "/v1/%5cx", "/v1/a%2e", "/v1/%2E%2e%2fadmin"])(
    "to the path %s under a rule about paths is refused, and no rule is offered",
    (path) => {
      const error = refused(`https://api.example.com${path}`);
      expect([error.code, error.parts.next_steps]).toEqual(["EGRESS_PATH", []]);
      expect(judge(TRIAGE, `https://a.docs.example${path}`).path_class).toBe("*");
    },
  );

  it("is told the furthest dimension that any rule reached", () => {
    const contract = contractWith([
      { hosts: ["a.example"], protocol: "http" },
      { hosts: ["a.example"], protocol: "https", methods: ["POST"] },
      { hosts: ["a.example"], protocol: "https", ports: [8443] },
    ]);
    expect(refused("https://a.example/", {}, contract).code).toBe("EGRESS_METHOD");
  });

  it("to a host that the tenant denies goes nowhere, whatever the contract grants", () => {
    const error = refused("https://api.example.com/v1/", { denied: ["other.example", "**.example.com"] });
    expect([error.code, error.parts.next_steps?.[0]?.kind]).toEqual(["EGRESS_HOST", "change"]);
    expect(error.parts.detail).toContain("denies api.example.com by **.example.com");
    expect(judge(TRIAGE, "https://api.example.com/v1/", { denied: ["*.com", "example.com"] }).rule_id).toBe("api");
    const literal = contractWith([{ hosts: ["8.8.8.8"], protocol: "http" }]);
    expect(refused("http://8.8.8.8/", { denied: ["8.8.8.8"] }, literal).code).toBe("EGRESS_HOST");
    expect(judge(literal, "http://8.8.8.8/", { denied: ["**"] }).rule_id).toBe("0");
  });
});

describe("a service of an environment", () => {
  const rule: EgressRule = { hosts: ["a.example"], protocol: "https", service: "api", environment: "production" };

  it("is reached only by a contract that acts on it", () => {
    const error = refused("https://a.example/", {}, contractWith([rule]));
    expect(error).toMatchObject({ code: "EGRESS_ENVIRONMENT", parts: { next_steps: [{ kind: "change" }] } });
    expect(error.parts.detail).toContain(
      "The service api belongs to production; the targets of contract triage@4 are: staging.",
    );
    for (const targets of [["production"], ["production", "staging"], ["*"]]) {
      expect(judge(contractWith([rule], { targets }), "https://a.example/").rule.environment).toBe("production");
    }
    expect(refused("https://a.example/", {}, contractWith([rule], { targets: [] })).code).toBe("EGRESS_ENVIRONMENT");
  });

  it("is no longer reached when the contract that holds now has another target", () => {
    const before = contractWith([rule], { targets: ["production"] });
    const after = viewUnder(contractWith([rule], { targets: ["staging"] }), 5);
    const view = replaced(viewUnder(before), after);
    expect(refused("https://a.example/", { who: { view } }, before).code).toBe("POLICY_TARGET");
  });
});

describe("what else the contract says", () => {
  it("is told by the code of its first reason, with all of them", () => {
    const mine = `@code("NO_POSTS") forbid(principal is Agent, action == Action::"egress.request", resource) when { context has method && context.method == "POST" };`;
    const contract = contractWith(TRIAGE_RULES, { class: "read-only", cedar: [mine] });
    expect(judge(contract, "https://api.example.com/v1/").rule_id).toBe("api");
    const error = refused("https://api.example.com/v1/", { method: "POST" }, contract);
    expect(error.code).toBe("POLICY_FORBIDDEN");
    expect(error.parts.reasons?.map(({ code }) => code)).toEqual(["POLICY_FORBIDDEN", "POLICY_CLASS", "NO_POSTS"]);
  });

  it("of data that was read holds the run back", () => {
    const target = parseTarget("https://api.example.com/v1/", false);
    const asked = { target, method: "GET", read_class: "internal" } as const;
    expect(refusalOf(() => judgeCall(callerUnder(TRIAGE), asked, [])).code).toBe("POLICY_DATA_CLASS");
  });

  it("of people is held open by what was approved for the run, and by nothing else", () => {
    const contract = contractWith(TRIAGE_RULES, { gates: [gate("release")] });
    const approval = (gates: string[]) => ({ who: { approval: { id: "apr_1" as never, gates } } });
    const url = "https://api.example.com/v1/";
    expect(judge(contract, url, approval(["release"])).rule_id).toBe("api");
    for (const who of [approval(["other"]), {}]) {
      const error = refused(url, who, contract);
      expect(error).toMatchObject({ code: "POLICY_FORBIDDEN", parts: { reasons: [{ code: "POLICY_FORBIDDEN" }] } });
      expect(error.parts.reasons?.[0]?.detail).toBe("The gate release must be approved first.");
    }
    expect(explainCall(viewUnder(contract), { url }, [])).toMatchObject({ verdict: "needs_human", rule: "api" });
  });

  it("of a version that took its place holds, too", () => {
    const view = replaced(viewUnder(TRIAGE), viewUnder(contractWith([]), 5));
    expect(refused("https://api.example.com/v1/", { who: { view } }).code).toBe("POLICY_NO_PERMIT");
  });
});

describe("a name that is looked up", () => {
  it("is one that a rule has, with the records of all rules that have it", () => {
    const rules: EgressRule[] = [
      { id: "a", hosts: ["*.example"], protocol: "https" },
      { id: "b", hosts: ["a.example"], protocol: "wss", dns: ["TXT"] },
      { id: "c", hosts: ["a.example", "8.8.8.8"], protocol: "https", dns: ["MX", "TXT"] },
    ];
    expect(ruleForName(rules, "a.example")).toEqual({ ...rules[0], dns: ["TXT", "MX"] });
    expect(ruleForName(rules, "b.example")).toBe(rules[0]);
    for (const host of ["a.b.example", "example", "8.8.4.4"]) expect(ruleForName(rules, host)).toBeUndefined();
    for (const url of STRANGER_URLS) expect(ruleForName(TRIAGE_RULES, parseTarget(url, false).host)).toBeUndefined();
  });
});
