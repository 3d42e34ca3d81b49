import { ENTRY_PRIVATE_MAX } from "../contract.ts";
import { leafHash } from "../log/tree.ts";
import {
  arrivalPage,
  type EntryColumns,
  heldFields,
  orphanedLeaf,
  refPage,
  refRows,
  type SealedRow,
  sealedPage,
  subjectRows,
  type UnsealedRow,
  unsealedPage,
} from "./store.ts";
import type { AuditTree, TileFault } from "./tree.ts";
import { type AuditedBody, type AuditWork, auditedBody, PAGE_ROWS, type Place, placeOf } from "./work.ts";

/** Rows of refs that are read for a page: each entry has at most `ENTRY_REFS_MAX`, and one that has more is wrong. */
const REFS_READ_MAX = 900;
/** Rows of one read of refs, subjects or arrivals alone: they are small. */
const SMALL_ROWS = 500;

/** What is called at each size of the growing tree. False ends the walk. */
export type AtSize = (size: number) => Promise<boolean>;

/**
 * Walks the log by index: each leaf has its entry, each body is what its leaf and its columns say, each tile is what the
 * leaves make it. Ends at the first fault: what comes later is later in the log as well.
 * @returns whether all of it is right.
 */
export async function walkSealed(work: AuditWork, tree: AuditTree, total: number, atSize: AtSize): Promise<boolean> {
  let arrival = 0;
  let last: number | undefined;
  if (!(await atSize(0))) return false;
  for (;;) {
    const page = await sealedPage(work.reader, last, PAGE_ROWS);
    last = page.at(-1)?.idx;
    if (last === undefined) break;
    const beside = await besideOf(
      work,
      page.flatMap(({ arrival: at, entry }) => (entry === undefined ? [] : [{ arrival: at, entry }])),
    );
    for (const row of page) {
      if (!(await judgeSealed(work, tree, row, arrival, beside))) return false;
      arrival = row.arrival;
      work.counts.sealed = tree.size;
      work.counts.tiles = tree.tiles;
      if (!(await atSize(tree.size))) return false;
    }
    work.step("entries", tree.size, total);
  }
  const fault = tree.end();
  if (fault !== undefined) noteTile(work, fault);
  return fault === undefined;
}

async function judgeSealed(work: AuditWork, tree: AuditTree, row: SealedRow, before: number, beside: Beside) {
  const index = tree.size;
  const place = { index };
  const { entry } = row;
  const refuse = (...[check, detail]: [Parameters<AuditWork["note"]>[1], string]): false => {
    work.note(place, check, detail, { entry: row.idx === index ? (entry?.id ?? null) : null });
    return false;
  };
  if (row.idx !== index) return refuse("index", `The log has no entry ${index}, but has one at ${row.idx}.`);
  if (entry === undefined) return refuse("entry", `Entry ${index} is gone; its leaf is still there.`);
  if (row.is_pending) return refuse("place", `Entry ${index} is in the log, and waits to be sealed as well.`);
  if (row.arrival <= before) return refuse("order", `Entry ${index} arrived before the one that stands before it.`);
  const fault = await tree.append(leafHash(entry.body));
  if (fault?.level === 0) {
    return refuse("leaf", `The body of entry ${index} does not hash to its leaf: tile 0/${fault.n} ${fault.problem}.`);
  }
  if (!judgeEntry(work, place, row.arrival, entry, beside)) return false;
  if (fault !== undefined) noteTile(work, fault);
  return fault === undefined;
}

function noteTile(work: AuditWork, { level, n, from, problem }: TileFault): void {
  work.note({ index: from }, "tile", `Tile ${level}/${n} ${problem}.`);
}

/** What is stored beside the entries of one page. */
interface Beside {
  /** `arrival ref` */
  refs: Set<string>;
  /** By subject: the newest arrival that the store knows, and whether the row is gone there. */
  subjects: Map<string, { arrival: number; gone: number }>;
  /** `entry field` */
  fields: Set<string>;
}

async function besideOf(work: AuditWork, page: readonly { arrival: number; entry: EntryColumns }[]): Promise<Beside> {
  const { reader } = work;
  const bodies = page.map(({ entry }) => auditedBody(entry.body)).filter((body) => body !== undefined);
  const refs = [...new Set(bodies.flatMap((body) => body.refs))];
  const arrivals = page.map(({ arrival }) => arrival);
  const found = { refs: new Set<string>(), subjects: new Map(), fields: new Set<string>() } satisfies Beside;
  const [from, to] = [Math.min(...arrivals), Math.max(...arrivals)];
  for (const row of await refRows(reader, refs, from, to, REFS_READ_MAX)) found.refs.add(`${row.arrival} ${row.ref}`);
  for (const subjects of chunksOf([...new Set(bodies.flatMap((body) => Object.keys(body.state)))], SMALL_ROWS)) {
    for (const row of await subjectRows(reader, subjects)) found.subjects.set(row.subject, row);
  }
  // Few entries have private fields, and some have many.
  const sealing = bodies.filter(({ sealed }) => sealed !== undefined).map(({ id }) => id);
  const per_read = Math.floor(SMALL_ROWS / ENTRY_PRIVATE_MAX);
  for (const ids of chunksOf(sealing, per_read)) {
    for (const row of await heldFields(reader, ids, SMALL_ROWS)) found.fields.add(`${row.entry} ${row.field}`);
  }
  return found;
}

