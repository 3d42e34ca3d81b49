import { z } from "zod";
import type { Reader, Row } from "../../storage/contract.ts";
import type { AuditedTable } from "../contract.ts";
import { TILE_WIDTH } from "../log/tiles.ts";

/** What an audit reads, by page: each function gives the next rows of one table, so that no memory grows with the log. */

const bytes = z.instanceof(Uint8Array);

/** An entry as it is stored; the columns only select, the body is what is sealed. */
const entryColumns = { id: z.string(), tenant: z.string(), kind: z.string(), at: z.int(), body: bytes };
export type EntryColumns = z.infer<z.ZodObject<typeof entryColumns>>;

const entryNull = {
  id: z.string().nullable(),
  tenant: z.string().nullable(),
  kind: z.string().nullable(),
  at: z.int().nullable(),
  body: bytes.nullable(),
};
const sealedRow = z.object({ idx: z.int(), arrival: z.int(), pending: z.int().nullable(), ...entryNull });

export interface SealedRow {
  idx: number;
  arrival: number;
  /** The entry waits to be sealed as well. */
  is_pending: boolean;
  /** Undefined when the entry is gone. */
  entry: EntryColumns | undefined;
}

/** Sealed leaves after an index, each with its entry. @param after  undefined before the first page, as everywhere here. */
export async function sealedPage(reader: Reader, after: number | undefined, rows: number): Promise<SealedRow[]> {
  const page = await reader.all(
    `SELECT l.idx, l.arrival, p.arrival AS pending, e.id, e.tenant, e.kind, e.at, e.body
     FROM evidence_leaves l LEFT JOIN evidence_entries e ON e.arrival = l.arrival
       LEFT JOIN evidence_pending p ON p.arrival = l.arrival
     ${after === undefined ? "" : "WHERE l.idx > ?"} ORDER BY l.idx LIMIT ?`,
    from(after, rows),
  );
  return page.map((row) => {
    const { idx, arrival, pending } = sealedRow.parse(row);
    const entry = z.object(entryColumns).safeParse(row);
    return { idx, arrival, is_pending: pending !== null, entry: entry.success ? entry.data : undefined };
  });
}

const placeRow = z.object({ arrival: z.int(), id: z.string(), idx: z.int().nullable() });

/** Entries in the order of arrival, without their bodies: is each in the log? */
export async function arrivalPage(
  reader: Reader,
  after: number | undefined,
  rows: number,
): Promise<z.infer<typeof placeRow>[]> {
  const page = await reader.all(
    `SELECT e.arrival, e.id, l.idx FROM evidence_entries e LEFT JOIN evidence_leaves l ON l.arrival = e.arrival
     ${after === undefined ? "" : "WHERE e.arrival > ?"} ORDER BY e.arrival LIMIT ?`,
    from(after, rows),
  );
  return page.map((row) => placeRow.parse(row));
}

const unsealedRow = z.object({ arrival: z.int(), leaf: bytes.nullable(), ...entryColumns });
export type UnsealedRow = z.infer<typeof unsealedRow>;

/** Entries that are not in the log, in the order of arrival. @param to  inclusive. */
export async function unsealedPage(
  reader: Reader,
  after: number | undefined,
  to: number,
  rows: number,
): Promise<UnsealedRow[]> {
  const page = await reader.all(
    `SELECT e.arrival, p.leaf, e.id, e.tenant, e.kind, e.at, e.body
     FROM evidence_entries e LEFT JOIN evidence_leaves l ON l.arrival = e.arrival
       LEFT JOIN evidence_pending p ON p.arrival = e.arrival
     WHERE ${after === undefined ? "" : "e.arrival > ? AND"} e.arrival <= ? AND l.arrival IS NULL
     ORDER BY e.arrival LIMIT ?`,
    [...(after === undefined ? [] : [after]), to, rows],
  );
  return page.map((row) => unsealedRow.parse(row));
}

/** The first pending leaf that no entry stands behind. */
export async function orphanedLeaf(reader: Reader): Promise<number | undefined> {
  const row = await reader.get(
    `SELECT p.arrival FROM evidence_pending p LEFT JOIN evidence_entries e ON e.arrival = p.arrival
     WHERE e.arrival IS NULL ORDER BY p.arrival LIMIT 1`,
    [],
  );
  return row === undefined ? undefined : z.int().parse(row["arrival"]);
}

const refRow = z.object({ ref: z.string(), arrival: z.int() });

/** Rows of any of the refs that name an arrival from `from` to `to`, inclusive; at most `rows`. */
export async function refRows(reader: Reader, refs: readonly string[], from: number, to: number, rows: number) {
  if (refs.length === 0) return [];
  const page = await reader.all(
    `SELECT ref, arrival FROM evidence_refs WHERE ref IN (${marks(refs)}) AND arrival BETWEEN ? AND ? LIMIT ?`,
    [...padded(refs), from, to, rows],
  );
  return page.map((row) => refRow.parse(row));
}

