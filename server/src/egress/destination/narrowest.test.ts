import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { egressRule } from "../../../../tests/fixtures/contract_arbitraries.ts";
import {
  callerUnder,
  contractWith,
  type JudgeOptions,
  judge,
  refusalOf,
  TRIAGE,
} from "../../../../tests/fixtures/egress_calls.ts";
import { type GantryError, isGantryError } from "../../kernel/errors.ts";
import { type Contract, type EgressRule, matchEgress } from "../../policy/contract.ts";
import { contractDelta } from "../../policy/delta/delta.ts";
import type { Protocol } from "../contract.ts";
import type { Target } from "../parts.ts";
import { knownAddresses } from "./address.ts";
import { pinAddress } from "./pin.ts";
import { judgeCall } from "./rules.ts";

const refused = (url: string, o?: JudgeOptions, contract: Contract = TRIAGE) =>
  refusalOf(() => judge(contract, url, o));
const stepOf = (error: GantryError) => error.parts.next_steps?.[0];
describe("the rule that is offered", () => {
  it("is the narrowest, and is absent where there is none", () => {
    const offered = (url: string, method = "GET") => stepOf(refused(url, { method }));
    expect(offered("https://api.example.com/v3", "POST")).toEqual({
      kind: "contract.egress.rule",
      text: "The narrowest rule that allows this call",
      rule: { hosts: ["api.example.com"], protocol: "https", ports: [443], methods: ["POST"], paths: ["/v3"] },
      needs: "contract-change",
    });
    expect(offered("wss://a.example/x?y")?.rule).toEqual({
      hosts: ["a.example"],
      protocol: "wss",
      ports: [443],
      paths: ["/x"],
    });
    expect(offered("tcp://a.example:22")?.rule).toEqual({ hosts: ["a.example"], protocol: "tcp", ports: [22] });
    expect(offered("http://10.0.0.5/")?.rule).toMatchObject({ hosts: ["10.0.0.5"], private: true });
    expect(offered("http://localhost/")?.rule).toMatchObject({ private: true, addresses: ["127.0.0.1", "::1"] });
    for (const path of ["/a*b", "//a", "/%2e%41", `/${"a".repeat(256)}`]) {
      expect(refused(`https://a.example${path}`).parts.next_steps).toEqual([]);
    }
    for (const method of ["get", "TRACE", "A b", "*"]) expect(offered("https://a.example/", method)).toBeUndefined();
  });

  it("stands before the rule that let the call out to addresses that it may not reach", () => {
    const wide = contractWith([{ id: "wide", hosts: ["**"], protocol: "http" }]);
    const call = judge(wide, "http://db.example/x");
    const error = refusalOf(() =>
      pinAddress(call, ["10.0.0.5", "8.8.8.8", "fd00::5"], { nat64: [], isSelf: () => false, was_public: false }),
    );
    const step = stepOf(error);
    expect(step?.text).toBe("The narrowest rule that allows this call; it stands before the rule wide");
    const granted = contractWith([step?.rule as unknown as EgressRule, ...wide.egress]);
    const pinned = pinAddress(judge(granted, "http://db.example/x"), ["10.0.0.5", "8.8.8.8", "fd00::5"], {
      nat64: [],
      isSelf: () => false,
      was_public: false,
    });
    expect(pinned.address).toBe("10.0.0.5");
  });
});

// Calls that are near to each other, so that rules tell them apart or do not.
const target: fc.Arbitrary<Target> = fc
  .record({
    protocol: fc.constantFrom<Protocol>("http", "https", "ws", "wss", "tcp", "tls"),
    host: fc.constantFrom(
      "a.example",
      "b.a.example",
      "c.b.a.example",
      "example",
      "192.0.2.1",
      "8.8.8.8",
      "[2606:4700::1]",
      "localhost",
    ),
    port: fc.constantFrom(80, 443, 8443),
    path: fc.constantFrom("/", "/v1", "/v1/x", "/v1/x/y", "/v1%2fx", "/v1*", "/V1", "//v1", "/v1/x%41", "/~a;b=c"),
  })
  .map((own) =>
    own.protocol === "tcp" || own.protocol === "tls" ? { ...own, path: "", query: "" } : { ...own, query: "" },
  );
