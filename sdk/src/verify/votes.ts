import type { Entry } from "./entry.ts";

/** What the entries of votes say of their proofs. */
export interface VoteFindings {
  /** Entries `approval.voted`. */
  count: number;
  /** Of them, those that name a service proof by its SHA-256: the server's word that it saw the human's token. */
  service: number;
  /** Those that name no proof of a kind that this verifier knows. */
  unproved: number;
}

/**
 * Counts kinds of proof, and judges none: an entry has the hash of its service proof, and not the proof. One pass, and
 * nothing is kept of an entry.
 */
export class Votes {
  readonly #found: VoteFindings = { count: 0, service: 0, unproved: 0 };

  take({ kind, data }: Pick<Entry, "kind" | "data">): void {
    if (kind !== "approval.voted") return;
    this.#found.count += 1;
    const { proof_hash } = data;
    if (typeof proof_hash === "string" && /^[0-9a-f]{64}$/.test(proof_hash)) this.#found.service += 1;
    else this.#found.unproved += 1;
  }

  findings(): VoteFindings {
    return { ...this.#found };
  }
}
