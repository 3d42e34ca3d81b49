/** A contract of fifty rules, what is asked of it, and interleaved rounds of things that take microseconds. */
import { nothingGranted } from "../../server/src/policy/builtin.ts";
import type { Contract, PolicyRequest } from "../../server/src/policy/contract.ts";
import { compile } from "../../server/src/policy/engine/compile.ts";
import { median, summarise } from "./measure.ts";

const RULES = 50;
const ROUNDS = 7;

/** Compiles to `RULES` policies, all of which may apply to a call; `own` makes it different from others. */
export function fiftyRules(own: string, gated = false): Contract {
  const gates = [
    { on: "egress.request" as const, name: "calls", quorum: 1, not_after_ms: 60_000, execute_before_ms: 60_000 },
  ];
  const contract: Contract = {
    ...nothingGranted("bench"),
    class: "controlled-mutation",
    targets: ["staging"],
    egress: [{ hosts: ["api.example.com"], protocol: "https", paths: ["/v1/*"] }],
    gates: gated ? gates : [],
  };
  const given = Object.keys(compile(contract).policies).length;
  const cedar = Array.from(
    { length: RULES - given },
    (_, i) =>
      `@code("${own}_${i}") forbid(principal, action == Action::"egress.request", resource) when { context has host && context.host == "host-${i}.example" };`,
  );
  return { ...contract, cedar };
}

/** A call that the contract lets out; each number is another request. */
export function callOf(n: number): PolicyRequest {
  return {
    action: "egress.request",
    resource: "host:api.example.com",
    principal: { actor: "act_1", kind: "agent", for: "act_0" },
    context: { host: "api.example.com", port: 443, protocol: "https", method: "GET", path: `/v1/${n}` },
  };
}

export interface Way {
  name: string;
  /** Told how often it has been called. */
  call(n: number): unknown;
}

/**
 * Calls each way in turn, in rounds forwards and backwards.
 * @returns rows of `[name, p50, p99, ratio]`, microseconds; the ratio is to the first way of the same round.
 */
export async function rounds(ways: readonly Way[], calls: number): Promise<string[][]> {
  const counts = ways.map(() => 0);
  const round = async (i: number): Promise<number[]> => {
    const times: number[] = [];
    for (let k = 0; k < calls; k++) {
      const n = (counts[i] ?? 0) + 1;
      counts[i] = n;
      const from = performance.now();
      await ways[i]?.call(n);
      times.push((performance.now() - from) * 1_000);
    }
    return times;
  };
  for (const i of ways.keys()) await round(i); // to warm up
  const all = ways.map((): number[] => []);
  const p50s = ways.map((): number[] => []);
  for (let r = 0; r < ROUNDS; r++) {
    const order = [...ways.keys()];
    for (const i of r % 2 === 0 ? order : order.reverse()) {
      const times = await round(i);
      all[i]?.push(...times);
      p50s[i]?.push(median(times));
    }
  }
  return ways.map(({ name }, i) => {
    const ratios = (p50s[i] ?? []).map((p50, r) => p50 / (p50s[0]?.[r] ?? Number.NaN));
    return [name, median(p50s[i] ?? []).toFixed(1), summarise(all[i] ?? []).p99.toFixed(1), median(ratios).toFixed(2)];
  });
}
