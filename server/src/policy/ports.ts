import type { ChainLink } from "../identity/contract.ts";
import type { GantryError } from "../kernel/errors.ts";
import type { ActorId, ApprovalId, EntryId, RunId, SnapshotId, TenantId } from "../kernel/ids.ts";
import type { Reader, Tx } from "../storage/contract.ts";
import type { Action, ContractRef, DataClass, DeltaLine, EgressRule, GateRule, PhaseMetric } from "./shape.ts";

/** What a contract's phase watches of its runs; the room that has the runs fills it. Ratios are counted, not averaged. */
export interface RunCounts {
  /** Ended runs of the contract's version since `since`, and how many of them were denied, failed, reversed by a human, or tried what they may not. */
  count(
    reader: Reader,
    asked: { tenant: TenantId; contract: string; version: number; since: number },
  ): Promise<{ runs: number; denied: number; failed: number; overridden: number; drifted: number }>;
}

/** Suspends what has crossed its own line. */
export interface PhaseWatch {
  /**
   * Called in the unit that ends a run, after its row is written. Costs nothing for a contract without a phase.
   * @param entry  the run's last entry, which the suspension names.
   * @returns when it suspended: what to call once the unit is durable, so that running work hears of it at once and not
   *   within `HEADS_POLL_MS`.
   */
  observe(
    tx: Tx,
    ended: { tenant: TenantId; contract: ContractRef; entry: EntryId; at: number },
  ): Promise<(() => void) | undefined>;
}

/** Whom a suspension is told to, in its own unit. */
export interface PolicyNotices {
  suspended(
    tx: Tx,
    told: { tenant: TenantId; at: number; name: string; version: number; metric: PhaseMetric; entry: string },
  ): Promise<void>;
}

export const APPROVAL_SUBJECTS = ["run", "contract", "setting", "flag", "deploy"] as const;
export type ApprovalSubject = (typeof APPROVAL_SUBJECTS)[number];

/** How far an action reaches, as approvers see it and as effects are held to it. */
export interface BlastRadius {
  hosts: string[];
  methods: string[];
  apps: string[];
  percent_max: number | null;
  effects_max: number | null;
  reversible: boolean;
  /** How it is undone, as a sentence. */
  rollback: string;
}

/** What a person is shown before deciding, in reading order. Canonical JSON; its SHA-256 is in the statement. */
export interface Preview {
  /** Who wants what, in a sentence. */
  summary: string;
  why: string | null;
  /** What the action may do beyond what was approved last, widening first. */
  delta: DeltaLine[];
  /** Unified diff against what was approved last, or the whole text when there is nothing before; cut to `PREVIEW_TEXT_MAX`. */
  diff: string | null;
  /** Where the code comes from: facts by name. */
  provenance: Record<string, string>;
  /** The verdict, and the rule that asks for a person. */
  verdict: { codes: string[]; rule: string };
  /** What a rehearsal showed; null when there was none. */
  rehearsal: string | null;
}

/** What a room asks people to decide. Everything that is named here is what the approval is for; one byte less is another. */
export interface ApprovalDraft {
  tenant: TenantId;
  subject: ApprovalSubject;
  /** `run_…`, `<contract>@<version>`, `<setting>@<revision>`: one pending approval each. */
  subject_id: string;
  /** Several gates of one action are one approval: see `mergeGates`. */
  gate: GateRule;
  action: { name: Action; resource: string; params_hash: string };
  code: { code_hash: string } | null;
  snapshot: SnapshotId | null;
  contract: { name: string; version: number; hash: string } | null;
  target: string | null;
  blast_radius: BlastRadius;
  preview: Preview;
  requester: { actor: ActorId; chain: ChainLink[]; chain_hash: string };
  /** Who wrote what would be executed; nobody approves their own work. */
  authors: ActorId[];
  /** Is it held back by open review debt? */
  privileged: boolean;
}
export interface ApprovalRef {
  id: ApprovalId;
  statement_hash: string;
  not_after_at: number;
}

/** The port through which this room, below gates/, asks for a decision. */
export interface Approvals {
  /** In the unit of the state that waits. @throws GATE_UNSATISFIABLE GATE_PENDING_MAX REVIEW_DEBT_OPEN */
  request(tx: Tx, draft: ApprovalDraft): Promise<ApprovalRef>;
}

/** One effect of an approved action, as it is about to leave. */
export interface EffectRef {
  tenant: TenantId;
  approval: ApprovalId;
  run: RunId;
  host: string;
  method: string;
}
/** The one port through which an effect asks whether a person stands behind it; gates/ implements it, egress/ asks. */
export interface EffectAuthority {
  /** In the effect's own unit; an effect that is counted is counted there. */
  check(tx: Tx, effect: EffectRef): Promise<{ ok: true } | { ok: false; error: GantryError }>;
}

/** What a rule gets that names a service instead of hosts. */
export interface CatalogueService {
  environment: string;
  hosts: string[];
  protocol: EgressRule["protocol"];
  ports?: number[];
  /** A rule may name fewer of them. */
  methods?: string[];
  data_class?: DataClass;
}
/** The tenant's catalogue of services, which stands above. It is asked when a contract is applied, and never again for it. */
export interface ServiceCatalogue {
  find(reader: Reader, tenant: TenantId, name: string): Promise<CatalogueService | undefined>;
}
