import { Readable } from "node:stream";
import type { Dispatcher } from "undici";
import type { Clock } from "../../kernel/clock.ts";
import { isGantryError } from "../../kernel/errors.ts";
import { EGRESS_HEADERS_MS_MAX } from "../contract.ts";
import type { Exchange, Exchanged, HeaderList } from "../parts.ts";
import type { KeptLines, Line } from "./dialer_lines.ts";
import { exchangeFault, timeFault } from "./faults.ts";

/** What may be buffered of an answer that is not read: one read of a socket. */
const BUFFERED_BYTES = 64 * 1024;

/** RFC 9112, 6.3: without one of these a body ends where its connection does. */
const FRAMING = /^(content-length|transfer-encoding)$/i;
const NO_BODY = new Set([204, 304]);

/** Why there was no answer. */
export interface Failed {
  /** Did a kept connection end before a byte of the answer came? */
  stale: boolean;
  /** May a byte of the request have left? */
  sent: boolean;
  cause: unknown;
}

/** Where exchanges happen. */
export interface Place {
  clock: Clock;
  lines: KeptLines;
  line: Line;
}

/**
 * One exchange on a connection, which rests in `lines` afterwards if it can serve another.
 * @throws Failed  (the rejection's value) before the head of the answer; the body's stream fails afterwards.
 */
export function converse(place: Place, asked: Exchange): Promise<Exchanged> {
  const { lines, line } = place;
  if (asked.signal.aborted) {
    lines.rest(line);
    return Promise.reject({ stale: false, sent: false, cause: asked.signal.reason } satisfies Failed);
  }
  return new Promise((resolve, reject) => {
    const { target, method, headers, body } = asked;
    line.client.dispatch(
      {
        path: `${target.path}${target.query}`,
        method,
        headers: headers.flat(),
        body,
        // A connection that answers one request at a time needs no word on whether the next may come early.
        blocking: false,
      },
      new Conversation(place, asked, resolve, reject),
    );
  });
}

/** What undici tells of one exchange. */
class Conversation implements Dispatcher.DispatchHandler {
  readonly #place: Place;
  readonly #asked: Exchange;
  readonly #resolve: (answer: Exchanged) => void;
  readonly #reject: (failed: Failed) => void;
  readonly #aborted = (): void => this.#fail(this.#asked.signal.reason as Error);
  #sent = false;
  /** Has a byte of the answer come? */
  #begun = false;
  #over = false;
  #body: Readable | undefined;
  #ends_by_close = false;
  #cancel: (() => void) | undefined;

  constructor(place: Place, asked: Exchange, resolve: (answer: Exchanged) => void, reject: (failed: Failed) => void) {
    this.#place = place;
    this.#asked = asked;
    this.#resolve = resolve;
    this.#reject = reject;
    asked.signal.addEventListener("abort", this.#aborted);
  }

  onConnect(): void {
    this.#sent = true;
    this.#asked.sending?.();
  }

  onResponseStarted(): void {
    this.#begun = true;
    const { host } = this.#asked.target;
    this.#cancel ??= this.#place.clock.after(EGRESS_HEADERS_MS_MAX, () =>
      this.#fail(timeFault(`${host} took longer than ${EGRESS_HEADERS_MS_MAX} ms for the head of its answer.`)),
    );
  }

  onHeaders(status: number, raw: Buffer[], resume: () => void): boolean {
    // Interim answers (RFC 9110, 15.2) say nothing that the guest must know.
    if (this.#over || status < 200) return true;
    this.#cancel?.();
    const { line } = this.#place;
    const headers = headerList(raw);
    const is_framed = headers.some(([name]) => FRAMING.test(name));
    const has_none = NO_BODY.has(status);
    this.#ends_by_close = this.#asked.method !== "HEAD" && !has_none && !is_framed;
    const body = bodyOf(resume, () => {
      if (this.#end()) line.destroy(new Error("the answer is not wanted any more"));
    });
    this.#body = body;
    this.#resolve({ status, headers, body });
    if (has_none && is_framed && this.#end()) {
      // It is whole, whatever its head says of a length (RFC 9110, 8.6); undici 7.30 would wait for that many bytes.
      body.push(null);
      line.destroy(new Error("the head speaks of a body that does not come"));
    }
    return true;
  }

  onData(chunk: Buffer): boolean {
    return this.#over || this.#body === undefined || this.#body.push(chunk);
  }

  onComplete(): void {
    const { line } = this.#place;
    if (line.broke !== undefined) this.onError(line.broke);
    else if (!this.#ends_by_close) this.#whole();
    else line.probe((error) => (error === undefined ? this.#whole() : this.onError(error)));
  }

  onError(error: Error): void {
    const { line } = this.#place;
    this.#fail(isGantryError(error) ? error : exchangeFault(this.#asked.target.host, line.broke ?? error, this.#begun));
  }

  /** Ends the exchange once. @returns was it the first call? */
  #end(): boolean {
    if (this.#over) return false;
    this.#over = true;
    this.#cancel?.();
    this.#asked.signal.removeEventListener("abort", this.#aborted);
    return true;
  }

  #whole(): void {
    if (!this.#end()) return;
    this.#place.lines.rest(this.#place.line);
    this.#body?.push(null);
  }

  #fail(cause: Error): void {
    if (!this.#end()) return;
    const { line } = this.#place;
    if (this.#body !== undefined) this.#body.destroy(cause);
    else this.#reject({ stale: line.served && !this.#begun, sent: this.#sent, cause });
    line.destroy(cause);
  }
}

function bodyOf(resume: () => void, unwanted: () => void): Readable {
  const body = new Readable({
    highWaterMark: BUFFERED_BYTES,
    read: resume,
    destroy(error, done) {
      unwanted();
      done(error);
    },
  });
  // It may fail before anybody has had a chance to listen; whoever reads it later finds the error in it.
  return body.on("error", () => {});
}

/** Octets as characters of Latin-1, so that they leave as they came. */
function headerList(raw: readonly Buffer[]): HeaderList {
  const headers: HeaderList = [];
  for (let i = 0; i + 1 < raw.length; i += 2) {
    headers.push([raw[i]?.toString("latin1") ?? "", raw[i + 1]?.toString("latin1") ?? ""]);
  }
  return headers;
}
