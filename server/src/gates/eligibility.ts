import type { ActorId, TenantId } from "../kernel/ids.ts";
import type { Reader } from "../storage/contract.ts";
import type { Statement, VoteView } from "./contract.ts";
import type { GateKey } from "./gate_key.ts";
import type { GateParts } from "./parts.ts";
import type { ApprovalRow, VoteRow } from "./store.ts";

type Asked = Pick<Statement, "requester" | "chain" | "authors" | "independence">;

/**
 * Who may not decide: the requester, every actor that it owns, the authors, and at `independent` also the first human of
 * the chain of an agent or a service. Sorted.
 */
export async function excludedActors(
  { identity }: Pick<GateParts, "identity">,
  reader: Reader,
  tenant: TenantId,
  { requester, chain, authors, independence }: Asked,
): Promise<ActorId[]> {
  const excluded = new Set<ActorId>([requester, ...authors, ...(await identity.ownedBy(reader, tenant, requester))]);
  if (independence === "independent" && chain.at(-1)?.kind !== "human") {
    const accountable = chain.find((link) => link.kind === "human");
    if (accountable !== undefined) excluded.add(accountable.actor);
  }
  return [...excluded].sort();
}

/**
 * Humans who may decide now: active, allowed to approve, and excluded neither when it was asked nor today.
 * Ownership changes, so both count.
 */
export async function eligibleVoters(
  parts: Pick<GateParts, "identity">,
  reader: Reader,
  row: ApprovalRow,
  statement: Asked,
): Promise<Set<ActorId>> {
  const voters = await parts.identity.voters(reader, row.tenant_id);
  const excluded = new Set([...readExcluded(row), ...(await excludedActors(parts, reader, row.tenant_id, statement))]);
  return new Set(voters.map((human) => human.actor).filter((actor) => !excluded.has(actor)));
}

export function readExcluded(row: Pick<ApprovalRow, "excluded_json">): ActorId[] {
  return JSON.parse(row.excluded_json) as ActorId[];
}

/**
 * Approvals that count: each of another human, who may still decide, and with a proof that Gantry saw exactly this vote.
 * A row alone is nobody's vote.
 */
export function countApprovals(
  { key }: Pick<GateParts, "key">,
  row: Pick<ApprovalRow, "id" | "statement_hash">,
  votes: readonly VoteRow[],
  eligible: ReadonlySet<ActorId>,
): number {
  return votes.filter((vote) => vote.vote === "approve" && eligible.has(vote.actor_id) && isProved(key, row, vote))
    .length;
}

function isProved(key: GateKey, row: Pick<ApprovalRow, "id" | "statement_hash">, vote: VoteRow): boolean {
  return readProofs(vote).some(({ jws }) => {
    const said = key.read(jws);
    return (
      said?.approval === row.id &&
      said.statement_hash === row.statement_hash &&
      said.vote === vote.vote &&
      said.actor === vote.actor_id
    );
  });
}

export function readProofs({ proofs_json }: Pick<VoteRow, "proofs_json">): VoteView["proofs"] {
  return JSON.parse(proofs_json) as VoteView["proofs"];
}
