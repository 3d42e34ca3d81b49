import { assert } from "../kernel/assert.ts";
import type { Clock } from "../kernel/clock.ts";
import { GantryError } from "../kernel/errors.ts";
import type { TenantId } from "../kernel/ids.ts";
import type { Storage } from "../storage/contract.ts";
import {
  ENTRIES_PAGE_MAX,
  type EntryPage,
  type EntryQuery,
  type EntryView,
  errors,
  FOLLOW_IDLE_MS,
  FOLLOW_POLL_MS,
  FOLLOWERS_MAX,
  type LedgerReader,
} from "./contract.ts";
import { viewEntry } from "./entry.ts";
import { selectArrivalOf, selectEntries, selectEntry, selectLastIndex } from "./store.ts";

/** Before the first entry of the log. */
const START = -1;

/** Reads entries by page, and lets readers follow the log. Order of arrival and order of the log are the same. */
export class EntryReader implements LedgerReader {
  readonly #storage: Storage;
  readonly #clock: Clock;
  /** Ends one follower each. */
  readonly #followers = new Set<() => void>();

  constructor({ storage, clock }: { storage: Storage; clock: Clock }) {
    this.#storage = storage;
    this.#clock = clock;
  }

  async list(query: EntryQuery): Promise<EntryPage> {
    const { limit } = query;
    assert(Number.isSafeInteger(limit) && limit >= 1 && limit <= ENTRIES_PAGE_MAX, "a page has 1 to 200 entries");
    if (query.order === "newest") return this.#newest(query);
    const after = await this.#arrivalAt(position(query.cursor));
    // One statement, so that an entry which is sealed meanwhile is seen once: as waiting, or as sealed.
    const narrowed = { ...narrowing(query), sealed: query.sealed === true };
    const rows = await selectEntries(this.#storage, {
      ...narrowed,
      after,
      before: undefined,
      newest: false,
      rows: limit + 1,
    });
    const items = rows.slice(0, limit).map(({ index, bytes }) => viewEntry(index, bytes));
    if (rows.length <= limit) return { items };
    // What waits has no place yet that a next page could begin at, so all of it comes behind the last that is sealed.
    const sealed = items.filter(({ index }) => index !== undefined);
    const last = sealed.at(-1)?.index;
    return last === undefined ? { items } : { items: sealed, next: String(last) };
  }

  /** From the end on. What waits has no place to come back to, so it stands on the first page or on none. */
  async #newest({ limit, cursor, ...query }: EntryQuery): Promise<EntryPage> {
    // Read before the page: a page of nothing but what waits ends where all that was sealed begins.
    const size = ((await selectLastIndex(this.#storage)) ?? START) + 1;
    const at = position(cursor);
    const before = cursor === undefined || at === size ? undefined : await this.#arrivalAt(at);
    const rows = await selectEntries(this.#storage, {
      ...narrowing(query),
      sealed: query.sealed === true || cursor !== undefined,
      after: 0,
      before,
      newest: true,
      rows: limit + 1,
    });
    const items = rows.slice(0, limit).map(({ index, bytes }) => viewEntry(index, bytes));
    return rows.length <= limit ? { items } : { items, next: String(items.at(-1)?.index ?? size) };
  }

  async get(id: string, tenant: TenantId): Promise<EntryView> {
    const row = await selectEntry(this.#storage, id, tenant);
    if (row === undefined) throw new GantryError(errors.UNKNOWN, { detail: "No entry of this tenant has this id." });
    return viewEntry(row.index, row.bytes);
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
        // Read before the page: whatever was sealed up to here is in the page or does not match.
        const newest = await selectLastIndex(this.#storage);
        const page = await this.list({ ...query, sealed: true, ...(after === START ? {} : { cursor: String(after) }) });
        if (signal.aborted) return;
        if (page.items.length > 0) yield page.items;
        if (page.next !== undefined) {
          after = position(page.next);
          continue;
        }
        after = Math.max(after, newest ?? START, page.items.at(-1)?.index ?? START);
        if (!(await this.#grows(after, signal)) && !signal.aborted) yield [];
      }
    } finally {
      end();
    }
  }

  /** True as soon as the log goes past `after`; false when `signal` aborts or nothing came for `FOLLOW_IDLE_MS`. */
  #grows(after: number, signal: AbortSignal): Promise<boolean> {
    const [clock, storage] = [this.#clock, this.#storage];
    return new Promise((resolve, reject) => {
      const started = clock.monotonic();
      const settle = (act: () => void): void => {
        stop();
        signal.removeEventListener("abort", aborted);
        act();
      };
      const aborted = (): void => settle(() => resolve(false));
      const stop = clock.every(FOLLOW_POLL_MS, () => {
        selectLastIndex(storage).then(
          (newest) => {
            if ((newest ?? START) > after) settle(() => resolve(true));
            else if (clock.monotonic() - started >= FOLLOW_IDLE_MS) settle(() => resolve(false));
          },
          (error) => settle(() => reject(error)),
        );
      });
      signal.addEventListener("abort", aborted);
      if (signal.aborted) aborted();
    });
  }

  /**
   * The arrival of a sealed entry, 0 before the first.
   * A place that the log has not reached cannot have come from it: whoever waited there would miss what fills the gap.
   */
  async #arrivalAt(index: number): Promise<number> {
    if (index === START) return 0;
    const arrival = await selectArrivalOf(this.#storage, index);
    if (arrival !== undefined) return arrival;
    throw new GantryError(errors.BAD_RANGE, {
      detail: `The cursor ${index} lies past the end of this log: it is of another one. Begin again without a cursor.`,
    });
  }

  /** Ends every follower, so that the listener can close. */
  close(): void {
    for (const end of [...this.#followers]) end();
  }
}

function narrowing({ tenant, ref, kind, since }: Omit<EntryQuery, "limit">) {
  return { tenant, ref, kind, since };
}

function position(cursor: string | undefined): number {
  const at = Number(cursor ?? START);
  assert(Number.isSafeInteger(at) && at >= START, "a cursor is an index");
  return at;
}
