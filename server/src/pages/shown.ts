import { UNSEEN_CHARS } from "./contract.ts";
import { piecesOf } from "./text.ts";

/** What of a text a page has room for. */
export interface Shown {
  text: string;
  /** Something was left out. */
  cut: boolean;
}

/** The beginning of a text. What is not seen is shown by its name, so it counts for more than it is. */
export function shownText(text: string, chars_max: number): Shown {
  const kept: string[] = [];
  let room = chars_max;
  // Nothing past so many characters can have room: a long text is not looked at whole.
  const head = text.slice(0, chars_max);
  let from = 0;
  for (const piece of piecesOf(head)) {
    const { length } = piece.unseen ? { length: unseenLength(piece.text) } : piece.text;
    const weight = piece.unseen ? UNSEEN_CHARS : length;
    if (weight > room) {
      if (!piece.unseen) kept.push(whole(piece.text.slice(0, room)));
      return { text: kept.join(""), cut: true };
    }
    kept.push(head.slice(from, from + length));
    from += length;
    room -= weight;
  }
  return { text: whole(kept.join("")), cut: text.length > chars_max };
}

/** Of the character that `U+202E` names, in UTF-16. */
function unseenLength(name: string): number {
  return Number.parseInt(name.slice(2), 16) > 0xffff ? 2 : 1;
}

/** Without half a surrogate pair at its end. */
function whole(text: string): string {
  const last = text.charCodeAt(text.length - 1);
  return last >= 0xd800 && last <= 0xdbff ? text.slice(0, -1) : text;
}

/** JSON as a person reads it: indented, and written no further than there is room for it. A string stands as it is. */
export function shownJson(value: unknown, chars_max: number): Shown {
  if (typeof value === "string") return shownText(value, chars_max);
  const pieces: string[] = [];
  let room = chars_max + 1;
  /** @returns whether there is room for more. */
  const put = (piece: string): boolean => {
    pieces.push(piece);
    room -= piece.length;
    return room > 0;
  };
  const list = (
    members: Iterable<readonly [label: string, member: unknown]>,
    ends: string,
    indent: string,
  ): boolean => {
    let any = false;
    for (const [label, member] of members) {
      if (!put(`${any ? "," : (ends[0] ?? "")}\n${indent}  ${label}`) || !walk(member, `${indent}  `)) return false;
      any = true;
    }
    return put(any ? `\n${indent}${ends[1] ?? ""}` : ends);
  };
  const walk = (member: unknown, indent: string): boolean => {
    if (typeof member === "string") return put(JSON.stringify(member.slice(0, room)));
    if (Array.isArray(member)) return list(elementsOf(member), "[]", indent);
    if (typeof member === "object" && member !== null) return list(membersOf(member), "{}", indent);
    return put(JSON.stringify(member) ?? "null");
  };
  walk(value, "");
  return shownText(pieces.join(""), chars_max);
}

function* elementsOf(list: readonly unknown[]): Generator<readonly [string, unknown]> {
  for (const member of list) yield ["", member];
}

function* membersOf(value: object): Generator<readonly [string, unknown]> {
  for (const name in value) {
    if (Object.hasOwn(value, name)) yield [`${JSON.stringify(name)}: `, (value as Record<string, unknown>)[name]];
  }
}
