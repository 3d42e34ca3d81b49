/** The process whose memory `policy_memory.ts` looks at. */
import { Decider } from "../../server/src/policy/decide.ts";
import { snapshotOf } from "../../server/src/policy/snapshot.ts";
import { callOf, fiftyRules } from "./policy_ground.ts";

const WARM = 300;
const CONTRACTS = 10_000;
const decider = new Decider();

decideUnder(0, WARM);
const before = settled();
decideUnder(WARM, CONTRACTS);
const first = settled();
decideUnder(WARM + CONTRACTS, CONTRACTS);
process.send?.({ before, first, second: settled() }, () => process.exit());

function decideUnder(from: number, count: number): void {
  for (let i = from; i < from + count; i++) {
    const contract = fiftyRules(`C${i}`);
    const { verdict } = decider.decide(contract, snapshotOf(contract).id, callOf(i));
    if (verdict !== "allow") throw new Error(`contract ${i}: ${verdict}`);
  }
}

function settled(): number {
  for (let i = 0; i < 3; i++) globalThis.gc?.();
  return process.memoryUsage().rss;
}
