import { createHash } from "node:crypto";
import type { Clock } from "../../kernel/clock.ts";
import { GantryError } from "../../kernel/errors.ts";
import type { Storage } from "../../storage/contract.ts";
import {
  type Asker,
  BUNDLE_ENTRIES_MAX,
  BUNDLES_MAX,
  type BundleOpening,
  type Checkpoint,
  errors,
  type LogReader,
  type OpenedField,
  type OpenFields,
  type PrivateValues,
} from "../contract.ts";
import { readBody } from "../entry.ts";
import { consistencyPath, inclusionPathOf } from "../log/proofs.ts";
import { coveringCheckpoint } from "../log/seal_wait.ts";
import { type Nodes, openNodes } from "../log/tree.ts";
import {
  hasForeign,
  type Selection,
  selectIndexOf,
  selectIndices,
  selectNewestArrival,
  selectSealed,
} from "./bundle_store.ts";

const VERSION = 1;
/** Entries that are read at once: half a megabyte of bundle, as most entries are. */
const PAGE_ENTRIES = 128;
/** With opened values: 32 of 64 KiB each are possible. */
const PAGE_ENTRIES_OPEN = 16;

/** Which entries a bundle is made of: exactly one member. All but `range` mean the asker's tenant. */
export interface BundleAsk {
  /** Entries that name one of these: 1 to `BUNDLE_NAMES_MAX`. */
  refs?: readonly string[];
  /** Ids of entries: 1 to `BUNDLE_NAMES_MAX`. */
  ids?: readonly string[];
  /** Milliseconds UTC, inclusive. */
  since?: number;
  /** Indices of the log, `to` exclusive: every entry in between. */
  range?: { from: number; to: number };
  /** Private fields to open, up to `ENTRY_PRIVATE_MAX`. */
  open?: readonly string[];
  /** Proves too that the log of this size is a prefix of the one that the bundle is proved by. */
  consistency_from?: number;
}

/** A bundle under way. Its bytes are made as they are taken. */
export interface BundleBytes {
  readonly chunks: AsyncIterator<Uint8Array>;
  /** Ends it early. What was taken has no trailer, so that nobody takes it for whole. */
  close(): void;
}

export interface BundleParts {
  storage: Storage;
  clock: Clock;
  log: LogReader;
  values: PrivateValues;
  /** Default `BUNDLE_ENTRIES_MAX`. */
  entries_max?: number;
}

/** All that is settled before the first byte. */
interface Plan {
  checkpoint: Checkpoint;
  consistency: { from: number; proof: string[] } | undefined;
  indices: readonly number[];
  opened: readonly string[];
  open: OpenFields | undefined;
}

/**
 * Makes bundles: entries with what proves them, as a file that verifies without us. UTF-8, one JSON value a line, each
 * line ends with a newline; members in this order, without white space, bytes as base64 (RFC 4648, 4):
 *
 *     {"v":1,"origin":…,"checkpoint":NOTE,"consistency":{"from":…,"proof":[…]},"count":N,"opened":[FIELD…]}
 *     {"i":INDEX,"leaf":BODY,"path":[…],"open":{FIELD:{"k":KEY,"v":VALUE}}}
 *     {"count":N,"sha256":…}
 *
 * `consistency` and `open` only where there are any. The trailer's hash is over all bytes before its line.
 */
export class LogBundles {
  readonly #parts: BundleParts;
  #going = 0;

  constructor(parts: BundleParts) {
    this.#parts = parts;
  }

  /**
   * All refusals come before the first byte, and openings are recorded before it.
   * @param demandAudit  called when a range has other tenants' entries; throws when the asker may not have them.
   * @throws EVIDENCE_UNKNOWN EVIDENCE_NOT_SEALED EVIDENCE_BAD_RANGE EVIDENCE_TOO_MANY EVIDENCE_BUNDLES
   *   EVIDENCE_UNAVAILABLE  an opening could not be recorded.
   */
  async make(ask: BundleAsk, who: Asker, demandAudit: () => void): Promise<BundleBytes> {
    if (this.#going >= BUNDLES_MAX) {
      throw new GantryError(errors.BUNDLES, {
        detail: `${BUNDLES_MAX} bundles are being made already. Try again when one has been taken.`,
        retry_after_ms: 1_000,
      });
    }
    this.#going += 1;
    let is_open = true;
    const close = (): void => {
      if (is_open) this.#going -= 1;
      is_open = false;
    };
    try {
      const plan = await this.#plan(ask, who, demandAudit);
      return { chunks: this.#chunks(plan, () => is_open, close), close };
    } catch (error) {
      close();
      throw error;
    }
  }

  async #plan(ask: BundleAsk, who: Asker, demandAudit: () => void): Promise<Plan> {
    const selection = selectionOf(ask, who);
    if (selection.by === "range") await this.#judgeRange(selection, who, demandAudit);
    const checkpoint = await this.#checkpointOver(selection);
    const indices = await this.#indicesOf(selection, checkpoint.size);
    const { consistency_from: from } = ask;
    const proof = from === undefined ? [] : await consistencyPath(this.#parts.log.tiles, from, checkpoint.size);
    const opened = [...new Set(ask.open)].sort();
    // Last, so that nothing is recorded as opened that is then refused.
    const open = opened.length === 0 ? undefined : await this.#open(ask, who, opened, indices.length);
    return {
      checkpoint,
      consistency: from === undefined ? undefined : { from, proof: proof.map(base64) },
      indices,
      opened,
      open,
    };
  }

  #open(ask: BundleAsk, who: Asker, fields: readonly string[], entries: number): Promise<OpenFields> {
    const opening: BundleOpening = { fields, entries, refs: ask.refs ?? ask.ids ?? [] };
    if (ask.range !== undefined) opening.range = ask.range;
    return this.#parts.values.openBundle(opening, who);
  }

