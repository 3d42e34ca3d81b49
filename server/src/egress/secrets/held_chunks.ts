const NOTHING: Buffer = Buffer.alloc(0);

/** Bytes of a stream that may not go on yet. */
export class HeldChunks {
  readonly #chunks: Buffer[] = [];
  #bytes = 0;

  get bytes(): number {
    return this.#bytes;
  }

  push(chunk: Buffer): void {
    if (chunk.length === 0) return;
    this.#chunks.push(chunk);
    this.#bytes += chunk.length;
  }

  /** All but the last `kept` bytes, in order; without a copy when it is one chunk. */
  release(kept = 0): Buffer {
    let left = this.#bytes - kept;
    if (left <= 0) return NOTHING;
    this.#bytes = kept;
    const out: Buffer[] = [];
    for (let first = this.#chunks[0]; left > 0 && first !== undefined; first = this.#chunks[0]) {
      if (first.length <= left) {
        this.#chunks.shift();
        out.push(first);
      } else {
        out.push(first.subarray(0, left));
        // A copy: a few bytes that wait for long should not hold on to a whole chunk.
        this.#chunks[0] = Buffer.from(first.subarray(left));
      }
      left -= out.at(-1)?.length ?? 0;
    }
    return out.length === 1 ? (out[0] ?? NOTHING) : Buffer.concat(out);
  }
}
