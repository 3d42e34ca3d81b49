import { describe, expect, it } from "vitest";
import { AGENT, PRODUCTION, STAGING } from "../../../tests/fixtures/policy_contracts.ts";
import { canonicalJson } from "../kernel/canonical.ts";
import { sha256Hex } from "../kernel/hash.ts";
import { DECISIONS_CACHED_MAX, type PolicyRequest } from "./contract.ts";
import { Decider } from "./decide.ts";
import { PolicyEngine } from "./engine/engine.ts";
import { snapshotOf } from "./snapshot.ts";

/** Counts how often the engine is really asked. */
class Counting extends PolicyEngine {
  asked = 0;
  override evaluate(...args: Parameters<PolicyEngine["evaluate"]>) {
    this.asked += 1;
    return super.evaluate(...args);
  }
}
const numbered = (n: number): PolicyRequest => ({ action: "run.submit", resource: `code:${n}`, context: {} });

describe("decisions are remembered", () => {
  const { id } = snapshotOf(STAGING);

  it("by all that is asked, up to DECISIONS_CACHED_MAX of a snapshot", () => {
    const engine = new Counting();
    const mine = new Decider(engine);
    for (let n = 0; n < DECISIONS_CACHED_MAX; n++) mine.decide(STAGING, id, numbered(n));
    expect(mine.decide(STAGING, id, numbered(0))).toBe(mine.decide(STAGING, id, numbered(0)));
    expect(engine.asked).toBe(DECISIONS_CACHED_MAX);
    mine.decide(STAGING, id, numbered(DECISIONS_CACHED_MAX));
    mine.decide(STAGING, id, numbered(1));
    expect(engine.asked).toBe(DECISIONS_CACHED_MAX + 1);
    mine.decide(STAGING, id, numbered(0));
    expect(engine.asked).toBe(DECISIONS_CACHED_MAX + 2);
  });

  it("and each other request is another", () => {
    const engine = new Counting();
    const mine = new Decider(engine);
    const request = numbered(0);
    const others: PolicyRequest[] = [
      { ...request, action: "tool.list" },
      { ...request, resource: "code:1" },
      { ...request, gates: ["deploy"] },
      { ...request, principal: AGENT },
      { ...request, context: { target: "staging" } },
    ];
    for (const each of [request, ...others, ...others]) mine.decide(STAGING, id, each);
    expect(engine.asked).toBe(1 + others.length);
    mine.decide({ ...STAGING }, id, request);
    mine.decide(STAGING, snapshotOf(PRODUCTION).id, request);
    expect(engine.asked).toBe(3 + others.length);
  });

  it("but not what could not be evaluated, and nobody can change them", () => {
    const engine = new Counting();
    const mine = new Decider(engine);
    const broken = { ...numbered(0), context: { percent: "1" } } as unknown as PolicyRequest;
    for (let i = 0; i < 3; i++) expect(mine.decide(STAGING, id, broken).verdict).toBe("deny");
    expect(engine.asked).toBe(3);
    const decision = mine.decide(STAGING, id, numbered(0));
    for (const each of [decision, decision.reasons, decision.gates]) expect(Object.isFrozen(each)).toBe(true);
  });

  it.each([
    ["out of order", (context: object) => ({ ...numbered(0), context })],
    ["in order", (context: object) => ({ action: "run.submit" as const, context, resource: "code:0" })],
  ])("and a request, its members %s, that change between two looks, is decided as it was hashed", (_, request) => {
    for (const changing of [1, 2, 3]) {
      let looks = 0;
      const context = {
        get target() {
          looks += 1;
          return looks === changing ? "production" : "staging";
        },
      };
      const decision = new Decider().decide(STAGING, id, request(context));
      const target = decision.verdict === "deny" ? "production" : "staging";
      expect(decision.request_hash).toBe(sha256Hex(canonicalJson(request({ target }))));
    }
  });
});
