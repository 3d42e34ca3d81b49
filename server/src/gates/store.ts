import { z } from "zod";
import type { AuditedTable } from "../evidence/contract.ts";
import type { ActorId, ApprovalId, RunId, TenantId } from "../kernel/ids.ts";
import { APPROVAL_SUBJECTS } from "../policy/contract.ts";
import { type Migration, type Reader, ROWS_MAX, type Row, type Tx, type Value } from "../storage/contract.ts";
import { APPROVAL_STATUSES, type ApprovalQuery } from "./contract.ts";
import { glass_tables } from "./glass_store.ts";

/**
 * `rev` is what every change is compared and set by. A preview stands in a table of its own, so that lists need not read
 * it; no digest covers it, because the statement has its hash. Counters of effects and refusals change without an entry
 * and are no evidence: what they count is.
 */
export const migrations: Migration[] = [
  {
    id: "gates/0001",
    sql: `
      CREATE TABLE approvals (
        id {text} NOT NULL PRIMARY KEY,
        tenant_id {text} NOT NULL,
        run_id {text},
        subject {text} NOT NULL CHECK (subject IN ('run', 'contract', 'setting', 'flag', 'deploy')),
        subject_id {text} NOT NULL,
        gate {text} NOT NULL,
        action {text} NOT NULL,
        contract {text},
        action_key {text} NOT NULL,
        status {text} NOT NULL CHECK (status IN
          ('pending', 'approved', 'declined', 'expired', 'superseded', 'executed', 'broken_glass')),
        statement_json {text} NOT NULL,
        statement_hash {text} NOT NULL UNIQUE,
        excluded_json {text} NOT NULL,
        quorum {int} NOT NULL,
        privileged {int} NOT NULL,
        not_after_at {int} NOT NULL,
        execute_before_ms {int} NOT NULL,
        execute_before_at {int},
        code {text},
        created_at {int} NOT NULL,
        decided_at {int},
        executed_at {int},
        superseded_by {text},
        rev {int} NOT NULL
      );
      CREATE INDEX approvals_by_status ON approvals (tenant_id, status, id);
      CREATE INDEX approvals_by_tenant ON approvals (tenant_id, id);
      CREATE INDEX approvals_by_key ON approvals (tenant_id, action_key, status);
      CREATE INDEX approvals_alike ON approvals (tenant_id, action, contract, decided_at);
      CREATE TABLE approval_previews (
        approval_id {text} NOT NULL PRIMARY KEY REFERENCES approvals (id),
        head_json {text} NOT NULL,
        preview_json {text} NOT NULL
      );
      CREATE TABLE approval_votes (
        approval_id {text} NOT NULL REFERENCES approvals (id),
        actor_id {text} NOT NULL,
        vote {text} NOT NULL CHECK (vote IN ('approve', 'decline')),
        note {text},
        proofs_json {text} NOT NULL,
        at {int} NOT NULL,
        PRIMARY KEY (approval_id, actor_id)
      );
      CREATE TABLE approval_counts (
        approval_id {text} NOT NULL PRIMARY KEY REFERENCES approvals (id),
        effects {int} NOT NULL,
        refusals {int} NOT NULL
      );
      CREATE TABLE break_glass (
        id {text} NOT NULL PRIMARY KEY,
        tenant_id {text} NOT NULL,
        approval_id {text} NOT NULL UNIQUE REFERENCES approvals (id),
        actor_id {text} NOT NULL,
        reason {text} NOT NULL,
        until_at {int} NOT NULL,
        debt {text} NOT NULL CHECK (debt IN ('open', 'closed')),
        closed_by {text},
        closed_note {text},
        at {int} NOT NULL
      );
      CREATE INDEX break_glass_debts ON break_glass (tenant_id, debt, id);
      CREATE TABLE attendances (
        actor_id {text} NOT NULL PRIMARY KEY,
        tenant_id {text} NOT NULL,
        until_at {int} NOT NULL
      );
      CREATE INDEX attendances_by_tenant ON attendances (tenant_id, until_at);
    `,
    tables: {
      approvals: "audited",
      approval_previews: "operational",
      approval_votes: "audited",
      approval_counts: "operational",
      break_glass: "audited",
      attendances: "audited",
    },
  },
];

