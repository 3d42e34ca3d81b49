import { CLIENT_HELLO_BYTES_MAX } from "../contract.ts";
import { ClientHelloReader, type HelloReading } from "./client_hello.ts";

const NOTHING = Buffer.alloc(0);
const HANDSHAKE_RECORD = 22;
const RECORD_HEADER_BYTES = 5;
const SERVER_HELLO = 2;
/** Record header, message header, version: then comes the random of a ServerHello. */
const RANDOM_AT = 5 + 4 + 2;
const RANDOM_BYTES = 32;
/** RFC 8446 4.1.3: the random of a ServerHello that asks for another ClientHello, SHA-256 of "HelloRetryRequest". */
const RETRY_RANDOM = Buffer.from("cf21ad74e59a6111be1d8c021e65b891c2a211167abb8c5e079e09e2c8a8339c", "hex");

/**
 * A server may ask for a second ClientHello, and some believe the server name of that one. So a guest's handshake records
 * after its first hello wait for the server's answer; its early data and whatever else is no handshake do not.
 */
export class SecondHello {
  readonly #demand: (reading: HelloReading) => void;
  readonly #reader = new ClientHelloReader();
  #answer = NOTHING;
  #is_asked: boolean | undefined;
  /** The rest of the record that is under way. */
  #record_left = 0;
  #header = NOTHING;
  /** Everything from the first handshake record on. */
  #waiting: Buffer | undefined;
  is_over = false;

  /** @param demand  throws what is wrong with a hello. */
  constructor(demand: (reading: HelloReading) => void) {
    this.#demand = demand;
  }

  /** @returns what may go on of what follows the first hello. @throws EGRESS_SNI_MISMATCH and what `demand` throws */
  pass(chunk: Buffer): Buffer {
    if (this.is_over) return chunk;
    if (this.#waiting !== undefined) return this.#wait(chunk);
    const at = this.#handshakeAt(chunk);
    if (at === chunk.length) return chunk;
    const free = chunk.subarray(0, at);
    const waited = this.#wait(chunk.subarray(at));
    return waited.length === 0 ? free : Buffer.concat([free, waited]);
  }

  /** @returns what waited for this. @throws EGRESS_SNI_MISMATCH and what `demand` throws */
  answered(chunk: Buffer): Buffer {
    if (this.is_over || this.#is_asked !== undefined) return NOTHING;
    this.#answer = Buffer.concat([this.#answer, chunk.subarray(0, RANDOM_AT + RANDOM_BYTES)]);
    this.#is_asked = asksAgain(this.#answer);
    if (this.#is_asked === undefined) return NOTHING;
    this.#answer = NOTHING;
    const waiting = this.#waiting ?? NOTHING;
    this.#waiting = this.#is_asked && waiting.length > 0 ? NOTHING : undefined;
    if (!this.#is_asked) this.is_over = true;
    return waiting.length === 0 || this.is_over ? waiting : this.#wait(waiting);
  }

  /** @throws EGRESS_SNI_MISMATCH  something waits still. */
  end(): void {
    if (this.#waiting !== undefined && this.#waiting.length > 0 && !this.is_over)
      this.#demand({ kind: "not_tls", began: true, why: "the second one is cut short" });
  }

  #wait(chunk: Buffer): Buffer {
    this.#waiting = Buffer.concat([this.#waiting ?? NOTHING, chunk]);
    if (this.#waiting.length > 2 * CLIENT_HELLO_BYTES_MAX) this.#demand({ kind: "too_large" });
    if (this.#is_asked !== true) return NOTHING;
    const reading = this.#reader.push(chunk);
    if (reading.kind === "more") return NOTHING;
    this.#demand(reading);
    this.is_over = true;
    return this.#waiting;
  }

  /** Where the first handshake record begins; the chunk's length when none does. */
  #handshakeAt(chunk: Buffer): number {
    let at = 0;
    while (at < chunk.length) {
      if (this.#record_left > 0) {
        const skipped = Math.min(this.#record_left, chunk.length - at);
        this.#record_left -= skipped;
        at += skipped;
        continue;
      }
      if (this.#header.length === 0 && chunk.readUInt8(at) === HANDSHAKE_RECORD) return at;
      this.#header = Buffer.concat([this.#header, chunk.subarray(at, at + 1)]);
      at += 1;
      if (this.#header.length < RECORD_HEADER_BYTES) continue;
      this.#record_left = this.#header.readUInt16BE(3);
      this.#header = NOTHING;
    }
    return at;
  }
}

/** Undefined: more of the answer is needed. What is cut so that it cannot be told counts as asking. */
function asksAgain(answer: Buffer): boolean | undefined {
  if (answer.length > 0 && answer[0] !== HANDSHAKE_RECORD) return false;
  if (answer.length > RECORD_HEADER_BYTES && answer[RECORD_HEADER_BYTES] !== SERVER_HELLO) return false;
  if (answer.length < RANDOM_AT + RANDOM_BYTES) return undefined;
  if (answer.readUInt16BE(3) < RANDOM_AT + RANDOM_BYTES - RECORD_HEADER_BYTES) return true;
  return answer.subarray(RANDOM_AT, RANDOM_AT + RANDOM_BYTES).equals(RETRY_RANDOM);
}
