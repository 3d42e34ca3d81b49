import type { Transform } from "node:stream";
import { constants, createBrotliDecompress, createGunzip, createInflate, createInflateRaw } from "node:zlib";

const OUT_BYTES = 64 * 1024;

/** Content codings (RFC 9110, 8.4.1) that can be undone here; of one that names several, none. */
export const CODINGS = ["gzip", "x-gzip", "deflate", "br"] as const;
export type Coding = (typeof CODINGS)[number];

export function isCoding(name: string): name is Coding {
  return (CODINGS as readonly string[]).includes(name);
}

/** Undoes a content coding beside a body that goes on as it came. */
export class Decoded {
  readonly #coding: Coding;
  readonly #see: (bytes: Buffer) => void;
  #decoder: Transform | undefined;
  #fault: unknown;

  /** @param see  is given the bytes in order; what it throws ends the decoding, and is thrown by whoever fed it. */
  constructor(coding: Coding, see: (bytes: Buffer) => void) {
    this.#coding = coding;
    this.#see = see;
  }

  /** Resolves when all that the bytes so far mean has been seen. @throws Error  they mean nothing. */
  async feed(chunk: Buffer): Promise<void> {
    const [first] = chunk;
    if (first === undefined) return;
    this.#decoder ??= this.#open(first);
    await this.#settled((decoder, done) => void decoder.write(chunk, done));
  }

  /** A body that breaks off is seen as far as it goes. */
  async end(): Promise<void> {
    if (this.#decoder !== undefined) await this.#settled((decoder, done) => void decoder.end(done));
    this.close();
  }

  close(): void {
    this.#decoder?.destroy();
  }

  #open(first: number): Transform {
    const decoder = decoderOf(this.#coding, first);
    decoder.on("data", (bytes: Buffer) => {
      if (this.#fault !== undefined) return;
      try {
        this.#see(bytes);
      } catch (error) {
        this.#fault = error;
        decoder.destroy();
      }
    });
    decoder.on("error", (error) => {
      this.#fault ??= error;
    });
    return decoder;
  }

  async #settled(act: (decoder: Transform, done: () => void) => void): Promise<void> {
    const decoder = this.#decoder;
    if (decoder === undefined || this.#fault !== undefined) throw this.#fault ?? new Error("the decoder is closed");
    await new Promise<void>((resolve) => {
      const done = (): void => {
        decoder.off("close", done);
        resolve();
      };
      // Of a decoder that fails, or that is destroyed, a write may never be told.
      decoder.once("close", done);
      act(decoder, done);
    });
    // What was not given out on the way is given out by being read.
    while (decoder.read() !== null);
    if (this.#fault !== undefined) throw this.#fault;
  }
}

/** `deflate` means the zlib format (RFC 1950), and some servers send what is inside of it alone (RFC 1951). */
function decoderOf(coding: Coding, first: number): Transform {
  const options = { chunkSize: OUT_BYTES, finishFlush: constants.Z_SYNC_FLUSH };
  if (coding === "br") {
    return createBrotliDecompress({ chunkSize: OUT_BYTES, finishFlush: constants.BROTLI_OPERATION_FLUSH });
  }
  if (coding !== "deflate") return createGunzip(options);
  return (first & 0x0f) === 8 ? createInflate(options) : createInflateRaw(options);
}
