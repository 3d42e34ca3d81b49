import type { Checkpoint, CheckpointSink, TileReader } from "../contract.ts";
import { parseCheckpoint } from "../log/note.ts";
import { consistencyPath } from "../log/proofs.ts";

/**
 * The size that a witness holds of this log; 0 when it holds none. Taken from its own note where it tells, else from
 * what it is known to have taken. Its word decides only where the next proof begins, so it is not verified here.
 * @param known  of the newest copy that it took.
 */
export async function heldBy(
  sink: CheckpointSink,
  known: number,
  newest: Checkpoint,
  signal: AbortSignal,
): Promise<number> {
  const note = await sink.newest(signal);
  // What is known beyond the newest was of a log before this one.
  if (note === undefined) return sink.tells || known > newest.size ? 0 : known;
  const held = parseCheckpoint(note);
  return held?.origin === newest.origin ? held.size : 0;
}

/**
 * Gives a witness the newest checkpoint, proved from what it holds. If it says that it holds another size, once more
 * from there.
 * @throws when it holds more than the log has, or takes nothing from the size that it has named itself.
 */
export async function giveNewest(
  sink: CheckpointSink,
  held: number,
  newest: Checkpoint,
  tiles: TileReader,
  signal: AbortSignal,
): Promise<void> {
  const { note, size } = newest;
  let old_size = held;
  for (let attempts = 0; attempts < 2 && old_size < size; attempts++) {
    const proof = old_size === 0 ? [] : await consistencyPath(tiles, old_size, size);
    old_size = await sink.publish({ old_size, proof, note, size }, signal);
  }
  if (old_size > size) throw new Error(`the witness holds size ${old_size}, and this log has only ${size}`);
  if (old_size < size) throw new Error(`the witness says that it holds size ${old_size}, and takes nothing from there`);
}
