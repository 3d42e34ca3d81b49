import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { anyContract, anyRequest } from "../../../../tests/fixtures/contract_arbitraries.ts";
import { nothingGranted } from "../builtin.ts";
import type { Contract, PolicyRequest } from "../contract.ts";
import { Cedar } from "./cedar.ts";
import { PolicyEngine } from "./engine.ts";
import { CEDAR_SCHEMA } from "./schema.ts";

/** Counts how often Cedar is really asked. */
class Counting extends Cedar {
  asked = 0;
  override authorize(...args: Parameters<Cedar["authorize"]>) {
    this.asked += 1;
    return super.authorize(...args);
  }
}
const calling = (path: unknown): PolicyRequest => ({
  action: "egress.request",
  resource: "host:a.example",
  context: { host: "a.example", port: 443, protocol: "https", method: "GET", path: path as string },
});
const open: Partial<Contract> = {
  egress: [{ hosts: ["a.example"], protocol: "https" }],
  data: { reads: ["public"], writes: [] },
};

/** How often Cedar is asked for these paths, and what is answered. */
function asked(contract: Partial<Contract>, paths: unknown[]): [number, string[]] {
  const cedar = new Counting(CEDAR_SCHEMA);
  const engine = new PolicyEngine(cedar);
  const ready = engine.prepare({ ...nothingGranted("mine"), ...contract });
  const verdicts = paths.map((path) => engine.evaluate(ready, calling(path)).verdict);
  return [cedar.asked, verdicts];
}

describe("what Cedar said is asked once", () => {
  it("for calls that differ in their paths alone, where no policy looks at paths", () => {
    const paths = Array.from({ length: 100 }, (_, i) => `/v1/${i}`);
    expect(asked(open, paths)).toEqual([1, paths.map(() => "allow")]);
    // What the rules say of paths is not Cedar's to say.
    const rules = [{ hosts: ["a.example"], protocol: "https" as const, paths: ["/v1/*"] }];
    expect(asked({ ...open, egress: rules }, ["/v1/x", "/v2", "/v1/y"])[1]).toEqual(["allow", "deny", "allow"]);
  });

  it.each([
    `@code("NO_ADMIN") forbid(principal, action, resource) when { context has path && context.path like "/admin*" };`,
    `@code("NO_ADMIN") forbid(principal, action, resource) when { context has "p\\u{61}th" && context["p\\u{61}th"] like "/admin*" };`,
  ])("for each path, where a policy may look at it: %s", (policy) => {
    const [times, verdicts] = asked({ ...open, cedar: [policy] }, ["/x", "/admin", "/x", "/admin/y"]);
    expect([times, verdicts]).toEqual([3, ["allow", "deny", "allow", "deny"]]);
  });

  it("and a path that is no text is still refused", () => {
    expect(asked(open, [5, null, ["/v1"], "/v1"])[1]).toEqual(["deny", "deny", "deny", "allow"]);
  });

  it("and each answer is the one that a fresh engine gives", () => {
    const cedar = new Counting(CEDAR_SCHEMA);
    const engine = new PolicyEngine(cedar);
    let remembered = 0;
    fc.assert(
      fc.property(anyContract, fc.array(anyRequest, { minLength: 40, maxLength: 40 }), (contract, requests) => {
        const ready = engine.prepare(contract);
        for (const request of requests.flatMap((each) => [each, each])) {
          const fresh = engine.evaluate({ ...ready, answers: new Map(), is_path_blind: false }, request);
          const before = cedar.asked;
          expect(engine.evaluate(ready, request)).toEqual(fresh);
          if (cedar.asked === before) remembered += 1;
        }
        expect(ready.answers.size).toBeLessThanOrEqual(32);
      }),
      { numRuns: 30 },
    );
    // Not each second time: what cannot be evaluated is asked again.
    expect(remembered).toBeGreaterThan(1_000);
  }, 60_000);
});
