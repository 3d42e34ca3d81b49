import type { Timeline, TimelineLine } from "@gantry/sdk";
import { cut, oneLine } from "../text.ts";

const WHO_COLUMNS = 6;
/** Characters of an id's end that tell it from others. */
const ID_END = 6;

/** What a reader calls something that the ledger knows by its id. */
export type Names = ReadonlyMap<string, string>;

/** Lines that stand for many alike. */
export interface Grouping {
  /** Of a line that is told alone: undefined. */
  group(line: TimelineLine): string | undefined;
  names: Names;
}

/**
 * A timeline for a terminal: index, seconds from its beginning, who, and what, at most `width` columns; neighbours of one group are one line with their
 * number.
 */
export function ledgerLines({ lines }: Pick<Timeline, "lines">, { group, names }: Grouping, width: number): string[] {
  const all: string[] = [];
  const began = lines[0]?.at ?? 0;
  let open: { name: string; first: TimelineLine; last: TimelineLine; count: number } | undefined;
  const flush = (): void => {
    if (open === undefined) return;
    const { name, first, last, count } = open;
    const index = count === 1 ? indexOf(first) : `${indexOf(first)}-${indexOf(last)}`;
    all.push(
      lineText(
        { index, at: first.at - began, who: "" },
        `${count === 1 ? "1 entry" : `${count} entries`}: ${name}`,
        width,
      ),
    );
    open = undefined;
  };
  for (const line of lines) {
    const name = group(line);
    if (name === undefined || name !== open?.name) flush();
    if (name === undefined)
      all.push(
        lineText({ index: indexOf(line), at: line.at - began, who: whoOf(line) }, plain(line.text, names), width),
      );
    else if (open === undefined) open = { name, first: line, last: line, count: 1 };
    else open = { ...open, last: line, count: open.count + 1 };
  }
  flush();
  return all;
}

function indexOf({ index }: TimelineLine): string {
  return index === undefined ? "-" : String(index);
}

/** Who acted; what the server does itself, nobody did. */
function whoOf({ chain }: TimelineLine): string {
  return oneLine(chain.at(-1)?.name ?? "");
}

function lineText({ index, at, who }: { index: string; at: number; who: string }, text: string, width: number): string {
  const since = `+${(at / 1_000).toFixed(2)} s`;
  return cut(`${index.padStart(5)} ${since.padStart(9)}  ${who.padEnd(WHO_COLUMNS)} ${oneLine(text)}`, width);
}

/** Without marks of Markdown; ids by their names, or by their ends. */
export function plain(text: string, names: Names): string {
  return text
    .replaceAll("`", "")
    .replace(/\b[a-z]{3}_[0-9a-z]{26}\b/g, (id) => names.get(id) ?? `${id.slice(0, 4)}…${id.slice(-ID_END)}`);
}

/** Entries by what they are, for a recap: each kind with its number. */
export function countKinds(kinds: readonly string[]): Map<string, number> {
  const counts = new Map<string, number>();
  for (const kind of kinds) counts.set(kind, (counts.get(kind) ?? 0) + 1);
  return counts;
}