function chunksOf<T>(items: readonly T[], size: number): T[][] {
  return Array.from({ length: Math.ceil(items.length / size) }, (_, i) => items.slice(i * size, (i + 1) * size));
}

/** Whatever a body says stands in the columns and tables beside it. */
function judgeEntry(work: AuditWork, place: Place, arrival: number, entry: EntryColumns, beside: Beside): boolean {
  const refuse = (...[check, detail]: [Parameters<AuditWork["note"]>[1], string]): false => {
    work.note(place, check, detail, { entry: entry.id });
    return false;
  };
  const body = auditedBody(entry.body);
  if (body === undefined) return refuse("body", `The body of ${entry.id} is no entry.`);
  const columns = ["id", "tenant", "kind", "at"] as const;
  const other = columns.find((name) => body[name] !== entry[name]);
  if (other !== undefined) return refuse("columns", `The column ${other} of ${body.id} is not what its body says.`);
  const ref = body.refs.find((each) => !beside.refs.has(`${arrival} ${each}`));
  if (ref !== undefined) return refuse("refs", `${body.id} cannot be found under ${ref}, which its body names.`);
  const subject = subjectFault(work, body, arrival, beside);
  if (subject !== undefined) return refuse("subject", subject);
  const field = Object.keys(body.sealed ?? {}).find((each) => !beside.fields.has(`${body.id} ${each}`));
  if (field !== undefined) return refuse("private", `The row of the private field ${field} of ${body.id} is gone.`);
  return true;
}

function subjectFault(work: AuditWork, body: AuditedBody, arrival: number, beside: Beside): string | undefined {
  for (const [subject, digest] of Object.entries(body.state)) {
    if (!work.tables.has(subject.slice(0, subject.indexOf("/")))) return `${subject} is in no audited table.`;
    const known = beside.subjects.get(subject);
    if (known === undefined) return `The store does not know ${subject}, which ${body.id} changed.`;
    if (known.arrival < arrival) return `The store takes an entry before ${body.id} for the newest of ${subject}.`;
    if (known.arrival === arrival && known.gone !== (digest === null ? 1 : 0)) {
      return `The store does not say of ${subject} what ${body.id} says: whether it is gone.`;
    }
  }
  return undefined;
}

/** What is not in the log waits for it, each entry with the leaf that its body makes. Stops at the first fault. */
export async function walkUnsealed(work: AuditWork, total: number): Promise<void> {
  let done = 0;
  let last: number | undefined;
  /** The first that is not in the log: none may follow that is. */
  let waiting: { arrival: number; id: string } | undefined;
  for (;;) {
    const page = await arrivalPage(work.reader, last, SMALL_ROWS);
    const end = page.at(-1);
    if (end === undefined) break;
    if (page.some(({ idx }) => idx === null) && !(await judgeUnsealed(work, last, end.arrival))) return;
    waiting ??= page.find(({ idx }) => idx === null);
    const overtaken = waiting;
    if (overtaken !== undefined && page.some(({ idx, arrival }) => idx !== null && arrival > overtaken.arrival)) {
      const detail = `${overtaken.id} is not in the log, and arrived before one that is.`;
      work.note({ arrival: overtaken.arrival }, "order", detail, { entry: overtaken.id });
      return;
    }
    last = end.arrival;
    done += page.length;
    work.step("entries", done, total);
  }
  const orphan = await orphanedLeaf(work.reader);
  if (orphan !== undefined) work.note({ arrival: orphan }, "entry", "An entry that waits to be sealed is gone.");
}

async function judgeUnsealed(work: AuditWork, after: number | undefined, to: number): Promise<boolean> {
  let last = after;
  for (;;) {
    const page = await unsealedPage(work.reader, last, to, PAGE_ROWS);
    if (page.length === 0) return true;
    const beside = await besideOf(
      work,
      page.map((entry) => ({ arrival: entry.arrival, entry })),
    );
    for (const row of page) {
      if (!judgePending(work, row, beside)) return false;
      last = row.arrival;
      work.counts.pending += 1;
    }
  }
}

function judgePending(work: AuditWork, row: UnsealedRow, beside: Beside): boolean {
  const place = { arrival: row.arrival };
  const { id: entry } = row;
  if (row.leaf === null) {
    work.note(place, "place", `${entry} is neither in the log nor waits to be sealed.`, { entry });
    return false;
  }
  if (Buffer.compare(row.leaf, leafHash(row.body)) !== 0) {
    work.note(place, "leaf", `The body of ${entry} does not hash to the leaf that waits to be sealed.`, { entry });
    return false;
  }
  return judgeEntry(work, place, row.arrival, row, beside);
}

/** Every ref leads to an entry whose body names it. */
export async function walkRefs(work: AuditWork): Promise<void> {
  let last: { ref: string; arrival: number } | undefined;
  for (;;) {
    const page = await refPage(work.reader, last, PAGE_ROWS);
    for (const row of page) {
      const names = row.body !== null && auditedBody(row.body)?.refs.includes(row.ref) === true;
      if (names) continue;
      const detail = `${row.id ?? "An entry that is gone"} is found under ${row.ref}, which its body does not name.`;
      work.note(placeOf(row), "refs", detail, { entry: row.id });
    }
    const end = page.at(-1);
    if (end === undefined) return;
    last = { ref: end.ref, arrival: end.arrival };
    work.step("entries", 0, 0);
  }
}
