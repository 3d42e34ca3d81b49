/** The wire types of contracts and decisions, written for readers; a contract test holds them against the server's schemas. */

export type Verdict = "allow" | "deny" | "needs_human";

/** Why a contract has suspended itself. */
export interface ContractSuspension {
  metric: string;
  /** Of `runs` runs in the window, so many counted. */
  counted: number;
  runs: number;
  /** The run's end that crossed the line. */
  entry: string;
  at: number;
}

/** A version that waits for people. */
export interface ContractProposal {
  version: number;
  approval: string;
  statement_hash: string;
}

/** A capability contract: what code may do. */
export interface ContractSummary {
  name: string;
  version: number;
  class: string;
  built_in: boolean;
  state: "active" | "suspended";
  suspension: ContractSuspension | null;
  pending: ContractProposal | null;
  snapshot: string;
  /** Complete: inherited keys are filled in. */
  contract: Record<string, unknown>;
}

/** One version of a contract, whatever has become of it. */
export interface ContractVersion {
  name: string;
  version: number;
  class: string;
  built_in: boolean;
  state: "pending" | "active" | "suspended" | "retired";
  suspension: ContractSuspension | null;
  snapshot: string;
  contract: Record<string, unknown>;
  /** SHA-256 of the complete contract's canonical JSON, hex. */
  hash: string;
  /** The document as it was applied. */
  source: string | null;
  /** The approval that it needed. */
  approval: string | null;
  created_by: string | null;
  created_at: number | null;
}

/** What a contract may do that another may not, and the other way round; what loosens first. */
export interface ContractDelta {
  loosens: boolean;
  lines: {
    /** JSON pointer into the contract. */
    at: string;
    change: "added" | "removed" | "widened" | "narrowed";
    loosens: boolean;
    text: string;
  }[];
}

/** A document that is active now, or was already (`changed: false`). */
export interface AppliedContract {
  changed: boolean;
  contract: ContractVersion;
  delta: ContractDelta;
}
/** A document that loosens what holds, and waits for people. */
export interface ProposedContract extends AppliedContract {
  approval: string;
  statement_hash: string;
  next_steps: { kind: "command" | "change" | "wait" | "read"; text: string; command?: string | undefined }[];
}

export interface ContractDiff {
  name: string;
  /** The active version that the document was compared with; null: there is none. */
  version: number | null;
  delta: ContractDelta;
}

/** One action, as policy is asked about it. */
export interface PolicyQuestion {
  /** Default `scratch`. */
  contract?: string;
  action: string;
  /** `<kind>:<name>` */
  resource: string;
  /** An actor's id; default: the caller. */
  as?: string;
  /** Gates that an approval would hold open. */
  gates?: string[];
  /** What is known of the action: target, host, method, tool, limits and so on. */
  context?: Record<string, unknown>;
}

/** Why an action is allowed or not. */
export interface PolicyExplanation {
  contract: { name: string; version: number };
  snapshot: string;
  request: Record<string, unknown>;
  verdict: Verdict;
  reasons: { code: string; detail: string }[];
  /** What people must approve first. */
  gates: { on: string; name: string; quorum: number; not_after_ms: number; execute_before_ms: number }[];
  rules: {
    at: string;
    code: string | null;
    /** Of the contract's document; null: it does not say it. */
    line: number | null;
    text: string;
  }[];
  /** What would allow it. */
  allowed_by: string[];
  /** By the version that is active now, when that is another. */
  now: { contract: { name: string; version: number }; snapshot: string; verdict: Verdict } | null;
}

/** A file: `name` is how problems call it, `text` is YAML or JSON. */
export interface PolicyDocument {
  name: string;
  text: string;
}

export interface PolicyTestReport {
  cases: {
    name: string;
    contract: string;
    action: string;
    resource: string;
    expect: Verdict;
    got: Verdict;
    codes: string[];
    ok: boolean;
    detail: string;
  }[];
  passed: number;
  failed: number;
}
