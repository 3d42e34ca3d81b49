import { hasCode } from "../../kernel/errors.ts";
import type { SnapshotId, TenantId } from "../../kernel/ids.ts";
import type { Storage } from "../../storage/contract.ts";
import {
  type Contract,
  type ContractRef,
  contract_errors,
  type Decision,
  type PolicyRequest,
  type RunRequests,
  type SnapshotBody,
  type Suspension,
} from "../contract.ts";
import type { Decider } from "../decide.ts";
import { matchEgress } from "../engine/egress_match.ts";
import { matchTool } from "../engine/tool_match.ts";
import type { ContractPolicy } from "../policy.ts";
import { freezeContract, readContract, selectVersion } from "../store.ts";
import { grantOf, limitsPassed, remediesOf } from "./remedy.ts";
import { linesOf, type SourceLine } from "./source_lines.ts";

/** A rule of the contract that had its part in the decision. */
export interface RuleLine {
  /** JSON pointer into the complete contract. */
  at: string;
  /** What its denial is called; null where it is a place at which something is missing. */
  code: string | null;
  /** Where the document says it; null: the document does not, and the rule is inherited, or absent. */
  line: number | null;
  text: string;
}

/** Why an action is allowed or not. */
export interface Explanation {
  contract: ContractRef;
  snapshot: SnapshotId;
  request: PolicyRequest;
  verdict: Decision["verdict"];
  reasons: Decision["reasons"];
  /** What people must approve first. */
  gates: Decision["gates"];
  rules: RuleLine[];
  /** What would allow it; empty when it is allowed. */
  allowed_by: string[];
  /** By the version that is active now, when it is another one than was asked. */
  now: { contract: ContractRef; snapshot: SnapshotId; verdict: Decision["verdict"] } | null;
}

interface Explained {
  ref: ContractRef;
  snapshot: SnapshotId;
  contract: Contract;
  source: string | null;
  suspension: Suspension | null;
}

export interface ExplainParts {
  storage: Storage;
  policy: ContractPolicy;
  runs: RunRequests;
}

/** Explains decisions, those of runs by the snapshot that they were decided against. */
export class Explainer {
  readonly #parts: ExplainParts;

  constructor(parts: ExplainParts) {
    this.#parts = parts;
  }

  /**
   * What the tenant's active version of the contract says to a request.
   * @throws CONTRACT_UNKNOWN
   */
  async explain(tenant: TenantId, name: string, request: PolicyRequest): Promise<Explanation> {
    const { policy } = this.#parts;
    const { version } = await policy.get(tenant, name);
    const found = await policy.version(tenant, name, version);
    const { contract, snapshot, source, suspension } = found;
    const explained = { ref: { name, version }, snapshot, contract: freezeContract(contract), source, suspension };
    return { ...explainBy(policy.decider, explained, request), now: null };
  }

  /**
   * What was asked for a run, decided by its own snapshot, and by what is active now.
   * @returns undefined: there is no such run of the tenant.
   */
  async run(tenant: TenantId, run: string): Promise<Explanation | undefined> {
    const { policy, runs, storage } = this.#parts;
    const asked = await runs.of(tenant, run);
    if (asked === undefined) return undefined;
    const { contract: ref, snapshot, request } = asked;
    const body: SnapshotBody = await policy.snapshot(tenant, snapshot);
    const row = await selectVersion(storage, tenant, ref.name, ref.version);
    const contract = readContract(JSON.stringify(body.contract));
    const explained = { ref, snapshot, contract, source: row?.source_text ?? null, suspension: null };
    const explanation = explainBy(policy.decider, explained, request);
    const now = await this.explain(tenant, ref.name, request).catch((error: unknown) => {
      // The contract is there no more, or not yet active: then nothing is said of now.
      if (hasCode(error, contract_errors.UNKNOWN)) return undefined;
      throw error;
    });
    const is_same = now === undefined || now.snapshot === snapshot;
    return {
      ...explanation,
      now: is_same ? null : { contract: now.contract, snapshot: now.snapshot, verdict: now.verdict },
    };
  }
}

function explainBy(
  decider: Decider,
  { ref, snapshot, contract, source, suspension }: Explained,
  request: PolicyRequest,
): Omit<Explanation, "now"> {
  const { decision: own, by } = decider.explain(contract, snapshot, request);
  const decision = suspension === null ? own : suspended(own, ref.name, suspension);
  const lineOf = source === null ? () => undefined : linesOf(source);
  const rules: RuleLine[] = [
    ...by.map(({ at: list, code, text }) => {
      const at = matching(list, contract, request);
      return place(at, code, lineOf(at), contract, text);
    }),
    ...missing(contract, request, decision, by.length).map((at) => place(at, null, lineOf(at), contract, "")),
  ];
  return {
    contract: ref,
    snapshot,
    request,
    verdict: decision.verdict,
    reasons: decision.reasons,
    gates: decision.gates,
    rules,
    allowed_by: remediesOf(contract, request, decision),
  };
}

/** One permit stands for all rules of a list: which of them it was is said by those that match. */
function matching(at: string, { egress, tools }: Contract, { context }: PolicyRequest): string {
  if (at === "/egress") {
    const found = matchEgress(egress, context);
    return "rule" in found ? `${at}/${egress.indexOf(found.rule)}` : at;
  }
  if (at === "/tools" && context.tool !== undefined) {
    const found = matchTool(tools, context.tool, context.args);
    return "place" in found ? `${at}/${found.place}` : at;
  }
  return at;
}

/** Where the contract could have said yes: ceilings, and the key under which there is no rule for it. */
function missing(contract: Contract, request: PolicyRequest, { verdict }: Decision, decided: number): string[] {
  if (verdict !== "deny") return [];
  const limits = limitsPassed(contract, request).map((name) => `/limits/${name}`);
  const grant = decided + limits.length === 0 ? grantOf(request.action) : undefined;
  return grant === undefined ? limits : [...limits, grant];
}

function place(
  at: string,
  code: string | null,
  found: SourceLine | undefined,
  contract: Contract,
  text: string,
): RuleLine {
  if (found !== undefined) return { at, code, line: found.line, text: found.text };
  const whose = contract.extends === null ? "built in" : `as ${contract.extends} has it`;
  return { at, code, line: null, text: text === "" ? whose : `${whose}: ${text}` };
}

function suspended(own: Decision, name: string, { metric, entry }: Suspension): Decision {
  const detail = `The contract ${name} has suspended itself by its ${metric}; the entry ${entry} crossed the line.`;
  const reason = { code: contract_errors.SUSPENDED.code, detail };
  return { ...own, verdict: "deny", reasons: [reason, ...own.reasons], gates: [] };
}
