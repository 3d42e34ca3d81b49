/**
 * Characters that show nothing, or change how their neighbours are shown: controls, formats (among them the marks that
 * turn the writing direction), line separators of Unicode, fillers, variation selectors of the supplement, and halves
 * of surrogate pairs. Newlines and tabs are text.
 */
const UNSEEN =
  /[\p{Cc}\p{Cf}\p{Cs}\p{Zl}\p{Zp}\u115f\u1160\u3164\uffa0]|\u034f|\u17b4|\u17b5|[\u180b-\u180f]|[\u{e0100}-\u{e01ef}]/gu;

/** A piece of what somebody wrote: text, or one character that would not be seen, by its name `U+202E`. */
export interface Piece {
  text: string;
  unseen: boolean;
}

/** What somebody wrote, cut where something would not be seen. */
export function piecesOf(text: string): Piece[] {
  const pieces: Piece[] = [];
  let from = 0;
  for (const { index, 0: char } of text.matchAll(UNSEEN)) {
    if (char === "\n" || char === "\t") continue;
    if (index > from) pieces.push({ text: text.slice(from, index), unseen: false });
    pieces.push({ text: nameOf(char), unseen: true });
    from = index + char.length;
  }
  if (from < text.length) pieces.push({ text: text.slice(from), unseen: false });
  return pieces;
}

/** The same as one string, for titles and attributes. */
export function seenText(text: string): string {
  return piecesOf(text)
    .map((piece) => (piece.unseen ? `[${piece.text}]` : piece.text))
    .join("");
}

function nameOf(char: string): string {
  const code = char.codePointAt(0) ?? 0;
  return `U+${code.toString(16).toUpperCase().padStart(4, "0")}`;
}

/** `45 s`, `3 min`, `5 h 20 min`, `2 d 3 h`; nothing is left of what is over. */
export function spanText(ms: number): string {
  const seconds = Math.max(0, Math.round(ms / 1_000));
  if (seconds < 60) return `${seconds} s`;
  const minutes = Math.floor(seconds / 60);
  if (minutes < 60) return `${minutes} min`;
  const hours = Math.floor(minutes / 60);
  if (hours < 48) return minutes % 60 === 0 ? `${hours} h` : `${hours} h ${minutes % 60} min`;
  const days = Math.floor(hours / 24);
  return hours % 24 === 0 ? `${days} d` : `${days} d ${hours % 24} h`;
}

/** Milliseconds UTC as `2026-01-31 12:00:05 UTC`. */
export function instantText(at: number): string {
  return `${new Date(at).toISOString().slice(0, 19).replace("T", " ")} UTC`;
}

/** `1 person`, `2 people`. */
export function countText(n: number, one: string, many = `${one}s`): string {
  return `${n.toLocaleString("en-US")} ${n === 1 ? one : many}`;
}
