import { createRequire } from "node:module";
import type * as cedar_wasm from "@cedar-policy/cedar-wasm/nodejs";
import { describe, expect, it } from "vitest";
import { nothingGranted } from "../builtin.ts";
import type { Contract, GateRule, PolicyRequest } from "../contract.ts";
import { Cedar } from "./cedar.ts";
import { PolicyEngine } from "./engine.ts";
import { CEDAR_SCHEMA } from "./schema.ts";
import { Slots } from "./slots.ts";
import { cedarProblems } from "./validate.ts";

// Each trap is shown twice: what Cedar does when it is asked as its manual says, and that ours does not fall into it.
const bare = createRequire(import.meta.url)("@cedar-policy/cedar-wasm/nodejs") as typeof cedar_wasm;
bare.preparseSchema("schema", CEDAR_SCHEMA);

const SUBMIT = { action: "run.submit", resource: "code:1", context: {} } satisfies PolicyRequest;
const EVAL_ERROR = "POLICY_EVAL_ERROR";

function askBare(
  policies: cedar_wasm.StaticPolicySet,
  context: cedar_wasm.Context = { gates: [], resource: "code:1" },
) {
  bare.preparsePolicySet("bare", { staticPolicies: policies });
  return authorizeBare("bare", context);
}

function authorizeBare(preparsedPolicySetId: string, context: cedar_wasm.Context) {
  return bare.statefulIsAuthorized({
    principal: { type: "Gantry", id: "gantry" },
    action: { type: "Action", id: "run.submit" },
    resource: { type: "Resource", id: "code:1" },
    context,
    preparsedSchemaName: "schema",
    validateRequest: true,
    preparsedPolicySetId,
    entities: [],
  });
}

function bareResponse(...args: Parameters<typeof askBare>): cedar_wasm.Response {
  const answer = askBare(...args);
  if (answer.type !== "success") throw new Error(JSON.stringify(answer));
  return answer.response;
}

const engine = new PolicyEngine();
function ask(contract: Partial<Contract>, request: PolicyRequest = SUBMIT) {
  return engine.evaluate(engine.prepare({ ...nothingGranted("mine"), ...contract }), request);
}
const codes = (outcome: { reasons: { code: string }[] }) => outcome.reasons.map(({ code }) => code);
const gate = (name: string, on: GateRule["on"] = "*"): GateRule => ({
  on,
  name,
  quorum: 1,
  not_after_ms: 1,
  execute_before_ms: 1,
});

/** Passes for a policy of Cedar's grammar, and fails when a run names no host. */
const FAILING_FORBID = '@code("HOST") forbid(principal, action, resource) when { context.host == "evil.example" };';
const PERMIT = "permit(principal, action, resource);";