const approvalRow = z.object({
  id: z.custom<ApprovalId>(),
  tenant_id: z.custom<TenantId>(),
  run_id: z.custom<RunId>().nullable(),
  subject: z.enum(APPROVAL_SUBJECTS),
  subject_id: z.string(),
  gate: z.string(),
  action: z.string(),
  contract: z.string().nullable(),
  action_key: z.string(),
  status: z.enum(APPROVAL_STATUSES),
  statement_json: z.string(),
  statement_hash: z.string(),
  excluded_json: z.string(),
  quorum: z.int(),
  privileged: z.int(),
  not_after_at: z.int(),
  execute_before_ms: z.int(),
  execute_before_at: z.int().nullable(),
  code: z.string().nullable(),
  created_at: z.int(),
  decided_at: z.int().nullable(),
  executed_at: z.int().nullable(),
  superseded_by: z.custom<ApprovalId>().nullable(),
  rev: z.int(),
});
export type ApprovalRow = z.infer<typeof approvalRow>;

const voteRow = z.object({
  approval_id: z.custom<ApprovalId>(),
  actor_id: z.custom<ActorId>(),
  vote: z.enum(["approve", "decline"]),
  note: z.string().nullable(),
  proofs_json: z.string(),
  at: z.int(),
});
export type VoteRow = z.infer<typeof voteRow>;

/** What people wrote is in no digest: it must be erasable, and the entry has a commitment to it. */
export function auditedVote({ note: _note, ...row }: VoteRow): Row {
  return { ...row };
}

/** The name of a vote's row in the ledger's subjects. */
export function voteId(row: Pick<VoteRow, "approval_id" | "actor_id">): string {
  return `${row.approval_id}/${row.actor_id}`;
}

const approval_columns = Object.keys(approvalRow.shape);
const vote_columns = Object.keys(voteRow.shape).filter((name) => name !== "note");

/** The room's audited tables, as an audit reads them; those of webhooks stand beside their store. */
export const audited_tables: AuditedTable[] = [
  { table: "approvals", id: "id", columns: approval_columns, columnsOf: (row) => row },
  {
    table: "approval_votes",
    id: "approval_id || '/' || actor_id",
    columns: vote_columns,
    columnsOf: (row) => row,
  },
  ...glass_tables,
];

export function insertApproval(tx: Tx, row: ApprovalRow): void {
  const values = approval_columns.map((name) => row[name as keyof ApprovalRow] as Value);
  const marks = values.map(() => "?").join(", ");
  tx.run(`INSERT INTO approvals (${approval_columns.join(", ")}) VALUES (${marks})`, values, 1);
}

/** What a decision changes of a row. */
export type ApprovalChange = Partial<
  Pick<ApprovalRow, "status" | "execute_before_at" | "code" | "decided_at" | "executed_at" | "superseded_by">
>;

/** Compare-and-set: expects the revision that the row was read in. */
export function updateApproval(tx: Tx, before: ApprovalRow, change: ApprovalChange): ApprovalRow {
  const row = { ...before, ...change, rev: before.rev + 1 };
  tx.run(
    `UPDATE approvals SET status = ?, execute_before_at = ?, code = ?, decided_at = ?, executed_at = ?, superseded_by = ?,
       rev = ? WHERE id = ? AND rev = ?`,
    [
      row.status,
      row.execute_before_at,
      row.code,
      row.decided_at,
      row.executed_at,
      row.superseded_by,
      row.rev,
      row.id,
      before.rev,
    ],
    1,
  );
  return row;
}

export async function selectApproval(reader: Reader, tenant: string, id: string): Promise<ApprovalRow | undefined> {
  const row = await reader.get("SELECT * FROM approvals WHERE tenant_id = ? AND id = ?", [tenant, id]);
  return row === undefined ? undefined : approvalRow.parse(row);
}

/** For the clock, which asks for no tenant. */
export async function selectApprovalById(reader: Reader, id: string): Promise<ApprovalRow | undefined> {
  const row = await reader.get("SELECT * FROM approvals WHERE id = ?", [id]);
  return row === undefined ? undefined : approvalRow.parse(row);
}

/** What a new request for the same action takes the place of, oldest first. */
export async function selectLiveByKey(reader: Reader, tenant: TenantId, key: string): Promise<ApprovalRow[]> {
  const rows = await reader.all(
    `SELECT * FROM approvals WHERE tenant_id = ? AND action_key = ? AND status IN ('pending', 'approved') ORDER BY id`,
    [tenant, key],
  );
  return rows.map((row) => approvalRow.parse(row));
}

export async function countPending(reader: Reader, tenant: TenantId): Promise<number> {
  const row = await reader.get("SELECT count(*) AS n FROM approvals WHERE tenant_id = ? AND status = 'pending'", [
    tenant,
  ]);
  return z.int().parse(row?.["n"]);
}

