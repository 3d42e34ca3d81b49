/** The wire types of approvals and webhooks, held against the server's schemas by a contract test. Points in time are milliseconds UTC. */

/** Where an approval stands. */
export type ApprovalStatus =
  | "pending"
  | "approved"
  | "declined"
  | "expired"
  | "superseded"
  | "executed"
  | "broken_glass";

/** What people decide about: canonical JSON (RFC 8785), named by its SHA-256. */
export interface Statement {
  v: 1;
  approval: string;
  tenant: string;
  gate: string;
  action: { name: string; resource: string; params_hash: string };
  action_hash: string;
  code: { code_hash: string } | null;
  snapshot: string | null;
  contract: { name: string; version: number; hash: string } | null;
  target: string | null;
  blast_radius: {
    hosts: string[];
    methods: string[];
    apps: string[];
    percent_max: number | null;
    effects_max: number | null;
    reversible: boolean;
    /** How it is undone. */
    rollback: string;
  };
  preview_hash: string;
  quorum: number;
  independence: "principal" | "independent";
  requester: string;
  /** Accountable principal first. */
  chain: { actor: string; kind: string; via: string; ref: string }[];
  authors: string[];
  /** Until when it waits. */
  not_after: number;
  /** Milliseconds from the deciding vote. */
  execute_before: number;
  nonce: string;
}

/** What a person is shown, in reading order. In lists, delta, diff and rehearsal are empty. */
export interface Preview {
  summary: string;
  why: string | null;
  /** What widens comes first. */
  delta: { at: string; change: string; loosens: boolean; text: string }[];
  diff: string | null;
  provenance: Record<string, string>;
  verdict: { codes: string[]; rule: string };
  rehearsal: string | null;
}

export interface Vote {
  actor: string;
  vote: "approve" | "decline";
  note: string | null;
  at: number;
  /** A compact JWS by which Gantry says that it saw the human's token. */
  proofs: { kind: "service"; kid: string; jws: string }[];
}

/** A decision that one human took in the place of many, and the review that it owes. */
export interface BreakGlass {
  id: string;
  approval: string;
  actor: string;
  reason: string;
  until_at: number;
  debt: "open" | "closed";
  closed_by: string | null;
  closed_note: string | null;
  at: number;
}

export interface SimilarDecision {
  id: string;
  status: ApprovalStatus;
  requester: string;
  resource: string;
  target: string | null;
  decided_at: number;
}

export interface Approval {
  id: string;
  status: ApprovalStatus;
  subject: "run" | "contract" | "setting" | "flag" | "deploy";
  subject_id: string;
  run: string | null;
  statement: Statement;
  statement_hash: string;
  preview: Preview;
  votes: Vote[];
  /** Actors who may not vote. */
  excluded: string[];
  /** Why it ended as it did. */
  code: string | null;
  created_at: number;
  decided_at: number | null;
  /** Until when the approved action may start. */
  execute_before_at: number | null;
  executed_at: number | null;
  superseded_by: string | null;
  break_glass: BreakGlass | null;
  /** The last decisions of the like; not in lists. */
  similar?: SimilarDecision[] | undefined;
}

/** The key that verifies service proofs. */
export interface VoteKey {
  kid: string;
  alg: "EdDSA";
  /** SubjectPublicKeyInfo, PEM. */
  public_key: string;
}

/** What webhooks can be told of. */
export type WebhookEvent =
  | "approval.requested"
  | "approval.approved"
  | "approval.declined"
  | "approval.expired"
  | "approval.superseded"
  | "approval.executed"
  | "glass.broken"
  | "debt.closed"
  | "contract.suspended";

export interface Webhook {
  id: string;
  /** Scheme, host and port; `/…` stands for a path, which is not shown. */
  url: string;
  events: WebhookEvent[];
  created_by: string;
  created_at: number;
  /** Notices that wait to be sent, or sent again. */
  waiting: number;
  /** Notices that were given up. */
  dead: number;
}

/** With the secret that signs each notice, `whsec_…`. */
export interface CreatedWebhook extends Webhook {
  secret: string;
}

/** What becomes of one notice. */
export interface Delivery {
  /** The header `webhook-id` of every attempt. */
  id: string;
  event: WebhookEvent | "webhook.test";
  state: "waiting" | "delivered" | "dead";
  attempts: number;
  /** Of the last answer. */
  status: number | null;
  /** What was wrong with the last attempt. */
  error: string | null;
  created_at: number;
  due_at: number | null;
  settled_at: number | null;
}
