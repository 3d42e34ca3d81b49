import { pagesOf, type Transport } from "./transport.ts";
import type { Entry, Page } from "./types.ts";

/** Which entries; absent members narrow nothing. */
export interface EntryQuery {
  /** An id that the entry names: a run, an actor, a snapshot. */
  ref?: string;
  /** As `run.ended`. */
  kind?: string;
  /** Milliseconds UTC: only entries from then on. */
  since?: number;
  /** From an earlier page's `next`. */
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

  /** One page, in the order of arrival. */
  list(query: EntryQuery = {}, options: { signal?: AbortSignal } = {}): Promise<Page<Entry>> {
    const path = "/v1/evidence/entries";
    return this.#transport.json({ method: "GET", path, query: { ...query }, signal: options.signal });
  }

  /** All pages from `query.cursor` on. */
  pages(query: EntryQuery = {}, options: { signal?: AbortSignal } = {}): AsyncGenerator<Page<Entry>, void, undefined> {
    return pagesOf((cursor) => this.list(cursor === undefined ? query : { ...query, cursor }, options), query.cursor);
  }

  /** @throws GantryApiError `EVIDENCE_UNKNOWN`, for another tenant's entry too. */
  get(id: string, options: { signal?: AbortSignal } = {}): Promise<Entry> {
    const path = `/v1/evidence/entries/${encodeURIComponent(id)}`;
    return this.#transport.json({ method: "GET", path, signal: options.signal });
  }
}
