import { canonicalJson } from "../kernel/canonical.ts";
import type { Reason } from "../kernel/errors.ts";
import { sha256Hex } from "../kernel/hash.ts";
import type { SnapshotId } from "../kernel/ids.ts";
import {
  type Contract,
  contract_errors,
  DECISIONS_CACHED_MAX,
  type Decision,
  POLICY_REQUEST_BYTES_MAX,
  POLICY_SLOTS,
  type PolicyRequest,
  policy_errors,
  REASONS_MAX,
} from "./contract.ts";
import { DOUBTED, type Outcome, PolicyEngine, type Ready } from "./engine/engine.ts";

/** The places of the codes: policy's first, in the order of their tables. */
const PRIORITY = [...Object.values(policy_errors), ...Object.values(contract_errors)].map((kind) => kind.code);
/** Stands for a request that has no canonical form, and so no hash. */
const NO_HASH = "0".repeat(64);

/** A rule of the contract that decided, for whoever asks why. */
export interface DecidedBy {
  /** JSON pointer into the contract. */
  at: string;
  code: string;
  /** As Cedar was given it. */
  text: string;
}

interface View {
  snapshot: SnapshotId;
  ready: Ready;
  /** By the hash of the request, oldest first. */
  cache: Map<string, Decision>;
}

/**
 * May it? The same contract and request give the same answer everywhere. Synchronous, without I/O, and it never throws,
 * whatever the request really is: what cannot be evaluated is denied.
 * Monotone: lowering a ceiling, adding a forbid or a gate, or asking for more, never turns a denial into an allowance.
 */
export class Decider {
  readonly #engine: PolicyEngine;
  /** A contract that nobody holds any more takes its view with it. */
  readonly #views = new WeakMap<Contract, View>();
  /** Those that remember decisions, oldest first. */
  readonly #remembering = new Set<View>();

  /** @throws Error when the engine cannot be loaded. */
  constructor(engine: PolicyEngine = new PolicyEngine()) {
    this.#engine = engine;
  }

  /** @param contract  frozen: what it says is compiled once. */
  decide(contract: Contract, snapshot: SnapshotId, request: PolicyRequest): Decision {
    let request_hash = NO_HASH;
    try {
      const text = canonicalJson(request);
      request_hash = sha256Hex(text);
      const view = this.#view(contract, snapshot);
      const known = view.cache.get(request_hash);
      if (known !== undefined) return known;
      const outcome = this.#evaluate(view, text);
      const decision = decisionOf(outcome, snapshot, request_hash);
      if (outcome !== DOUBTED) this.#remember(view, decision);
      return decision;
    } catch {
      // The request is not what its type says; why does not change the answer, and a caller learns nothing from it.
      return decisionOf(DOUBTED, snapshot, request_hash);
    }
  }

  /** The decision, and the rules that made it. A denial for want of a permit, or of something beside Cedar, has no rule. */
  explain(contract: Contract, snapshot: SnapshotId, request: PolicyRequest): { decision: Decision; by: DecidedBy[] } {
    const decision = this.decide(contract, snapshot, request);
    try {
      const { rules } = this.#evaluate(this.#view(contract, snapshot), canonicalJson(request));
      return { decision, by: rules.map(({ rule: { at, code, text } }) => ({ at, code, text })) };
    } catch {
      return { decision, by: [] };
    }
  }

  /** What is evaluated is what was hashed: a request whose members change between two looks is not asked twice. */
  #evaluate(view: View, text: string): Outcome {
    if (Buffer.byteLength(text) > POLICY_REQUEST_BYTES_MAX) return DOUBTED;
    return this.#engine.evaluate(view.ready, JSON.parse(text) as PolicyRequest);
  }

  #view(contract: Contract, snapshot: SnapshotId): View {
    const known = this.#views.get(contract);
    if (known?.snapshot === snapshot) return known;
    const view = { snapshot, ready: this.#engine.prepare(contract), cache: new Map() };
    this.#views.set(contract, view);
    return view;
  }

  #remember(view: View, decision: Decision): void {
    forgetOldest(view.cache, DECISIONS_CACHED_MAX);
    view.cache.set(decision.request_hash, decision);
    if (this.#remembering.has(view)) return;
    for (const oldest of this.#remembering) {
      if (this.#remembering.size < POLICY_SLOTS) break;
      oldest.cache.clear();
      this.#remembering.delete(oldest);
    }
    this.#remembering.add(view);
  }
}

/** Frozen, because whoever asks the same again is given the same object. */
function decisionOf({ verdict, reasons, gates }: Outcome, snapshot: SnapshotId, request_hash: string): Decision {
  const sorted = sortReasons(reasons);
  for (const list of [sorted, gates]) Object.freeze(list);
  return Object.freeze({ verdict, reasons: sorted, gates, snapshot, request_hash });
}

/** Without repeats, by the place of the code, then by code, then by detail; the first `REASONS_MAX`. */
export function sortReasons(reasons: Reason[]): Reason[] {
  const unique = new Map(reasons.map((reason) => [`${reason.code}\n${reason.detail}`, reason]));
  return [...unique.values()]
    .sort((a, b) => place(a.code) - place(b.code) || compare(a.code, b.code) || compare(a.detail, b.detail))
    .slice(0, REASONS_MAX);
}

function place(code: string): number {
  const at = PRIORITY.indexOf(code);
  return at === -1 ? PRIORITY.length : at;
}

/** By UTF-16 code units: a locale must not decide an order that is hashed. */
function compare(a: string, b: string): number {
  if (a === b) return 0;
  return a < b ? -1 : 1;
}

/** Maps iterate in the order of insertion, so the first is the oldest. */
function forgetOldest<K, V>(known: Map<K, V>, max: number): void {
  if (known.size < max) return;
  for (const oldest of known.keys()) {
    known.delete(oldest);
    return;
  }
}
