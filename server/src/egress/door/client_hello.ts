import { CLIENT_HELLO_BYTES_MAX } from "../contract.ts";

/**
 * What the first bytes of a connection are. `began`: they start as a TLS record does, so that a lenient server might take
 * them for TLS although they are none. `sni` is as it was sent, ASCII; `ech`: the real name is, or may be, in an
 * encrypted part.
 */
export type HelloReading =
  | { kind: "more"; began: boolean }
  | { kind: "hello"; sni: string | undefined; ech: boolean }
  | { kind: "not_tls"; began: boolean; why: string }
  | { kind: "too_large" };

/** RFC 8446 5.1: a record's header is its type, a version and the length of what follows. */
const RECORD_HEADER_BYTES = 5;
const RECORD_BYTES_MAX = 2 ** 14;
const HANDSHAKE_RECORD = 22;
/** RFC 8446 4: a handshake message's header is its type and a length of three bytes. */
const MESSAGE_HEADER_BYTES = 4;
const CLIENT_HELLO = 1;
/** RFC 6066 3. */
const SERVER_NAME = 0;
const HOST_NAME = 0;
/** RFC 9849, the drafts before it that were deployed, and the encrypted server name that they replaced. */
const ENCRYPTED_HELLOS = new Set([0xfe0d, 0xfe0c, 0xfe0b, 0xfe0a, 0xfe09, 0xfe08, 0xffce]);

/**
 * Reads the ClientHello of RFC 8446 4.1.2 from the bytes of a connection, however records and segments cut it. The answer
 * depends on the bytes alone, never on how they were pushed; whatever follows the hello is not looked at. Never throws.
 * At most `CLIENT_HELLO_BYTES_MAX` bytes, records' headers included.
 */
export class ClientHelloReader {
  readonly #header = Buffer.alloc(RECORD_HEADER_BYTES);
  #header_bytes = 0;
  #record_left = 0;
  #records = 0;
  readonly #message = Buffer.alloc(CLIENT_HELLO_BYTES_MAX);
  #message_bytes = 0;
  #wire_bytes = 0;
  #reading: HelloReading = { kind: "more", began: false };

  /** What the hello took so far. */
  get wire_bytes(): number {
    return this.#wire_bytes;
  }

  push(chunk: Buffer): HelloReading {
    let at = 0;
    while (at < chunk.length && this.#reading.kind === "more") {
      const taken = this.#record_left === 0 ? this.#readHeader(chunk, at) : this.#readMessage(chunk, at);
      at += taken;
      this.#wire_bytes += taken;
      if (this.#wire_bytes > CLIENT_HELLO_BYTES_MAX) this.#reading = { kind: "too_large" };
    }
    return this.#reading;
  }

  get #began(): boolean {
    return this.#records > 0 || this.#header_bytes > 1;
  }

  /** One byte of a header, judged as soon as it is there: whoever speaks another protocol need not wait for five. */
  #readHeader(chunk: Buffer, at: number): number {
    const byte = chunk.readUInt8(at);
    const place = this.#header_bytes;
    if (place === 0 && byte !== HANDSHAKE_RECORD) return this.#notTls("the first bytes are no handshake record of TLS");
    if (place === 1 && byte !== 3) return this.#notTls("the record has no version of TLS");
    this.#header.writeUInt8(byte, place);
    this.#header_bytes += 1;
    this.#reading = { kind: "more", began: this.#began };
    if (this.#header_bytes < RECORD_HEADER_BYTES) return 1;
    const length = this.#header.readUInt16BE(3);
    if (length === 0 || length > RECORD_BYTES_MAX) return this.#notTls(`a record has ${length} bytes`);
    this.#record_left = length;
    this.#records += 1;
    return 1;
  }

