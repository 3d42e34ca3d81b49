import { SINK_NOTE_BYTES_MAX } from "../contract.ts";

/** What stands above the root of a checkpoint (C2SP tlog-checkpoint). */
export interface NoteHead {
  origin: string;
  size: number;
}

/** The head of a note, unverified; undefined for what is no checkpoint. */
export function headOf(note: string): NoteHead | undefined {
  if (Buffer.byteLength(note) > SINK_NOTE_BYTES_MAX) return undefined;
  const [, origin, digits] = /^([^\n]+)\n(0|[1-9]\d{0,15})\n/.exec(note) ?? [];
  const size = Number(digits);
  return origin === undefined || !Number.isSafeInteger(size) ? undefined : { origin, size };
}

/** The size that a witness holds, if its note is of the same log and larger than the copy: it must not be given less. */
export function largerThan(copy: { note: string; size: number }, held: string | undefined): number | undefined {
  const theirs = held === undefined ? undefined : headOf(held);
  const is_larger = theirs !== undefined && theirs.origin === headOf(copy.note)?.origin && theirs.size > copy.size;
  return is_larger ? theirs.size : undefined;
}
