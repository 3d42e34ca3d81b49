import { assert } from "../kernel/assert.ts";
import type { Clock } from "../kernel/clock.ts";
import { GantryError } from "../kernel/errors.ts";
import type { EntryId, Ids, TenantId } from "../kernel/ids.ts";
import type { Random } from "../kernel/random.ts";
import type { Metrics } from "../kernel/telemetry.ts";
import type { Storage, Tx } from "../storage/contract.ts";
import {
  ENTRIES_PAGE_MAX,
  type EntryDraft,
  type EntryPage,
  type EntryQuery,
  type EntryView,
  errors,
  FOLLOW_IDLE_MS,
  FOLLOW_POLL_MS,
  FOLLOWERS_MAX,
  type KindSchemas,
  type Ledger,
  type LedgerReader,
} from "./contract.ts";
import { buildEntry, viewEntry } from "./entry.ts";
import { insertEntry, selectEntries, selectEntry, selectNewest } from "./store.ts";

const SALT_BYTES = 16;

export interface EvidenceParts {
  storage: Storage;
  clock: Clock;
  random: Random;
  ids: Ids;
  metrics: Metrics;
  /** From `loadStateKey`, 32 bytes. */
  state_key: Uint8Array;
  /** The kinds of every room. */
  kinds: KindSchemas;
}

/** The ledger of one instance: appends inside the units of other rooms, reads by page, and lets readers follow. */
export class EvidenceLedger implements Ledger, LedgerReader {
  readonly #parts: EvidenceParts;
  /** Ends one follower each. */
  readonly #followers = new Set<() => void>();

  constructor(parts: EvidenceParts) {
    this.#parts = parts;
  }

  /**
   * Buffers the entry in the caller's unit: it exists exactly if the unit commits. The counter of appended entries
   * counts calls, so a unit that was run twice counts twice.
   * @throws EVIDENCE_BAD_ENTRY
   */
  append(tx: Tx, draft: EntryDraft): EntryId {
    const { clock, ids, kinds, metrics, random, state_key } = this.#parts;
    const stamp = { id: ids("ent"), at: clock.now(), salt: random.bytes(SALT_BYTES) };
    insertEntry(tx, buildEntry(draft, stamp, kinds, state_key));
    metrics.add("gantry_evidence_appended_total", { kind: draft.kind });
    return stamp.id;
  }

  async list(query: EntryQuery): Promise<EntryPage> {
    const { limit } = query;
    assert(Number.isSafeInteger(limit) && limit >= 1 && limit <= ENTRIES_PAGE_MAX, "a page has 1 to 200 entries");
    const rows = await selectEntries(this.#parts.storage, {
      tenant: query.tenant,
      ref: query.ref,
      kind: query.kind,
      since: query.since,
      after: position(query.cursor),
      rows: limit + 1,
    });
    const items = rows.slice(0, limit).map(({ arrival, bytes }) => viewEntry(arrival, bytes));
    const last = items.at(-1);
    return rows.length > limit && last !== undefined ? { items, next: String(last.arrival) } : { items };
  }

  async get(id: string, tenant: TenantId): Promise<EntryView> {
    const row = await selectEntry(this.#parts.storage, id, tenant);
    if (row === undefined) throw new GantryError(errors.UNKNOWN, { detail: "No entry of this tenant has this id." });
    return viewEntry(row.arrival, row.bytes);
  }

  follow(query: EntryQuery, signal: AbortSignal): AsyncIterableIterator<EntryView[]> {
    if (this.#followers.size >= FOLLOWERS_MAX) {
      throw new GantryError(errors.FOLLOWERS, {
        detail: `${FOLLOWERS_MAX} clients follow already. Read by page, or try again when one has left.`,
        retry_after_ms: FOLLOW_IDLE_MS,
      });
    }
    const ended = new AbortController();
    const end = (): void => {
      this.#followers.delete(end);
      signal.removeEventListener("abort", end);
      ended.abort();
    };
    this.#followers.add(end);
    signal.addEventListener("abort", end);
    if (signal.aborted) end();
    return this.#pages(query, ended.signal, end);
  }

  async *#pages(query: EntryQuery, signal: AbortSignal, end: () => void): AsyncIterableIterator<EntryView[]> {
    let after = position(query.cursor);
    try {
      while (!signal.aborted) {
        // Read before the page: whatever arrived up to here is in the page or does not match.
        const newest = await selectNewest(this.#parts.storage);
        const page = await this.list({ ...query, cursor: String(after) });
        if (signal.aborted) return;
        if (page.items.length > 0) yield page.items;
        if (page.next !== undefined) {
          after = position(page.next);
          continue;
        }
        after = Math.max(after, newest, page.items.at(-1)?.arrival ?? 0);
        if (!(await this.#arrives(after, signal)) && !signal.aborted) yield [];
      }
    } finally {
      end();
    }
  }

  /** True as soon as there is an entry past `after`; false when `signal` aborts or nothing came for `FOLLOW_IDLE_MS`. */
  #arrives(after: number, signal: AbortSignal): Promise<boolean> {
    const { clock, storage } = this.#parts;
    return new Promise((resolve, reject) => {
      const started = clock.monotonic();
      const settle = (act: () => void): void => {
        stop();
        signal.removeEventListener("abort", aborted);
        act();
      };
      const aborted = (): void => settle(() => resolve(false));
      const stop = clock.every(FOLLOW_POLL_MS, () => {
        selectNewest(storage).then(
          (newest) => {
            if (newest > after) settle(() => resolve(true));
            else if (clock.monotonic() - started >= FOLLOW_IDLE_MS) settle(() => resolve(false));
          },
          (error) => settle(() => reject(error)),
        );
      });
      signal.addEventListener("abort", aborted);
      if (signal.aborted) aborted();
    });
  }

  /** Ends every follower, so that the listener can close. */
  close(): void {
    for (const end of [...this.#followers]) end();
  }
}

function position(cursor: string | undefined): number {
  const at = Number(cursor ?? 0);
  assert(Number.isSafeInteger(at) && at >= 0, "a cursor is an arrival");
  return at;
}
