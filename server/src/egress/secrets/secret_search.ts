import { encodedForms } from "./encodings.ts";
import { Needle, Pattern } from "./needle.ts";
import { ESCAPE_BYTES_MAX, ESCAPED_BYTES_MAX, form, json, percent, Unescaping } from "./unescaping.ts";

/** A shorter secret is looked for as it is alone: its encoded forms are so short that other texts have them too. */
export const ENCODED_SECRET_BYTES_MIN = 8;

/** What is looked for; several streams may be searched for it. */
export class SecretForms {
  readonly plain: Pattern;
  /** Empty when the secret is short. */
  readonly encoded: readonly Pattern[];
  readonly is_short: boolean;
  /** Forms write a blank as a plus, so that they are read apart. */
  readonly has_blank: boolean;

  /** @param secret  at least one byte; it is copied. */
  constructor(secret: Buffer) {
    this.is_short = secret.length < ENCODED_SECRET_BYTES_MIN;
    this.has_blank = secret.includes(" ");
    this.plain = new Pattern(Buffer.from(secret));
    this.encoded = this.is_short ? [] : encodedForms(secret).map((text) => new Pattern(text));
  }

  /** The secret is overwritten in all its forms. */
  wipe(): void {
    this.plain.wipe();
    for (const pattern of this.encoded) pattern.wipe();
  }
}

/** A stream read under one escaping, and the secret in it. */
interface View {
  unescaping: Unescaping;
  needle: Needle;
}

/**
 * Looks for a secret in a stream, however the stream is cut: as it is, in hex, in base64 at any place of a longer text
 * (RFC 4648, both alphabets, without line breaks), and escaped as in URLs, forms and JSON, with any characters escaped.
 * What was encoded twice, or in another way, is not found: this is for servers that repeat what they were sent.
 */
export class SecretSearch {
  readonly #plain: Needle;
  readonly #encoded: Needle[];
  readonly #views: View[];

  constructor({ plain, encoded, is_short, has_blank }: SecretForms) {
    this.#plain = new Needle(plain);
    this.#encoded = encoded.map((pattern) => new Needle(pattern));
    const escapings = is_short ? [] : [percent, json, ...(has_blank ? [form] : [])];
    this.#views = escapings.map((escaping) => ({ unescaping: new Unescaping(escaping), needle: new Needle(plain) }));
  }

  /** @returns whether the secret ends in this chunk. */
  feed(chunk: Buffer): boolean {
    if (this.#plain.feed(chunk)) return true;
    for (const needle of this.#encoded) if (needle.feed(chunk)) return true;
    for (const { unescaping, needle } of this.#views) {
      const text = unescaping.feed(chunk);
      // Nothing was escaped: the interior has been searched above, and only what came before may begin otherwise.
      if (needle.feed(text, text === chunk)) return true;
    }
    return false;
  }

  /** How many bytes at the end of the stream so far may be the secret's beginning; rather too many than too few. */
  get held_bytes(): number {
    let held = this.#plain.matched;
    for (const { matched } of this.#encoded) held = Math.max(held, matched);
    for (const { unescaping, needle } of this.#views) {
      const escaped = needle.matched === 0 ? 0 : needle.matched * ESCAPED_BYTES_MAX + ESCAPE_BYTES_MAX;
      held = Math.max(held, unescaping.open_bytes + escaped);
    }
    return held;
  }

  /** As at the start of a stream. */
  restart(): void {
    this.#plain.restart();
    for (const needle of this.#encoded) needle.restart();
    for (const { unescaping, needle } of this.#views) {
      unescaping.restart();
      needle.restart();
    }
  }
}
