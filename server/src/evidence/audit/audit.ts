import { GantryError, hasCode } from "../../kernel/errors.ts";
import { type PrivateFiles, type Reader, type Storage, errors as storage_errors } from "../../storage/contract.ts";
import { AUDITS_MAX, type AuditedTable, errors, type LogKey } from "../contract.ts";
import { LATEST_FILE } from "../log/history.ts";
import { openNote, parseCheckpoint, parseVkey } from "../log/note.ts";
import { CheckpointAudit, type Copy } from "./checkpoints.ts";
import { walkRefs, walkSealed, walkUnsealed } from "./entries.ts";
import type { AuditFault, AuditQuery, AuditReport, Audits } from "./report.ts";
import { walkPrivate, walkRows } from "./rows.ts";
import { countRows, entryAt, type HeadRow, logHeads, logKeys, tilesBeyond } from "./store.ts";
import { AuditTree } from "./tree.ts";
import { AuditWork } from "./work.ts";

/** A log that has more keys than this had its key changed every day for years. */
const KEYS_READ_MAX = 1_000;
/** When a refused caller may ask again. */
const RETRY_MS = 10_000;

export interface AuditorParts {
  storage: Pick<Storage, "snapshot">;
  files: Pick<PrivateFiles, "read">;
  /** 32 bytes. */
  state_key: Uint8Array;
  /** Those of every room. */
  tables: readonly AuditedTable[];
}

/** Compares the whole store with its ledger, and the ledger with what it signed. */
export class Auditor implements Audits {
  readonly #parts: AuditorParts;
  #running = 0;

  constructor(parts: AuditorParts) {
    this.#parts = parts;
  }

  async audit(query: AuditQuery): Promise<AuditReport> {
    if (this.#running >= AUDITS_MAX) {
      throw new GantryError(errors.AUDITS, {
        detail: "An audit reads everything, and one goes on already. Ask again when it has ended.",
        retry_after_ms: RETRY_MS,
      });
    }
    const saved = query.saved === undefined ? undefined : checkedNote(query.saved);
    this.#running += 1;
    try {
      // Read before the store's state is fixed: a server that goes on must not be ahead of it here.
      const latest = await this.#parts.files.read(LATEST_FILE);
      return await this.#parts.storage.snapshot((reader) => this.#read(reader, query, saved, latest));
    } finally {
      this.#running -= 1;
    }
  }

  async #read(reader: Reader, query: AuditQuery, saved: string | undefined, latest: Uint8Array | undefined) {
    const { state_key, tables } = this.#parts;
    query.progress?.({ part: "entries", done: 0, total: await countRows(reader, "evidence_entries") });
    const work = new AuditWork({ reader, state_key, tables, progress: query.progress, signal: query.signal });
    const tree = new AuditTree(reader);
    const heads = await logHeads(reader);
    const keys = await logKeys(reader, KEYS_READ_MAX);
    const copies: Copy[] = [];
    const noted = { saved, latest: latest === undefined ? undefined : Buffer.from(latest).toString("utf8") };
    for (const check of ["latest", "saved"] as const) {
      const note = noted[check];
      const copy = note === undefined ? undefined : openCopy(work, check, note, keys, heads[0]);
      if (copy !== undefined) copies.push(copy);
    }
    const checkpoints = new CheckpointAudit({ work, tree, keys, head: heads[0], copies });
    await readable(work, () => walkLog(work, tree, checkpoints, heads.length));
    await readable(work, () => walkRows(work));
    await readable(work, () => walkPrivate(work));
    const sizeOf = (check: Copy["check"]): number | null => copies.find((copy) => copy.check === check)?.size ?? null;
    return {
      ok: work.first === undefined,
      size: tree.size,
      root: Buffer.from(tree.root()).toString("base64"),
      compared: { saved: sizeOf("saved"), latest: sizeOf("latest") },
      counts: work.counts,
      first_bad: work.first === undefined ? null : await named(reader, work.first),
    };
  }
}

