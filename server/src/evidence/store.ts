import { z } from "zod";
import { assert } from "../kernel/assert.ts";
import type { TenantId } from "../kernel/ids.ts";
import type { Migration, Storage, Tx, Value } from "../storage/contract.ts";
import type { BuiltEntry } from "./entry.ts";
import { readBody } from "./entry.ts";
import { log_migration } from "./log/store.ts";
import { private_migration } from "./private/store.ts";
import { witness_migration } from "./witness/store.ts";

/**
 * Entries are only ever inserted. `arrival` rises in the order of the commits (one writer); with gaps, because a unit
 * that is rolled back may leave one. `evidence_pending` holds the leaves that no checkpoint covers yet.
 * The index carries `kind` and `at`, so that a filtered page never touches the bodies that it leaves out.
 */
export const migrations: Migration[] = [
  {
    id: "evidence/0001",
    sql: `
      CREATE TABLE evidence_entries (
        arrival {id},
        id {text} NOT NULL UNIQUE,
        tenant {text} NOT NULL,
        kind {text} NOT NULL,
        at {int} NOT NULL,
        body {blob} NOT NULL
      );
      CREATE INDEX evidence_entries_tenant ON evidence_entries (tenant, arrival, kind, at);
      CREATE TABLE evidence_pending (
        arrival {int} NOT NULL PRIMARY KEY,
        leaf {blob} NOT NULL
      );
      CREATE TABLE evidence_refs (
        ref {text} NOT NULL,
        arrival {int} NOT NULL,
        PRIMARY KEY (ref, arrival)
      );
      CREATE TABLE evidence_subjects (
        subject {text} NOT NULL PRIMARY KEY,
        arrival {int} NOT NULL,
        gone {int} NOT NULL
      );
    `,
    tables: {
      evidence_entries: "operational",
      evidence_pending: "operational",
      evidence_refs: "derived",
      evidence_subjects: "derived",
    },
  },
  log_migration,
  private_migration,
  witness_migration,
];

/**
 * Buffers the rows of one entry. The statements are blind: `arrival` is given by the engine, so every further row
 * looks it up by the entry's id, and the unit still crosses to the writer as one message.
 */
export function insertEntry(tx: Tx, { body, bytes, leaf }: BuiltEntry): void {
  tx.run(
    "INSERT INTO evidence_entries (id, tenant, kind, at, body) VALUES (?, ?, ?, ?, ?)",
    [body.id, body.tenant, body.kind, body.at, bytes],
    1,
  );
  tx.run(
    "INSERT INTO evidence_pending (arrival, leaf) SELECT arrival, ? FROM evidence_entries WHERE id = ?",
    [leaf, body.id],
    1,
  );
  for (const ref of body.refs) {
    tx.run(
      "INSERT INTO evidence_refs (ref, arrival) SELECT ?, arrival FROM evidence_entries WHERE id = ?",
      [ref, body.id],
      1,
    );
  }
  for (const [subject, digest] of Object.entries(body.state)) {
    tx.run(
      `INSERT INTO evidence_subjects (subject, arrival, gone) SELECT ?, arrival, ? FROM evidence_entries WHERE id = ?
       ON CONFLICT (subject) DO UPDATE SET arrival = excluded.arrival, gone = excluded.gone`,
      [subject, digest === null ? 1 : 0, body.id],
      1,
    );
  }
}

export interface StoredEntry {
  /** Of its leaf; undefined while the entry waits to be sealed. */
  index: number | undefined;
  bytes: Uint8Array;
}

const entryRow = z.object({
  idx: z.int().nullable(),
  id: z.string(),
  tenant: z.string(),
  kind: z.string(),
  body: z.instanceof(Uint8Array),
});

/** @param row  `idx`, which may be null, and `id, tenant, kind, body` of one entry. */
export function readStored(row: unknown): StoredEntry {
  const { idx, id, tenant, kind, body: bytes } = entryRow.parse(row);
  const body = readBody(bytes);
  // The columns only select; the body is what is sealed. A row where they differ was edited.
  assert(
    body.id === id && body.tenant === tenant && body.kind === kind,
    `the columns of entry ${id} say what its body says`,
  );
  return { index: idx ?? undefined, bytes };
}

export interface EntryFilter {
  tenant: TenantId | undefined;
  ref: string | undefined;
  kind: string | undefined;
  since: number | undefined;
  /** Only those with an index. */
  sealed: boolean;
  /** Arrivals, exclusive. */
  after: number;
  before: number | undefined;
  newest: boolean;
  rows: number;
}

/**
 * The next entries in the order of arrival, or the newest first. Reads through `scan`, away from the event loop: a rare kind may make the
 * engine walk a long index.
 * @param filter.rows  at most one page of a scan.
 */
export async function selectEntries(storage: Storage, filter: EntryFilter): Promise<StoredEntry[]> {
  const where = ["e.arrival > ?"];
  const params: Value[] = [filter.after];
  const narrow = (condition: string, value: Value | undefined): void => {
    if (value === undefined) return;
    where.push(condition);
    params.push(value);
  };
  narrow("r.ref = ?", filter.ref);
  // The rows of a ref are narrowed by its own arrivals, or the engine would start at the first one.
  narrow("r.arrival > ?", filter.ref === undefined ? undefined : filter.after);
  narrow("e.arrival < ?", filter.before);
  narrow("r.arrival < ?", filter.ref === undefined ? undefined : filter.before);
  narrow("e.tenant = ?", filter.tenant);
  narrow("e.kind = ?", filter.kind);
  narrow("e.at >= ?", filter.since);
  const named =
    filter.ref === undefined
      ? "evidence_entries e"
      : "evidence_refs r JOIN evidence_entries e ON e.arrival = r.arrival";
  const from = `${named} ${filter.sealed ? "" : "LEFT "}JOIN evidence_leaves l ON l.arrival = e.arrival`;
  const sql = `SELECT l.idx, e.id, e.tenant, e.kind, e.body FROM ${from}
     WHERE ${where.join(" AND ")} ORDER BY e.arrival ${filter.newest ? "DESC" : "ASC"} LIMIT ?`;
  const found: StoredEntry[] = [];
  for await (const page of storage.scan(sql, [...params, filter.rows])) found.push(...page.map(readStored));
  return found;
}

export async function selectEntry(storage: Storage, id: string, tenant: TenantId): Promise<StoredEntry | undefined> {
  const row = await storage.get(
    `SELECT l.idx, e.id, e.tenant, e.kind, e.body FROM evidence_entries e
     LEFT JOIN evidence_leaves l ON l.arrival = e.arrival WHERE e.id = ? AND e.tenant = ?`,
    [id, tenant],
  );
  return row === undefined ? undefined : readStored(row);
}

/** The arrival of the entry at a place in the log, or undefined past its end. */
export async function selectArrivalOf(storage: Storage, index: number): Promise<number | undefined> {
  const row = await storage.get("SELECT arrival FROM evidence_leaves WHERE idx = ?", [index]);
  return row === undefined ? undefined : z.int().parse(row["arrival"]);
}

/** The highest index, or undefined while nothing is sealed. */
export async function selectLastIndex(storage: Storage): Promise<number | undefined> {
  const row = await storage.get("SELECT idx FROM evidence_leaves ORDER BY idx DESC LIMIT 1", []);
  return row === undefined ? undefined : z.int().parse(row["idx"]);
}
