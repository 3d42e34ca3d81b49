import { stringify } from "yaml";
import type { Contract } from "../contract.ts";
import { withoutTaken } from "./catalogue.ts";
import { CONTRACT_KEYS } from "./document.ts";

/** Ten-thousandths in one. */
const BP = 10_000;

/**
 * The contract as a document in which nothing is left to be inherited: YAML, the keys in the order in which documents are
 * written, equal contracts as equal text. What is read from it is the contract again, by the catalogue that it was read with;
 * of a built-in one, which extends nothing, it is for people alone.
 */
export function renderContract(contract: Contract): string {
  const egress = contract.egress.map(withoutTaken);
  const values: Record<string, unknown> = { ...contract, egress, phase: phaseOf(contract.phase) };
  const said = CONTRACT_KEYS.map((key) => [key, values[key]]).filter(([, value]) => value !== null);
  // Anchors and folded lines are for people who write; aliases would not be read again.
  return stringify(Object.fromEntries(said), { aliasDuplicateObjects: false, lineWidth: 0 });
}

/** Documents have fractions, and no end as the absence of one. */
function phaseOf(phase: Contract["phase"]): unknown {
  if (phase === null) return null;
  const rollback_when = phase.rollback_when.map(({ over_bp, ...rest }) => ({ ...rest, over: over_bp / BP }));
  return { n: phase.n, ...(phase.until === null ? {} : { until: phase.until }), rollback_when };
}
