import type { AuditedTable } from "../contract.ts";
import { stateDigest } from "../entry.ts";
import { commitField, FIELD_KEY_BYTES } from "../private/commitment.ts";
import { type AuditedRow, auditedPage, countRows, privatePage, type SubjectRow, subjectPage } from "./store.ts";
import { Ahead, type AuditWork, auditedBody, PAGE_ROWS, placeOf } from "./work.ts";

/** Private values have up to 64 KiB each. */
const VALUES_PAGE_ROWS = 16;

/**
 * Every row of every audited table has the digest that the newest entry of its subject says, and every subject that is
 * not gone has its row. Both are read in the order of their names, side by side.
 */
export async function walkRows(work: AuditWork): Promise<void> {
  const tables = [...work.tables.values()].sort((a, b) => compareNames(a.table, b.table));
  let total = 0;
  for (const { table } of tables) total += await countRows(work.reader, table);
  let subjects = 0;
  for (const table of tables) subjects += await walkTable(work, table, total);
  // What is left belongs to no table. The entries that such a subject comes from were judged before.
  if ((await countRows(work.reader, "evidence_subjects")) !== subjects) {
    work.note("nowhere", "subject", "The store knows subjects that are in no audited table.");
  }
}

/** @returns the number of the table's subjects. */
async function walkTable(work: AuditWork, table: AuditedTable, total: number): Promise<number> {
  const prefix = `${table.table}/`;
  // The character after the slash: what is below it begins with the prefix.
  const rows = new Ahead((last: AuditedRow | undefined) => auditedPage(work.reader, table, last?.id, PAGE_ROWS));
  const subjects = new Ahead((last: SubjectRow | undefined) => {
    const from = { subject: last?.subject ?? prefix, is_read: last !== undefined };
    return subjectPage(work.reader, from, `${table.table}0`, PAGE_ROWS);
  });
  let known = 0;
  for (;;) {
    const row = await rows.peek();
    const subject = await subjects.peek();
    if (row === undefined && subject === undefined) return known;
    const id = subject?.subject.slice(prefix.length);
    const order = row === undefined ? 1 : id === undefined ? -1 : compareNames(row.id, id);
    if (order <= 0) rows.take();
    if (order >= 0) {
      subjects.take();
      known += 1;
    }
    judgeRow(work, table, order <= 0 ? row : undefined, order >= 0 ? subject : undefined);
    if (order <= 0) work.counts.rows += 1;
    work.step("rows", work.counts.rows, total);
  }
}

/** One row, one subject, or both of one name. */
function judgeRow(work: AuditWork, table: AuditedTable, row: AuditedRow | undefined, subject: SubjectRow | undefined) {
  const what = { table: table.table, row: row?.id ?? subject?.subject.slice(table.table.length + 1) ?? "" };
  const name = `${what.table}/${what.row}`;
  if (subject === undefined) {
    work.note("nowhere", "row", `No entry speaks of the row ${name}.`, what);
    return;
  }
  const place = placeOf(subject);
  const entry = subject.id;
  const digest = subject.body === null ? undefined : auditedBody(subject.body)?.state[name];
  if (digest === undefined) {
    work.note(place, "subject", `The entry that is taken for the newest of ${name} does not speak of it.`, { entry });
    return;
  }
  if (subject.gone !== (digest === null ? 1 : 0)) {
    work.note(place, "subject", `The store does not say of ${name} what ${entry} says: whether it is gone.`, { entry });
    return;
  }
  if (row === undefined && digest !== null) {
    work.note(place, "row", `The row ${name} is gone, and no entry says so.`, { entry, ...what });
  }
  if (row === undefined) return;
  if (digest === null) {
    work.note(place, "row", `The row ${name} is there, and ${entry} says that it is gone.`, { entry, ...what });
  } else if (digestOf(work, table, row) !== digest) {
    work.note(place, "row", `The row ${name} is not as ${entry}, the newest that speaks of it, left it.`, {
      entry,
      ...what,
    });
  }
}

/** Undefined when the row has something in it that no room could have written. */
function digestOf(work: AuditWork, table: AuditedTable, row: AuditedRow): string | undefined {
  try {
    return stateDigest(work.state_key, table.table, row.id, table.columnsOf(row.columns));
  } catch (error) {
    if (error instanceof TypeError) return undefined;
    throw error;
  }
}

/** As both engines sort: by bytes. */
function compareNames(a: string, b: string): number {
  return Buffer.compare(Buffer.from(a), Buffer.from(b));
}

/** Every private value that was not erased is the one that its entry commits to. */
export async function walkPrivate(work: AuditWork): Promise<void> {
  const total = await countRows(work.reader, "evidence_private");
  let last: { entry: string; field: string } | undefined;
  for (;;) {
    const page = await privatePage(work.reader, last, VALUES_PAGE_ROWS);
    for (const row of page) {
      const { entry, field, key, value } = row;
      const place = row.arrival === null ? "nowhere" : placeOf({ idx: row.idx, arrival: row.arrival });
      const commitment = row.body === null ? undefined : auditedBody(row.body)?.sealed?.[field];
      const refuse = (detail: string): void => work.note(place, "private", detail, { entry });
      if (commitment === undefined) refuse(`No entry commits to the private field ${field} of ${entry}.`);
      else if (!isStateOf(row)) refuse(`The private field ${field} of ${entry} is not as "${row.state}" says.`);
      else if (key !== null && value !== null && commitField(key, entry, field, value) !== commitment) {
        refuse(`The private value ${field} of ${entry} is not the one that the entry commits to.`);
      }
      if (value !== null) work.counts.values += 1;
    }
    const end = page.at(-1);
    if (end === undefined) return;
    last = { entry: end.entry, field: end.field };
    work.step("values", work.counts.values, total);
  }
}

/** What each state keeps. */
function isStateOf({
  state,
  key,
  value,
}: {
  state: string;
  key: Uint8Array | null;
  value: Uint8Array | null;
}): boolean {
  const has_key = key?.byteLength === FIELD_KEY_BYTES;
  if (state === "kept" || state === "masked") return has_key && value !== null;
  if (state === "dropped") return has_key && value === null;
  return state === "erased" && key === null && value === null;
}
