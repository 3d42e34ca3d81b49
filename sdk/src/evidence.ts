import { type AuditOptions, type AuditReport, audit } from "./audit.ts";
import { pagesOf, type Transport } from "./transport.ts";
import type { Entry, Page, Witness } from "./types.ts";

/** Which entries; absent members narrow nothing. */
export interface EntryQuery {
  /** An id that the entry names: a run, an actor, a snapshot. */
  ref?: string;
  /** As `run.ended`. */
  kind?: string;
  /** Milliseconds UTC: only entries from then on. */
  since?: number;
  /** Default `oldest`: as they arrived. */
  order?: "oldest" | "newest";
  /** From an earlier page's `next`, in the same order. */
  cursor?: string;
  /** 1-200, default 50. */
  limit?: number;
}

/** The ledger: what happened, entry by entry. Every method throws `GantryApiError` or `GantryConnectionError`. */
export class Evidence {
  readonly #transport: Transport;

  constructor(transport: Transport) {
    this.#transport = transport;
  }

  /** One page, in the order of arrival unless `order` says otherwise. */
  list(query: EntryQuery = {}, options: { signal?: AbortSignal } = {}): Promise<Page<Entry>> {
    const path = "/v1/evidence/entries";
    return this.#transport.json({ method: "GET", path, query: { ...query }, signal: options.signal });
  }

  /** All pages from `query.cursor` on. */
  pages(query: EntryQuery = {}, options: { signal?: AbortSignal } = {}): AsyncGenerator<Page<Entry>, void, undefined> {
    return pagesOf((cursor) => this.list(cursor === undefined ? query : { ...query, cursor }, options), query.cursor);
  }

  /**
   * @param options.open  a private field to show, which is itself recorded; takes the scope `evidence:export`.
   * @throws GantryApiError `EVIDENCE_UNKNOWN`, for another tenant's entry too; `EVIDENCE_ERASED`, `EVIDENCE_NOT_KEPT`.
   */
  get(id: string, { open, signal }: { open?: string; signal?: AbortSignal } = {}): Promise<Entry> {
    const path = `/v1/evidence/entries/${encodeURIComponent(id)}`;
    return this.#transport.json({ method: "GET", path, query: { open }, signal });
  }

  /** How far the server's witnesses have come; takes the scope `ops:read`. */
  witnesses(options: { signal?: AbortSignal } = {}): Promise<{ items: Witness[] }> {
    return this.#transport.json({ method: "GET", path: "/v1/evidence/witnesses", signal: options.signal });
  }

  /**
   * Compares the whole store with its ledger, and the ledger with what was signed; a fault is an answer, not an error.
   * @throws GantryApiError `EVIDENCE_AUDITS` while another goes on, `EVIDENCE_BAD_NOTE`.
   */
  audit(options: AuditOptions = {}): Promise<AuditReport> {
    return audit(this.#transport, options);
  }
}
