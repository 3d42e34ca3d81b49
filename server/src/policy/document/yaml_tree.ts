import {
  Composer,
  type CST,
  type Document,
  isAlias,
  isMap,
  isPair,
  isScalar,
  isSeq,
  Lexer,
  LineCounter,
  type Node,
  type Pair,
  Parser,
} from "yaml";
import { isStorableText } from "../../kernel/canonical.ts";
import type { Problem } from "../../kernel/errors.ts";
import { CONTRACT_BYTES_MAX, CONTRACT_DEPTH_MAX, CONTRACT_PROBLEMS_MAX } from "../contract.ts";

/** A value of a document with the place where it stands. */
export interface Tree {
  /** JSON pointer; "" is the document. */
  at: string;
  line: number;
  column: number;
  value: string | number | boolean | null | TreeMap | TreeList;
}
export interface TreeMap {
  type: "map";
  members: { key: Tree & { value: string }; value: Tree }[];
}
export interface TreeList {
  type: "list";
  items: Tree[];
}

/** Collects problems up to `CONTRACT_PROBLEMS_MAX`; what comes after is dropped. */
export class Problems {
  readonly list: Problem[] = [];

  add(where: Pick<Tree, "at" | "line" | "column">, text: string): void {
    if (this.list.length >= CONTRACT_PROBLEMS_MAX) return;
    this.list.push({ at: where.at, line: where.line, column: where.column, text });
  }
}

const START = { at: "", line: 1, column: 1 };
/** What the parser may have open at once; a level of a document takes up to three. */
const OPEN_TOKENS_MAX = 4 * CONTRACT_DEPTH_MAX;

/**
 * Reads YAML 1.2 (of which JSON is a part) without what makes YAML surprising: no aliases, anchors, tags, merge keys,
 * several documents, keys that are not text, or repeated keys. Each of them is a problem and the reading goes on.
 * @returns undefined when there is nothing to look at.
 */
export function readTree(text: string, problems: Problems): Tree | undefined {
  const bytes = Buffer.byteLength(text);
  if (bytes > CONTRACT_BYTES_MAX) {
    problems.add(START, `The document has ${bytes} bytes; at most ${CONTRACT_BYTES_MAX} are read.`);
    return undefined;
  }
  const lines = new LineCounter();
  const place = (offset: number): Pick<Tree, "line" | "column"> => {
    const { line, col } = lines.linePos(offset);
    return { line: Math.max(line, 1), column: Math.max(col, 1) };
  };
  const tokens = tokensOf(text, lines);
  if (!Array.isArray(tokens)) {
    problems.add({ at: "", ...place(tokens.deep_at) }, "The document nests too deeply.");
    return undefined;
  }
  const [first, second] = compose(tokens, text.length);
  if (first === undefined) {
    problems.add(START, "The document is empty.");
    return undefined;
  }
  for (const { message, pos } of first.errors.slice(0, CONTRACT_PROBLEMS_MAX)) {
    problems.add({ at: "", ...place(pos[0]) }, `Not YAML: ${message}.`);
  }
  if (second !== undefined) {
    problems.add({ at: "", ...place(second.range?.[0] ?? 0) }, "A file holds one document; this is a second one.");
  }
  if (first.errors.length > 0) return undefined;
  return new TreeReader(problems, place).read(first.contents, "", 0, 0);
}

/**
 * The tokens of the text, or where it nests too deeply. Asked token by token because the library composes nodes by
 * recursion: near the end of the stack even the compilation of a regular expression kills the whole process
 * (`RegExpCompiler Allocation failed`, seen with 200,000 brackets, yaml 2.9.1 on Node 20.20).
 */
