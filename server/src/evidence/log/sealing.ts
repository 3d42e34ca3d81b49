import { assert } from "../../kernel/assert.ts";
import { GantryError } from "../../kernel/errors.ts";
import type { Reader } from "../../storage/contract.ts";
import { errors, SEAL_BATCH_MAX, type TileReader } from "../contract.ts";
import { checkpointText, type NoteSigner, parseCheckpoint, signNote } from "./note.ts";
import {
  type CheckpointRow,
  countPending,
  type KeyRows,
  type LogRow,
  type PendingRow,
  type SealedRows,
  selectAt,
  selectKeys,
  selectLog,
  selectNewestCheckpoint,
  selectPending,
  selectRotation,
} from "./store.ts";
import { readOnce } from "./tiles.ts";
import { type GrownTree, growTiles, rootOf } from "./tree.ts";

/** What one sealing is made from: one state of the store. */
export interface LogState {
  log: LogRow;
  /** Undefined before the first sealing. */
  newest: CheckpointRow | undefined;
  keys: KeyRows;
}

/** A size and root that was released, as somebody remembers it. */
export interface Seen {
  /** Who does, as the subject of a sentence. */
  where: string;
  size: number;
  /** 32 bytes. */
  root: Uint8Array;
}

/** @returns undefined while there is no log. */
export async function readState(reader: Reader): Promise<LogState | undefined> {
  const log = await selectLog(reader);
  if (log === undefined) return undefined;
  return { log, newest: await selectNewestCheckpoint(reader), keys: await selectKeys(reader) };
}

/**
 * The stored log must be what it says it is, and hold all that was released: its root is computed anew from the tiles, at
 * its size and at every size that somebody has seen.
 * @throws EVIDENCE_FORKED EVIDENCE_ROLLBACK
 */
export async function demandTrue(tiles: TileReader, { log, newest }: LogState, seen: readonly Seen[]): Promise<void> {
  if (log.size > 0) demandSame(log, newest);
  const once = readOnce(tiles);
  const root = await rootOf(once, log.size);
  if (!isSame(root, log.root)) throw forked(`The tiles of ${log.size} entries do not give the root that was signed.`);
  for (const { where, size, root: remembered } of seen) {
    if (size > log.size) {
      throw new GantryError(errors.ROLLBACK, {
        detail: `${where} is of ${size} entries, the database has a log of ${log.size}: it is an older copy.`,
        internal: { where, size, log: log.size },
      });
    }
    if (!isSame(await rootOf(once, size), remembered)) {
      throw forked(`${where} has another root for the first ${size} entries than the database.`);
    }
  }
}

/** The row that sealing goes on from and the note that was released last say the same. */
function demandSame(log: LogRow, newest: CheckpointRow | undefined): void {
  const said = newest === undefined ? undefined : parseCheckpoint(newest.note);
  const is_same =
    said?.origin === log.origin &&
    said.size === log.size &&
    newest?.size === log.size &&
    isSame(said.root, log.root) &&
    isSame(newest.root, log.root);
  if (!is_same) throw forked(`The log of ${log.size} entries is not that of its newest checkpoint.`);
}

function isSame(a: Uint8Array, b: Uint8Array): boolean {
  return Buffer.from(a).equals(b);
}

function forked(detail: string): GantryError {
  return new GantryError(errors.FORKED, { detail });
}

/** What is to be sealed next. */
export interface Batch {
  pending: PendingRow[];
  /** How many entries wait, those of the batch included. */
  waiting: number;
  /** When its oldest was appended, milliseconds UTC. */
  oldest_at: number | undefined;
  /** The batch covers the entry that announces the next key. */
  rotates: boolean;
  tree: GrownTree;
}

/** The first entries that wait, and the tree that they make. Undefined when none does. */
export async function readBatch(reader: Reader, tiles: TileReader, state: LogState): Promise<Batch | undefined> {
  const pending = await selectPending(reader, SEAL_BATCH_MAX);
  const [first, last] = [pending[0], pending.at(-1)];
  if (first === undefined || last === undefined) return undefined;
  const waiting = pending.length < SEAL_BATCH_MAX ? pending.length : await countPending(reader);
  const rotation = state.keys.announced === undefined ? undefined : await selectRotation(reader);
  const leaves = pending.map(({ leaf }) => leaf);
  return {
    pending,
    waiting,
    oldest_at: await selectAt(reader, first.arrival),
    rotates: rotation !== undefined && rotation <= last.arrival,
    tree: await growTiles(tiles, state.log.size, leaves),
  };
}

/** @param signers  the key that signs, and behind it the one that takes its place with this checkpoint. */
export function signBatch(
  state: LogState,
  batch: Batch,
  signers: readonly NoteSigner[],
  o: { epoch: number; now: number },
): SealedRows {
  const { log, keys } = state;
  const { size, root, tiles } = batch.tree;
  const last = batch.pending.at(-1);
  assert(last !== undefined && size === log.size + batch.pending.length, "a batch adds its entries to the log");
  const note = signNote(checkpointText({ origin: log.origin, size, root }), signers);
  const { active, announced } = keys;
  return {
    origin: log.origin,
    epoch: o.epoch,
    old_size: log.size,
    last_arrival: last.arrival,
    tiles,
    checkpoint: { size, root, note, at: o.now },
    rotated: batch.rotates && announced !== undefined ? { old: active, new: announced } : undefined,
  };
}
