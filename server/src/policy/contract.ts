import { z } from "zod";
import { defineErrors, type Reason } from "../kernel/errors.ts";
import type { SnapshotId, TenantId } from "../kernel/ids.ts";
import type { LimitTable } from "../kernel/limits.ts";
import {
  type Action,
  CONTRACT_CLASSES,
  type Contract,
  type ContractRef,
  type DataClass,
  type GateRule,
  PHASE_METRICS,
  type Requirement,
} from "./shape.ts";
import type { ContractSummary, ContractVersion } from "./version_shape.ts";

export { isAttended } from "./attended.ts";
// What a contract's rules may say of hosts, methods and paths, and what they match.
export { isMethod, isName, isPathPattern } from "./document/host.ts";
export { type EgressDimension, matchEgress, mayMutate, methodsOf, portsOf } from "./engine/egress_match.ts";
export { matchesHost, matchesPattern } from "./engine/wildcard.ts";
export { gateNames, mergeGates } from "./gate_rules.ts";
// What this room asks of the rooms above it.
export type {
  ApprovalDraft,
  ApprovalRef,
  ApprovalSubject,
  Approvals,
  BlastRadius,
  CatalogueService,
  EffectAuthority,
  EffectRef,
  PhaseWatch,
  PolicyNotices,
  Preview,
  RunCounts,
  ServiceCatalogue,
} from "./ports.ts";
export { APPROVAL_SUBJECTS } from "./ports.ts";
// What a contract says, so that other rooms find it here as all else.
export type {
  Action,
  Attended,
  Bindings,
  Contract,
  ContractClass,
  ContractRef,
  DataClass,
  DeltaLine,
  EgressRule,
  GateRule,
  Isolation,
  Phase,
  PhaseMetric,
  RedactionTable,
  Requirement,
  ToolRule,
} from "./shape.ts";
export {
  ACTIONS,
  CONTRACT_CLASSES,
  DATA_CLASSES,
  EGRESS_PROTOCOLS,
  ISOLATIONS,
  isWeaker,
  PHASE_METRICS,
  REDACTED_CLASSES,
  REDACTION_DEFAULT,
  REQUIREMENTS,
} from "./shape.ts";

export type {
  Applied,
  ContractDelta,
  ContractSummary,
  ContractVersion,
  Proposal,
  Suspension,
} from "./version_shape.ts";

export type Verdict = "allow" | "deny" | "needs_human";

/** What is known of the action. Which members an action has is the asking room's knowledge; absent is unknown, and unknown is denied where it matters. */
export interface PolicyContext {
  /** `run.submit`: what the run asks for, by name; absent: nothing asked. */
  limits?: Partial<LimitTable>;
  /** The environment that is acted on. */
  target?: string;
  /** `run.submit`: what the request carries of what contracts may require. */
  carries?: Requirement[];
  /** `egress.request`, `lease.use`: canonical, as they are sent. */
  host?: string;
  port?: number;
  protocol?: string;
  method?: string;
  path?: string;
  secret?: string;
  tool?: string;
  args?: Record<string, string>;
  repo?: string;
  app?: string;
  flag?: string;
  percent?: number;
  /** Class of what is read, or of where something is sent. */
  data_class?: DataClass;
  /** The highest class that the run has read. */
  read_class?: DataClass;
}

export interface PolicyRequest {
  action: Action;
  /** `<kind>:<name>`, e.g. `code:<hash>`. */
  resource: string;
  /** Who acts, and for whom: the last and the first of the chain. Absent: Gantry itself. */
  principal?: { actor: string; kind: "human" | "agent" | "service"; for: string };
  /** Names of the gates that an approval holds open for this. */
  gates?: string[];
  context: PolicyContext;
}

export interface Decision {
  verdict: Verdict;
  /** Deduplicated, sorted by the place of the code in the table, then by code; at most `REASONS_MAX`. */
  reasons: Reason[];
  /** What must be approved first, by name; empty unless the verdict is `needs_human`. */
  gates: GateRule[];
  snapshot: SnapshotId;
  /** SHA-256 of the request's canonical JSON. */
  request_hash: string;
}

/** One run's view of one immutable snapshot. */
export interface PolicyView {
  readonly snapshot: SnapshotId;
  readonly contract: Contract;
  readonly ref: ContractRef;
  /** SHA-256 of the complete contract's canonical JSON, hex. */
  readonly contract_hash: string;
  /**
   * Pure, synchronous, no I/O; never throws: doubt is `deny`. When the tenant's active state has changed since the view
   * was opened, both must allow.
   */
  decide(request: PolicyRequest): Decision;
}

