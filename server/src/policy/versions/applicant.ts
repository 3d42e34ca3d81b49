import type { ActorRef } from "../../evidence/contract.ts";
import type { ChainLink, Principal } from "../../identity/contract.ts";
import { canonicalJson } from "../../kernel/canonical.ts";
import { sha256Hex } from "../../kernel/hash.ts";
import type { ActorId } from "../../kernel/ids.ts";
import type { ApprovalDraft } from "../contract.ts";

/** Who applies a document. */
export interface Applicant {
  /** As entries name them: accountable principal first, not empty. */
  by: ActorRef[];
  /** As approvers see them. */
  requester: ApprovalDraft["requester"];
  /** Does the same document once more resume a contract that has suspended itself? */
  resumes: boolean;
}

export function applicantOf({ actor, chain, chain_hash }: Principal): Applicant {
  return { by: refs(chain), requester: { actor, chain, chain_hash }, resumes: true };
}

/**
 * The files of the configuration speak for whoever starts the server. Each start applies them, so they resume nothing:
 * somebody who knows that the contract has suspended itself does that.
 */
export function applicantAtStart(by: ActorRef[]): Applicant {
  const chain = by.map(({ actor, kind }): ChainLink => {
    return { actor: actor as ActorId, kind, via: "schedule", ref: "start" };
  });
  const actor = (by.at(-1)?.actor ?? "") as ActorId;
  return { by, requester: { actor, chain, chain_hash: sha256Hex(canonicalJson(chain)) }, resumes: false };
}

export function refs(chain: readonly ChainLink[]): ActorRef[] {
  return chain.map(({ actor, kind }) => ({ actor, kind }));
}
