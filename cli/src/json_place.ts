/** Deeper nesting than this is not searched; the caller then shows no place. */
const DEPTH_MAX = 1_000;

/** The first place where a text stops being JSON. */
export interface JsonFault {
  /** From 1. */
  line: number;
  /** From 1, in UTF-16 units. */
  column: number;
  text: string;
}

/**
 * Where JSON text first breaks the grammar (RFC 8259) and what was expected there. Node's own errors name a
 * position only sometimes, and differently in each version.
 * @returns undefined when the text is valid JSON, or nested too deep to search.
 */
export function findJsonFault(text: string): JsonFault | undefined {
  try {
    const scan = new Scan(text);
    scan.value(0);
    scan.end();
    return undefined;
  } catch (error) {
    if (!(error instanceof Fault)) throw error;
    if (error.text === "") return undefined;
    const before = text.slice(0, error.at).split("\n");
    return { line: before.length, column: (before.at(-1)?.length ?? 0) + 1, text: error.text };
  }
}

class Fault extends Error {
  readonly at: number;
  readonly text: string;

  constructor(at: number, text: string) {
    super(text);
    this.at = at;
    this.text = text;
  }
}

class Scan {
  readonly #text: string;
  #at = 0;

  constructor(text: string) {
    this.#text = text;
  }

  value(depth: number): void {
    if (depth > DEPTH_MAX) throw new Fault(this.#at, "");
    this.#space();
    const char = this.#text[this.#at];
    if (char === "{") this.#object(depth);
    else if (char === "[") this.#array(depth);
    else if (char === '"') this.#string();
    else if (!this.#skip(/-?(?:0|[1-9]\d*)(?:\.\d+)?(?:[eE][+-]?\d+)?|true|false|null/y)) this.#fail("a value");
  }

  end(): void {
    this.#space();
    if (this.#at < this.#text.length) this.#fail("the end");
  }

  #object(depth: number): void {
    this.#at += 1;
    if (this.#next("}")) return;
    do {
      this.#space();
      if (this.#text[this.#at] !== '"') this.#fail("a name in double quotes");
      this.#string();
      if (!this.#next(":")) this.#fail('":"');
      this.value(depth + 1);
    } while (this.#next(","));
    if (!this.#next("}")) this.#fail('"," or "}"');
  }

  #array(depth: number): void {
    this.#at += 1;
    if (this.#next("]")) return;
    do this.value(depth + 1);
    while (this.#next(","));
    if (!this.#next("]")) this.#fail('"," or "]"');
  }

  #string(): void {
    const open = this.#at;
    this.#at += 1;
    this.#skip(/(?:[^"\\\u0000-\u001f]|\\(?:["\\/bfnrt]|u[0-9a-fA-F]{4}))*/y);
    const char = this.#text[this.#at];
    if (char === undefined) throw new Fault(open, "This string has no end.");
    if (char === "\\") throw new Fault(this.#at, "No such escape in a JSON string.");
    if (char !== '"') throw new Fault(this.#at, "A line break or control character in a string must be escaped.");
    this.#at += 1;
  }

  #space(): void {
    this.#skip(/[ \t\n\r]*/y);
  }

  #next(char: string): boolean {
    this.#space();
    if (this.#text[this.#at] !== char) return false;
    this.#at += 1;
    return true;
  }

  #skip(pattern: RegExp): boolean {
    pattern.lastIndex = this.#at;
    const match = pattern.exec(this.#text);
    this.#at += match?.[0].length ?? 0;
    return match !== null;
  }

  #fail(expected: string): never {
    const char = this.#text[this.#at];
    const found = char === undefined ? "the text ends" : `there is ${JSON.stringify(char)}`;
    throw new Fault(this.#at, `Expected ${expected}, but ${found} here.`);
  }
}