/** Refs in the order of their bytes, each with the entry that it leads to. */
export async function refPage(reader: Reader, after: { ref: string; arrival: number } | undefined, rows: number) {
  const where = after === undefined ? "" : "WHERE r.ref > ? OR (r.ref = ? AND r.arrival > ?)";
  const page = await reader.all(
    `SELECT r.ref, r.arrival, e.id, e.body, l.idx
     FROM evidence_refs r LEFT JOIN evidence_entries e ON e.arrival = r.arrival
       LEFT JOIN evidence_leaves l ON l.arrival = r.arrival
     ${where} ORDER BY r.ref, r.arrival LIMIT ?`,
    [...(after === undefined ? [] : [after.ref, after.ref, after.arrival]), rows],
  );
  return page.map((row) => ({ ...refRow.parse(row), ...newestOf(row) }));
}

const subjectRow = z.object({ subject: z.string(), arrival: z.int(), gone: z.int() });

/** What the table of subjects says of these. */
export async function subjectRows(reader: Reader, subjects: readonly string[]): Promise<z.infer<typeof subjectRow>[]> {
  if (subjects.length === 0) return [];
  const page = await reader.all(
    `SELECT subject, arrival, gone FROM evidence_subjects WHERE subject IN (${marks(subjects)})`,
    padded(subjects),
  );
  return page.map((row) => subjectRow.parse(row));
}

/** The entry that a row beside the log leads to; all null when it is gone. */
const newestRow = z.object({
  id: z.string().nullable(),
  body: bytes.nullable(),
  idx: z.int().nullable(),
});
export type NewestEntry = z.infer<typeof newestRow>;

function newestOf(row: Row): NewestEntry {
  return newestRow.parse(row);
}

export type SubjectRow = z.infer<typeof subjectRow> & NewestEntry;

/** Subjects from `from` on, in the order of their bytes, below `below`, each with the entry that it names. */
export async function subjectPage(
  reader: Reader,
  from: { subject: string; is_read: boolean },
  below: string | undefined,
  rows: number,
): Promise<SubjectRow[]> {
  const page = await reader.all(
    `SELECT s.subject, s.arrival, s.gone, e.id, e.body, l.idx
     FROM evidence_subjects s LEFT JOIN evidence_entries e ON e.arrival = s.arrival
       LEFT JOIN evidence_leaves l ON l.arrival = s.arrival
     WHERE s.subject ${from.is_read ? ">" : ">="} ? ${below === undefined ? "" : "AND s.subject < ?"}
     ORDER BY s.subject LIMIT ?`,
    [from.subject, ...(below === undefined ? [] : [below]), rows],
  );
  return page.map((row) => ({ ...subjectRow.parse(row), ...newestOf(row) }));
}

const ID = "audited_id";

export interface AuditedRow {
  id: string;
  /** The columns that the table's descriptor names. */
  columns: Row;
}

/** Rows of an audited table in the order of their ids' bytes. @param after  undefined before the first page. */
export async function auditedPage(
  reader: Reader,
  { table, id, columns }: AuditedTable,
  after: string | undefined,
  rows: number,
): Promise<AuditedRow[]> {
  const page = await reader.all(
    `SELECT ${id} AS ${ID}, ${columns.join(", ")} FROM ${table} ${after === undefined ? "" : `WHERE ${id} > ?`}
     ORDER BY ${id} LIMIT ?`,
    after === undefined ? [rows] : [after, rows],
  );
  return page.map(({ [ID]: name, ...rest }) => ({ id: z.string().parse(name), columns: rest }));
}

const heldRow = z.object({ entry: z.string(), field: z.string() });

/** The private fields that are kept beside these entries; at most `rows`. */
export async function heldFields(reader: Reader, entries: readonly string[], rows: number) {
  if (entries.length === 0) return [];
  const page = await reader.all(
    `SELECT entry, field FROM evidence_private WHERE entry IN (${marks(entries)}) LIMIT ?`,
    [...padded(entries), rows],
  );
  return page.map((row) => heldRow.parse(row));
}

const privateRow = heldRow.extend({
  state: z.string(),
  key: bytes.nullable(),
  value: bytes.nullable(),
  arrival: z.int().nullable(),
});
export type PrivateRow = z.infer<typeof privateRow> & NewestEntry;

