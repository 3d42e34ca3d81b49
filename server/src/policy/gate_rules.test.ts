import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { ACTIONS, type GateRule, gateNames, mergeGates } from "./contract.ts";

const gate: fc.Arbitrary<GateRule> = fc.record({
  on: fc.constantFrom("*" as const, ACTIONS[0], ACTIONS[1]),
  name: fc.stringMatching(/^[a-d]{1,2}$/),
  quorum: fc.integer({ min: 1, max: 10 }),
  not_after_ms: fc.integer({ min: 1, max: 100 }),
  execute_before_ms: fc.integer({ min: 1, max: 100 }),
});
const gates = fc.array(gate, { minLength: 1, maxLength: 5 });

describe("several gates of one action", () => {
  it("are one: all names, the highest quorum, the shortest clocks", () => {
    const deploy: GateRule = { on: "app.deploy", name: "deploy", quorum: 1, not_after_ms: 9, execute_before_ms: 2 };
    const all: GateRule = { on: "*", name: "all", quorum: 3, not_after_ms: 5, execute_before_ms: 7 };
    const one = { on: "app.deploy", name: "all+deploy", quorum: 3, not_after_ms: 5, execute_before_ms: 2 };
    expect(mergeGates([deploy, all])).toEqual(one);
    expect(gateNames("all+deploy")).toEqual(["all", "deploy"]);
  });

  it("are the same whatever their order, and merging again changes nothing", () => {
    fc.assert(
      fc.property(gates, (each) => {
        const merged = mergeGates(each);
        expect(mergeGates([...each].reverse())).toEqual(merged);
        expect(mergeGates([merged, ...each])).toEqual(merged);
        expect(mergeGates([merged])).toEqual(merged);
      }),
    );
  });

  it("are no weaker than any of them", () => {
    fc.assert(
      fc.property(gates, (each) => {
        const merged = mergeGates(each);
        for (const one of each) {
          expect(merged.quorum).toBeGreaterThanOrEqual(one.quorum);
          expect(merged.not_after_ms).toBeLessThanOrEqual(one.not_after_ms);
          expect(merged.execute_before_ms).toBeLessThanOrEqual(one.execute_before_ms);
          expect(gateNames(merged.name)).toContain(one.name);
        }
      }),
    );
  });

  it("are at least one", () => {
    expect(() => mergeGates([])).toThrow(RangeError);
  });
});
