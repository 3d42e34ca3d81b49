import { type ErrorKind, GantryError } from "../../kernel/errors.ts";
import { egress_errors, WEBSOCKET_MESSAGE_BYTES_MAX, WEBSOCKET_RATE_MAX } from "../contract.ts";

const CONTINUATION = 0;
const TEXT = 1;
const BINARY = 2;
const CLOSE = 8;
const PONG = 10;
const CONTROL_BYTES_MAX = 125;
const SECOND_MS = 1_000;
/** The longest header: two bytes, eight of length, four of a mask. */
const HEADER_BYTES_MAX = 14;

interface FrameReaderOptions {
  /** Whose frames these are; RFC 6455 5.1: the guest masks, the server does not. */
  by: "guest" | "server";
  /** Milliseconds, monotonic. Messages are counted when it is there. */
  now?: () => number;
  /** Sees what the frames carry, unmasked, before it goes on. @throws what ends the connection. */
  payload?: (bytes: Buffer) => void;
}

/**
 * Follows one direction of a WebSocket (RFC 6455 5.2) without changing it: headers are read, payloads are passed over.
 * Frames as no extension could have made them, since none was agreed on.
 */
export class FrameReader {
  readonly #o: FrameReaderOptions;
  readonly #header = Buffer.alloc(HEADER_BYTES_MAX);
  #header_bytes = 0;
  #payload_left = 0;
  #mask: Buffer | undefined;
  #mask_at = 0;
  /** Of the message under way; undefined: none is. */
  #message_bytes: number | undefined;
  readonly #begun_at = new Float64Array(WEBSOCKET_RATE_MAX).fill(Number.NEGATIVE_INFINITY);
  #begun = 0;

  /** A close frame has begun: nothing of worth follows it (RFC 6455 5.5.1). */
  has_closed = false;

  constructor(o: FrameReaderOptions) {
    this.#o = o;
  }

  /** Does nothing of a frame wait for its rest? A frame of ours may be put here. */
  get is_between(): boolean {
    return this.#header_bytes === 0 && this.#payload_left === 0;
  }

  /**
   * @throws EGRESS_BAD_REQUEST  the guest's frames break the protocol; of a server: EGRESS_UPSTREAM
   * @throws EGRESS_SIZE  a message is larger than `WEBSOCKET_MESSAGE_BYTES_MAX`; before its bytes are there.
   * @throws EGRESS_BUDGET  more than `WEBSOCKET_RATE_MAX` messages within a second.
   */
  push(chunk: Buffer): void {
    let at = 0;
    while (at < chunk.length) at += this.#payload_left > 0 ? this.#pass(chunk, at) : this.#readHeader(chunk, at);
  }

  #pass(chunk: Buffer, at: number): number {
    const bytes = chunk.subarray(at, at + this.#payload_left);
    this.#payload_left -= bytes.length;
    const { payload } = this.#o;
    if (payload !== undefined) payload(this.#unmasked(bytes));
    return bytes.length;
  }

  #unmasked(bytes: Buffer): Buffer {
    const mask = this.#mask;
    if (mask === undefined) return bytes;
    const plain = Buffer.allocUnsafe(bytes.length);
    const turn = this.#mask_at;
    for (let at = 0; at < bytes.length; at += 1) plain[at] = (bytes[at] ?? 0) ^ (mask[(turn + at) & 3] ?? 0);
    this.#mask_at = (turn + bytes.length) & 3;
    return plain;
  }

