import type { Transport } from "./transport.ts";
import type { Timeline } from "./types.ts";

/** What a timeline is about: all that names one id, or all from a time on (milliseconds UTC). */
export type TimelineQuery = { ref: string } | { since: number };

/**
 * What happened, reconstructed from the ledger alone: the same ledger gives the same bytes. Every method throws
 * `GantryApiError` (`EVIDENCE_UNKNOWN` when nothing names the id) or `GantryConnectionError`.
 */
export class Timelines {
  readonly #transport: Transport;

  constructor(transport: Transport) {
    this.#transport = transport;
  }

  get(about: TimelineQuery, options: { signal?: AbortSignal } = {}): Promise<Timeline> {
    return this.#transport.json({ method: "GET", ...placeOf(about, "json"), ...options });
  }

  /** The same for people: the draft of a post-mortem. */
  markdown(about: TimelineQuery, options: { signal?: AbortSignal } = {}): Promise<string> {
    return this.#transport.body({ method: "GET", ...placeOf(about, "md"), ...options });
  }
}

function placeOf(about: TimelineQuery, format: "json" | "md") {
  if ("ref" in about) return { path: `/v1/timelines/${encodeURIComponent(about.ref)}`, query: { format } };
  return { path: "/v1/timelines", query: { since: about.since, format } };
}
