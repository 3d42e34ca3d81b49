import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { nothingGranted } from "../builtin.ts";
import { type Contract, POLICY_SLOTS } from "../contract.ts";
import { Cedar } from "./cedar.ts";
import { PolicyEngine, type Ready } from "./engine.ts";
import { CEDAR_SCHEMA } from "./schema.ts";
import { Slots } from "./slots.ts";

const SET = (n: number) => ({
  key: `set${n}`,
  policies: { permit: `@code("N${n}") permit(principal, action, resource);` },
});

/** A tenant whose runs may name its own target and no other. */
const tenant = (n: number): Contract => ({
  ...nothingGranted(`tenant-${n}`),
  class: "controlled-mutation",
  targets: [`target-${n}`],
});

describe("slots", () => {
  it("are at most POLICY_SLOTS, and one set more takes the place of the one unused the longest", () => {
    const cedar = new Cedar(CEDAR_SCHEMA);
    const slots = new Slots(cedar);
    const ids = Array.from({ length: POLICY_SLOTS }, (_, n) => slots.hold(SET(n)));
    expect(new Set(ids).size).toBe(POLICY_SLOTS);
    expect(slots.hold(SET(0))).toBe(ids[0]);
    expect(slots.hold(SET(POLICY_SLOTS))).toBe(ids[1]);
    expect(slots.hold(SET(0))).toBe(ids[0]);
    expect(slots.hold(SET(1))).toBe(ids[2]);
  });

  it("of a set that does not parse belong to nobody, though Cedar still has in them what was there", () => {
    const cedar = new Cedar(CEDAR_SCHEMA);
    const slots = new Slots(cedar, 1);
    const before = slots.hold(SET(1));
    expect(before).toBeDefined();
    expect(slots.hold({ key: "broken", policies: { broken: "permit(" } })).toBeUndefined();
    expect(slots.hold({ key: "broken", policies: { broken: "permit(" } })).toBeUndefined();
    expect(slots.hold(SET(2))).toBe(before);
  });

  it("never answer for another tenant, in whatever order 1,000 of them ask", () => {
    const cedar = new Cedar(CEDAR_SCHEMA);
    const engine = new PolicyEngine(cedar, new Slots(cedar, 8));
    const tenants: Ready[] = Array.from({ length: 1_000 }, (_, n) => engine.prepare(tenant(n)));
    const asks = fc.array(
      fc.record({
        who: fc.nat(999),
        near: fc.nat(9),
        own: fc.boolean(),
        lost: fc.constantFrom(false, false, false, false, true),
      }),
      { minLength: 20, maxLength: 60 },
    );
    fc.assert(
      fc.property(asks, (all) => {
        for (const { who, near, own, lost } of all) {
          if (lost && near === 0) cedar.parse("x", new Proxy({}, { ownKeys: () => raise() }));
          const asked = own ? who : (who + near + 1) % 1_000;
          const request = {
            action: "app.deploy",
            resource: "app:x",
            context: { target: `target-${asked}`, app: "x" },
          } as const;
          const { verdict, reasons } = engine.evaluate(tenants[who]!, request);
          expect([verdict, reasons[0]?.code]).toEqual(own ? ["allow", undefined] : ["deny", "POLICY_TARGET"]);
        }
      }),
      { numRuns: 60 },
    );
  }, 60_000); // every change of tenant parses: thousands of them, and instances made anew
});

function raise(): never {
  throw new Error("lost");
}