describe("the traps of Cedar", () => {
  it("erroring_forbid_is_deny", () => {
    const { decision, diagnostics } = bareResponse({ permit: PERMIT, forbid: FAILING_FORBID });
    expect(decision).toBe("allow");
    expect(diagnostics.errors.map(({ policyId }) => policyId)).toEqual(["forbid"]);

    const outcome = ask({ cedar: [FAILING_FORBID] });
    expect(outcome.verdict).toBe("deny");
    expect(codes(outcome)).toEqual([EVAL_ERROR]);
    expect(cedarProblems([FAILING_FORBID])).toHaveLength(1);
  });

  it("failure_answer_is_deny", () => {
    const failures = [
      authorizeBare("no such slot", { gates: [], resource: "x" }),
      askBare({ permit: PERMIT }, { gates: [], resource: "x", unheard_of: true }),
    ];
    for (const failure of failures) {
      expect(failure.type).toBe("failure");
      expect(failure).not.toHaveProperty("response");
      expect(failure).not.toHaveProperty("decision");
    }

    const cedar = new Cedar(CEDAR_SCHEMA);
    const slots = new Slots(cedar);
    slots.hold = () => "no such slot";
    const lost = new PolicyEngine(cedar, slots);
    expect(codes(lost.evaluate(lost.prepare(nothingGranted("mine")), SUBMIT))).toEqual([EVAL_ERROR]);
    for (const request of [
      { ...SUBMIT, action: "app.fly" },
      { ...SUBMIT, resource: 7 },
      { ...SUBMIT, principal: { actor: "act_1", kind: "god", for: "act_1" } },
      { ...SUBMIT, gates: [1] },
      { ...SUBMIT, context: { host: null } },
      { ...SUBMIT, context: { target: { __extn: { fn: "ip", arg: "10.0.0.1" } } } },
    ]) {
      expect(codes(ask({}, request as unknown as PolicyRequest))).toEqual([EVAL_ERROR]);
    }
    expect(ask({}).verdict).toBe("allow");
  });

  it("forbid_hides_missing_permit", () => {
    const forbid = '@gate("deploy") forbid(principal, action, resource) unless { context.gates.contains("deploy") };';
    const { decision, diagnostics } = bareResponse({ forbid });
    expect([decision, diagnostics.reason]).toEqual(["deny", ["forbid"]]);

    // Without a permit no approval would help, so nobody is asked for one.
    const deploy: PolicyRequest = { action: "artifact.write", resource: "repo:work/a", context: { repo: "work/a" } };
    const contract = { class: "privileged", gates: [gate("deploy")], data: { reads: [], writes: ["public"] } } as const;
    const outcome = ask(contract as unknown as Partial<Contract>, deploy);
    expect(outcome.verdict).toBe("deny");
    expect(codes(outcome)).toEqual(["POLICY_NO_PERMIT"]);
    expect(outcome.gates).toEqual([]);
    const bindings = { artifacts: { repos: ["work/*"], mode: "write" as const, as: "ARTIFACTS" } };
    const permitted = ask({ ...(contract as unknown as Partial<Contract>), bindings }, deploy);
    expect([permitted.verdict, permitted.gates.map(({ name }) => name)]).toEqual(["needs_human", ["deploy"]]);
  });

  it("reasons_are_sorted", () => {
    const names = Array.from({ length: 12 }, (_, i) => `forbid${i}`);
    const policies = Object.fromEntries(names.map((name) => [name, "forbid(principal, action, resource);"]));
    const orders = new Set<string>();
    for (let i = 0; i < 50; i++) orders.add(bareResponse(policies).diagnostics.reason.join());
    expect(orders.size).toBeGreaterThan(1);

    const cedar = names.map((name) => `@code("${name.toUpperCase()}") forbid(principal, action, resource);`);
    const answers = new Set<string>();
    for (let i = 0; i < 50; i++) {
      // A fresh engine each fifth time: an order that were the engine's own would show.
      const asked = i % 5 === 0 ? new PolicyEngine() : engine;
      const outcome = asked.evaluate(asked.prepare({ ...nothingGranted("mine"), cedar }), SUBMIT);
      answers.add(JSON.stringify(outcome.reasons));
    }
    expect(answers.size).toBe(1);
  });

  it("default_deny_has_code", () => {
    const { decision, diagnostics } = bareResponse({});
    expect([decision, diagnostics.reason]).toEqual(["deny", []]);

    const outcome = ask({ class: "controlled-mutation" }, { action: "workflow.start", resource: "x", context: {} });
    expect(outcome.reasons).toEqual([
      { code: "POLICY_NO_PERMIT", detail: "The contract mine does not permit workflow.start." },
    ]);
  });

  it("annotations_are_not_ids", () => {
    const annotated = '@id("mine") @code("MINE") forbid(principal, action, resource);';
    expect(bareResponse(`${PERMIT}${annotated}`).diagnostics.reason).toEqual(["policy1"]);

    const outcome = ask({ cedar: ['@code("MINE") forbid(principal, action, resource);'] });
    expect(codes(outcome)).toEqual(["POLICY_FORBIDDEN", "MINE"]);
    expect(outcome.rules.map(({ id, rule }) => [id, rule.at])).toEqual([["cedar.0", "/cedar/0"]]);
    expect(JSON.stringify(outcome.reasons)).not.toContain("cedar.0");
    expect(cedarProblems([annotated])[0]?.text).toContain("@id means nothing here");
  });

  it("slots_bound_memory", () => {
    // No id is ever forgotten: what was parsed first still answers after as many others as there are.
    for (let i = 0; i < 300; i++) bare.preparsePolicySet(`set${i}`, { staticPolicies: { permit: PERMIT } });
    expect(authorizeBare("set0", { gates: [], resource: "x" }).type).toBe("success");
    expect(Object.keys(bare).filter((name) => /unload|remove|delete|clear|free/i.test(name))).toEqual([]);

    const cedar = new Cedar(CEDAR_SCHEMA);
    const slots = new Slots(cedar, 4);
    const ids = Array.from({ length: 100 }, (_, i) => slots.hold({ key: `${i}`, policies: { permit: PERMIT } }));
    expect(new Set(ids).size).toBe(4);
  });

  it("mapped_ipv6_is_not_policy_work", () => {
    const within = (address: string) => `ip("${address}").isInRange(ip("10.0.0.0/8"))`;
    const decides = (condition: string) =>
      bareResponse({ permit: PERMIT, forbid: `forbid(principal, action, resource) when { ${condition} };` });
    expect(decides(within("10.0.0.1")).decision).toBe("deny");
    expect(decides(within("::ffff:a00:1")).decision).toBe("allow");
    const dotted = decides(within("::ffff:10.0.0.1"));
    expect([dotted.decision, dotted.diagnostics.errors.length]).toEqual(["allow", 1]);

    for (const address of ["10.0.0.1", "::ffff:a00:1", "::ffff:10.0.0.1"]) {
      const text = `@code("INNER") forbid(principal, action, resource) when { ${within(address)} };`;
      expect(cedarProblems([text]).map((problem) => problem.text)).toContainEqual(
        expect.stringContaining("Addresses are judged by the egress rules"),
      );
    }
  });

  it("schema_typo_rejected", () => {
    const typo = '@code("TYPO") forbid(principal, action, resource) unless { context.approvls.contains("deploy") };';
    // Parsed without complaint, and at run time skipped.
    expect(bare.checkParsePolicySet({ staticPolicies: { typo } }).type).toBe("success");
    expect(bareResponse({ permit: PERMIT, typo }).decision).toBe("allow");

    expect(cedarProblems([typo])).toEqual([{ index: 0, text: expect.stringContaining("`approvls`") }]);
    // And what slipped in all the same, as a member of a request or a policy of an older row, is denied.
    expect(codes(ask({ cedar: [typo] }))).toEqual([EVAL_ERROR]);
    const asked = { ...SUBMIT, context: { approvls: ["deploy"] } } as unknown as PolicyRequest;
    expect(() => ask({}, asked)).toThrow(TypeError);
  });
});

