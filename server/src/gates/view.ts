import type { Preview } from "../policy/contract.ts";
import type { Reader } from "../storage/contract.ts";
import { type ApprovalView, SIMILAR_MAX, type SimilarDecision, type VoteView } from "./contract.ts";
import { viewGlass } from "./debt.ts";
import { readExcluded, readProofs } from "./eligibility.ts";
import { selectGlassOf } from "./glass_store.ts";
import { isOwnText, readStatement } from "./statement.ts";
import { type ApprovalRow, selectAlike, selectPreview, selectVotes, type VoteRow } from "./store.ts";

/** One approval, as its tenant sees it. */
export async function viewApproval(reader: Reader, row: ApprovalRow): Promise<ApprovalView> {
  const alike = await selectAlike(reader, row, SIMILAR_MAX);
  return { ...(await viewListed(reader, row, "whole")), similar: alike.filter(isOwnText).map(viewSimilar) };
}

/** In a list, without what is long. */
export async function viewListed(
  reader: Reader,
  row: ApprovalRow,
  part: "head" | "whole" = "head",
): Promise<ApprovalView> {
  const votes = await selectVotes(reader, row.id);
  const glass = row.status === "broken_glass" ? await selectGlassOf(reader, row.id) : undefined;
  return {
    id: row.id,
    status: row.status,
    subject: row.subject,
    subject_id: row.subject_id,
    run: row.run_id,
    statement: readStatement(row),
    statement_hash: row.statement_hash,
    preview: JSON.parse(await selectPreview(reader, row.id, part)) as Preview,
    votes: votes.map(viewVote),
    excluded: readExcluded(row),
    code: row.code,
    created_at: row.created_at,
    decided_at: row.decided_at,
    execute_before_at: row.execute_before_at,
    executed_at: row.executed_at,
    superseded_by: row.superseded_by,
    break_glass: glass === undefined ? null : viewGlass(glass),
  };
}

function viewVote(row: VoteRow): VoteView {
  return { actor: row.actor_id, vote: row.vote, note: row.note, at: row.at, proofs: readProofs(row) };
}

function viewSimilar(row: ApprovalRow): SimilarDecision {
  const { requester, action, target } = readStatement(row);
  const { id, status, decided_at, created_at } = row;
  return { id, status, requester, resource: action.resource, target, decided_at: decided_at ?? created_at };
}
