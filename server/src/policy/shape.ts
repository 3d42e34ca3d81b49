import type { PrivateClass, Redaction } from "../evidence/contract.ts";
import type { LimitTable } from "../kernel/limits.ts";

/**
 * Whom a run may share its process with, one run at a time, from weakest to strongest. `pooled`: runs of equal
 * authority (tenant, actor chain, contract version, snapshot). `session`: those of them that name the same session.
 * `process`: nobody, before or after.
 */
export const ISOLATIONS = ["pooled", "session", "process"] as const;
export type Isolation = (typeof ISOLATIONS)[number];

/** Does `a` let a run share more than `b` does? */
export function isWeaker(a: Isolation, b: Isolation): boolean {
  return ISOLATIONS.indexOf(a) < ISOLATIONS.indexOf(b);
}

/** Classes of private values that runs have; a contract that speaks of another would promise what nothing keeps. */
export const REDACTED_CLASSES = ["prompts"] as const satisfies readonly PrivateClass[];

/** What is kept of the private values of runs, by class. */
export type RedactionTable = Record<(typeof REDACTED_CLASSES)[number], Redaction>;

/** Of a contract that says nothing: what people and models typed may hold secrets. */
export const REDACTION_DEFAULT: Readonly<RedactionTable> = Object.freeze({ prompts: "mask" });

/** What a contract's runs may change, from the least to the most; an heir may only weaken itself. */
export const CONTRACT_CLASSES = ["read-only", "controlled-mutation", "privileged"] as const;
export type ContractClass = (typeof CONTRACT_CLASSES)[number];
/** How sensitive data is, from the least. A run that has read one class sends nothing to a lower one. */
export const DATA_CLASSES = ["public", "internal", "confidential", "restricted"] as const;
export type DataClass = (typeof DATA_CLASSES)[number];
/** What a request must carry. A privileged contract that does not say otherwise asks for all of it. */
export const REQUIREMENTS = ["signed_task", "signed_code", "why"] as const;
export type Requirement = (typeof REQUIREMENTS)[number];

/** Everything that is decided. `*` in a gate's `on` is all of it. */
export const ACTIONS = [
  "run.submit",
  "egress.request",
  "lease.use",
  "artifact.read",
  "artifact.write",
  "artifact.land",
  "artifact.release",
  "app.deploy",
  "flag.raise",
  "flag.reduce",
  "flag.kill",
  "tool.list",
  "tool.call",
  "workflow.start",
  "contract.apply",
  "tenant.set",
  "secret.set",
  "egress.retry",
  "evidence.erase",
  "evidence.succeed",
] as const;
export type Action = (typeof ACTIONS)[number];

/** A tool by name, `*` standing for any characters, and what its arguments may be. */
export interface ToolRule {
  name: string;
  /** Patterns by argument; one that is named must match one of them, others are free. */
  args: Record<string, string[]>;
}

export const EGRESS_PROTOCOLS = ["http", "https", "ws", "wss", "tcp", "tls"] as const;
/** Where runs may go. Judged at the door; `id` is the rule's place unless it is given. Members as the document has them. */
export interface EgressRule {
  id?: string;
  /** Canonical ASCII names; `*` is exactly one label, `**` one or more. */
  hosts: string[];
  protocol: (typeof EGRESS_PROTOCOLS)[number];
  ports?: number[];
  /** Default GET and HEAD. */
  methods?: string[];
  paths?: string[];
  private?: true;
  addresses?: string[];
  request_bytes_max?: number;
  response_bytes_max?: number;
  calls_max?: number;
  wall_ms_max?: number;
  effect?: boolean;
  secret?: { name: string; slot: string };
  /** How the destination is told that a call is the same one; `off`: not at all. `honoured`: it does the call once for one key. */
  idempotency?: { header: string; honoured: boolean } | "off";
  /** Records besides addresses that may be looked up of these hosts. */
  dns?: ("TXT" | "MX" | "SRV")[];
  /** The entry of the tenant's catalogue that hosts, protocol and environment come from, as it was when the contract was applied. */
  service?: string;
  /** Where the service belongs; must be one of the contract's targets. */
  environment?: string;
  data_class?: DataClass;
  mcp?: true;
  on_blocked?: "refuse" | "dead-letter";
}

/** The contract's rule that a person decides. */
export interface GateRule {
  /** An action, or `*`: every one but those that take back, `flag.reduce` and `flag.kill`. */
  on: Action | "*";
  name: string;
  /** Different humans who must approve. */
  quorum: number;
  /** How long the request waits for its decision. */
  not_after_ms: number;
  /** How long after the deciding vote the action may start. */
  execute_before_ms: number;
}

/** When people watch. Days are ISO weekdays, Monday 1; times are HH:MM, `to` after `from`, in the time zone `tz`. */
export interface Attended {
  tz: string;
  days: number[];
  from: string;
  to: string;
}

export const PHASE_METRICS = ["drift_ratio", "denied_ratio", "failure_ratio", "override_ratio"] as const;
export type PhaseMetric = (typeof PHASE_METRICS)[number];
/** A stage of adoption, with the way back decided in advance. */
export interface Phase {
  n: number;
  /** ISO date, or null: no end is planned. */
  until: string | null;
  /** Each: over the runs of the last `window_ms`, at least `min_runs` of them, the ratio may not be above `over_bp`, in ten-thousandths (a document says `over: 0.05`). */
  rollback_when: { metric: PhaseMetric; over_bp: number; window_ms: number; min_runs: number }[];
}

/** What all runs of a contract, or of a tenant, may use in one UTC day; an absent member is unbounded. */
export interface DayBudgets {
  run_ms?: number;
  effects?: number;
  cost_micros?: number;
}

export interface Bindings {
  artifacts?: { repos: string[]; mode: "read" | "write"; as: string };
  flags?: { app: string; mode: "read" | "write"; as: string };
  workflows?: { names: string[]; mode: "read" | "write"; as: string };
}

/** A capability contract, parsed and complete: every key that it inherits is filled in. */
export interface Contract {
  kind: "Contract";
  name: string;
  /** The built-in contract that it extends, null for a built-in one. */
  extends: string | null;
  class: ContractClass;
  /** Environments that its runs may act on; `*` is any. */
  targets: string[];
  data: { reads: DataClass[]; writes: DataClass[] };
  require: Requirement[];
  tools: ToolRule[];
  egress: EgressRule[];
  bindings: Bindings;
  /** What a run gets that asks for nothing; not weaker than the floor. `session` needs a run that names one. */
  isolation: Isolation;
  /** The weakest that a run may ask for. */
  isolation_floor: Isolation;
  jail: "required" | "optional";
  /** May a lost run be repeated? */
  idempotent: boolean;
  redaction: RedactionTable;
  /** Days; null: what the instance keeps. */
  retention: { floor_days: number; ceiling_days: number } | null;
  budgets: { egress_calls_max: number; egress_bytes_max: number };
  /** Ceilings. */
  limits: LimitTable;
  gates: GateRule[];
  attended: Attended | null;
  phase: Phase | null;
  budgets_day: DayBudgets;
  dlp: { action: "log" | "deny" };
  shadow_mcp: "log" | "deny";
  /** Further Cedar policies, each one statement with an `@code`. */
  cedar: string[];
}

/** A version of a contract. */
export interface ContractRef {
  name: string;
  version: number;
}

/** One change between two contracts, as a person reads it. */
export interface DeltaLine {
  /** JSON pointer into the contract. */
  at: string;
  change: "added" | "removed" | "widened" | "narrowed";
  loosens: boolean;
  text: string;
}