/** What was asked for a run, as it can be decided again; the room that has the runs fills it. */
export interface RunRequests {
  /** @returns undefined: absent, or another tenant's. */
  of(
    tenant: TenantId,
    run: string,
  ): Promise<{ snapshot: SnapshotId; contract: ContractRef; request: PolicyRequest } | undefined>;
}

export interface Policy {
  /**
   * The tenant's active version of the contract, frozen.
   * @param snapshot  if given, must be the id of exactly that state.
   * @throws CONTRACT_UNKNOWN CONTRACT_SUSPENDED SNAPSHOT_STALE
   */
  open(tenant: TenantId, contract: string, snapshot?: string): Promise<PolicyView>;
  /** Built-in contracts first, then the tenant's by name; active versions only. */
  list(tenant: TenantId): Promise<ContractSummary[]>;
  /** @throws CONTRACT_UNKNOWN */
  get(tenant: TenantId, name: string): Promise<ContractSummary>;
  /** Any version of it, retired and waiting ones too. @throws CONTRACT_UNKNOWN */
  version(tenant: TenantId, name: string, version: number): Promise<ContractVersion>;
  /**
   * The body that the id is the hash of; also of versions that are no longer active.
   * @throws SNAPSHOT_UNKNOWN  absent, or never the tenant's.
   */
  snapshot(tenant: TenantId, id: string): Promise<SnapshotBody>;
  /**
   * Tells when what holds of a contract has moved, by a version that took its place or by suspension: at once when this
   * process did it and it is durable; of other processes within `HEADS_POLL_MS`, for contracts of which a view is held here.
   * @param listener  does not throw.
   * @returns what ends it.
   */
  watch(listener: (of: { tenant: TenantId; contract: string }) => void): () => void;
}

/** A contract file of the operator's. `name` is how messages call it, `text` is YAML or JSON. */
export interface ContractDocument {
  name: string;
  text: string;
}

/** The body that a snapshot's id is the SHA-256 of, as canonical JSON. */
export interface SnapshotBody {
  /** Extra policies of the tenant; none in this version. */
  policies: string[];
  /** Version of what contracts may say, and of the Cedar schema. */
  schema: string;
  contract: Contract;
  /** Version of how it is decided. */
  engine: string;
}

/** The ledger kinds of this room. */
export const kinds = {
  "contract.applied": z.strictObject({
    name: z.string(),
    version: z.int(),
    /** SHA-256 of the complete contract's canonical JSON, hex. */
    hash: z.string(),
    extends: z.string(),
    class: z.enum(CONTRACT_CLASSES),
    /** The version that it replaces; null for the first. */
    replaces: z.int().nullable(),
    /** The approval that a loosening one needed. */
    approval: z.string().optional(),
  }),
  /** A version that loosens what holds, and waits for people. */
  "contract.proposed": z.strictObject({
    name: z.string(),
    version: z.int(),
    hash: z.string(),
    replaces: z.int().nullable(),
    approval: z.string(),
    /** JSON pointers of what loosens, at most `REASONS_MAX`. */
    loosens: z.array(z.string()),
  }),
  /** A proposed version that came to nothing: declined, expired, superseded or no longer fitting. */
  "contract.retired": z.strictObject({ name: z.string(), version: z.int(), approval: z.string(), code: z.string() }),
  /** A phase's own condition was crossed; `entry` is the run's end that crossed it. */
  "contract.suspended": z.strictObject({
    name: z.string(),
    version: z.int(),
    metric: z.enum(PHASE_METRICS),
    /** Of `runs` runs in the window, so many counted. */
    counted: z.int(),
    runs: z.int(),
    entry: z.string(),
  }),
} as const;

const denied = { status: 403, retry: "never", whose: "policy" } as const;

