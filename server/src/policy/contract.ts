import { z } from "zod";
import type { PrivateClass, Redaction } from "../evidence/contract.ts";
import { defineErrors, type Reason } from "../kernel/errors.ts";
import type { SnapshotId, TenantId } from "../kernel/ids.ts";
import type { LimitTable } from "../kernel/limits.ts";

export type Verdict = "allow" | "deny" | "needs_human";
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

/** What is kept under a contract. */
export function redactionOf({ redaction }: Contract): Readonly<RedactionTable> {
  return redaction ?? REDACTION_DEFAULT;
}

/** A capability contract, parsed and complete: every key that it inherits is filled in. */
export interface Contract {
  kind: "Contract";
  name: string;
  /** The built-in contract that it extends, null for a built-in one. */
  extends: string | null;
  class: "read-only";
  /** What a run gets that asks for nothing; not weaker than the floor. `session` needs a run that names one. */
  isolation: Isolation;
  /** The weakest that a run may ask for. */
  isolation_floor: Isolation;
  jail: "required" | "optional";
  /** May a lost run be repeated? */
  idempotent: boolean;
  /** Ceilings. */
  limits: LimitTable;
  /** Complete, or absent: a contract that says nothing of it has the text, and the snapshot, that it had before. */
  redaction?: RedactionTable;
}

export interface ContractRef {
  name: string;
  version: number;
}

export interface PolicyRequest {
  action: "run.submit";
  resource: string;
  context: {
    /** What the run asks for, by name; absent: nothing asked. */
    limits: Partial<LimitTable>;
  };
}

export interface Decision {
  verdict: Verdict;
  /** Deduplicated, sorted by the place of the code in the table, then by code; at most `REASONS_MAX`. */
  reasons: Reason[];
  snapshot: SnapshotId;
  /** SHA-256 of the request's canonical JSON. */
  request_hash: string;
}

/** One run's view of one immutable snapshot. */
export interface PolicyView {
  readonly snapshot: SnapshotId;
  readonly contract: Contract;
  readonly ref: ContractRef;
  /** Pure, synchronous, no I/O; never throws: doubt is `deny`. */
  decide(request: PolicyRequest): Decision;
}

export interface Policy {
  /**
   * The tenant's active version of the contract, frozen.
   * @param snapshot  if given, must be the id of exactly that state.
   * @throws CONTRACT_UNKNOWN SNAPSHOT_STALE
   */
  open(tenant: TenantId, contract: string, snapshot?: string): Promise<PolicyView>;
  /** Built-in contracts first, then the tenant's by name; active versions only. */
  list(tenant: TenantId): Promise<ContractSummary[]>;
  /** @throws CONTRACT_UNKNOWN */
  get(tenant: TenantId, name: string): Promise<ContractSummary>;
  /**
   * The body that the id is the hash of; also of versions that are no longer active.
   * @throws SNAPSHOT_UNKNOWN  absent, or never the tenant's.
   */
  snapshot(tenant: TenantId, id: string): Promise<SnapshotBody>;
}

export interface ContractSummary {
  name: string;
  version: number;
  class: Contract["class"];
  built_in: boolean;
  snapshot: SnapshotId;
  contract: Contract;
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
  /** Version of what contracts may say. */
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
    class: z.literal("read-only"),
    /** The version that it replaces; null for the first. */
    replaces: z.int().nullable(),
  }),
} as const;

const denied = { status: 403, retry: "never", whose: "policy" } as const;

export const policy_errors = defineErrors("POLICY", {
  NO_PERMIT: { ...denied, title: "The contract does not permit this action." },
  EVAL_ERROR: {
    status: 403,
    retry: "never",
    whose: "gantry",
    title: "The policy could not be evaluated, so the answer is no.",
  },
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
