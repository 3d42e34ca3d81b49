import { defineErrors } from "../kernel/errors.ts";
import type { EntryId, TenantId } from "../kernel/ids.ts";
import type { Row, Tx } from "../storage/contract.ts";

/** `<noun>.<past participle>` */
export type Kind = `${string}.${string}`;

export interface ActorRef {
  actor: string;
  kind: "human" | "agent" | "service";
}

/** One fact. `data` is public to everyone who may read the entry: values that must be erasable do not belong in it. */
export interface EntryDraft {
  kind: Kind;
  tenant: TenantId;
  /** The chain, accountable principal first, at most `ENTRY_ACTORS_MAX`; empty when Gantry itself acted. */
  actor: ActorRef[];
  /** Audited rows as they are after this unit; null when deleted. The entry carries a keyed digest of each. */
  subjects?: { table: string; id: string; row: Row | null }[];
  /** Ids under which the entry can be found; repeated ones count once. */
  refs?: string[];
  snapshot?: string;
  contract?: { name: string; version: number };
  decision?: { verdict: "allow" | "deny" | "needs_human"; codes: string[] };
  /** Canonical JSON: integers only. Validated by the kind's schema. */
  data: Record<string, unknown>;
}

/** Only the unit that changes the state appends. The kinds are registered by the rooms that own them. */
export interface Ledger {
  /** @throws EVIDENCE_BAD_ENTRY  unknown kind, schema or size; the unit must not go on. */
  append(tx: Tx, entry: EntryDraft): EntryId;
}

/** Says whether `data` is what the kind promises; throws with a sentence if not. A zod schema's `parse` fits. */
export type KindSchemas = Record<Kind, { parse(data: unknown): unknown }>;

export interface EntryView {
  id: EntryId;
  /** The cursor: rises with each entry, not gapless before sealing. */
  arrival: number;
  kind: Kind;
  at: number;
  tenant: TenantId;
  actor: ActorRef[];
  refs: string[];
  snapshot?: string;
  contract?: { name: string; version: number };
  decision?: { verdict: string; codes: string[] };
  data: Record<string, unknown>;
  /** SHA-256(0x00 ‖ body), hex: the leaf that sealing will put into the tree (RFC 6962, 2.1). */
  leaf: string;
  sealed: false;
}

/** Which entries, in the order of their arrival. Members that are absent do not narrow. */
export interface EntryQuery {
  tenant?: TenantId;
  /** One of the entry's refs. */
  ref?: string;
  kind?: string;
  /** Milliseconds UTC, inclusive. */
  since?: number;
  /** Only what arrived after this: the `next` of a page, or the `arrival` of an entry, in decimal digits. */
  cursor?: string;
  /** 1 to `ENTRIES_PAGE_MAX`. */
  limit: number;
}

export interface EntryPage {
  items: EntryView[];
  /** The cursor of the next page; absent on the last. */
  next?: string;
}

/** Reading, for the surfaces above. */
export interface LedgerReader {
  list(query: EntryQuery): Promise<EntryPage>;
  /** @throws EVIDENCE_UNKNOWN  absent, or another tenant's. */
  get(id: string, tenant: TenantId): Promise<EntryView>;
  /**
   * Entries as they arrive, from the cursor on, until `signal` aborts or the ledger closes. An empty page is a sign
   * of life, given when nothing arrived for `FOLLOW_IDLE_MS`.
   * @throws EVIDENCE_FOLLOWERS  at once, before anything is read.
   */
  follow(query: EntryQuery, signal: AbortSignal): AsyncIterableIterator<EntryView[]>;
}

export const errors = defineErrors("EVIDENCE", {
  BAD_ENTRY: { status: 500, retry: "never", whose: "gantry", title: "A ledger entry breaks its own schema." },
  UNAVAILABLE: { status: 503, retry: "safe", whose: "gantry", title: "Nothing may happen that cannot be recorded." },
  BACKLOG: { status: 503, retry: "later", whose: "gantry", title: "Too many entries wait to be sealed." },
  UNKNOWN: { status: 404, retry: "never", whose: "caller", title: "There is no such entry." },
  FOLLOWERS: { status: 429, retry: "later", whose: "capacity", title: "Too many clients follow the ledger." },
  KEY: { status: 500, retry: "never", whose: "gantry", title: "A key of the ledger cannot be used." },
});

export const ENTRY_BYTES_MAX = 16_384;
/** Links of the actor chain. */
export const ENTRY_ACTORS_MAX = 8;
export const ENTRY_REFS_MAX = 8;
export const ENTRY_REF_CHARS_MAX = 128;
export const ENTRY_SUBJECTS_MAX = 64;
export const ENTRIES_PAGE_MAX = 200;
export const FOLLOWERS_MAX = 32;
/** How often a follower looks for new entries. */
export const FOLLOW_POLL_MS = 100;
export const FOLLOW_IDLE_MS = 15_000;