  async #judgeRange({ from, to }: Extract<Selection, { by: "range" }>, who: Asker, demandAudit: () => void) {
    if (from >= to) throw badRange(`From ${from} to ${to} there is nothing: "to" is the index after the last one.`);
    const { size } = await this.#parts.log.checkpoint();
    if (to > size) throw badRange(`The log has ${size} entries, so a range ends at ${size} at most, not at ${to}.`);
    if (to - from > this.#entriesMax()) throw this.#tooMany();
    if (await hasForeign(this.#parts.storage, from, to, who.tenant)) demandAudit();
  }

  /** Waits for what was recorded before the question, and for nothing that comes later. */
  async #checkpointOver(selection: Selection): Promise<Checkpoint> {
    const { storage, log } = this.#parts;
    if (selection.by === "range") return log.checkpoint();
    const newest = await selectNewestArrival(storage, selection);
    if (newest === undefined && selection.by === "since") return log.checkpoint();
    if (newest === undefined) {
      const what = selection.by === "refs" ? "names one of these" : "has one of these ids";
      throw new GantryError(errors.UNKNOWN, { detail: `No entry of this tenant ${what}.` });
    }
    return coveringCheckpoint(this.#parts, () => selectIndexOf(storage, newest));
  }

  async #indicesOf(selection: Selection, size: number): Promise<number[]> {
    const max = this.#entriesMax();
    const indices = await selectIndices(this.#parts.storage, selection, size, max + 1);
    if (indices.length > max) throw this.#tooMany();
    if (selection.by === "ids" && indices.length < selection.names.length) {
      const missing = selection.names.length - indices.length;
      throw new GantryError(errors.UNKNOWN, {
        detail: `Of ${selection.names.length} ids ${missing} are of no entry of this tenant. Leave them out.`,
      });
    }
    return indices;
  }

  async *#chunks(plan: Plan, isOpen: () => boolean, close: () => void): AsyncGenerator<Uint8Array, void, undefined> {
    const hash = createHash("sha256");
    const count = plan.indices.length;
    const hashed = (text: string): Uint8Array => {
      const bytes = Buffer.from(text, "utf8");
      hash.update(bytes);
      return bytes;
    };
    try {
      yield hashed(headerOf(plan));
      const nodes = openNodes(this.#parts.log.tiles);
      const step = plan.open === undefined ? PAGE_ENTRIES : PAGE_ENTRIES_OPEN;
      for (let from = 0; from < count && isOpen(); from += step) {
        yield hashed(await this.#page(plan, nodes, plan.indices.slice(from, from + step)));
      }
      if (isOpen()) yield Buffer.from(`${JSON.stringify({ count, sha256: hash.digest("hex") })}\n`, "utf8");
    } finally {
      close();
    }
  }

  async #page(plan: Plan, nodes: Nodes, indices: readonly number[]): Promise<string> {
    const entries = await selectSealed(this.#parts.storage, indices);
    if (entries.length !== indices.length) {
      throw new GantryError(errors.FORKED, {
        detail: `Of ${indices.length} entries from index ${indices[0]} on the store has ${entries.length}.`,
      });
    }
    const ids = plan.open === undefined ? [] : entries.map(({ bytes }) => readBody(bytes).id);
    const opened = await plan.open?.(ids);
    let text = "";
    for (const [n, { bytes }] of entries.entries()) {
      const i = indices[n] ?? 0;
      const path = (await inclusionPathOf(nodes, i, plan.checkpoint.size)).map(base64);
      const fields = opened?.get(ids[n] ?? "");
      const line = { i, leaf: base64(bytes), path, ...(fields === undefined ? {} : { open: openMember(fields) }) };
      text += `${JSON.stringify(line)}\n`;
    }
    return text;
  }

  #entriesMax(): number {
    return this.#parts.entries_max ?? BUNDLE_ENTRIES_MAX;
  }

  #tooMany(): GantryError {
    return new GantryError(errors.TOO_MANY, {
      detail: `One bundle holds at most ${this.#entriesMax()} entries. Ask by ranges of the log, one bundle each.`,
    });
  }
}

function selectionOf(ask: BundleAsk, { tenant }: Asker): Selection {
  if (ask.refs !== undefined) return { by: "refs", names: [...new Set(ask.refs)], tenant };
  if (ask.ids !== undefined) return { by: "ids", names: [...new Set(ask.ids)], tenant };
  if (ask.since !== undefined) return { by: "since", since: ask.since, tenant };
  if (ask.range !== undefined) return { by: "range", ...ask.range };
  throw badRange("A bundle is asked by refs, ids, since or range.");
}

function headerOf({ checkpoint, consistency, indices, opened }: Plan): string {
  const header = {
    v: VERSION,
    origin: checkpoint.origin,
    checkpoint: checkpoint.note,
    ...(consistency === undefined ? {} : { consistency }),
    count: indices.length,
    opened,
  };
  return `${JSON.stringify(header)}\n`;
}

function openMember(fields: Record<string, OpenedField>): Record<string, { k: string; v: string }> {
  const names = Object.keys(fields).sort();
  return Object.fromEntries(
    names.flatMap((name) => {
      const field = fields[name];
      return field === undefined ? [] : [[name, { k: base64(field.key), v: base64(field.value) }]];
    }),
  );
}

function base64(bytes: Uint8Array): string {
  return Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength).toString("base64");
}

function badRange(detail: string): GantryError {
  return new GantryError(errors.BAD_RANGE, { detail });
}