function tokensOf(text: string, lines: LineCounter): CST.Token[] | { deep_at: number } {
  const parser = new Parser(lines.addNewLine);
  const tokens: CST.Token[] = [];
  lines.addNewLine(0);
  for (const lexeme of new Lexer().lex(text)) {
    for (const token of parser.next(lexeme)) tokens.push(token);
    if (parser.stack.length > OPEN_TOKENS_MAX) return { deep_at: parser.offset };
  }
  for (const token of parser.end()) tokens.push(token);
  return tokens;
}

function compose(tokens: CST.Token[], length: number): Document.Parsed[] {
  const composer = new Composer({
    version: "1.2",
    schema: "core",
    merge: false,
    // The library's check compares each key with each; ours remembers them.
    uniqueKeys: false,
    strict: true,
    prettyErrors: false,
    logLevel: "silent",
  });
  return [...composer.compose(tokens, false, length)];
}

class TreeReader {
  readonly #problems: Problems;
  readonly #place: (offset: number) => Pick<Tree, "line" | "column">;

  constructor(problems: Problems, place: (offset: number) => Pick<Tree, "line" | "column">) {
    this.#problems = problems;
    this.#place = place;
  }

  /** @param offset  where an absent value would stand. */
  read(node: Node | null, at: string, offset: number, depth: number): Tree {
    const where = { at, ...this.#place(node?.range?.[0] ?? offset) };
    if (node === null) return { ...where, value: null };
    if (isAlias(node)) {
      this.#problems.add(where, "Aliases are not read: write the value out.");
      return { ...where, value: null };
    }
    if (node.anchor !== undefined) this.#problems.add(where, "Anchors are not read: leave the &name out.");
    if (node.tag !== undefined) this.#problems.add(where, "Tags are not read: leave the !tag out.");
    if (isScalar(node)) return { ...where, value: this.#scalar(node.value, where) };
    if (depth >= CONTRACT_DEPTH_MAX) {
      this.#problems.add(where, "The document nests too deeply.");
      return { ...where, value: null };
    }
    if (isMap(node)) return { ...where, value: this.#map(node.items, at, depth) };
    const items: Tree[] = [];
    for (const [index, item] of isSeq(node) ? node.items.entries() : []) {
      // The library reads a pair without braces, `[a: 1]`, as a map of one; should it ever not, it is no value of ours.
      if (isPair(item)) this.#problems.add(where, "An item of a list is a value, not a pair.");
      else items.push(this.read(item as Node | null, `${at}/${index}`, node.range?.[0] ?? offset, depth + 1));
    }
    return { ...where, value: { type: "list", items } };
  }

  /** Also of a text that was written with escapes, and so was none when the document was looked at as a whole. */
  #scalar(value: unknown, where: Pick<Tree, "at" | "line" | "column">): Tree["value"] {
    if (typeof value === "number" || typeof value === "boolean") return value;
    if (typeof value !== "string") return null;
    if (isStorableText(value)) return value;
    this.#problems.add(where, "The text has U+0000 or half of a surrogate pair in it, which no text of ours may have.");
    return null;
  }

  #map(items: Pair[], at: string, depth: number): TreeMap {
    const seen = new Map<string, number>();
    const members: TreeMap["members"] = [];
    for (const item of items) {
      const node = item.key as Node | null;
      const where = this.#place(node?.range?.[0] ?? 0);
      if (!isScalar(node) || typeof node.value !== "string") {
        this.#problems.add({ at, ...where }, "A key is plain text.");
        continue;
      }
      const key = this.read(node, `${at}/${escapePointer(node.value)}`, 0, depth + 1);
      const before = seen.get(node.value);
      if (before !== undefined) this.#problems.add(key, `${node.value} stands here twice, first in line ${before}.`);
      else seen.set(node.value, key.line);
      const value = this.read(item.value as Node | null, key.at, node.range?.[1] ?? 0, depth + 1);
      members.push({ key: { ...key, value: node.value }, value });
    }
    return { type: "map", members };
  }
}

/** RFC 6901, 3. */
function escapePointer(key: string): string {
  return key.replaceAll("~", "~0").replaceAll("/", "~1");
}
