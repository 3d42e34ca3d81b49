const BYTES = 256;

/** Where a keyword stands: the index of the keyword, and of its first byte in the text. */
export type KeywordHit = (keyword: number, at: number) => void;

/**
 * Finds all of many keywords in one pass over a text, whatever their number, without regard to the case of A to Z
 * (Aho and Corasick, 1975).
 */
export class KeywordIndex {
  readonly #lengths: number[];
  /** For each state and byte the next state. */
  readonly #next: Uint16Array;
  /** Keywords that end in a state. */
  readonly #ends: (readonly number[] | undefined)[];

  /** @param keywords  in lower case, none empty, fewer than 65,536 bytes together. */
  constructor(keywords: readonly string[]) {
    this.#lengths = keywords.map((keyword) => keyword.length);
    const size = 1 + keywords.reduce((sum, keyword) => sum + keyword.length, 0);
    const { next, ends } = trieOf(keywords, size);
    complete(next, ends);
    for (let state = 0; state < size; state++) {
      for (let byte = 0x41; byte <= 0x5a; byte++) {
        next[state * BYTES + byte] = next[state * BYTES + (byte | 0x20)] ?? 0;
      }
    }
    this.#next = next;
    this.#ends = ends;
  }

  find(text: Uint8Array, hit: KeywordHit): void {
    const next = this.#next;
    const ends = this.#ends;
    let state = 0;
    for (let at = 0; at < text.length; at++) {
      state = next[state * BYTES + (text[at] ?? 0)] ?? 0;
      const found = ends[state];
      if (found === undefined) continue;
      for (const keyword of found) hit(keyword, at + 1 - (this.#lengths[keyword] ?? 0));
    }
  }
}

interface Trie {
  next: Uint16Array;
  ends: (number[] | undefined)[];
}

function trieOf(keywords: readonly string[], size: number): Trie {
  const next = new Uint16Array(size * BYTES);
  const ends: (number[] | undefined)[] = new Array(size).fill(undefined);
  let states = 1;
  for (const [index, keyword] of keywords.entries()) {
    let state = 0;
    for (const byte of Buffer.from(keyword, "latin1")) {
      const place = state * BYTES + byte;
      if (next[place] === 0) next[place] = states++;
      state = next[place] ?? 0;
    }
    ends[state] = [...(ends[state] ?? []), index];
  }
  return { next, ends };
}

/** Gives each state a way for each byte: where a keyword breaks off, the longest end of it that begins another goes on. */
function complete(next: Uint16Array, ends: (number[] | undefined)[]): void {
  const shorter = new Uint16Array(ends.length);
  const queue = [...next.subarray(0, BYTES)].filter((state) => state !== 0);
  for (let place = 0; place < queue.length; place++) {
    const state = queue[place] ?? 0;
    const fallback = shorter[state] ?? 0;
    const also = ends[fallback];
    if (also !== undefined) ends[state] = [...(ends[state] ?? []), ...also];
    for (let byte = 0; byte < BYTES; byte++) {
      const other = next[fallback * BYTES + byte] ?? 0;
      const child = next[state * BYTES + byte] ?? 0;
      if (child === 0) {
        next[state * BYTES + byte] = other;
      } else {
        shorter[child] = other;
        queue.push(child);
      }
    }
  }
}
