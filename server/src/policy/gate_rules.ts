import type { GateRule } from "./shape.ts";

/** Joins the names of gates that one approval stands for; no gate's own name has it. */
const GATES_JOINED_BY = "+";

/**
 * What one approval must satisfy when several gates hold the same action: all their names, sorted and joined by `+`, the
 * highest quorum and the shortest clocks, so that it satisfies each of them. The order of the gates does not matter.
 * @param gates  at least one.
 */
export function mergeGates(gates: readonly GateRule[]): GateRule {
  const [first, ...others] = gates;
  if (first === undefined) throw new RangeError("there is no gate to merge");
  if (others.length === 0) return first;
  const own = [...new Set(gates.map(({ on }) => on).filter((on) => on !== "*"))];
  const [on] = own;
  return {
    on: on === undefined || own.length > 1 ? "*" : on,
    name: [...new Set(gates.flatMap(({ name }) => gateNames(name)))].sort().join(GATES_JOINED_BY),
    quorum: Math.max(...gates.map(({ quorum }) => quorum)),
    not_after_ms: Math.min(...gates.map(({ not_after_ms }) => not_after_ms)),
    execute_before_ms: Math.min(...gates.map(({ execute_before_ms }) => execute_before_ms)),
  };
}

/** The gates that an approval of this name holds open: what `PolicyRequest.gates` wants. */
export function gateNames(merged: string): string[] {
  return merged.split(GATES_JOINED_BY);
}