/** Deep enough that the wasm runs out of its own stack, which corrupts it. Node 24 can take 600, and neither 1,200. */
const TOO_DEEP = `${"if ".repeat(2_400)}true${" then true else false".repeat(2_400)}`;

describe("an instance that has thrown", () => {
  it("is of no use any more, and is replaced by another in which nothing is parsed", () => {
    const require = createRequire(import.meta.url);
    const file = require.resolve("@cedar-policy/cedar-wasm/nodejs");
    delete require.cache[file];
    const doomed = require(file) as typeof cedar_wasm;
    delete require.cache[file];
    expect(doomed).not.toBe(bare);
    const nested = `forbid(principal, action, resource) when { ${TOO_DEEP} };`;
    expect(() => doomed.policyToJson(nested)).toThrow();

    const cedar = new Cedar(CEDAR_SCHEMA);
    const mine = new PolicyEngine(cedar);
    const ready = mine.prepare(nothingGranted("mine"));
    expect(mine.evaluate(ready, SUBMIT).verdict).toBe("allow");
    expect(cedar.read(nested)).toHaveProperty("problem");
    expect(cedar.generation).toBe(1);
    expect(cedar.authorize(callOf("slot0"))).toEqual({ sure: false });
    expect(mine.evaluate(ready, SUBMIT).verdict).toBe("allow");
  });

  it("denies what it was asked, and what is asked next is answered", () => {
    const cedar = new Cedar(CEDAR_SCHEMA);
    const mine = new PolicyEngine(cedar);
    const broken = mine.prepare({
      ...nothingGranted("broken"),
      cedar: [`@code("DEEP") ${PERMIT.slice(0, -1)} when { ${TOO_DEEP} };`],
    });
    const sound = mine.prepare(nothingGranted("sound"));
    for (let i = 0; i < 3; i++) {
      expect(codes(mine.evaluate(broken, SUBMIT))).toEqual([EVAL_ERROR]);
      expect(mine.evaluate(sound, SUBMIT).verdict).toBe("allow");
    }
    expect(cedar.generation).toBe(3);
  });
});

function callOf(preparsedPolicySetId: string) {
  return {
    principal: { type: "Gantry", id: "gantry" },
    action: { type: "Action", id: "run.submit" },
    resource: { type: "Resource", id: "x" },
    context: { gates: [], resource: "x" },
    preparsedPolicySetId,
    entities: [],
  };
}

describe("gates", () => {
  const two = { gates: [gate("money", "run.submit"), gate("all")] };

  it("that do not hold are what a person decides, in the order of the contract", () => {
    const outcome = ask(two);
    expect(outcome.verdict).toBe("needs_human");
    expect(outcome.gates).toEqual(two.gates);
    expect(outcome.reasons).toEqual([]);
  });

  it("that hold ask nobody", () => {
    expect(ask(two, { ...SUBMIT, gates: ["all"] }).gates.map(({ name }) => name)).toEqual(["money"]);
    expect(ask(two, { ...SUBMIT, gates: ["all", "money"] }).verdict).toBe("allow");
    expect(ask(two, { ...SUBMIT, gates: ["all", "other"] }).verdict).toBe("needs_human");
  });

  it("of another action do not matter", () => {
    expect(ask({ gates: [gate("deploy", "app.deploy")] }).verdict).toBe("allow");
  });

  it("are not asked for when something else denies", () => {
    const outcome = ask(two, { ...SUBMIT, context: { limits: { cpu_ms: 60_001 } } });
    expect([outcome.verdict, codes(outcome), outcome.gates]).toEqual(["deny", ["CONTRACT_LIMIT"], []]);
    const forbidden = ask({ ...two, cedar: ['@code("FREEZE") forbid(principal, action, resource);'] });
    expect([forbidden.verdict, codes(forbidden)]).toEqual(["deny", ["POLICY_FORBIDDEN", "FREEZE"]]);
  });

  it("whose names are not plain text are themselves and nothing more", () => {
    const odd = 'a") || true //\\ *é\n';
    expect(ask({ gates: [gate(odd)] }).gates).toEqual([gate(odd)]);
    expect(ask({ gates: [gate(odd)] }, { ...SUBMIT, gates: [odd] }).verdict).toBe("allow");
  });
});