  #readMessage(chunk: Buffer, at: number): number {
    const wanted = this.#messageEnd() - this.#message_bytes;
    const taken = Math.min(this.#record_left, chunk.length - at, wanted);
    chunk.copy(this.#message, this.#message_bytes, at, at + taken);
    this.#message_bytes += taken;
    this.#record_left -= taken;
    if (this.#record_left === 0) this.#header_bytes = 0;
    if (this.#message.readUInt8(0) !== CLIENT_HELLO) return this.#notTls("the first message is no ClientHello");
    if (this.#message_bytes < MESSAGE_HEADER_BYTES) return taken;
    const end = this.#messageEnd();
    if (end + RECORD_HEADER_BYTES > CLIENT_HELLO_BYTES_MAX) this.#reading = { kind: "too_large" };
    else if (this.#message_bytes === end && this.#wire_bytes + taken <= CLIENT_HELLO_BYTES_MAX)
      this.#reading = this.#ended(this.#message.subarray(MESSAGE_HEADER_BYTES, end));
    return taken;
  }

  /** No client puts anything behind its hello into the same record, where a server might read another one from. */
  #ended(body: Buffer): HelloReading {
    return this.#record_left > 0 ? malformed("its record goes on behind it") : readHello(body);
  }

  /** Where the message ends; until its own header is there, where that ends. */
  #messageEnd(): number {
    if (this.#message_bytes < MESSAGE_HEADER_BYTES) return MESSAGE_HEADER_BYTES;
    return MESSAGE_HEADER_BYTES + this.#message.readUIntBE(1, 3);
  }

  /** @returns 1, as a byte was read to know it. */
  #notTls(why: string): number {
    this.#reading = { kind: "not_tls", began: this.#began, why };
    return 1;
  }
}

/** A cursor that knows when it has been asked for more than there is, instead of throwing. */
class Cursor {
  readonly #bytes: Buffer;
  #at = 0;
  broken = false;

  constructor(bytes: Buffer) {
    this.#bytes = bytes;
  }

  get left(): number {
    return this.#bytes.length - this.#at;
  }

  take(length: number): Buffer {
    if (length > this.left) this.broken = true;
    const taken = this.#bytes.subarray(this.#at, this.#at + length);
    this.#at += taken.length;
    return taken;
  }

  number(bytes: 1 | 2): number {
    const taken = this.take(bytes);
    return taken.length === bytes ? taken.readUIntBE(0, bytes) : 0;
  }

  /** A vector of RFC 8446 3.4: its length, then its bytes. */
  bytes(length_bytes: 1 | 2): Buffer {
    return this.take(this.number(length_bytes));
  }

  vector(length_bytes: 1 | 2): Cursor {
    return new Cursor(this.bytes(length_bytes));
  }
}

function malformed(why: string): HelloReading {
  return { kind: "not_tls", began: true, why };
}

function readHello(body: Buffer): HelloReading {
  const hello = new Cursor(body);
  hello.take(2 + 32); // legacy_version, random
  hello.vector(1); // legacy_session_id
  hello.vector(2); // cipher_suites
  hello.vector(1); // legacy_compression_methods
  if (hello.broken) return malformed("the ClientHello is cut short");
  if (hello.left === 0) return { kind: "hello", sni: undefined, ech: false };
  const extensions = hello.vector(2);
  if (hello.broken || hello.left > 0) return malformed("the extensions' length is not what follows");
  return readExtensions(extensions);
}

function readExtensions(extensions: Cursor): HelloReading {
  const seen = new Set<number>();
  let sni: string | undefined;
  let ech = false;
  while (extensions.left > 0) {
    const type = extensions.number(2);
    const body = extensions.vector(2);
    if (extensions.broken) return malformed("an extension is cut short");
    // Servers differ in which of two they believe.
    if (seen.has(type)) return malformed("an extension is there twice");
    seen.add(type);
    if (ENCRYPTED_HELLOS.has(type) && body.left > 0) ech = true;
    if (type !== SERVER_NAME) continue;
    sni = readServerName(body);
    if (sni === undefined) return malformed("the server name is not one host name");
  }
  return { kind: "hello", sni, ech };
}

/** Exactly one name, of the only type that there is: what servers make of others is theirs. */
function readServerName(body: Cursor): string | undefined {
  const list = body.vector(2);
  const type = list.number(1);
  const name = list.bytes(2);
  const is_whole = !body.broken && body.left === 0 && !list.broken && list.left === 0;
  if (!is_whole || type !== HOST_NAME || name.length === 0) return undefined;
  return name.every((byte) => byte > 0x20 && byte < 0x7f) ? name.toString("latin1") : undefined;
}
