import { canonicalJson } from "../kernel/canonical.ts";
import { GantryError } from "../kernel/errors.ts";
import { hmacHex, type hmacUnder } from "../kernel/hash.ts";
import type { EntryId } from "../kernel/ids.ts";
import type { Value } from "../storage/contract.ts";
import {
  type AuditedTable,
  ENTRY_ACTORS_MAX,
  ENTRY_BYTES_MAX,
  ENTRY_REF_CHARS_MAX,
  ENTRY_REFS_MAX,
  ENTRY_SUBJECTS_MAX,
  type EntryDraft,
  type EntryView,
  errors,
  type KindSchemas,
} from "./contract.ts";
import { leafHash } from "./log/tree.ts";

const STATE_DOMAIN = "gantry.state.v1";
const VERSION = 1;

/** What is hashed and what is shown: the whole fact, as it stands in the log for ever. */
export interface EntryBody {
  v: typeof VERSION;
  id: EntryId;
  /** Milliseconds UTC, when the unit appended it. */
  at: number;
  /** 16 random bytes, hex: without them a leaf could be guessed from a likely body. */
  salt: string;
  tenant: EntryDraft["tenant"];
  kind: EntryDraft["kind"];
  actor: EntryDraft["actor"];
  refs: string[];
  snapshot?: string;
  contract?: { name: string; version: number };
  decision?: { verdict: "allow" | "deny" | "needs_human"; codes: string[] };
  data: Record<string, unknown>;
  /** Private field to the commitment to its value; absent when there is none. */
  sealed?: Record<string, string>;
  /** `table/id` to the keyed digest of the audited row, null when the row is gone. */
  state: Record<string, string | null>;
}

/** As it is put together: a member without a value is left out of the text. */
type BuiltBody = { [K in keyof Required<EntryBody>]: EntryBody[K] };

export interface BuiltEntry {
  body: BuiltBody;
  /** RFC 8785 canonical JSON, UTF-8. */
  bytes: Uint8Array;
  leaf: Uint8Array;
}

type AuditedColumns = ReturnType<AuditedTable["columnsOf"]>;
type Hmac = ReturnType<typeof hmacUnder>;

/** What the ledger adds to a draft. */
export interface Stamp {
  id: EntryId;
  at: number;
  salt: Uint8Array;
  /** What the body says of the draft's private fields, by name. */
  sealed?: Record<string, string>;
}

/**
 * Builds the body of an entry and its leaf.
 * @param hmac  under the state key.
 * @throws EVIDENCE_BAD_ENTRY  unknown kind, data that its schema refuses, a broken limit, or a value without canonical form.
 */
export function buildEntry(draft: EntryDraft, stamp: Stamp, kinds: KindSchemas, hmac: Hmac): BuiltEntry {
  const refs = [...new Set(draft.refs ?? [])];
  judge(draft, refs, kinds);
  try {
    const body = bodyOf(draft, refs, stamp, hmac);
    const bytes = Buffer.from(canonicalJson(body), "utf8");
    if (bytes.byteLength > ENTRY_BYTES_MAX) {
      throw badEntry(draft, `the body has ${bytes.byteLength} bytes, ${ENTRY_BYTES_MAX} are allowed`);
    }
    return { body, bytes, leaf: leafHash(bytes) };
  } catch (cause) {
    // Canonical JSON refuses fractions, lone surrogates and U+0000 with a TypeError.
    if (cause instanceof TypeError) throw badEntry(draft, cause.message, cause);
    throw cause;
  }
}

/** In the order of canonical JSON, and one shape for all: see `canonicalJson`. */
function bodyOf(draft: EntryDraft, refs: string[], stamp: Stamp, hmac: Hmac): BuiltBody {
  return {
    actor: draft.actor.map(({ actor, kind }) => ({ actor, kind })),
    at: stamp.at,
    contract: draft.contract,
    data: draft.data,
    decision: draft.decision,
    id: stamp.id,
    kind: draft.kind,
    refs,
    salt: Buffer.from(stamp.salt).toString("hex"),
    sealed: stamp.sealed,
    snapshot: draft.snapshot,
    state: stateOf(draft, hmac),
    tenant: draft.tenant,
    v: VERSION,
  };
}

