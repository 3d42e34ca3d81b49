import type { Principal } from "../identity/contract.ts";
import { defineErrors, type GantryError } from "../kernel/errors.ts";
import type { ActorId, ApprovalId, BreakGlassId, NoticeId, RunId, TenantId, WebhookId } from "../kernel/ids.ts";
import type {
  ApprovalDraft,
  ApprovalSubject,
  Approvals,
  BlastRadius,
  EffectAuthority,
  Preview,
} from "../policy/contract.ts";
import type { Reader, Tx } from "../storage/contract.ts";

/** `pending -> approved | declined | expired | superseded | broken_glass`; `approved -> executed | expired | declined | superseded`. */
export const APPROVAL_STATUSES = [
  "pending",
  "approved",
  "declined",
  "expired",
  "superseded",
  "executed",
  "broken_glass",
] as const;
export type ApprovalStatus = (typeof APPROVAL_STATUSES)[number];

/** Who may not vote. `principal`: the requester and what it owns; `independent`: also the human whom a requesting agent acts for. */
export const INDEPENDENCE_LEVELS = ["principal", "independent"] as const;
export type Independence = (typeof INDEPENDENCE_LEVELS)[number];

/** What approvers see and vote on: canonical JSON, named by its SHA-256. */
export interface Statement {
  v: 1;
  approval: ApprovalId;
  tenant: TenantId;
  gate: string;
  action: ApprovalDraft["action"];
  /** SHA-256 of the action's canonical JSON. */
  action_hash: string;
  code: ApprovalDraft["code"];
  snapshot: string | null;
  contract: ApprovalDraft["contract"];
  target: string | null;
  blast_radius: BlastRadius;
  /** SHA-256 of the preview's canonical JSON. */
  preview_hash: string;
  quorum: number;
  independence: Independence;
  requester: ActorId;
  chain: ApprovalDraft["requester"]["chain"];
  authors: ActorId[];
  /** Milliseconds UTC until when it waits for its decision. */
  not_after: number;
  /** Milliseconds, counted from the deciding vote. */
  execute_before: number;
  /** 32 hex digits of chance: two requests for the same are two statements. */
  nonce: string;
}

export interface VoteView {
  actor: ActorId;
  vote: "approve" | "decline";
  note: string | null;
  at: number;
  /** `service`: Gantry saw the human's token, as a compact JWS of the gate key. */
  proofs: { kind: "service"; kid: string; jws: string }[];
}

export interface ApprovalView {
  id: ApprovalId;
  status: ApprovalStatus;
  subject: ApprovalSubject;
  subject_id: string;
  run: RunId | null;
  statement: Statement;
  statement_hash: string;
  /** In lists without what is long: delta, diff and rehearsal are empty there. */
  preview: Preview;
  votes: VoteView[];
  /** Actors who may not vote. */
  excluded: ActorId[];
  /** Why it ended as it did: the code of a refusal. */
  code: string | null;
  created_at: number;
  decided_at: number | null;
  /** Until when the approved action may start. */
  execute_before_at: number | null;
  executed_at: number | null;
  superseded_by: ApprovalId | null;
  break_glass: BreakGlassView | null;
  /** The last decisions about the same action under the same contract, at most `SIMILAR_MAX`; not in lists. */
  similar?: SimilarDecision[];
}

export interface SimilarDecision {
  id: ApprovalId;
  status: ApprovalStatus;
  requester: ActorId;
  resource: string;
  target: string | null;
  decided_at: number;
}

export interface BreakGlassView {
  id: BreakGlassId;
  approval: ApprovalId;
  actor: ActorId;
  reason: string;
  until_at: number;
  debt: "open" | "closed";
  closed_by: ActorId | null;
  closed_note: string | null;
  at: number;
}

/** What must still be so at the start of an approved action; each difference has its own code. */
export interface ActionFacts {
  action: ApprovalDraft["action"];
  code: ApprovalDraft["code"];
  snapshot: string | null;
  contract: ApprovalDraft["contract"];
  target: string | null;
  blast_radius: BlastRadius;
  preview_hash: string;
  chain_hash: string;
}

