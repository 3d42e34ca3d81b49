/** Methods of the Model Context Protocol that a client sends or answers (specification 2025-06-18, schema). */
const METHODS =
  /^(?:initialize|notifications\/initialized|(?:tools|resources|prompts)\/.+|sampling\/createMessage|roots\/list)$/;
/** Of a key or a value, escapes and all. Longer ones are none that matter. */
const TEXT_BYTES_MAX = 256;

const QUOTE = 0x22;
const BACKSLASH = 0x5c;
const [OBJECT, LIST] = [0x7b, 0x5b];
const [OBJECT_END, LIST_END] = [0x7d, 0x5d];
const [COLON, COMMA] = [0x3a, 0x2c];

/** `dead`: it is no JSON that could be JSON-RPC. */
type State = "start" | "reading" | "dead";

/**
 * Reads the members `jsonrpc` and `method` of a JSON-RPC message, or of each of a batch (JSON-RPC 2.0, 4 and 6), as the
 * body goes by. Only a body that is JSON from its first byte counts; what is deeper inside is content.
 */
export class JsonRpcWatch {
  #state: State = "start";
  #depth = 0;
  /** Where the members of a message lie: 1, and in a batch 2. */
  #level = 1;
  #text: number[] | undefined;
  #in_text = false;
  #is_escaped = false;
  #is_value = false;
  #key = "";
  #method: string | undefined;
  #has_version = false;

  /** @returns the method of the Model Context Protocol that has just been read whole. */
  feed(chunk: Uint8Array): string | undefined {
    for (let at = 0; at < chunk.length && this.#state !== "dead"; at++) {
      const byte = chunk[at] ?? 0;
      const found = this.#in_text ? this.#inText(byte) : this.#between(byte);
      if (found !== undefined) return found;
    }
    return undefined;
  }

  #between(byte: number): string | undefined {
    if (this.#state === "start") return this.#begin(byte);
    if (byte === QUOTE) {
      this.#in_text = true;
      this.#text = this.#depth === this.#level ? [] : undefined;
    } else if (byte === OBJECT || byte === LIST) {
      this.#depth += 1;
      if (byte === OBJECT && this.#depth === this.#level) this.#message();
    } else if (byte === OBJECT_END || byte === LIST_END) {
      this.#depth -= 1;
      if (this.#depth === 0) this.#state = "dead";
    } else if (this.#depth === this.#level) {
      if (byte === COLON) this.#is_value = true;
      else if (byte === COMMA) this.#is_value = false;
    }
    return undefined;
  }

  /** Blanks and a byte order mark may come before. */
  #begin(byte: number): undefined {
    if (byte === OBJECT || byte === LIST) {
      this.#state = "reading";
      this.#depth = 1;
      this.#level = byte === LIST ? 2 : 1;
      this.#message();
    } else if (![0x20, 0x09, 0x0a, 0x0d, 0xef, 0xbb, 0xbf].includes(byte)) {
      this.#state = "dead";
    }
    return undefined;
  }

  #message(): void {
    this.#is_value = false;
    this.#key = "";
    this.#method = undefined;
    this.#has_version = false;
  }

  #inText(byte: number): string | undefined {
    if (byte === QUOTE && !this.#is_escaped) {
      this.#in_text = false;
      return this.#text === undefined ? undefined : this.#member(textOf(this.#text));
    }
    this.#is_escaped = byte === BACKSLASH && !this.#is_escaped;
    if (this.#text !== undefined && this.#text.length <= TEXT_BYTES_MAX) this.#text.push(byte);
    return undefined;
  }

  #member(text: string): string | undefined {
    if (!this.#is_value) {
      this.#key = text;
      return undefined;
    }
    if (this.#key === "jsonrpc") this.#has_version = true;
    if (this.#key === "method") this.#method = text;
    return this.#has_version && this.#method !== undefined && METHODS.test(this.#method) ? this.#method : undefined;
  }
}

/** @returns the empty text for one that is too long or no JSON. */
function textOf(bytes: readonly number[]): string {
  if (bytes.length > TEXT_BYTES_MAX) return "";
  try {
    return JSON.parse(`"${Buffer.from(bytes).toString("utf8")}"`) as string;
  } catch {
    // Whoever reads it as JSON does not get a method either.
    return "";
  }
}