async function walkLog(work: AuditWork, tree: AuditTree, checkpoints: CheckpointAudit, heads: number): Promise<void> {
  const total = await countRows(work.reader, "evidence_entries");
  if (!(await walkSealed(work, tree, total, (size) => checkpoints.atSize(size)))) return;
  await checkpoints.end(heads);
  const beyond = await tilesBeyond(work.reader, tree.size);
  if (beyond !== undefined) {
    work.note({ index: tree.size }, "tile", `Tile ${beyond.level}/${beyond.n} is stored, and the log has none there.`);
  }
  await walkUnsealed(work, total);
  await walkRefs(work);
}

/** A column that holds what no room writes, such as an integer beyond all sizes, cannot be read: that is a fault too. */
async function readable(work: AuditWork, walk: () => Promise<void>): Promise<void> {
  try {
    await walk();
  } catch (error) {
    if (!isUnreadable(error)) throw error;
    work.note("nowhere", "unreadable", `A row cannot be read: ${(error as Error).message}`);
  }
}

function isUnreadable(error: unknown): boolean {
  return hasCode(error, storage_errors.VALUE) || (error as Error).name === "ZodError";
}

/** A checkpoint's three lines, an empty one, and its signatures. Behind each, a witness's file has an empty line more. */
const NOTE = /(?<![^\n])[^\n]+\n\d{1,16}\n[A-Za-z0-9+/]{43}=\n\n(?:\u2014 [^\n]+\n)+/g;

/**
 * The last whole note of a text, as a witness appends them.
 * @throws EVIDENCE_BAD_NOTE  a caller's mistake is told from a log that does not agree.
 */
function checkedNote(text: string): string {
  const note = text.match(NOTE)?.at(-1);
  if (note !== undefined && parseCheckpoint(note) !== undefined) return note;
  throw new GantryError(errors.BAD_NOTE, {
    detail: "What was given as a checkpoint is none: a signed note has an origin, a size, a root and signatures.",
  });
}

/** A copy that a key of the log has signed. */
function openCopy(
  work: AuditWork,
  check: Copy["check"],
  note: string,
  keys: readonly LogKey[],
  head: HeadRow | undefined,
): Copy | undefined {
  const name = check === "saved" ? "The saved checkpoint" : "checkpoint.latest";
  const refuse = (how: string): undefined => {
    work.note({ index: 0 }, check, `${name} ${how}.`);
    return undefined;
  };
  const known = keys.flatMap(({ vkey }) => parseVkey(vkey) ?? []);
  const opened = openNote(note, known);
  if ("fault" in opened) return refuse(opened.fault);
  const said = parseCheckpoint(opened.text);
  if (said === undefined) return refuse("is no checkpoint");
  if (said.origin === head?.origin) return { check, size: said.size, root: said.root };
  const ended = endOf(said.origin, keys);
  // A crash between the end of a log and the file of its successor leaves that of the old one.
  if (ended !== undefined && check === "latest") return undefined;
  if (ended === undefined) return refuse(`is of another log, ${said.origin}`);
  if (said.size <= ended) return { check, size: said.size, root: said.root };
  work.note(
    { index: ended },
    check,
    `${name} is of ${said.size} entries of ${said.origin}, which ${head?.origin} has succeeded at ${ended}: those from ${ended} on are lost, as its entry log.succeeded says.`,
  );
  return undefined;
}

/** The size at which a log of this name ended, that the store's log has succeeded. */
function endOf(origin: string, keys: readonly LogKey[]): number | undefined {
  const ends = keys.flatMap(({ vkey, to_size }) =>
    parseVkey(vkey)?.name === origin && to_size !== null && to_size >= 0 ? [to_size] : [],
  );
  return ends.length === 0 ? undefined : Math.max(...ends);
}

/** With the id of the entry that stands at the index, when the fault was found by its place alone. */
async function named(reader: Reader, fault: AuditFault): Promise<AuditFault> {
  if (fault.entry !== null || fault.index === null) return fault;
  return { ...fault, entry: (await entryAt(reader, fault.index)) ?? null };
}
