import { isMap, isScalar, isSeq, LineCounter, type Node, parseDocument } from "yaml";

/** Where a rule stands in its document, and how that line reads. */
export interface SourceLine {
  /** From 1. */
  line: number;
  /** Without the space around it, at most `LINE_CHARS_MAX` UTF-16 code units. */
  text: string;
}

const LINE_CHARS_MAX = 200;

/**
 * Finds the places of values in a document that was accepted once, so that it has no aliases and nests a few levels.
 * @returns by JSON pointer (RFC 6901); undefined where the document itself does not have the value.
 */
export function linesOf(source: string): (pointer: string) => SourceLine | undefined {
  const lines = new LineCounter();
  const document = parseDocument(source, { lineCounter: lines, logLevel: "silent" });
  const texts = source.split("\n");
  return (pointer) => {
    const offset = offsetOf(document.contents, pointer.split("/").slice(1).map(unescapePointer));
    if (offset === undefined) return undefined;
    const { line } = lines.linePos(offset);
    return { line, text: (texts[line - 1] ?? "").trim().slice(0, LINE_CHARS_MAX).toWellFormed() };
  };
}

/** Of a member of a map, its key; of an item of a list, the item. */
function offsetOf(root: Node | null, keys: string[]): number | undefined {
  let node: unknown = root;
  let offset = root?.range?.[0];
  for (const key of keys) {
    if (isMap(node)) {
      const pair = node.items.find((item) => isScalar(item.key) && item.key.value === key);
      if (pair === undefined) return undefined;
      offset = isScalar(pair.key) ? pair.key.range?.[0] : undefined;
      node = pair.value;
    } else if (isSeq(node)) {
      const item = node.items[Number(key)] as Node | undefined;
      if (item === undefined) return undefined;
      offset = item.range?.[0];
      node = item;
    } else {
      return undefined;
    }
  }
  return offset;
}

/** RFC 6901, 4. */
function unescapePointer(key: string): string {
  return key.replaceAll("~1", "/").replaceAll("~0", "~");
}
