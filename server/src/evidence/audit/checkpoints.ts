import type { LogKey } from "../contract.ts";
import { type NoteKey, openNote, parseCheckpoint, parseVkey } from "../log/note.ts";
import { type CheckpointRow, checkpointPage, type HeadRow } from "./store.ts";
import type { AuditTree } from "./tree.ts";
import { Ahead, type AuditWork, PAGE_ROWS } from "./work.ts";

/** A checkpoint that is kept outside of the database: what it says was seen by somebody. */
export interface Copy {
  check: "latest" | "saved";
  size: number;
  root: Uint8Array;
}

/**
 * Compares what was signed with what the entries make, at each size for which there is a checkpoint or a copy of one.
 * The root of a size is known only while the tree has it, so this goes along with the walk.
 */
export class CheckpointAudit {
  readonly #work: AuditWork;
  readonly #tree: AuditTree;
  readonly #keys: { key: NoteKey; from_size: number; to_size: number | null }[];
  readonly #head: HeadRow | undefined;
  readonly #copies: readonly Copy[];
  readonly #rows: Ahead<CheckpointRow>;
  /** Of the last checkpoint, and of the last copy, whose root was that of the tree. */
  readonly #agreed = { signed: 0, copied: 0 };
  #newest = 0;

  constructor(o: {
    work: AuditWork;
    tree: AuditTree;
    keys: readonly LogKey[];
    head: HeadRow | undefined;
    copies: readonly Copy[];
  }) {
    this.#work = o.work;
    this.#rows = new Ahead((last) => checkpointPage(o.work.reader, last?.size, PAGE_ROWS));
    this.#tree = o.tree;
    this.#head = o.head;
    this.#copies = o.copies;
    this.#keys = o.keys.flatMap(({ vkey, from_size, to_size }) => {
      const key = parseVkey(vkey);
      // A key that is announced has signed nothing yet.
      return key === undefined || from_size < 0 ? [] : [{ key, from_size, to_size }];
    });
  }

  /** @returns false when something is wrong at this size. */
  async atSize(size: number): Promise<boolean> {
    for (const copy of this.#copies) if (copy.size === size && !this.#agrees(copy)) return false;
    const row = await this.#rows.peek();
    if (row === undefined || row.size > size) return true;
    this.#rows.take();
    if (!this.#judge(row)) return false;
    this.#newest = size;
    this.#work.counts.checkpoints += 1;
    return true;
  }

  #agrees({ check, size, root }: Copy): boolean {
    if (Buffer.compare(root, this.#tree.root()) === 0) {
      this.#agreed.copied = size;
      return true;
    }
    // Whoever has the key can sign another log from any place on: only an older copy says up to where it is the same.
    const { copied } = this.#agreed;
    const detail = `${NAMES[check]} of ${size} entries has another root: of the entries from ${copied} to ${size - 1}, one or more are not those of then.`;
    this.#work.note({ index: copied }, check, detail);
    return false;
  }

  #judge(row: CheckpointRow): boolean {
    const { size } = row;
    const refuse = (check: "checkpoint" | "signature", how: string): false => {
      this.#work.note({ index: Math.max(0, size - 1) }, check, `The checkpoint of ${size} entries ${how}.`);
      return false;
    };
    const keys = this.#keys.filter((each) => each.from_size <= size && (each.to_size ?? size) >= size);
    const opened = openNote(
      row.note,
      keys.map(({ key }) => key),
    );
    if ("fault" in opened) return refuse("signature", opened.fault);
    const lines = row.note.slice(opened.text.length + 1, -1).split("\n").length;
    if (lines !== keys.length || opened.signed_by.length !== keys.length) {
      return refuse(
        "signature",
        `has ${lines} signatures, ${opened.signed_by.length} by the ${keys.length} keys of then`,
      );
    }
    const said = parseCheckpoint(opened.text);
    if (said === undefined) return refuse("checkpoint", "is no checkpoint");
    if (!this.#isNameOfThen(said.origin, keys)) return refuse("checkpoint", `is of another log, ${said.origin}`);
    if (said.size !== size || size !== this.#tree.size || Buffer.compare(said.root, row.root) !== 0) {
      return refuse("checkpoint", `says ${said.size}, or another root than the row that it stands in`);
    }
    if (Buffer.compare(said.root, this.#tree.root()) === 0) {
      this.#agreed.signed = size;
      return true;
    }
    const from = this.#agreed.signed;
    const detail = `The root of ${size} entries was signed, and is another: of the entries from ${from} to ${size - 1}, one or more were changed after.`;
    this.#work.note({ index: from }, "root", detail);
    return false;
  }

  /** The log's own name; before it succeeded another, that one's, which its keys of then bear. */
  #isNameOfThen(origin: string, keys: readonly { key: NoteKey; to_size: number | null }[]): boolean {
    if (keys.some(({ to_size }) => to_size === null) && origin !== this.#head?.origin) return false;
    return keys.every(({ key }) => key.name === origin);
  }

  /** After the last leaf: nothing that was signed or kept is larger, and the head is the newest of it. */
  async end(heads: number): Promise<void> {
    const { size } = this.#tree;
    const refuse = (index: number, check: "index" | "head", detail: string): void =>
      this.#work.note({ index }, check, detail);
    const larger = await this.#rows.peek();
    if (larger !== undefined) refuse(size, "index", `${larger.size} entries were signed, and the log ends at ${size}.`);
    for (const { check, size: kept } of this.#copies) {
      if (kept > size) {
        this.#work.note({ index: size }, check, `${NAMES[check]} has ${kept} entries, and the log ends at ${size}.`);
      }
    }
    const head = this.#head;
    if (heads > 1) refuse(size, "head", "The store has more than one log.");
    if (head === undefined) {
      if (size > 0) refuse(0, "head", "The store has leaves and no log.");
      return;
    }
    if (head.size > size) refuse(size, "index", `The log has ${head.size} entries, and its leaves end at ${size}.`);
    if (head.size < size) refuse(head.size, "head", `Entry ${head.size} is in the log, and no checkpoint covers it.`);
    if (Buffer.compare(head.root, this.#tree.root()) !== 0 || this.#newest !== head.size) {
      refuse(Math.max(0, size - 1), "head", "The log's size and root are not those of its newest checkpoint.");
    }
  }
}

const NAMES = { latest: "checkpoint.latest", saved: "The saved checkpoint" } as const;