/** Private values, each with the entry that commits to it. */
export async function privatePage(
  reader: Reader,
  after: { entry: string; field: string } | undefined,
  rows: number,
): Promise<PrivateRow[]> {
  const where = after === undefined ? "" : "WHERE v.entry > ? OR (v.entry = ? AND v.field > ?)";
  const page = await reader.all(
    `SELECT v.entry, v.field, v.state, v.key, v.value, e.arrival, e.id, e.body, l.idx
     FROM evidence_private v LEFT JOIN evidence_entries e ON e.id = v.entry
       LEFT JOIN evidence_leaves l ON l.arrival = e.arrival
     ${where} ORDER BY v.entry, v.field LIMIT ?`,
    [...(after === undefined ? [] : [after.entry, after.entry, after.field]), rows],
  );
  return page.map((row) => ({ ...privateRow.parse(row), ...newestOf(row) }));
}

const tileRow = z.object({ width: z.int(), bytes });
export type TileRow = z.infer<typeof tileRow>;

export async function storedTile(reader: Reader, level: number, n: number): Promise<TileRow | undefined> {
  const row = await reader.get("SELECT width, bytes FROM evidence_tiles WHERE level = ? AND n = ?", [level, n]);
  return row === undefined ? undefined : tileRow.parse(row);
}

const TILE_LEVELS_READ = 8;

/** The first stored tile that a tree of `size` leaves does not have. */
export async function tilesBeyond(reader: Reader, size: number): Promise<{ level: number; n: number } | undefined> {
  for (let level = 0; level < TILE_LEVELS_READ; level++) {
    // Whole tiles and one that is begun.
    const tiles = Math.ceil(Math.floor(size / TILE_WIDTH ** level) / TILE_WIDTH);
    const sql = "SELECT level, n FROM evidence_tiles WHERE level = ? AND (n < 0 OR n >= ?) ORDER BY n LIMIT 1";
    const row = await reader.get(sql, [level, tiles]);
    if (row !== undefined) return tileKey.parse(row);
  }
  const sql = "SELECT level, n FROM evidence_tiles WHERE level < 0 OR level >= ? ORDER BY level, n LIMIT 1";
  const row = await reader.get(sql, [TILE_LEVELS_READ]);
  return row === undefined ? undefined : tileKey.parse(row);
}

const tileKey = z.object({ level: z.int(), n: z.int() });

const checkpointRow = z.object({ size: z.int(), root: bytes, note: z.string() });
export type CheckpointRow = z.infer<typeof checkpointRow>;

/** Checkpoints, the smallest first. */
export async function checkpointPage(
  reader: Reader,
  after: number | undefined,
  rows: number,
): Promise<CheckpointRow[]> {
  const page = await reader.all(
    `SELECT size, root, note FROM evidence_checkpoints ${after === undefined ? "" : "WHERE size > ?"}
     ORDER BY size LIMIT ?`,
    from(after, rows),
  );
  return page.map((row) => checkpointRow.parse(row));
}

const headRow = z.object({ origin: z.string(), size: z.int(), root: bytes });
export type HeadRow = z.infer<typeof headRow>;

/** What the store says of its log; more than one row is one too many. */
export async function logHeads(reader: Reader): Promise<HeadRow[]> {
  const rows = await reader.all("SELECT origin, size, root FROM evidence_log ORDER BY origin LIMIT 2", []);
  return rows.map((row) => headRow.parse(row));
}

const keyRow = z.object({ vkey: z.string(), from_size: z.int(), to_size: z.int().nullable() });

/** The keys of the log, at most `rows`. */
export async function logKeys(reader: Reader, rows: number): Promise<z.infer<typeof keyRow>[]> {
  const page = await reader.all("SELECT vkey, from_size, to_size FROM evidence_keys ORDER BY from_size, vkey LIMIT ?", [
    rows,
  ]);
  return page.map((row) => keyRow.parse(row));
}

/** How many rows a table has: one of the room's, or an audited one. */
export async function countRows(reader: Reader, table: string): Promise<number> {
  const row = await reader.get(`SELECT COUNT(*) AS n FROM ${table}`, []);
  return z.int().parse(row?.["n"]);
}

/** The id of the sealed entry at an index, if it is there. */
export async function entryAt(reader: Reader, index: number): Promise<string | undefined> {
  const sql = "SELECT e.id FROM evidence_leaves l JOIN evidence_entries e ON e.arrival = l.arrival WHERE l.idx = ?";
  const row = await reader.get(sql, [index]);
  return row === undefined ? undefined : z.string().parse(row["id"]);
}

function from(after: number | undefined, rows: number): number[] {
  return after === undefined ? [rows] : [after, rows];
}

/** Statements are kept by their text: lists are filled up to a power of two, so that there are few texts. */
function padded(values: readonly string[]): string[] {
  const length = 2 ** Math.ceil(Math.log2(values.length));
  return Array.from({ length }, (_, i) => values[Math.min(i, values.length - 1)] ?? "");
}

function marks(values: readonly string[]): string {
  return padded(values)
    .map(() => "?")
    .join(", ");
}
