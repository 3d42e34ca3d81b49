import { canonicalJson } from "../kernel/canonical.ts";
import type { Reason } from "../kernel/errors.ts";
import { sha256Hex } from "../kernel/hash.ts";
import type { SnapshotId } from "../kernel/ids.ts";
import { LIMIT_NAMES } from "../kernel/limits.ts";
import {
  type Contract,
  contract_errors,
  type Decision,
  type PolicyRequest,
  policy_errors,
  REASONS_MAX,
} from "./contract.ts";

/** The places of the codes: policy's first, in the order of their tables. */
const PRIORITY = [...Object.values(policy_errors), ...Object.values(contract_errors)].map((kind) => kind.code);
/** Stands for a request that has no canonical form, and so no hash. */
const NO_HASH = "0".repeat(64);

/**
 * May it? Pure: the same contract and request give the same answer everywhere. Never throws, whatever the request
 * really is: what cannot be evaluated is denied.
 * Monotone: lowering a ceiling, or asking for more, never turns a denial into an allowance.
 */
export function decide(contract: Contract, snapshot: SnapshotId, request: PolicyRequest): Decision {
  let request_hash = NO_HASH;
  try {
    request_hash = sha256Hex(canonicalJson(request));
    const reasons = sortReasons(denials(contract, request));
    return { verdict: reasons.length === 0 ? "allow" : "deny", reasons, snapshot, request_hash };
  } catch {
    // The request is not what its type says; why does not change the answer, and a caller learns nothing from it.
    const reason = { code: policy_errors.EVAL_ERROR.code, detail: "The request could not be evaluated." };
    return { verdict: "deny", reasons: [reason], snapshot, request_hash };
  }
}

function denials(contract: Contract, request: PolicyRequest): Reason[] {
  if (request.action !== "run.submit") {
    return [{ code: policy_errors.NO_PERMIT.code, detail: `The contract ${contract.name} permits run.submit only.` }];
  }
  const asked = new Map<string, unknown>(Object.entries(request.context.limits));
  const reasons: Reason[] = [];
  for (const name of LIMIT_NAMES) {
    const value = asked.get(name);
    asked.delete(name);
    if (value === undefined) continue;
    if (typeof value !== "number") throw new TypeError(`${name} is not a number`);
    const ceiling = contract.limits[name];
    // Written so that a ceiling that is not a number denies, too.
    if (value <= ceiling) continue;
    reasons.push({
      code: contract_errors.LIMIT.code,
      detail: `${name} ${value} is past the ceiling ${ceiling} of the contract ${contract.name}.`,
    });
  }
  if (asked.size > 0) throw new TypeError("a limit that no contract knows");
  return reasons;
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
