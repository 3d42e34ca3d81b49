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
  /** The chain, accountable principal first. */
  actor: ActorRef[];
  /** Audited rows as they are after this unit; null when deleted. The entry carries a keyed digest of each. */
  subjects?: { table: string; id: string; row: Row | null }[];
  /** Ids under which the entry can be found. */
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

export const errors = defineErrors("EVIDENCE", {
  BAD_ENTRY: { status: 500, retry: "never", whose: "gantry", title: "A ledger entry breaks its own schema." },
  UNAVAILABLE: { status: 503, retry: "safe", whose: "gantry", title: "Nothing may happen that cannot be recorded." },
  BACKLOG: { status: 503, retry: "later", whose: "gantry", title: "Too many entries wait to be sealed." },
  UNKNOWN: { status: 404, retry: "never", whose: "caller", title: "There is no such entry." },
});

export const ENTRY_BYTES_MAX = 16_384;
export const ENTRY_REFS_MAX = 8;
export const ENTRY_SUBJECTS_MAX = 64;
export const ENTRIES_PAGE_MAX = 200;
export const FOLLOWERS_MAX = 32;