  #readHeader(chunk: Buffer, at: number): number {
    const wanted = this.#headerBytes() - this.#header_bytes;
    const taken = chunk.copy(this.#header, this.#header_bytes, at, at + wanted);
    this.#header_bytes += taken;
    if (this.#header_bytes >= 2) this.#demandOrder();
    if (this.#header_bytes === this.#headerBytes()) this.#begin();
    return taken;
  }

  /** How long the header is, as far as that is known. */
  #headerBytes(): number {
    if (this.#header_bytes < 2) return 2;
    const second = this.#header.readUInt8(1);
    const length = second & 0x7f;
    return 2 + (length === 126 ? 2 : length === 127 ? 8 : 0) + (second & 0x80 ? 4 : 0);
  }

  /** What the first two bytes say. */
  #demandOrder(): void {
    const [first, second] = [this.#header.readUInt8(0), this.#header.readUInt8(1)];
    const opcode = first & 0xf;
    const is_masked = (second & 0x80) !== 0;
    if ((first & 0x70) !== 0) throw this.#broken("has a reserved bit set, although no extension was agreed on");
    if (opcode > PONG || (opcode > BINARY && opcode < CLOSE)) throw this.#broken(`has the reserved opcode ${opcode}`);
    if (is_masked !== (this.#o.by === "guest")) throw this.#broken(`is ${is_masked ? "" : "not "}masked`);
    if (opcode >= CLOSE && (first & 0x80) === 0) throw this.#broken("is of control, and in fragments");
    if (opcode >= CLOSE && (second & 0x7f) > CONTROL_BYTES_MAX)
      throw this.#broken("is of control, and too long for that");
    const is_under_way = this.#message_bytes !== undefined;
    if (opcode === CONTINUATION && !is_under_way) throw this.#broken("continues a message that was not begun");
    if ((opcode === TEXT || opcode === BINARY) && is_under_way)
      throw this.#broken("begins a message while another is under way");
  }

  #begin(): void {
    const first = this.#header.readUInt8(0);
    const opcode = first & 0xf;
    const length = this.#length();
    const start = this.#header_bytes;
    this.#mask = this.#o.by === "guest" ? Buffer.from(this.#header.subarray(start - 4, start)) : undefined;
    this.#mask_at = 0;
    this.#header_bytes = 0;
    // Empty fragments would be a way around the count of messages.
    if (opcode !== CONTINUATION || length === 0) this.#countMessage();
    if (opcode === CLOSE) this.has_closed = true;
    if (opcode < CLOSE) {
      const bytes = (this.#message_bytes ?? 0) + length;
      if (bytes > WEBSOCKET_MESSAGE_BYTES_MAX) throw this.#tooLarge();
      this.#message_bytes = (first & 0x80) === 0 ? bytes : undefined;
    }
    this.#payload_left = length;
  }

  /** Lengths that no message may have are all the same. */
  #length(): number {
    const length = this.#header.readUInt8(1) & 0x7f;
    if (length < 126) return length;
    return length === 126 ? this.#header.readUInt16BE(2) : Number(this.#header.readBigUInt64BE(2));
  }

  #countMessage(): void {
    const { now } = this.#o;
    if (now === undefined) return;
    const place = this.#begun % WEBSOCKET_RATE_MAX;
    const earlier = this.#begun_at[place] ?? Number.NEGATIVE_INFINITY;
    this.#begun_at[place] = now();
    this.#begun += 1;
    if (now() - earlier < SECOND_MS)
      throw new GantryError(egress_errors.BUDGET, {
        detail: `The guest sent more than ${WEBSOCKET_RATE_MAX} WebSocket messages within a second; put more into each, or wait.`,
      });
  }

  #tooLarge(): GantryError {
    const who = this.#o.by === "guest" ? "The guest" : "The server";
    return new GantryError(egress_errors.SIZE, {
      detail: `${who} sent a WebSocket message of more than ${WEBSOCKET_MESSAGE_BYTES_MAX} bytes; send it in several.`,
    });
  }

  #broken(what: string): GantryError {
    const kind: ErrorKind = this.#o.by === "guest" ? egress_errors.BAD_REQUEST : egress_errors.UPSTREAM;
    return new GantryError(kind, { detail: `A WebSocket frame of the ${this.#o.by} ${what} (RFC 6455, 5).` });
  }
}

/** RFC 6455 7.4.1. */
const CLOSE_CODES: Partial<Record<string, number>> = {
  [egress_errors.BAD_REQUEST.code]: 1002,
  [egress_errors.UPSTREAM.code]: 1002,
  [egress_errors.SIZE.code]: 1009,
};
const CLOSE_OF_POLICY = 1008;

/** What tells a guest why its WebSocket is closed: our code is the reason. */
export function closeFrame(code: string): Buffer {
  const reason = Buffer.from(code).subarray(0, CONTROL_BYTES_MAX - 2);
  const head = Buffer.from([0x80 | CLOSE, 2 + reason.length, 0, 0]);
  head.writeUInt16BE(CLOSE_CODES[code] ?? CLOSE_OF_POLICY, 2);
  return Buffer.concat([head, reason]);
}
