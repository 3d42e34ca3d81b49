import { assert } from "../../kernel/assert.ts";
import { GantryError, isGantryError } from "../../kernel/errors.ts";
import { egress_errors, SCAN_DECODED_BYTES_MAX, SCAN_RATIO_MAX } from "../contract.ts";
import type { AnswerScan, HeaderList } from "../parts.ts";
import { CODINGS, Decoded, isCoding } from "./decoded.ts";
import { HeldChunks } from "./held_chunks.ts";
import { SecretForms, SecretSearch } from "./secret_search.ts";

/**
 * Searches an answer for the secret that was sent. What has been given on never holds a whole occurrence: the end of a
 * chunk that may be the secret's beginning waits for the next. Bytes go on as they came; those of an encoded body are
 * searched as they are and as what they mean.
 * @param secret  at least one byte; it is copied, and the copies are overwritten when the answer has ended.
 */
export function createScan(secret: Buffer): AnswerScan {
  return new Scan(secret);
}

/** An encoded body: what it means, and how much of that each chunk brought. */
interface Meaning {
  decoded: Decoded;
  search: SecretSearch;
  bytes: number;
  /** Ends of chunks, in the stream as it came and in what it means. */
  ends: { raw: number; bytes: number }[];
}

class Scan implements AnswerScan {
  readonly #forms: SecretForms;
  readonly #search: SecretSearch;
  readonly #held = new HeldChunks();
  #raw_bytes = 0;
  #meaning: Meaning | undefined;
  #is_over = false;

  constructor(secret: Buffer) {
    this.#forms = new SecretForms(secret);
    this.#search = new SecretSearch(this.#forms);
  }

  head(status: number, headers: HeaderList): void {
    // A secret holds no line break, so that nothing is found where two lines meet.
    const lines = headers.map(([name, value]) => `${name}: ${value}`).join("\n");
    if (this.#search.feed(Buffer.from(lines, "latin1")))
      throw this.#over(echoed(`in the head of the answer ${status}`));
    this.#search.restart();
    // RFC 9110, 15.3.5 and 15.4.5: these have no body, whatever they say of one.
    if (status === 204 || status === 304) return;
    const codings = headers
      .filter(([name]) => name.toLowerCase() === "content-encoding")
      .flatMap(([, value]) => value.split(","))
      .map((coding) => coding.trim().toLowerCase())
      .filter((coding) => coding !== "" && coding !== "identity");
    const [coding, ...more] = codings;
    if (coding === undefined) return;
    if (more.length > 0 || !isCoding(coding)) {
      throw this.#over(
        unsearchable(`is encoded as ${codings.join(", ")}; what can be searched is ${CODINGS.join(", ")}`),
      );
    }
    const search = new SecretSearch(this.#forms);
    this.#meaning = { decoded: new Decoded(coding, (bytes) => this.#see(bytes)), search, bytes: 0, ends: [] };
  }

  async push(chunk: Buffer): Promise<Buffer> {
    assert(!this.#is_over, "nothing comes after an answer that has ended");
    this.#raw_bytes += chunk.length;
    if (this.#search.feed(chunk)) throw this.#over(echoed("in the body"));
    this.#held.push(chunk);
    if (this.#meaning === undefined) return this.#held.release(this.#search.held_bytes);
    await this.#understand(() => this.#meaning?.decoded.feed(chunk));
    return this.#held.release(Math.max(this.#search.held_bytes, this.#unsure()));
  }

  /** What waited was the beginning of nothing. */
  async end(): Promise<Buffer> {
    assert(!this.#is_over, "an answer ends once");
    await this.#understand(() => this.#meaning?.decoded.end());
    this.#wipe();
    return this.#held.release();
  }

  /** What an encoded body means, as it comes out of its decoder. */
  #see(bytes: Buffer): void {
    const meaning = this.#meaning;
    assert(meaning !== undefined, "what is decoded is encoded");
    meaning.bytes += bytes.length;
    if (meaning.bytes > SCAN_DECODED_BYTES_MAX) {
      throw unsearchable(`is more than ${SCAN_DECODED_BYTES_MAX} bytes when it is decoded`);
    }
    if (meaning.bytes > this.#raw_bytes * SCAN_RATIO_MAX) {
      throw unsearchable(`is more than ${SCAN_RATIO_MAX} times as large when it is decoded`);
    }
    if (meaning.search.feed(bytes)) throw echoed("in the body, encoded");
  }

  async #understand(act: () => Promise<void> | undefined): Promise<void> {
    try {
      await act();
    } catch (error) {
      throw this.#over(isGantryError(error) ? error : unsearchable("is not encoded as it says", error));
    }
    this.#meaning?.ends.push({ raw: this.#raw_bytes, bytes: this.#meaning.bytes });
  }

  /** Bytes at the end of the stream that came with what may be the secret's beginning. */
  #unsure(): number {
    const meaning = this.#meaning;
    if (meaning === undefined) return 0;
    const sure = meaning.bytes - meaning.search.held_bytes;
    const next = meaning.ends.findIndex(({ bytes }) => bytes > sure);
    const passed = meaning.ends.splice(0, next < 0 ? meaning.ends.length : next).at(-1);
    if (passed !== undefined) meaning.ends.unshift(passed);
    return this.#raw_bytes - (passed?.raw ?? 0);
  }

  #over(error: GantryError): GantryError {
    this.#wipe();
    return error;
  }

  #wipe(): void {
    this.#is_over = true;
    this.#forms.wipe();
    this.#meaning?.decoded.close();
  }
}

/** Says where, and nothing of what. */
function echoed(where: string): GantryError {
  return new GantryError(egress_errors.SECRET_ECHO, {
    detail:
      `The answer repeats the secret that was sent with the call, ${where}, so it was not given on. Ask the destination ` +
      "for an answer that does not repeat what it was sent.",
  });
}

function unsearchable(why: string, cause?: unknown): GantryError {
  return new GantryError(egress_errors.SCAN, {
    detail: `The answer to a call with a secret ${why}. It was asked for without an encoding.`,
    cause,
  });
}