/** What became of an approval, as its subject is told. */
export type Outcome = "approved" | "broken_glass" | "declined" | "expired" | "superseded";

/** A decided approval, as its subject needs it. */
export interface Decided {
  id: ApprovalId;
  tenant: TenantId;
  subject_id: string;
  run: RunId | null;
  outcome: Outcome;
  statement: Statement;
  /** Who decided; empty when the clock did. */
  by: Principal["chain"];
  at: number;
}

/**
 * What a room does with the decision about what it asked for. `decided` is part of the deciding unit, so it has no
 * effect outside `tx` and may be called again; `settled` follows when that unit is durable.
 */
export interface Subject {
  /**
   * @returns nothing: it is done, or ended; `executed`: the approval is used up by this very unit; `stale`: the action no
   *   longer fits, with its `APPROVAL_STALE_*` code, and the approval becomes `superseded`.
   */
  decided(tx: Tx, decided: Decided): Promise<{ executed: true } | { stale: string } | undefined>;
  settled(decided: Decided): void;
}

/** Events that webhooks are told of. */
export const WEBHOOK_EVENTS = [
  "approval.requested",
  "approval.approved",
  "approval.declined",
  "approval.expired",
  "approval.superseded",
  "approval.executed",
  "glass.broken",
  "debt.closed",
  "contract.suspended",
] as const;
export type WebhookEvent = (typeof WEBHOOK_EVENTS)[number];

/** A webhook as it is shown. What of its URL may be a secret (user, password, path, query) is not. */
export interface WebhookView {
  id: WebhookId;
  /** Scheme, host and port; `/…` stands for a path. */
  url: string;
  events: WebhookEvent[];
  created_by: ActorId;
  created_at: number;
  /** Notices that wait to be sent or sent again, and those that were given up; of the last `NOTICES_KEPT_MS`. */
  waiting: number;
  dead: number;
}

/** What becomes of one notice to one webhook. */
export interface DeliveryView {
  /** The header `webhook-id` of every attempt. */
  id: NoticeId;
  event: WebhookEvent | "webhook.test";
  /** `dead`: given up after the last attempt. */
  state: "waiting" | "delivered" | "dead";
  attempts: number;
  /** The status of the last answer; null while there was none. */
  status: number | null;
  /** What was wrong with the last attempt, as a sentence. */
  error: string | null;
  created_at: number;
  /** When it is sent, or sent again; null when it is settled. */
  due_at: number | null;
  settled_at: number | null;
}

/** Outgoing notices of the whole product. */
export interface Notifier {
  /** In the unit of what it tells of: it is sent after that is durable, at least once. */
  notify(
    tx: Tx,
    event: { tenant: TenantId; event: WebhookEvent; at: number; data: Record<string, unknown> },
  ): Promise<void>;
}

export interface ApprovalQuery {
  status?: ApprovalStatus;
  /** The `next` of the page before. */
  cursor?: string;
  /** 1 to `APPROVALS_PAGE_MAX`. */
  limit?: number;
}

