const PERCENT = 0x25;
const PLUS = 0x2b;
const BACKSLASH = 0x5c;
const LETTER_U = 0x75;
const SPACE = 0x20;
const NOTHING: Buffer = Buffer.alloc(0);
const OPEN = -1;
const NO_DIGITS = -2;
/** What a backslash and a byte mean in JSON (RFC 8259, 7); before anything else a backslash stands for itself. */
const SHORT = new Uint8Array(256);
for (const [byte, meant] of [
  [0x22, 0x22],
  [0x5c, 0x5c],
  [0x2f, 0x2f],
  [0x62, 0x08],
  [0x66, 0x0c],
  [0x6e, 0x0a],
  [0x72, 0x0d],
  [0x74, 0x09],
] as const) {
  SHORT[byte] = meant;
}

/** What an escape means is written to `plain`. @returns how long the escape is; 0: more bytes are needed to tell. */
type Read = (text: Buffer, at: number, plain: Plain) => number;

/** Bytes that a stream means, as they are found. What is escaped is never longer than its escape. */
interface Plain {
  bytes: Buffer;
  length: number;
}

export interface Escaping {
  /** The byte that each escape starts with. */
  start: number;
  read: Read;
  /** A byte that means another one without an escape. */
  alias?: { from: number; to: number };
}

/** RFC 3986, 2.1. */
export const percent: Escaping = { start: PERCENT, read: readPercent };
/** As forms are sent (WHATWG URL, application/x-www-form-urlencoded). */
export const form: Escaping = { ...percent, alias: { from: PLUS, to: SPACE } };
export const json: Escaping = { start: BACKSLASH, read: readJson };

/** At most so many bytes of a text become one byte, and so many the first: two halves of a character outside the BMP. */
export const ESCAPED_BYTES_MAX = 6;
export const ESCAPE_BYTES_MAX = 12;

/** Undoes an escaping in a stream, however the stream is cut. */
export class Unescaping {
  readonly #escaping: Escaping;
  /** An escape whose end has not come. */
  #open: Buffer = NOTHING;

  constructor(escaping: Escaping) {
    this.#escaping = escaping;
  }

  /** Bytes of the stream that were read and stand in no answer yet. */
  get open_bytes(): number {
    return this.#open.length;
  }

  restart(): void {
    this.#open = NOTHING;
  }

  /** @returns what the chunk means; the chunk itself when it means itself. */
  feed(chunk: Buffer): Buffer {
    const { start, alias, read } = this.#escaping;
    const has_alias = alias !== undefined && chunk.includes(alias.from);
    if (this.#open.length === 0 && !has_alias && !chunk.includes(start)) return chunk;
    const text = this.#open.length === 0 ? chunk : Buffer.concat([this.#open, chunk]);
    this.#open = NOTHING;
    const plain: Plain = { bytes: Buffer.allocUnsafe(text.length), length: 0 };
    for (let at = 0; at < text.length; ) {
      const byte = text[at] ?? 0;
      if (byte === start) {
        const length = read(text, at, plain);
        if (length === 0) {
          this.#open = Buffer.from(text.subarray(at));
          break;
        }
        at += length;
      } else {
        plain.bytes[plain.length++] = byte === alias?.from ? alias.to : byte;
        at += 1;
      }
    }
    return plain.bytes.subarray(0, plain.length);
  }
}

function readPercent(text: Buffer, at: number, plain: Plain): number {
  const value = readHex(text, at + 1, 2);
  if (value === OPEN) return 0;
  plain.bytes[plain.length++] = value === NO_DIGITS ? PERCENT : value;
  return value === NO_DIGITS ? 1 : 3;
}

function readJson(text: Buffer, at: number, plain: Plain): number {
  const kind = text[at + 1];
  if (kind === undefined) return 0;
  const unit = kind === LETTER_U ? readHex(text, at + 2, 4) : NO_DIGITS;
  if (unit === OPEN) return 0;
  if (unit === NO_DIGITS) {
    const short = SHORT[kind] ?? 0;
    plain.bytes[plain.length++] = short === 0 ? BACKSLASH : short;
    return short === 0 ? 1 : 2;
  }
  if (unit > 0xd7ff && unit < 0xdc00) return readPair(text, at, unit, plain);
  if (unit < 0x80) plain.bytes[plain.length++] = unit;
  else write(plain, String.fromCharCode(unit));
  return 6;
}

/** The second half of a character outside the BMP, if it is there; a lone half means nothing that a secret holds. */
function readPair(text: Buffer, at: number, high: number, plain: Plain): number {
  const low = escapedUnit(text, at + 6);
  if (low === OPEN) return 0;
  const is_pair = low > 0xdbff && low < 0xe000;
  write(plain, is_pair ? String.fromCharCode(high, low) : "\ufffd");
  return is_pair ? 12 : 6;
}

function escapedUnit(text: Buffer, at: number): number {
  if (text[at] === undefined) return OPEN;
  if (text[at] !== BACKSLASH) return NO_DIGITS;
  if (text[at + 1] === undefined) return OPEN;
  return text[at + 1] === LETTER_U ? readHex(text, at + 2, 4) : NO_DIGITS;
}

function write(plain: Plain, text: string): void {
  plain.length += plain.bytes.write(text, plain.length, "utf8");
}

/** @returns `NO_DIGITS` when one of the bytes is none; `OPEN` when all that are there are, and more are needed. */
function readHex(text: Buffer, from: number, digits: number): number {
  let value = 0;
  for (let at = from; at < from + digits; at++) {
    const byte = text[at];
    if (byte === undefined) return OPEN;
    const letter = byte | 0x20;
    const digit = byte >= 0x30 && byte <= 0x39 ? byte - 0x30 : letter >= 0x61 && letter <= 0x66 ? letter - 0x57 : -1;
    if (digit < 0) return NO_DIGITS;
    value = value * 16 + digit;
  }
  return value;
}
