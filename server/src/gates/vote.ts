import type { Principal } from "../identity/contract.ts";
import { assert } from "../kernel/assert.ts";
import { GantryError } from "../kernel/errors.ts";
import { sha256Hex } from "../kernel/hash.ts";
import { maskText } from "../kernel/mask.ts";
import type { Tx } from "../storage/contract.ts";
import { approval_errors, type VoteView } from "./contract.ts";
import { countApprovals, eligibleVoters } from "./eligibility.ts";
import { demandHuman } from "./humans.ts";
import { demandApproval, demandSeen, notVotable } from "./judge.ts";
import type { GateRoom } from "./parts.ts";
import { entryOf, type Held, markApproved, markDeclined } from "./records.ts";
import { refused } from "./refusals.ts";
import {
  auditedVote,
  insertVote,
  selectVotes,
  updateApproval,
  updateVoteDeclined,
  type VoteRow,
  voteId,
} from "./store.ts";
import { DECIDING_UNIT, settle, type Told, tellSubject } from "./telling.ts";

export interface Vote {
  vote: "approve" | "decline";
  statement_hash: string;
  /** At most `NOTE_CHARS_MAX` characters. */
  note?: string;
}

/** A vote with what proves it; made before the unit that records it, because a unit may run again. */
interface ProvedVote extends Vote {
  at: number;
  proofs: VoteView["proofs"];
}

/**
 * One human's vote. Refusals, in this order: APPROVAL_UNKNOWN, APPROVAL_NOT_HUMAN, SCOPE_MISSING, what identity says of
 * the token, APPROVAL_HASH_MISMATCH, the status (APPROVAL_EXPIRED, APPROVAL_EXECUTE_EXPIRED, APPROVAL_SUPERSEDED,
 * APPROVAL_DECIDED), APPROVAL_EXCLUDED, APPROVAL_DUPLICATE. Each about an existing approval is recorded.
 */
export async function castVote(room: GateRoom, who: Principal, id: string, vote: Vote): Promise<void> {
  const at = room.clock.now();
  const { kid } = room.key;
  const jws = room.key.prove({
    approval: id,
    statement_hash: vote.statement_hash,
    vote: vote.vote,
    actor: who.actor,
    token: who.token ?? "",
    at,
  });
  const proved: ProvedVote = { ...vote, at, proofs: [{ kind: "service", kid, jws }] };
  let cast: Cast;
  try {
    cast = await room.storage.write((tx) => castIn(room, tx, who, id, proved), DECIDING_UNIT);
  } catch (error) {
    throw await refused(room, error, who, id, "vote");
  }
  if (cast.told === undefined) return;
  if (cast.told.decided.outcome === "approved") room.metrics.observe("gantry_gate_wait_seconds", cast.waited_ms / 1000);
  settle(room, cast.told);
}

interface Cast {
  /** Of the deciding vote. */
  told?: Told;
  waited_ms: number;
}

async function castIn(room: GateRoom, tx: Tx, who: Principal, id: string, vote: ProvedVote): Promise<Cast> {
  const held = await demandApproval(tx, who.tenant, id);
  await demandHuman(room, tx, who, "gate:approve");
  demandSeen(held, vote.statement_hash);
  const is_veto = vote.vote === "decline";
  const barred = notVotable(held.row, room.clock.now(), is_veto);
  if (barred !== undefined) throw barred;
  const eligible = await eligibleVoters(room, tx, held.row, held.statement);
  if (!eligible.has(who.actor)) {
    throw new GantryError(approval_errors.EXCLUDED, {
      detail: "You asked for this, own who asked, wrote what would run, or may not approve. Somebody else decides.",
    });
  }
  const before = await selectVotes(tx, held.row.id);
  const own = before.find(({ actor_id }) => actor_id === who.actor);
  if (own !== undefined && !(is_veto && own.vote === "approve")) {
    throw new GantryError(approval_errors.DUPLICATE, { detail: "You have voted; one person is one vote." });
  }
  const row: VoteRow = {
    approval_id: held.row.id,
    actor_id: who.actor,
    vote: vote.vote,
    note: vote.note === undefined ? null : maskText(vote.note),
    proofs_json: JSON.stringify(vote.proofs),
    at: vote.at,
  };
  if (own === undefined) insertVote(tx, row);
  else updateVoteDeclined(tx, row);
  const votes = [...before.filter((each) => each !== own), row];
  const approvals = countApprovals(room, held.row, votes, eligible);
  const voted = recordVote(room, tx, held, who, vote, row, approvals);
  const waited_ms = vote.at - held.row.created_at;
  if (is_veto) {
    const declined = await markDeclined(room, tx, voted, who.chain, vote.at);
    return { told: await tellSubject(room, tx, declined, "declined", who.chain), waited_ms };
  }
  if (approvals < held.row.quorum) return { waited_ms };
  const approved = await markApproved(room, tx, voted, who.chain, vote.at);
  return { told: await tellSubject(room, tx, approved, "approved", who.chain), waited_ms };
}

/** The vote's entry. The approval's revision rises with each vote, so that two never decide at once. */
function recordVote(
  room: GateRoom,
  tx: Tx,
  held: Held,
  who: Principal,
  { vote, statement_hash, note, proofs }: ProvedVote,
  row: VoteRow,
  approvals: number,
): Held {
  const [proof] = proofs;
  assert(proof !== undefined, "a vote has a service proof");
  const after = updateApproval(tx, held.row, {});
  room.ledger.append(tx, {
    ...entryOf(held, "approval.voted", who.chain),
    subjects: [
      { table: "approval_votes", id: voteId(row), row: auditedVote(row) },
      { table: "approvals", id: after.id, row: { ...after } },
    ],
    data: {
      approval: after.id,
      vote,
      statement_hash,
      approvals,
      proof_hash: sha256Hex(proof.jws),
      ...(vote === "decline" ? { override: "decline" } : {}),
    },
    ...(note === undefined ? {} : { private: { note: { class: "prompts", value: note, redaction: "mask" } } }),
  });
  return { ...held, row: after };
}