/** Newest first; `limit + 1` rows at most, so that a caller sees whether more follow. */
export async function selectPage(
  reader: Reader,
  tenant: TenantId,
  query: ApprovalQuery,
  limit: number,
): Promise<ApprovalRow[]> {
  const where = ["tenant_id = ?"];
  const params: Value[] = [tenant];
  const also = (condition: string, value: string | undefined) => {
    if (value === undefined) return;
    where.push(condition);
    params.push(value);
  };
  also("status = ?", query.status);
  also("id < ?", query.cursor);
  const sql = `SELECT * FROM approvals WHERE ${where.join(" AND ")} ORDER BY id DESC LIMIT ?`;
  return (await reader.all(sql, [...params, limit + 1])).map((row) => approvalRow.parse(row));
}

/** Decided approvals of the same action under the same contract, the last decision first. */
export async function selectAlike(reader: Reader, row: ApprovalRow, limit: number): Promise<ApprovalRow[]> {
  const contract = row.contract === null ? "contract IS NULL" : "contract = ?";
  const params: Value[] = [row.tenant_id, row.action, ...(row.contract === null ? [] : [row.contract]), row.id, limit];
  const rows = await reader.all(
    `SELECT * FROM approvals WHERE tenant_id = ? AND action = ? AND ${contract} AND decided_at IS NOT NULL AND id <> ?
     ORDER BY decided_at DESC NULLS LAST, id DESC LIMIT ?`,
    params,
  );
  return rows.map((found) => approvalRow.parse(found));
}

export function insertVote(tx: Tx, row: VoteRow): void {
  tx.run(
    "INSERT INTO approval_votes (approval_id, actor_id, vote, note, proofs_json, at) VALUES (?, ?, ?, ?, ?, ?)",
    [row.approval_id, row.actor_id, row.vote, row.note, row.proofs_json, row.at],
    1,
  );
}

/** Whoever approved may still veto; nobody takes a decline back. */
export function updateVoteDeclined(tx: Tx, row: VoteRow): void {
  tx.run(
    `UPDATE approval_votes SET vote = ?, note = ?, proofs_json = ?, at = ?
     WHERE approval_id = ? AND actor_id = ? AND vote = 'approve'`,
    [row.vote, row.note, row.proofs_json, row.at, row.approval_id, row.actor_id],
    1,
  );
}

/** Votes by approval, in the order in which they were given. */
export async function selectVotes(reader: Reader, approval: ApprovalId): Promise<VoteRow[]> {
  const rows = await reader.all("SELECT * FROM approval_votes WHERE approval_id = ? ORDER BY at, actor_id LIMIT ?", [
    approval,
    ROWS_MAX,
  ]);
  return rows.map((row) => voteRow.parse(row));
}

export function insertPreview(tx: Tx, approval: ApprovalId, head_json: string, preview_json: string): void {
  tx.run(
    "INSERT INTO approval_previews (approval_id, head_json, preview_json) VALUES (?, ?, ?)",
    [approval, head_json, preview_json],
    1,
  );
}

/** Canonical JSON of the whole preview, or of its head. */
export async function selectPreview(reader: Reader, approval: ApprovalId, part: "head" | "whole"): Promise<string> {
  const column = part === "head" ? "head_json" : "preview_json";
  const row = await reader.get(`SELECT ${column} AS text FROM approval_previews WHERE approval_id = ?`, [approval]);
  return z.string().parse(row?.["text"]);
}

export interface Counts {
  effects: number;
  refusals: number;
}

export async function selectCounts(reader: Reader, approval: ApprovalId): Promise<Counts> {
  const row = await reader.get("SELECT effects, refusals FROM approval_counts WHERE approval_id = ?", [approval]);
  return row === undefined ? { effects: 0, refusals: 0 } : z.object({ effects: z.int(), refusals: z.int() }).parse(row);
}

/** Adds one to either; the unit has read it and has the turn, so nothing came between. */
export function addCount(tx: Tx, approval: ApprovalId, what: keyof Counts): void {
  const effects = what === "effects" ? 1 : 0;
  tx.run(
    `INSERT INTO approval_counts (approval_id, effects, refusals) VALUES (?, ?, ?)
     ON CONFLICT (approval_id) DO UPDATE SET effects = approval_counts.effects + excluded.effects,
       refusals = approval_counts.refusals + excluded.refusals`,
    [approval, effects, 1 - effects],
    1,
  );
}
