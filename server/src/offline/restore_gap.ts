import { parseVkey } from "../evidence/log/note.ts";
import type { Manifest } from "./backup_manifest.ts";
import type { Held, WitnessesAsked } from "./checkpoints_known.ts";

/**
 * How the log of a backup stands to what others hold of it.
 * - `whole`: nobody who was asked holds more. `unasked`: nobody could be asked, which proves nothing.
 * - `lost`: a larger checkpoint was signed, or another one of the same size: entries are gone, and the log may not go on.
 * - `succeeded`: its log was ended, and another goes on: it may not sign again.
 * - `none`: the backup has no log, or not here.
 */
export type GapState = "whole" | "unasked" | "lost" | "succeeded" | "none";

export interface Gap {
  state: GapState;
  /** Entries that were sealed and are not in the backup, as far as checkpoints tell. */
  lost: number;
  /** The size of the log in the backup, and the largest that was seen signed. */
  from: number;
  to: number;
  /** Since when entries may be missing: when the backup was begun, milliseconds UTC. */
  since_at: number;
  held: Omit<Held, "note">[];
  silent: WitnessesAsked["silent"];
}

/**
 * @param held  what the directory that is replaced, and the witnesses, remember.
 * @param vkeys  all public keys that the directory that is replaced knows.
 */
export function gapOf({ log, created_at }: Manifest, { held, silent }: WitnessesAsked, vkeys: readonly string[]): Gap {
  const gap = { lost: 0, from: log?.size ?? 0, to: log?.size ?? 0, since_at: created_at, silent };
  const shown = (some: readonly Held[]) => some.map(({ note: _, ...rest }) => rest);
  if (log === null) return { ...gap, state: "none", held: shown(held) };
  const of_log = held.filter(({ origin }) => origin === log.origin);
  const to = Math.max(log.size, ...of_log.map(({ size }) => size));
  const contradicts = ({ size, root }: Held): boolean =>
    size > log.size || (size === log.size && size > 0 && root !== log.root);
  const against = of_log.filter(contradicts);
  const others = held.filter(({ origin }) => origin !== log.origin);
  // The directory knows the key of the backup's log, and its own log is another: it is a successor.
  const is_succeeded = others.length > 0 && vkeys.some((vkey) => parseVkey(vkey)?.name === log.origin);
  if (is_succeeded)
    return { ...gap, to, lost: to - log.size, state: "succeeded", held: shown([...others, ...against]) };
  if (against.length > 0) return { ...gap, to, lost: to - log.size, state: "lost", held: shown(against) };
  return { ...gap, state: of_log.length === 0 ? "unasked" : "whole", held: shown(of_log) };
}

/** The note that a restored data directory must remember, so that its server does not sign what was signed already. */
export function noteToKeep({ log }: Manifest, held: readonly Held[]): string | undefined {
  const larger = held.filter(({ origin, size, root }) => {
    if (log === null || origin !== log.origin) return false;
    return size > log.size || (size === log.size && root !== log.root);
  });
  return larger.sort((a, b) => b.size - a.size)[0]?.note;
}
