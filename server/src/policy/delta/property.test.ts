import fc from "fast-check";
import { describe, expect, it } from "vitest";
import {
  anyContract,
  anyRequest,
  contractPair,
  fewPolicies,
  fewRules,
  flagRequest,
  nearRequest,
  thinned,
} from "../../../../tests/fixtures/contract_arbitraries.ts";
import type { Contract, PolicyRequest } from "../contract.ts";
import { Decider } from "../decide.ts";
import { snapshotOf } from "../snapshot.ts";
import { freezeContract } from "../store.ts";
import { contractDelta } from "./delta.ts";

const decider = new Decider();
const STRICTNESS = ["allow", "needs_human", "deny"];
const several = (request: fc.Arbitrary<PolicyRequest>) => fc.array(request, { minLength: 8, maxLength: 8 });

/** How strict the contract is about each request. */
function answers(contract: Contract, asked: PolicyRequest[]): number[] {
  const frozen = freezeContract(contract);
  const { id } = snapshotOf(frozen);
  return asked.map((request) => STRICTNESS.indexOf(decider.decide(frozen, id, request).verdict));
}

/** How often a pair was called tightening although it differs: a property that nothing meets proves nothing. */
function holds(
  pairs: fc.Arbitrary<[Contract, Contract]>,
  runs: number,
  request = anyRequest,
): { tightening: number; denied: number } {
  const seen = { tightening: 0, denied: 0 };
  fc.assert(
    fc.property(pairs, several(request), ([before, after], asked) => {
      const delta = contractDelta(before, after);
      if (delta.loosens || delta.lines.length === 0) return;
      seen.tightening += 1;
      const [then, now] = [answers(before, asked), answers(after, asked)];
      for (const [i, strictness] of then.entries()) {
        if ((now[i] ?? 0) > strictness) seen.denied += 1;
        expect(now[i], `${JSON.stringify(asked[i])}\n${JSON.stringify(delta.lines)}`).toBeGreaterThanOrEqual(
          strictness,
        );
      }
    }),
    { numRuns: runs },
  );
  return seen;
}

describe("what is called tightening allows nothing that was denied, and asks nobody about what was", () => {
  it("for contracts that differ in a few keys", () => {
    expect(holds(contractPair, 600).tightening).toBeGreaterThan(20);
  }, 120_000);

  it("for contracts of which something is gone", () => {
    const { tightening, denied } = holds(thinned, 600);
    expect(tightening).toBeGreaterThan(60);
    expect(denied).toBeGreaterThan(10);
  }, 120_000);

  it("for rules of which the first that matches counts", () => {
    const { tightening, denied } = holds(fewRules, 600, nearRequest);
    expect(tightening).toBeGreaterThan(100);
    expect(denied).toBeGreaterThan(100);
  }, 120_000);

  it("for Cedar policies, of which one that fails denies", () => {
    const { tightening, denied } = holds(fewPolicies, 1_200, flagRequest);
    expect(tightening).toBeGreaterThan(20);
    expect(denied).toBeGreaterThan(20);
  }, 120_000);
});

it("nothing changes when nothing changes", () => {
  fc.assert(
    fc.property(anyContract, (contract) => {
      expect(contractDelta(contract, structuredClone(contract))).toEqual({ loosens: false, lines: [] });
    }),
    { numRuns: 100 },
  );
});
