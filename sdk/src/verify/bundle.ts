import { createHash } from "node:crypto";
import { readEntryLine, readHeader, readTrailer } from "./bundle_lines.ts";
import { type Checkpoint, type ConsistencyProof, openCheckpoint } from "./checkpoint.ts";
import { fromUtf8 } from "./encoding.ts";
import { checkOpened, type Entry, notInLog, readEntry } from "./entry.ts";
import type { PublicKey } from "./keys.ts";
import { leafHash, Paths } from "./merkle.ts";
import { bad, isProblem, type Place, placed, unusable } from "./problem.ts";
import { type VoteFindings, Votes } from "./votes.ts";

/** Gaps that are told apart; the rest are counted. */
export const GAPS_SHOWN_MAX = 20;

/** Indices from `from` to `to`, both inclusive. */
export interface Range {
  from: number;
  to: number;
}

/** What a bundle that was verified shows. */
export interface BundleFindings {
  checkpoint: Checkpoint;
  consistency?: ConsistencyProof;
  count: number;
  /** From the first to the last entry; absent when there are none. */
  range?: Range;
  /** Stretches inside the range of which the bundle has nothing, at most `GAPS_SHOWN_MAX`. */
  gaps: Range[];
  /** All of them, the ones that are not shown too. */
  gap_count: number;
  /** The fields that the bundle was asked to open. */
  fields: string[];
  /** Values that were opened and are what their entries committed to. */
  opened: number;
  /** Private values that the entries committed to, the opened ones among them. */
  sealed: number;
  /** Which proofs the votes among the entries have. */
  votes: VoteFindings;
}

/**
 * Verifies a bundle line by line; holds one line.
 * @param lines  each with its newline.
 * @throws Problem  the first thing that is wrong.
 */
export async function verifyBundle(lines: AsyncIterable<Buffer>, keys: readonly PublicKey[]): Promise<BundleFindings> {
  const bundle = new Bundle(keys);
  let line = 0;
  for await (const bytes of lines) {
    line += 1;
    try {
      bundle.take(bytes);
    } catch (error) {
      throw placed(error, { line });
    }
  }
  return bundle.end(line);
}

interface Header {
  checkpoint: Checkpoint;
  paths: Paths;
  consistency?: ConsistencyProof;
  count: number;
  fields: string[];
}

function openHeader(text: string, keys: readonly PublicKey[]): Header {
  const { origin, note, ...rest } = readHeader(text);
  const checkpoint = openCheckpoint(note, keys);
  if (checkpoint.origin !== origin) {
    throw bad(
      "origin",
      `The bundle says that it is of the log ${origin}, and its checkpoint is of ${checkpoint.origin}.`,
    );
  }
  return { ...rest, checkpoint, paths: new Paths(checkpoint) };
}

class Bundle {
  readonly #keys: readonly PublicKey[];
  /** Over all lines before the trailer. */
  readonly #sha256 = createHash("sha256");
  #header: Header | undefined;
  #ended = false;
  #count = 0;
  #range: Range | undefined;
  #gaps: Range[] = [];
  #gap_count = 0;
  #opened = 0;
  #sealed = 0;
  readonly #votes = new Votes();

  constructor(keys: readonly PublicKey[]) {
    this.#keys = keys;
  }

  take(bytes: Buffer): void {
    if (this.#ended) throw bad("format", "Something follows the last line of the bundle.");
    if (bytes.at(-1) !== 0x0a) throw truncated(this.#count, "inside a line");
    const header = this.#header;
    if (header === undefined) this.#header = openHeader(fromUtf8(bytes.subarray(0, -1), "The line"), this.#keys);
    else this.#takeAfter(bytes.subarray(0, -1), header);
    if (!this.#ended) this.#sha256.update(bytes);
  }

  /** What begins as a bundle with a signed checkpoint and goes on as something else was changed. */
  #takeAfter(bytes: Buffer, header: Header): void {
    try {
      const text = fromUtf8(bytes, "The line");
      if (text.startsWith('{"count":')) this.#close(text, header);
      else this.#entry(text, header);
    } catch (error) {
      throw isProblem(error) && error.check === "format" ? bad("format", error.message, error.place) : error;
    }
  }

  end(line: number): BundleFindings {
    if (this.#header === undefined || !this.#ended)
      throw placed(truncated(this.#count, "without its last line"), { line });
    const { checkpoint, consistency, fields } = this.#header;
    return {
      checkpoint,
      ...(consistency === undefined ? {} : { consistency }),
      count: this.#count,
      ...(this.#range === undefined ? {} : { range: this.#range }),
      gaps: this.#gaps,
      gap_count: this.#gap_count,
      fields,
      opened: this.#opened,
      sealed: this.#sealed,
      votes: this.#votes.findings(),
    };
  }

  #entry(text: string, header: Header): void {
    const { i, leaf, path, open } = readEntryLine(text);
    if (this.#count === header.count)
      throw bad("count", `The bundle has more entries than the ${header.count} that it says.`);
    this.#advance(i, header.checkpoint);
    if (!header.paths.leadsFrom(leafHash(leaf), i, path)) throw notInLog(leaf, i);
    let entry: Entry;
    try {
      entry = readEntry(leaf);
      this.#sealed += Object.keys(entry.sealed).length;
      for (const { field, key, value } of open) {
        if (!header.fields.includes(field)) {
          const place = { entry: entry.id, field };
          throw bad("commitment", `The bundle opens the field ${JSON.stringify(field)} and does not say so.`, place);
        }
        checkOpened(entry, field, key, value);
      }
    } catch (error) {
      throw placed(error, { index: i });
    }
    this.#votes.take(entry);
    this.#opened += open.length;
    this.#count += 1;
  }

  #advance(index: number, { size }: Checkpoint): void {
    const place: Place = { index };
    if (index >= size) throw bad("index", `There is no index ${index} in a log of ${size} entries.`, place);
    if (this.#range === undefined) {
      this.#range = { from: index, to: index };
      return;
    }
    const { to } = this.#range;
    if (index <= to) throw bad("index", `Index ${index} follows index ${to}; indices rise.`, place);
    if (index > to + 1) {
      this.#gap_count += 1;
      if (this.#gaps.length < GAPS_SHOWN_MAX) this.#gaps.push({ from: to + 1, to: index - 1 });
    }
    this.#range.to = index;
  }

  #close(text: string, header: Header): void {
    const { count, sha256 } = readTrailer(text);
    if (count !== this.#count || header.count !== this.#count) {
      throw bad(
        "count",
        `The bundle has ${this.#count} entries, says ${header.count} at its begin and ${count} at its end.`,
      );
    }
    if (sha256 !== this.#sha256.digest("hex")) {
      throw bad("sha256", "The bytes of the bundle are not those that were exported.");
    }
    this.#ended = true;
  }
}

function truncated(count: number, how: string): Error {
  return unusable(
    "truncated",
    `The bundle ends ${how}, after ${count} entries: it was cut off, and what is missing is not known.`,
  );
}