/** Without a prototype: an object literal would get a hidden class of its own for every run, named by its id. */
function stateOf({ subjects = [] }: EntryDraft, hmac: Hmac): EntryBody["state"] {
  const state: EntryBody["state"] = Object.create(null);
  for (const { table, id, row } of subjects) {
    state[`${table}/${id}`] = row === null ? null : hmac(stateText(table, id, row));
  }
  return state;
}

function judge(draft: EntryDraft, refs: string[], kinds: KindSchemas): void {
  const schema = Object.hasOwn(kinds, draft.kind) ? kinds[draft.kind] : undefined;
  if (schema === undefined) throw badEntry(draft, "no room has registered this kind");
  if (draft.actor.length > ENTRY_ACTORS_MAX) throw badEntry(draft, `more than ${ENTRY_ACTORS_MAX} actors`);
  if (refs.length > ENTRY_REFS_MAX) throw badEntry(draft, `more than ${ENTRY_REFS_MAX} refs`);
  if (refs.some((ref) => ref.length === 0 || ref.length > ENTRY_REF_CHARS_MAX)) {
    throw badEntry(draft, `a ref has 1 to ${ENTRY_REF_CHARS_MAX} characters`);
  }
  const subjects = draft.subjects ?? [];
  if (subjects.length > ENTRY_SUBJECTS_MAX) throw badEntry(draft, `more than ${ENTRY_SUBJECTS_MAX} subjects`);
  if (subjects.length > 1) {
    const names = new Set(subjects.map(({ table, id }) => `${table}/${id}`));
    if (names.size !== subjects.length) throw badEntry(draft, "one row is named twice");
  }
  try {
    schema.parse(draft.data);
  } catch (cause) {
    throw badEntry(draft, "the data do not fit the kind's schema", cause);
  }
}

/** @param problem  for the log; the caller learns only which record failed. */
export function badEntry(draft: EntryDraft, problem: string, cause?: unknown): GantryError {
  return new GantryError(errors.BAD_ENTRY, {
    detail: `The record of this action (${draft.kind}) could not be made, so nothing was changed.`,
    internal: { kind: draft.kind, problem },
    ...(cause === undefined ? {} : { cause }),
  });
}

/**
 * The digest under which an audited row stands in its entry: HMAC-SHA256 over
 * `gantry.state.v1 ‖ 0 ‖ table ‖ 0 ‖ id ‖ 0 ‖ canonical JSON of the columns`, hex; blobs as hex digits.
 * Keyed, so that an entry says nothing about columns that can be guessed.
 * @param row  exactly the columns of the table, as they are after the unit.
 */
export function stateDigest(key: Uint8Array, table: string, id: string, row: AuditedColumns): string {
  return hmacHex(key, stateText(table, id, row));
}

function stateText(table: string, id: string, row: AuditedColumns): string {
  // Most rows have no blob, and their columns are what is written: a copy would cost as much as the digest.
  const columns = Object.values(row).some(isBlob) ? withoutBytes(row) : row;
  return `${STATE_DOMAIN}\0${table}\0${id}\0${canonicalJson(columns)}`;
}

/** `instanceof` looks for a method even in front of a number, which for the 45 columns of a run costs 10 µs (Node 20.20). */
function isBlob(value: Value | undefined): value is Uint8Array {
  return typeof value === "object" && value !== null;
}

function withoutBytes(row: AuditedColumns): Record<string, string | number | null | undefined> {
  const columns = Object.entries(row).map(([name, value]) => [name, digestible(value)] as const);
  return Object.fromEntries(columns);
}

function digestible(value: Value | undefined): string | number | null | undefined {
  return isBlob(value) ? Buffer.from(value).toString("hex") : value;
}

/** @param bytes  a stored body: what `buildEntry` made. */
export function readBody(bytes: Uint8Array): EntryBody {
  return JSON.parse(Buffer.from(bytes).toString("utf8")) as EntryBody;
}

/** What a reader gets: the body without what only verification needs, and the leaf that the body hashes to. */
export function viewEntry(index: number | undefined, bytes: Uint8Array): EntryView {
  const { v: _v, salt: _salt, state: _state, sealed: commitments, ...shown } = readBody(bytes);
  const view: EntryView = {
    ...shown,
    leaf: Buffer.from(leafHash(bytes)).toString("hex"),
    sealed: index !== undefined,
  };
  if (commitments !== undefined) view.commitments = commitments;
  if (index !== undefined) view.index = index;
  return view;
}
