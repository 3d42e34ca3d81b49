/** A sequence of bytes that is looked for, and what the search knows of it in advance. */
export class Pattern {
  readonly bytes: Buffer;
  /** For each length of a matched beginning: the longest shorter beginning that it ends with. */
  readonly shorter: Int32Array;

  /** @param bytes  at least one; the pattern's own from here on. */
  constructor(bytes: Buffer) {
    this.bytes = bytes;
    this.shorter = new Int32Array(bytes.length + 1);
    for (let at = 1, length = 0; at < bytes.length; at++) {
      while (length > 0 && bytes[at] !== bytes[length]) length = this.shorter[length] ?? 0;
      if (bytes[at] === bytes[length]) length += 1;
      this.shorter[at + 1] = length;
    }
  }

  /** What is looked for is overwritten. */
  wipe(): void {
    this.bytes.fill(0);
  }
}

/**
 * Looks for one pattern in one stream, however the stream is cut. The interior of a chunk is searched by
 * `Buffer.indexOf`; its ends by the automaton of Knuth, Morris and Pratt, which also says how much of the end may be the
 * pattern's beginning.
 */
export class Needle {
  readonly #pattern: Pattern;
  #matched = 0;

  constructor(pattern: Pattern) {
    this.#pattern = pattern;
  }

  /** How many bytes at the end of the stream so far are the pattern's beginning. */
  get matched(): number {
    return this.#matched;
  }

  /**
   * @param is_searched  the interior is known not to hold the pattern.
   * @returns whether the stream holds the pattern, of which at least one byte is in this chunk.
   */
  feed(chunk: Buffer, is_searched = false): boolean {
    const { bytes } = this.#pattern;
    if (chunk.length < bytes.length) return this.#walk(chunk, 0, chunk.length);
    if (this.#matched > 0 && this.#walk(chunk, 0, bytes.length - 1)) return true;
    if (!is_searched && chunk.includes(bytes)) return true;
    this.#matched = 0;
    return this.#walk(chunk, chunk.length - bytes.length + 1, chunk.length);
  }

  /** As at the start of a stream. */
  restart(): void {
    this.#matched = 0;
  }

  #walk(chunk: Buffer, from: number, to: number): boolean {
    const { bytes, shorter } = this.#pattern;
    let matched = this.#matched;
    for (let at = from; at < to; at++) {
      const byte = chunk[at];
      while (matched > 0 && bytes[matched] !== byte) matched = shorter[matched] ?? 0;
      if (bytes[matched] === byte) matched += 1;
      if (matched === bytes.length) return true;
    }
    this.#matched = matched;
    return false;
  }
}
