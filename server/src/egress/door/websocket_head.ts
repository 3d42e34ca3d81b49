import type { Duplex } from "node:stream";
import type { Clock } from "../../kernel/clock.ts";
import { GantryError } from "../../kernel/errors.ts";
import {
  EGRESS_FIRST_BYTE_MS_MAX,
  EGRESS_HEADER_BYTES_MAX,
  EGRESS_HEADER_FIELDS_MAX,
  egress_errors,
  WEBSOCKET_ANSWER_BYTES_MAX,
} from "../contract.ts";
import type { HeaderList } from "../parts.ts";

/** What a server says to a handshake. */
export interface HeadAnswer {
  status: number;
  headers: HeaderList;
}

const STATUS_LINE = /^HTTP\/1\.[01] ([1-5]\d{2})(?: [\t\x20-\x7e\x80-\xff]*)?$/;
/** RFC 9110 5.1 and 5.5; no folded lines. */
const FIELD = /^([!#$%&'*+.^_`|~0-9A-Za-z-]+):[ \t]*([\t\x20-\x7e\x80-\xff]*?)[ \t]*$/;
const SWITCHING = 101;
const INTERIM_MAX = 4;
const CHUNK_LINE_BYTES_MAX = 256;

/**
 * Reads an answer from a connection that nobody else reads, byte by byte as it asks for them. What takes longer than
 * `EGRESS_FIRST_BYTE_MS_MAX` in all is late.
 */
export class AnswerReader {
  readonly #line: Duplex;
  readonly #host: string;
  readonly #seen: (bytes: number) => void;
  #have = Buffer.alloc(0);
  #ended = false;
  #wake: (() => void) | undefined;
  #failure: unknown;
  readonly #undo: (() => void)[] = [];

  /** @param seen  counts; what it throws is thrown where bytes are asked for. @param stop  ends the wait with its reason. */
  constructor(clock: Clock, line: Duplex, o: { host: string; signal: AbortSignal; seen: (bytes: number) => void }) {
    this.#line = line;
    this.#host = o.host;
    this.#seen = o.seen;
    const fail = (reason: unknown): void => {
      this.#failure ??= reason;
      this.#wake?.();
    };
    const abort = (): void => fail(o.signal.reason);
    const cancel = clock.after(EGRESS_FIRST_BYTE_MS_MAX, () => fail(late(o.host)));
    const data = (chunk: Buffer): void => this.#take(chunk);
    const end = (): void => {
      this.#ended = true;
      this.#wake?.();
    };
    line.on("data", data).on("end", end).on("close", end);
    o.signal.addEventListener("abort", abort, { once: true });
    if (o.signal.aborted) abort();
    this.#undo.push(cancel, () => o.signal.removeEventListener("abort", abort));
    this.#undo.push(() => line.off("data", data).off("end", end).off("close", end));
  }

  /** Lets go of the connection, which is paused. @returns what was read and not asked for. */
  release(): Buffer {
    for (const undo of this.#undo.splice(0)) undo();
    this.#line.pause();
    const rest = this.#have;
    this.#have = Buffer.alloc(0);
    return rest;
  }

  /**
   * The first head that is no interim one. 101 is final.
   * @throws EGRESS_UPSTREAM EGRESS_INCOMPLETE EGRESS_TIME, and what `seen` threw.
   */
  async head(): Promise<HeadAnswer> {
    for (let n = 0; n <= INTERIM_MAX; n += 1) {
      const text = await this.#until("\r\n\r\n", EGRESS_HEADER_BYTES_MAX);
      const answer = this.#parse(text);
      if (answer.status === SWITCHING || answer.status >= 200) return answer;
    }
    throw this.#wrong("sent nothing but interim answers");
  }

  /**
   * A body of at most `WEBSOCKET_ANSWER_BYTES_MAX`, whole.
   * @throws EGRESS_SIZE and as `head`
   */
  async body({ status, headers }: HeadAnswer): Promise<Buffer> {
    if (status === 204 || status === 304) return Buffer.alloc(0);
    const coding = fieldOf(headers, "transfer-encoding");
    const length = fieldOf(headers, "content-length");
    if (coding !== undefined) {
      if (coding.toLowerCase() !== "chunked" || length !== undefined)
        throw this.#wrong("sent a body of unclear length");
      return this.#chunks();
    }
    if (length === undefined) {
      while (await this.#wait()) {
        if (this.#have.length > WEBSOCKET_ANSWER_BYTES_MAX) break;
      }
      return this.#exactly(this.#have.length, 0);
    }
    if (!/^\d{1,15}$/.test(length)) throw this.#wrong("sent a body of unclear length");
    return this.#exactly(Number(length), 0);
  }

  async #chunks(): Promise<Buffer> {
    const chunks: Buffer[] = [];
    let bytes = 0;
    for (;;) {
      const line = await this.#until("\r\n", CHUNK_LINE_BYTES_MAX);
      const size = /^([0-9a-f]{1,8})(?:;[\t\x20-\x7e]*)?$/i.exec(line)?.[1];
      if (size === undefined) throw this.#wrong("sent a body in chunks that are none");
      const length = Number.parseInt(size, 16);
      if (length === 0) break;
      chunks.push(await this.#exactly(length, bytes));
      bytes += length;
      if ((await this.#until("\r\n", 2)) !== "") throw this.#wrong("sent a body in chunks that are none");
    }
    while ((await this.#until("\r\n", EGRESS_HEADER_BYTES_MAX)) !== "");
    return Buffer.concat(chunks);
  }

  async #exactly(length: number, before: number): Promise<Buffer> {
    if (before + length > WEBSOCKET_ANSWER_BYTES_MAX) throw this.#tooLong("a body", WEBSOCKET_ANSWER_BYTES_MAX);
    while (this.#have.length < length) await this.#more();
    return this.#cut(length);
  }

  async #until(mark: string, bytes_max: number): Promise<string> {
    for (;;) {
      const at = this.#have.indexOf(mark);
      if (at > bytes_max || (at < 0 && this.#have.length > bytes_max + mark.length))
        throw this.#tooLong("a head", bytes_max);
      if (at >= 0) {
        const text = this.#cut(at + mark.length).toString("latin1");
        return text.slice(0, -mark.length);
      }
      await this.#more();
    }
  }

  #cut(length: number): Buffer {
    const cut = this.#have.subarray(0, length);
    this.#have = this.#have.subarray(length);
    return cut;
  }

  /** @throws EGRESS_INCOMPLETE  there is no more. */
  async #more(): Promise<void> {
    if (!(await this.#wait())) throw this.#cutShort();
  }

  /** @returns false: the other side has said all. */
  async #wait(): Promise<boolean> {
    const had = this.#have.length;
    while (this.#have.length === had) {
      if (this.#failure !== undefined) throw this.#failure;
      if (this.#ended) return false;
      this.#line.resume();
      await new Promise<void>((resolve) => {
        this.#wake = resolve;
      });
      this.#wake = undefined;
    }
    if (this.#failure !== undefined) throw this.#failure;
    return true;
  }

  #take(chunk: Buffer): void {
    try {
      this.#seen(chunk.length);
    } catch (error) {
      this.#failure ??= error;
    }
    this.#have = Buffer.concat([this.#have, chunk]);
    this.#line.pause();
    this.#wake?.();
  }

  #parse(text: string): HeadAnswer {
    const [first = "", ...lines] = text.split("\r\n");
    const status = STATUS_LINE.exec(first)?.[1];
    if (status === undefined) throw this.#wrong("does not speak HTTP/1.1");
    if (lines.length > EGRESS_HEADER_FIELDS_MAX)
      throw this.#wrong(`sent more than ${EGRESS_HEADER_FIELDS_MAX} header fields`);
    const headers = lines.map((line): [string, string] => {
      const [, name, value] = FIELD.exec(line) ?? [];
      if (name === undefined || value === undefined) throw this.#wrong("sent a header field that is none");
      return [name, value];
    });
    return { status: Number(status), headers };
  }

  #wrong(what: string): GantryError {
    return new GantryError(egress_errors.UPSTREAM, {
      detail: `${this.#host} ${what}, in answer to a WebSocket handshake.`,
    });
  }

  #cutShort(): GantryError {
    return new GantryError(egress_errors.INCOMPLETE, {
      detail: `${this.#host} hung up before its answer to the WebSocket handshake was whole.`,
    });
  }

  #tooLong(what: string, bytes_max: number): GantryError {
    const detail = `${this.#host} answered the WebSocket handshake with ${what} of more than ${bytes_max} bytes.`;
    return new GantryError(egress_errors.SIZE, { detail });
  }
}

function late(host: string): GantryError {
  const detail = `${host} did not answer the WebSocket handshake within ${EGRESS_FIRST_BYTE_MS_MAX} ms.`;
  return new GantryError(egress_errors.TIME, { detail });
}

/** The first field of this name, in lower case; names compare without case. */
export function fieldOf(headers: HeaderList, name: string): string | undefined {
  return headers.find(([each]) => each.toLowerCase() === name)?.[1];
}
