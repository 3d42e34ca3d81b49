import { z } from "zod";
import type { Reader } from "../../storage/contract.ts";
import type { AuditedTable } from "../contract.ts";
import type { AuditCheck, AuditCounts, AuditFault, AuditProgress } from "./report.ts";

/** Rows of one read: whatever is joined to them stays below the rows of one statement. */
export const PAGE_ROWS = 100;
/** Progress is told each time that so many more were looked at. */
const PROGRESS_EVERY = 2_000;

/** Where a fault stands: by index in the log, then by arrival, then what no entry stands for. */
export type Place = { index: number } | { arrival: number } | "nowhere";

/** What one audit knows, and what it has found; of all faults the first is kept, so that memory does not grow. */
export class AuditWork {
  readonly reader: Reader;
  readonly state_key: Uint8Array;
  readonly tables: ReadonlyMap<string, AuditedTable>;
  readonly counts: AuditCounts = { sealed: 0, pending: 0, tiles: 0, checkpoints: 0, rows: 0, values: 0 };
  readonly #progress: ((progress: AuditProgress) => void) | undefined;
  readonly #signal: AbortSignal | undefined;
  #first: { fault: AuditFault; rank: readonly [number, number] } | undefined;
  #told = 0;

  constructor(o: {
    reader: Reader;
    state_key: Uint8Array;
    tables: readonly AuditedTable[];
    progress?: ((progress: AuditProgress) => void) | undefined;
    signal?: AbortSignal | undefined;
  }) {
    this.reader = o.reader;
    this.state_key = o.state_key;
    this.tables = new Map(o.tables.map((each) => [each.table, each]));
    this.#progress = o.progress;
    this.#signal = o.signal;
  }

  get first(): AuditFault | undefined {
    return this.#first?.fault;
  }

  /** Of faults at one place, the one that was found first stays. */
  note(
    place: Place,
    check: AuditCheck,
    detail: string,
    what: Partial<Pick<AuditFault, "entry" | "table" | "row">> = {},
  ) {
    const rank = rankOf(place);
    if (this.#first !== undefined && !isBefore(rank, this.#first.rank)) return;
    const index = place !== "nowhere" && "index" in place ? place.index : null;
    this.#first = { rank, fault: { index, entry: null, check, detail, ...what } };
  }

  /** Between two pages: ends an audit that nobody waits for, and says how far it has come. */
  step(part: AuditProgress["part"], done: number, total: number): void {
    this.#signal?.throwIfAborted();
    if (done < this.#told) this.#told = 0;
    if (done - this.#told < PROGRESS_EVERY) return;
    this.#told = done;
    this.#progress?.({ part, done, total: Math.max(done, total) });
  }
}

function rankOf(place: Place): readonly [number, number] {
  if (place === "nowhere") return [2, 0];
  return "index" in place ? [0, place.index] : [1, place.arrival];
}

function isBefore(a: readonly [number, number], b: readonly [number, number]): boolean {
  return a[0] !== b[0] ? a[0] < b[0] : a[1] < b[1];
}

/** Of a row that leads to an entry. @param idx  null while it is not sealed. */
export function placeOf(row: { idx: number | null; arrival: number }): Place {
  return row.idx === null ? { arrival: row.arrival } : { index: row.idx };
}

/** The members of a body that an audit compares: whoever edits a database may leave anything there. */
const body = z.object({
  id: z.string(),
  tenant: z.string(),
  kind: z.string(),
  at: z.int(),
  refs: z.array(z.string()),
  state: z.record(z.string(), z.string().nullable()),
  sealed: z.record(z.string(), z.string()).optional(),
});
export type AuditedBody = z.infer<typeof body>;

/** Undefined when the bytes are no entry. */
export function auditedBody(bytes: Uint8Array): AuditedBody | undefined {
  try {
    return body.parse(JSON.parse(Buffer.from(bytes).toString("utf8")));
  } catch {
    return undefined; // said by the answer
  }
}

/** Pages of a table, read when they are needed; one is held. */
export class Ahead<T> {
  readonly #read: (last: T | undefined) => Promise<T[]>;
  #page: T[] = [];
  #at = 0;
  #last: T | undefined;
  #is_over = false;

  constructor(read: (last: T | undefined) => Promise<T[]>) {
    this.#read = read;
  }

  async peek(): Promise<T | undefined> {
    if (this.#at === this.#page.length && !this.#is_over) {
      this.#page = await this.#read(this.#last);
      this.#at = 0;
      this.#is_over = this.#page.length === 0;
    }
    return this.#page[this.#at];
  }

  take(): void {
    this.#last = this.#page[this.#at];
    this.#at += 1;
  }
}
