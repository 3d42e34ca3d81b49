import { createHash, type Hash } from "node:crypto";
import type { LogLine as GuestLine } from "../execution/contract.ts";
import { assert } from "../kernel/assert.ts";
import type { Clock } from "../kernel/clock.ts";
import { sha256Hex } from "../kernel/hash.ts";
import { LOG_FLUSH_BYTES, LOG_FLUSH_MS, type LogLine } from "./contract.ts";
import type { LogChunk } from "./log_store.ts";

/** One line as it is stored, hashed and served. */
export function ndjsonOf(line: LogLine): string {
  const { seq, at, level, text } = line;
  return `${JSON.stringify({ seq, at, level, text })}\n`;
}

/** Of a log without lines. */
const EMPTY_HASH = sha256Hex("");

/**
 * The log of a live run: lines are numbered here, shown to followers at once, written in chunks, and hashed.
 * A line leaves memory only when it is durable, so that what is stored and what is here have no gap between them.
 * Most runs write no line and have no follower: those cost no write, no hash and no promise.
 */
export class RunLog {
  readonly #clock: Clock;
  readonly #write: (chunk: LogChunk) => Promise<void>;
  #hash: Hash | undefined;
  #lines: LogLine[] = [];
  #texts: string[] = [];
  #bytes = 0;
  #seq: number;
  #flushing: Promise<void> | undefined;
  #cancelTimer: (() => void) | undefined;
  /** When the first line came. */
  #first_at: number | undefined;
  #open = false;
  #closed = false;
  #changed: { promise: Promise<void>; resolve: () => void } | undefined;
  #followers = 0;

  /**
   * @param first_seq  what the log of earlier attempts ends with; this one's first line follows it.
   * @param write  makes a chunk durable; a failure is tried again with the next flush.
   */
  constructor(clock: Clock, first_seq: number, write: (chunk: LogChunk) => Promise<void>) {
    this.#clock = clock;
    this.#seq = first_seq;
    this.#write = write;
  }

  /** Takes a line from the runner; its own number is replaced. After `close` it is ignored. */
  add(guest: GuestLine): void {
    if (this.#closed) return;
    this.#seq += 1;
    const line: LogLine = { seq: this.#seq, at: Math.round(guest.at), level: guest.level, text: guest.text };
    const text = ndjsonOf(line);
    this.#hash ??= createHash("sha256");
    this.#hash.update(text);
    this.#lines.push(line);
    this.#texts.push(text);
    this.#bytes += Buffer.byteLength(text);
    this.#first_at ??= this.#clock.monotonic();
    if (!this.#open) return;
    this.#announce();
    this.#flushSoon(LOG_FLUSH_MS);
  }

  /**
   * The admission is durable: from now on lines may be seen and stored. Young ones not at once: a quick run has written
   * its lines by now and ends in a moment, and would wait for a commit of their own for what its last unit carries.
   */
  open(): void {
    this.#open = true;
    if (this.#first_at === undefined) return;
    this.#announce();
    this.#flushSoon(this.#first_at + LOG_FLUSH_MS - this.#clock.monotonic());
  }

  /** Lines that are not durable yet, after `seq`. If the first does not follow `seq` directly, read the store again. */
  tail(seq: number): LogLine[] {
    return this.#open ? this.#lines.filter((line) => line.seq > seq) : [];
  }

  /** Resolves at the next change: a line, or the end. Ask before reading, so that no change is missed. */
  changed(): Promise<void> {
    this.#changed ??= withResolver();
    return this.#changed.promise;
  }

  get followers(): number {
    return this.#followers;
  }

  follow(): () => void {
    this.#followers += 1;
    return () => {
      this.#followers -= 1;
    };
  }

  /**
   * Ends the log. @returns what is not durable yet, for the unit that ends the run, and the digest of every line.
   * The lines stay readable until `settled`.
   */
  async close(): Promise<{ chunks: LogChunk[]; hash: string }> {
    this.#closed = true;
    this.#cancelTimer?.();
    await this.#flushing;
    const chunks: LogChunk[] = [];
    for (let from = 0; from < this.#lines.length; ) {
      let to = from;
      for (let bytes = 0; to < this.#lines.length && bytes < LOG_FLUSH_BYTES; to++)
        bytes += this.#texts[to]?.length ?? 0;
      chunks.push(this.#chunk(from, to));
      from = to;
    }
    return { chunks, hash: this.#hash?.digest("hex") ?? EMPTY_HASH };
  }

  /** The last chunks are durable, or the run is given up: followers see the end. */
  settled(): void {
    this.#lines = [];
    this.#texts = [];
    this.#announce();
  }

  #flushSoon(wait_ms: number): void {
    if (wait_ms <= 0 || this.#bytes >= LOG_FLUSH_BYTES) this.#flush();
    else this.#cancelTimer ??= this.#clock.after(wait_ms, () => this.#flush());
  }

  #flush(): void {
    this.#cancelTimer?.();
    this.#cancelTimer = undefined;
    if (this.#flushing !== undefined || this.#lines.length === 0) return;
    const count = this.#lines.length;
    this.#flushing = this.#write(this.#chunk(0, count)).then(
      () => {
        this.#lines = this.#lines.slice(count);
        this.#texts = this.#texts.slice(count);
        this.#after(true);
      },
      // The lines are still here: the next flush, or the unit that ends the run, carries them.
      () => this.#after(false),
    );
  }

  #after(written: boolean): void {
    this.#flushing = undefined;
    this.#bytes = this.#texts.reduce((sum, text) => sum + Buffer.byteLength(text), 0);
    if (this.#closed || this.#lines.length === 0) return;
    if (written) this.#flushSoon(LOG_FLUSH_MS);
    else this.#cancelTimer ??= this.#clock.after(LOG_FLUSH_MS, () => this.#flush());
  }

  #chunk(from: number, to: number): LogChunk {
    const first = this.#lines[from];
    const last = this.#lines[to - 1];
    assert(first !== undefined && last !== undefined, "a chunk has lines");
    return { seq: first.seq, seq_last: last.seq, lines: this.#texts.slice(from, to).join("") };
  }

  #announce(): void {
    this.#changed?.resolve();
    this.#changed = undefined;
  }
}

function withResolver(): { promise: Promise<void>; resolve: () => void } {
  let resolve = () => {};
  const promise = new Promise<void>((done) => {
    resolve = done;
  });
  return { promise, resolve };
}