const call = fc
  .tuple(target, fc.constantFrom("GET", "HEAD", "POST", "DELETE", "OPTIONS", "get"))
  .map(([to, method]) => {
    if (to.protocol === "tcp" || to.protocol === "tls") return { target: to, method: "CONNECT" };
    return { target: to, method: to.protocol === "ws" || to.protocol === "wss" ? "GET" : method };
  });
type Asked = { target: Target; method: string };
/** Is the call let out, addresses included? A name has a public address. */
function isLetOut(egress: readonly EgressRule[], asked: Asked): boolean {
  try {
    const judged = judgeCall(callerUnder(contractWith([...egress])), asked, []);
    const addresses = knownAddresses(asked.target.host) ?? ["93.184.216.34"];
    pinAddress(judged, addresses, { nat64: [], isSelf: () => false, was_public: false });
    return true;
  } catch (error) {
    if (isGantryError(error)) return false;
    throw error;
  }
}

it("applying the rule that is offered allows that call, and no other host, method or path", () => {
  let offered = 0;
  fc.assert(
    fc.property(
      fc.array(egressRule, { maxLength: 2 }),
      call,
      fc.array(call, { minLength: 8, maxLength: 8 }),
      (rules, asked, others) => {
        const who = callerUnder(contractWith(rules));
        let step: ReturnType<typeof stepOf>;
        try {
          judgeCall(who, asked, []);
          return;
        } catch (error) {
          if (!isGantryError(error)) throw error;
          step = stepOf(error);
        }
        if (step?.rule === undefined) return;
        offered += 1;
        const rule = step.rule as unknown as EgressRule;
        const applied = [rule, ...rules];
        expect(isLetOut(applied, asked), JSON.stringify(rule)).toBe(true);
        for (const other of others) {
          const is_same = JSON.stringify(other) === JSON.stringify(asked);
          if (is_same || isLetOut(rules, other)) continue;
          expect(isLetOut(applied, other), JSON.stringify([rule, other])).toBe(false);
        }
      },
    ),
    { numRuns: 1_000 },
  );
  expect(offered).toBeGreaterThan(300);
}, 60_000);

it("narrowing never widens: a change that is called tightening lets out no call that was not", () => {
  let tightened = 0;
  const narrowed = fc.array(egressRule, { minLength: 1, maxLength: 2 }).chain((before) => {
    const narrower = before.map((rule) =>
      fc.tuple(fc.constant(rule), egressRule, fc.subarray(Object.keys(rule))).map(([own, other, keys]) => {
        const changed = Object.fromEntries(Object.entries(other).filter(([key]) => keys.includes(key)));
        return { ...own, ...changed } as EgressRule;
      }),
    );
    return fc.tuple(fc.constant(before), fc.tuple(...narrower), fc.array(call, { minLength: 20, maxLength: 20 }));
  });
  fc.assert(
    fc.property(narrowed, ([before, after, asked]) => {
      const delta = contractDelta(contractWith(before), contractWith(after));
      if (delta.loosens || delta.lines.length === 0) return;
      tightened += 1;
      for (const each of asked) if (isLetOut(after, each)) expect(isLetOut(before, each)).toBe(true);
    }),
    { numRuns: 1_500 },
  );
  expect(tightened).toBeGreaterThan(20);
}, 60_000);

it("a call is told what the rules say", () => {
  fc.assert(
    fc.property(fc.array(egressRule, { maxLength: 3 }), call, (rules, asked) => {
      const { protocol, host, port, path } = asked.target;
      const found = matchEgress(rules, { protocol, host, port, path, method: asked.method });
      try {
        const judged = judgeCall(callerUnder(contractWith(rules, { targets: ["*"] })), asked, []);
        expect("rule" in found && found.id).toBe(judged.rule_id);
      } catch (error) {
        if (!isGantryError(error)) throw error;
        if (!("rule" in found)) return;
        expect(["EGRESS_PRIVATE_ADDR", "POLICY_DATA_CLASS"]).toContain(error.code);
      }
    }),
    { numRuns: 500 },
  );
});