/** Human decisions. Another tenant's approval is `APPROVAL_UNKNOWN` everywhere. */
export interface Gates extends Approvals, EffectAuthority {
  /**
   * Uses an approval up, in the unit that starts what was approved: status, clocks, eligibility of the voters and every
   * hash are judged once more.
   * @returns the refusal otherwise; the approval is then `superseded` or `expired`, where that is the reason, and the
   *   refusal is recorded.
   */
  execute(
    tx: Tx,
    asked: { tenant: TenantId; approval: ApprovalId; run: RunId; facts: ActionFacts },
  ): Promise<{ ok: true } | { ok: false; error: GantryError }>;
  /** Withdraws what waits or is approved, in the unit that ends its subject otherwise (cancelled, expired in the queue). */
  withdraw(tx: Tx, asked: { tenant: TenantId; approval: ApprovalId; code: string }): Promise<void>;
  /** @throws REVIEW_DEBT_OPEN  the tenant owes a review, and nothing privileged starts before it. */
  demandNoDebt(reader: Reader, tenant: TenantId): Promise<void>;
  /** Whether an approval existed for the subject at all; what `executed` runs are checked by. */
  list(who: Principal, query: ApprovalQuery): Promise<{ items: ApprovalView[]; next?: string }>;
  get(who: Principal, id: string): Promise<ApprovalView>;
  /**
   * One person's vote. The statement's hash says what was seen. One decline vetoes, until executed.
   * @throws APPROVAL_NOT_HUMAN APPROVAL_EXCLUDED APPROVAL_HASH_MISMATCH APPROVAL_DUPLICATE APPROVAL_DECIDED APPROVAL_EXPIRED
   *   APPROVAL_SUPERSEDED APPROVAL_UNKNOWN and those of identity; each refusal about an existing approval is recorded
   */
  vote(
    who: Principal,
    id: string,
    vote: { vote: "approve" | "decline"; statement_hash: string; note?: string },
  ): Promise<ApprovalView>;
  /** Replaces the quorum, and nothing else. @throws BREAK_GLASS_REASON BREAK_GLASS_ENDED and those of `vote` */
  breakGlass(
    who: Principal,
    id: string,
    glass: { reason: string; minutes: number; statement_hash: string },
  ): Promise<ApprovalView>;
  debts(who: Principal): Promise<BreakGlassView[]>;
  /** @throws REVIEW_DEBT_SELF REVIEW_UNKNOWN */
  closeDebt(who: Principal, id: string, note: string): Promise<BreakGlassView>;
  /** Says that a person who may approve is watching now; raises outside attended hours need one that is fresh. */
  attend(who: Principal): Promise<{ until_at: number }>;
  /** @throws GATE_UNATTENDED  nobody who may approve has said so within `ATTENDANCE_MS`. */
  demandAttended(reader: Reader, tenant: TenantId): Promise<void>;
}

const caller = { retry: "never", whose: "caller" } as const;
const policy = { retry: "never", whose: "policy" } as const;
const later = { retry: "later", whose: "policy" } as const;
const stale = { status: 409, ...caller } as const;

export const approval_errors = defineErrors("APPROVAL", {
  UNKNOWN: { status: 404, ...caller, title: "There is no such approval." },
  NOT_HUMAN: { status: 403, ...policy, title: "Only a human decides, by a token of their own." },
  EXCLUDED: { status: 403, ...policy, title: "Nobody decides about what they asked for or wrote." },
  DECLINED: { status: 403, ...policy, title: "A human declined." },
  SCOPE: { status: 403, ...policy, title: "The approval is for something else." },
  DUPLICATE: { status: 409, ...caller, title: "This human has voted." },
  DECIDED: { status: 409, ...caller, title: "The approval is decided." },
  HASH_MISMATCH: { status: 409, ...caller, title: "The hash is not that of the statement." },
  USED: { status: 409, ...caller, title: "The approval was used." },
  STALE_ACTION: { ...stale, title: "The action is not the approved one." },
  STALE_CODE: { ...stale, title: "The code is not the approved one." },
  STALE_SNAPSHOT: { ...stale, title: "The policy is not the one that was approved under." },
  STALE_CONTRACT: { ...stale, title: "The contract is not the one that was approved under." },
  STALE_TARGET: { ...stale, title: "The target is not the approved one." },
  STALE_BLAST: { ...stale, title: "The reach is not the approved one." },
  STALE_PREVIEW: { ...stale, title: "What was shown is not what would happen." },
  STALE_CHAIN: { ...stale, title: "Who asks is not who asked." },
  PENDING: { status: 409, ...later, title: "The approval waits for people." },
  EXPIRED: { status: 410, ...policy, title: "Nobody decided in time." },
  EXECUTE_EXPIRED: { status: 410, ...policy, title: "The approved action did not start in time." },
  SUPERSEDED: { status: 410, ...policy, title: "Another request has taken the place of this one." },
});
export const gate_errors = defineErrors("GATE", {
  REQUIRED: { status: 403, ...later, title: "A human must approve this." },
  UNATTENDED: { status: 403, ...later, title: "Nobody watches at this hour." },
  UNSATISFIABLE: { status: 409, ...policy, title: "There are fewer humans who may decide than the gate asks for." },
  PENDING_MAX: { status: 429, retry: "later", whose: "capacity", title: "As many approvals wait as may." },
  TOO_LARGE: { status: 413, ...caller, title: "That is more than people are shown." },
  STORE_DOWN: { status: 503, retry: "safe", whose: "gantry", title: "Approvals cannot be read at the moment." },
});
export const break_glass_errors = defineErrors("BREAK_GLASS", {
  REASON: { status: 400, ...caller, title: "A reason and a time are needed to break the glass." },
  ENDED: { status: 403, ...policy, title: "The time of the broken glass is over." },
});
export const review_errors = defineErrors("REVIEW", {
  DEBT_OPEN: { status: 409, ...later, title: "A broken glass is not reviewed yet." },
  DEBT_SELF: { status: 403, ...policy, title: "Nobody reviews the glass that they broke." },
  UNKNOWN: { status: 404, ...caller, title: "There is no such review debt." },
  CLOSED: { status: 409, ...caller, title: "The review is closed." },
});
export const webhook_errors = defineErrors("WEBHOOK", {
  UNKNOWN: { status: 404, ...caller, title: "There is no such webhook." },
  URL: { status: 400, ...caller, title: "The URL is not one that notices can be sent to." },
  EVENTS: { status: 400, ...caller, title: "There is no such event to be told of." },
  LIMIT: { status: 409, ...caller, title: "The tenant has as many webhooks as it may have." },
  WAITING: { status: 429, retry: "later", whose: "capacity", title: "As many notices wait to be sent as may." },
});

