import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { AGENT, gate, PRODUCTION, READ_ONLY, STAGING } from "../../../tests/fixtures/policy_contracts.ts";
import {
  ACTIONS,
  CONTRACT_CLASSES,
  type Contract,
  DATA_CLASSES,
  type GateRule,
  type PolicyRequest,
  type Verdict,
} from "./contract.ts";
import { Decider } from "./decide.ts";
import { CEDAR_SCHEMA } from "./engine/schema.ts";
import { snapshotOf } from "./snapshot.ts";

const decider = new Decider();
const STRICTNESS: Verdict[] = ["allow", "needs_human", "deny"];
const strictness = ({ verdict }: { verdict: Verdict }) => STRICTNESS.indexOf(verdict);
const pick = <T>(...values: T[]) => fc.constantFrom(...values);
const anyContext = fc.record(
  {
    target: pick("staging", "production"),
    host: pick("api.example.com", "a.internal.example", "evil.example"),
    port: pick(443, 80),
    protocol: pick("https", "http"),
    method: pick("GET", "POST", "DELETE"),
    path: pick("/v1/a", "/v2"),
    secret: pick("example-staging", "other"),
    tool: pick("issues.list", "shell"),
    args: pick({}, { repo: "acme/a" }),
    repo: pick("work/a", "play/a"),
    app: pick("web", "shop"),
    flag: pick("friday", "dark"),
    data_class: pick(...DATA_CLASSES),
    read_class: pick(...DATA_CLASSES),
    limits: pick({}, { cpu_ms: 500 }, { cpu_ms: 2_000 }),
  },
  { requiredKeys: [] },
);
const anyRequest: fc.Arbitrary<PolicyRequest> = fc.record({
  action: pick(...ACTIONS),
  resource: pick("workflow:nightly-a", "code:1"),
  principal: pick<NonNullable<PolicyRequest["principal"]>>(AGENT, { actor: "act_0", kind: "human", for: "act_0" }),
  gates: fc.subarray(["deploy", "more", "production"]),
  context: anyContext,
}) as fc.Arbitrary<PolicyRequest>;
const anyContract = fc
  .tuple(pick(STAGING, READ_ONLY, PRODUCTION), pick(1_000, 60_000))
  .map(([contract, cpu_ms]): Contract => ({ ...contract, limits: { ...contract.limits, cpu_ms } }));

const OWN = [
  "true",
  "principal is Agent",
  'context has host && context.host == "api.example.com"',
  'context has target && context.target == "staging"',
  "context has mutating && context.mutating",
];
/** Changes that take something away. */
const TIGHTENINGS: fc.Arbitrary<(contract: Contract) => Contract> = fc.oneof(
  pick(...OWN).map((when) => (contract: Contract) => ({
    ...contract,
    cedar: [...contract.cedar, `@code("MORE") forbid(principal, action, resource) when { ${when} };`],
  })),
  pick<GateRule["on"]>("*", "run.submit", "egress.request").map((on) => (contract: Contract) => ({
    ...contract,
    gates: [...contract.gates, gate("more", on)],
  })),
  fc.nat(1_000).map((cpu_ms) => (contract: Contract) => ({ ...contract, limits: { ...contract.limits, cpu_ms } })),
  pick(...CONTRACT_CLASSES).map((name) => (contract: Contract) => ({
    ...contract,
    class: CONTRACT_CLASSES[Math.min(CONTRACT_CLASSES.indexOf(name), CONTRACT_CLASSES.indexOf(contract.class))] ?? name,
  })),
  // The last one: what an earlier one let out would fall to those behind it.
  fc.constant((contract: Contract) => ({ ...contract, egress: contract.egress.slice(0, -1) })),
  fc.constant((contract: Contract) => ({ ...contract, tools: [] })),
  fc.constant((contract: Contract) => ({ ...contract, targets: [] })),
  fc.constant((contract: Contract) => ({ ...contract, bindings: {} })),
  fc.constant((contract: Contract) => ({ ...contract, data: { reads: [], writes: [] } })),
);

describe("a decision is monotone", () => {
  it("taking something away never makes it milder", () => {
    fc.assert(
      fc.property(anyContract, TIGHTENINGS, anyRequest, (contract, tighten, request) => {
        const before = decider.decide(contract, snapshotOf(contract).id, request);
        const tightened = tighten(contract);
        const after = decider.decide(tightened, snapshotOf(tightened).id, request);
        expect(strictness(after)).toBeGreaterThanOrEqual(strictness(before));
      }),
      { numRuns: 400 },
    );
  });

  it("holding more gates never makes it stricter, and never turns a denial", () => {
    fc.assert(
      fc.property(anyContract, anyRequest, (contract, request) => {
        const { id } = snapshotOf(contract);
        const none = decider.decide(contract, id, { ...request, gates: [] });
        const all = decider.decide(contract, id, { ...request, gates: ["deploy", "more", "production"] });
        expect(strictness(all)).toBeLessThanOrEqual(strictness(none));
        expect(all.verdict === "deny").toBe(none.verdict === "deny");
        if (none.verdict === "deny") expect(all.reasons).toEqual(none.reasons);
      }),
    );
  });

  it("a forbid that fails denies, whatever else allows", () => {
    const members = [...CEDAR_SCHEMA.matchAll(/^ {2}(\w+)\?: (String|Long|Bool|Set<String>),$/gm)].map(
      ([, name]) => name ?? "",
    );
    expect(members.length).toBeGreaterThan(15);
    fc.assert(
      fc.property(pick(...members), anyRequest, (member, request) => {
        const failing = `@code("FAILS") forbid(principal, action, resource) when { context.${member} == context.${member} && false };`;
        const before = decider.decide(STAGING, snapshotOf(STAGING).id, request);
        const contract = { ...STAGING, cedar: [...STAGING.cedar, failing] };
        const after = decider.decide(contract, snapshotOf(contract).id, request);
        if (after.verdict !== "deny") expect(after.verdict).toBe(before.verdict);
        else expect(after.reasons.length).toBeGreaterThan(0);
        if (before.verdict === "allow" && !Object.hasOwn(request.context, member) && isPlain(member)) {
          expect(after.reasons.map(({ code }) => code)).toEqual(["POLICY_EVAL_ERROR"]);
        }
      }),
    );
  });
});

/** Not worked out by the engine. */
function isPlain(member: string): boolean {
  return !["rule", "mutating", "data_rank", "read_rank", "acts_for", "data_class"].includes(member);
}
