import { canonicalJson } from "../../kernel/canonical.ts";
import { sha256Hex } from "../../kernel/hash.ts";
import {
  type Contract,
  type ContractRef,
  contract_errors,
  type Decision,
  type GateRule,
  type PolicyRequest,
  type PolicyView,
  type Suspension,
  type Verdict,
} from "../contract.ts";
import { type Decider, sortReasons } from "../decide.ts";
import { type Snapshot, snapshotOf } from "../snapshot.ts";
import { freezeContract } from "../store.ts";

/** One version of a contract in memory: it never changes. */
export interface Opened {
  readonly ref: Readonly<ContractRef>;
  readonly contract: Contract;
  readonly contract_hash: string;
  readonly snapshot: Snapshot;
  /** By this version alone. */
  decide(request: PolicyRequest): Decision;
}

/** What holds of a contract now, as far as this process knows. */
export interface Head {
  current: Opened | undefined;
  suspension: Suspension | null;
}

export function openContract(decider: Decider, ref: ContractRef, contract: Contract): Opened {
  const frozen = freezeContract(contract);
  const snapshot = snapshotOf(frozen);
  return Object.freeze({
    ref: Object.freeze({ name: ref.name, version: ref.version }),
    contract: frozen,
    contract_hash: sha256Hex(canonicalJson(frozen)),
    snapshot,
    decide: (request: PolicyRequest) => decider.decide(frozen, snapshot.id, request),
  });
}

/**
 * One run's view of the version that it was admitted under.
 * @param head  what holds now; undefined: the version is built in and nothing takes its place.
 * @param decided  is told of each decision.
 */
export function viewOf(
  opened: Opened,
  head: Readonly<Head> | undefined,
  decided: (request: PolicyRequest, decision: Decision) => void,
): PolicyView {
  return Object.freeze({
    snapshot: opened.snapshot.id,
    contract: opened.contract,
    contract_hash: opened.contract_hash,
    ref: opened.ref,
    decide: (request: PolicyRequest) => {
      const decision = head === undefined ? opened.decide(request) : decideUnder(opened, head, request);
      decided(request, decision);
      return decision;
    },
  });
}

/** By the run's own version, and by what has taken its place: tightening bites work that is under way, loosening does not. */
function decideUnder(own: Opened, { current, suspension }: Readonly<Head>, request: PolicyRequest): Decision {
  const mine = own.decide(request);
  if (suspension !== null) return both(mine, suspended(mine, own.ref.name, suspension));
  if (current === undefined || current.snapshot.id === own.snapshot.id) return mine;
  return both(mine, current.decide(request));
}

const STRICTNESS: readonly Verdict[] = ["allow", "needs_human", "deny"];

/** The stricter of two decisions, under the snapshot of the first, with what both have to say of it. */
function both(own: Decision, other: Decision): Decision {
  const verdict = STRICTNESS[Math.max(STRICTNESS.indexOf(own.verdict), STRICTNESS.indexOf(other.verdict))] ?? "deny";
  const speaking = [own, other].filter((each) => each.verdict === verdict);
  const gates = new Map<string, GateRule>();
  for (const gate of speaking.flatMap((each) => each.gates)) {
    if (!gates.has(canonicalJson(gate))) gates.set(canonicalJson(gate), gate);
  }
  return {
    ...own,
    verdict,
    reasons: sortReasons(speaking.flatMap((each) => each.reasons)),
    gates: verdict === "needs_human" ? [...gates.values()] : [],
  };
}

function suspended(like: Decision, name: string, { metric, entry }: Suspension): Decision {
  const detail = `The contract ${name} has suspended itself by its ${metric}; the entry ${entry} crossed the line.`;
  return { ...like, verdict: "deny", reasons: [{ code: contract_errors.SUSPENDED.code, detail }], gates: [] };
}