export const policy_errors = defineErrors("POLICY", {
  NO_PERMIT: { ...denied, title: "The contract does not permit this action." },
  FORBIDDEN: { ...denied, title: "A rule forbids this action." },
  TARGET: { ...denied, title: "The target is not one of the contract's." },
  TOOL: { ...denied, title: "The contract does not grant this tool." },
  ARGS: { ...denied, title: "The tool is granted with other arguments." },
  CLASS: { ...denied, title: "The contract's class does not allow this action." },
  DATA_CLASS: { ...denied, title: "What was read may not go to a destination of a lower class." },
  EVAL_ERROR: {
    status: 403,
    retry: "never",
    whose: "gantry",
    title: "The policy could not be evaluated, so the answer is no.",
  },
  RUN_UNKNOWN: { status: 404, retry: "never", whose: "caller", title: "There is no such run to explain." },
  TABLE: { status: 422, retry: "never", whose: "caller", title: "The policy table is not valid." },
});
export const contract_errors = defineErrors("CONTRACT", {
  LIMIT: { ...denied, title: "A limit is past the contract's ceiling." },
  UNKNOWN: { status: 404, retry: "never", whose: "caller", title: "There is no such contract." },
  INVALID: { status: 422, retry: "never", whose: "caller", title: "The contract document is not valid." },
  TOO_MANY: {
    status: 409,
    retry: "never",
    whose: "caller",
    title: "The tenant has as many contracts as it may have.",
  },
  BUILTIN: { status: 409, retry: "never", whose: "caller", title: "Built-in contracts cannot be changed." },
  CONFLICT: { status: 412, retry: "never", whose: "caller", title: "The contract has another version by now." },
  SUSPENDED: { ...denied, title: "The contract has suspended itself." },
});
export const snapshot_errors = defineErrors("SNAPSHOT", {
  UNKNOWN: { status: 404, retry: "never", whose: "caller", title: "There is no such snapshot." },
  STALE: { status: 409, retry: "never", whose: "caller", title: "The named snapshot is not the active one." },
});

export const CONTRACT_BYTES_MAX = 256 * 1024;
export const CONTRACTS_PER_TENANT_MAX = 1_000;
export const CONTRACT_PROBLEMS_MAX = 50;
/** Maps and lists inside each other. Contracts are flat; deeper nesting is a mistake or an attack. */
export const CONTRACT_DEPTH_MAX = 8;
export const REASONS_MAX = 16;
/** UTF-16 code units of a preview's diff. */
export const PREVIEW_TEXT_MAX = 65_536;
export const EGRESS_RULES_MAX = 200;
export const TOOL_RULES_MAX = 512;
/** Further Cedar policies of one contract, and UTF-8 bytes of each. */
export const CEDAR_POLICIES_MAX = 50;
export const CEDAR_BYTES_MAX = 8 * 1024;
/** Items of a contract's lists, by what they are: tools have `arguments`, and each of those `patterns`. */
export const CONTRACT_ITEMS_MAX = {
  targets: 32,
  arguments: 16,
  patterns: 32,
  hosts: 64,
  ports: 32,
  methods: 16,
  paths: 64,
  addresses: 32,
  repos: 64,
  workflows: 64,
  rollback_when: 8,
} as const;
/** UTF-16 code units of a pattern: of tools, arguments, paths, repos and workflows. */
export const PATTERN_CHARS_MAX = 256;
/** The highest numbers that a contract may say, by key; limits of runs have their own. */
export const CONTRACT_NUMBERS_MAX = {
  egress_calls_max: 1_000,
  egress_bytes_max: 268_435_456,
  request_bytes_max: 16_777_216,
  response_bytes_max: 67_108_864,
  calls_max: 1_000,
  wall_ms_max: 900_000,
  floor_days: 3_650,
  ceiling_days: 3_650,
  n: 100,
  window_ms: 30 * 86_400_000,
  min_runs: 10_000,
  run_ms: 1_000_000_000_000,
  effects: 1_000_000_000,
  cost_micros: 1_000_000_000_000,
} as const;
export const GATES_MAX = 32;
export const QUORUM_MAX = 10;
export const NOT_AFTER_MS_DEFAULT = 86_400_000;
export const NOT_AFTER_MS_MAX = 30 * 86_400_000;
export const EXECUTE_BEFORE_MS_DEFAULT = 3_600_000;
export const EXECUTE_BEFORE_MS_MAX = 86_400_000;
/** How often changes of contracts by other processes are looked for. */
export const HEADS_POLL_MS = 2_000;
/** Cases of one policy table. */
export const POLICY_CASES_MAX = 1_000;
/** Contract documents that a policy table may bring along. */
export const TABLE_CONTRACTS_MAX = 50;
/** Loaded policy sets: the engine never forgets an id, so so many are reused. */
export const POLICY_SLOTS = 256;
/** Decisions of one snapshot that are remembered. */
export const DECISIONS_CACHED_MAX = 1_024;
/** UTF-8 bytes of a request's canonical JSON; a longer one is denied unread. */
export const POLICY_REQUEST_BYTES_MAX = 256 * 1024;
/**
 * Expressions inside each other in a Cedar policy, a chain of operators counting one for each. The engine recurses
 * on the stack of whoever asks: at about 75 it has run out of it (measured with 4.13.0 on Node 20).
 */
export const CEDAR_DEPTH_MAX = 32;
