import type { Approval, ApprovalStatus, BreakGlass, VoteKey } from "./approval_types.ts";
import { canonicalHash } from "./canonical.ts";
import { pause } from "./pause.ts";
import { pagesOf, type Transport } from "./transport.ts";
import type { Page } from "./types.ts";

/** How often `wait` looks. */
const LOOK_MS = 1_000;

/** Which approvals; absent members do not narrow. */
export interface ApprovalQuery {
  status?: ApprovalStatus;
  /** The `next` of the page before. */
  cursor?: string;
  /** 1-200, default 50. */
  limit?: number;
}

interface Stop {
  signal?: AbortSignal;
}

/**
 * What people are asked to decide. Every method throws `GantryApiError` or `GantryConnectionError`; voting, closing
 * and attending take the token of a human.
 */
export class Approvals {
  readonly #transport: Transport;

  constructor(transport: Transport) {
    this.#transport = transport;
  }

  /** One page, newest first. */
  list(query: ApprovalQuery = {}, options: Stop = {}): Promise<Page<Approval>> {
    return this.#transport.json({ method: "GET", path: "/v1/approvals", query: { ...query }, ...options });
  }

  /** All pages from `query.cursor` on. */
  pages(query: ApprovalQuery = {}, options: Stop = {}): AsyncGenerator<Page<Approval>, void, undefined> {
    return pagesOf((cursor) => this.list(cursor === undefined ? query : { ...query, cursor }, options), query.cursor);
  }

  /** One approval, with all that is shown before deciding. @throws `APPROVAL_UNKNOWN` */
  get(id: string, options: Stop = {}): Promise<Approval> {
    return this.#transport.json({ method: "GET", path: pathOf(id), ...options });
  }

  /**
   * Whether what an approval shows is what a vote would be on: hashes the statement and, of one that `get` gave, the
   * preview, and compares them with what the approval says. Show nobody an approval that fails this.
   * @returns the hash to vote with. @throws Error
   */
  async check({ id, statement, statement_hash, preview }: Approval): Promise<string> {
    const hash = await canonicalHash(statement);
    if (hash !== statement_hash)
      throw new Error(`The statement of ${id} does not have the hash that it is given with.`);
    if (statement.approval !== id) throw new Error(`The statement of ${id} is about another approval.`);
    if ((await canonicalHash(preview)) !== statement.preview_hash) {
      throw new Error(`What is shown of ${id} is not what its statement is about.`);
    }
    return hash;
  }

  /** @param vote.statement_hash  of what was seen: what `check` gave. */
  vote(
    id: string,
    vote: { vote: "approve" | "decline"; statement_hash: string; note?: string },
    options: Stop = {},
  ): Promise<Approval> {
    return this.#transport.json({ method: "POST", path: `${pathOf(id)}/votes`, body: vote, ...options });
  }

  /**
   * Puts one decision in the place of the quorum, and owes a review.
   * @param glass.reason  20-2,000 characters. @param glass.minutes  1-240.
   */
  breakGlass(
    id: string,
    glass: { reason: string; minutes: number; statement_hash: string },
    options: Stop = {},
  ): Promise<Approval> {
    return this.#transport.json({ method: "POST", path: `${pathOf(id)}/break-glass`, body: glass, ...options });
  }

  /** Open reviews, oldest first. */
  async debts(options: Stop = {}): Promise<BreakGlass[]> {
    const ask = { method: "GET", path: "/v1/review-debts", ...options } as const;
    return (await this.#transport.json<{ items: BreakGlass[] }>(ask)).items;
  }

  /** Says what a review found. @throws `REVIEW_DEBT_SELF` `REVIEW_UNKNOWN` `REVIEW_CLOSED` */
  close(id: string, note: string, options: Stop = {}): Promise<BreakGlass> {
    const path = `/v1/review-debts/${encodeURIComponent(id)}/close`;
    return this.#transport.json({ method: "POST", path, body: { note }, ...options });
  }

  /** Says that you watch now. @returns until when that is worth something. */
  attend(options: Stop = {}): Promise<{ until_at: number }> {
    return this.#transport.json({ method: "POST", path: "/v1/attendance", ...options });
  }

  /** Keys of service proofs. Whoever verifies against the operator has them from elsewhere. */
  async keys(options: Stop = {}): Promise<VoteKey[]> {
    const ask = { method: "GET", path: "/v1/gates/keys", ...options } as const;
    return (await this.#transport.json<{ items: VoteKey[] }>(ask)).items;
  }

  /** Resolves when the approval is decided, however long that takes. Aborting stops waiting. */
  async wait(id: string, options: Stop = {}): Promise<Approval> {
    for (;;) {
      const view = await this.get(id, options);
      if (view.status !== "pending") return view;
      await pause(LOOK_MS, options.signal);
    }
  }
}

function pathOf(id: string): string {
  return `/v1/approvals/${encodeURIComponent(id)}`;
}
