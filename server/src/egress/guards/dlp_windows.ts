import { DLP_WINDOW_BYTES_MAX } from "../contract.ts";
import { RULE_BYTES_MAX } from "./dlp_rules.ts";

/**
 * Cuts a body into windows of at most `DLP_WINDOW_BYTES_MAX`, each of which begins with the end of the one before, so that
 * nothing that a rule matches is ever cut in two.
 */
export class DlpWindows {
  #chunks: Buffer[] = [];
  /** Of the body, that no window had yet. */
  #fresh_bytes = 0;
  #overlap: Buffer = Buffer.alloc(0);

  /** Bytes of the body that no window had yet. */
  get fresh_bytes(): number {
    return this.#fresh_bytes;
  }

  /** @returns the windows that are full now. */
  push(chunk: Buffer): Buffer[] {
    const full: Buffer[] = [];
    for (let rest = chunk; rest.length > 0; ) {
      const room = DLP_WINDOW_BYTES_MAX - this.#overlap.length - this.#fresh_bytes;
      const part = rest.subarray(0, room);
      this.#chunks.push(part);
      this.#fresh_bytes += part.length;
      rest = rest.subarray(part.length);
      if (part.length === room) full.push(this.#cut());
    }
    return full;
  }

  /** @returns what is left when the body has ended. */
  rest(): Buffer | undefined {
    return this.#fresh_bytes === 0 ? undefined : this.#cut();
  }

  #cut(): Buffer {
    const window = Buffer.concat([this.#overlap, ...this.#chunks]);
    this.#chunks = [];
    this.#fresh_bytes = 0;
    this.#overlap = window.subarray(-RULE_BYTES_MAX);
    return window;
  }
}