/** Approvals of one tenant that wait for people. */
export const APPROVALS_PENDING_MAX = 1_000;
export const APPROVALS_PAGE_DEFAULT = 50;
export const APPROVALS_PAGE_MAX = 200;
/** UTF-16 code units of a vote's or a review's note. */
export const NOTE_CHARS_MAX = 2_000;
export const REASON_CHARS_MIN = 20;
export const REASON_CHARS_MAX = 2_000;
export const GLASS_MINUTES_DEFAULT = 30;
export const GLASS_MINUTES_MAX = 240;
/** How long somebody's word that they watch is worth. */
export const ATTENDANCE_MS = 3_600_000;
/** Decisions that a view names as similar. */
export const SIMILAR_MAX = 5;
/** Refused votes, uses and effects of one approval that are recorded; further ones are refused all the same. */
export const REFUSALS_RECORDED_MAX = 100;
/** Open review debts of one answer. */
export const DEBTS_PAGE_MAX = 200;
/** UTF-8 bytes of a preview's canonical JSON, and of a statement's. */
export const PREVIEW_BYTES_MAX = 256 * 1024;
export const WEBHOOKS_PER_TENANT_MAX = 20;
/** Waits before the second and every further try; then the notice is dead. */
export const WEBHOOK_RETRY_MS = [5_000, 30_000, 120_000, 600_000, 3_600_000, 21_600_000] as const;
export const WEBHOOK_TIMEOUT_MS = 10_000;
/** UTF-8 bytes of one notice. */
export const WEBHOOK_BODY_BYTES_MAX = 65_536;
/** Of what a receiver answers; it is read only for its status. */
export const NOTICE_ANSWER_BYTES_MAX = 16_384;
/** Characters of a webhook's URL. */
export const WEBHOOK_URL_CHARS_MAX = 2_048;
/** Notices of one tenant that wait to be sent; one more is dead at once. */
export const NOTICES_WAITING_MAX = 1_000;
/** Notices that one node sends at the same time. */
export const NOTICE_SENDS_MAX = 16;
/** Of them, those of one tenant: a receiver that hangs holds up its own. */
export const NOTICE_SENDS_PER_TENANT_MAX = 4;
/** How long what became of a notice is kept. */
export const NOTICES_KEPT_MS = 7 * 86_400_000;
export const DELIVERIES_PAGE_DEFAULT = 50;
export const DELIVERIES_PAGE_MAX = 200;
