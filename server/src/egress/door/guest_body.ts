import type { IncomingMessage } from "node:http";
import { Readable } from "node:stream";
import { isGantryError } from "../../kernel/errors.ts";
import type { BodyGuard } from "../parts.ts";
import type { CallClock } from "./call_clock.ts";
import { hungUp } from "./faults.ts";
import type { LiveCall } from "./live_call.ts";

/** A guest's body on its way out: counted, looked at, read once. */
export class GuestBody {
  readonly #passed: AsyncGenerator<Buffer, void, undefined>;
  #raw_bytes = 0;
  /** Has passed, and has not been sent. */
  readonly #held: Buffer[] = [];
  #done = false;

  constructor(call: IncomingMessage, live: LiveCall, guard: BodyGuard | undefined, clock: CallClock) {
    this.#passed = this.#pass(call, live, guard, clock);
  }

  /**
   * Reads on until the body is over, or has more than `bytes_max`.
   * @returns the whole body; undefined: it is longer.
   * @throws EGRESS_SIZE EGRESS_BUDGET, what the guard throws, and the reason of `signal`
   */
  async gather(bytes_max: number, signal: AbortSignal): Promise<Buffer | undefined> {
    while (!this.#done && this.#raw_bytes <= bytes_max) {
      const next = await before(signal, this.#passed.next());
      if (next.done === true) this.#done = true;
      else this.#held.push(next.value);
    }
    if (!this.#done || this.#raw_bytes > bytes_max) return undefined;
    const [only] = this.#held;
    return this.#held.length === 1 && only !== undefined ? only : Buffer.concat(this.#held);
  }

  /** What was gathered, and the rest as it comes. */
  stream(): Readable {
    return Readable.from(this.#all(), { objectMode: false });
  }

  async *#all(): AsyncGenerator<Buffer, void, undefined> {
    for (let held = this.#held.shift(); held !== undefined; held = this.#held.shift()) yield held;
    if (!this.#done) yield* this.#passed;
  }

  async *#pass(
    call: IncomingMessage,
    live: LiveCall,
    guard: BodyGuard | undefined,
    clock: CallClock,
  ): AsyncGenerator<Buffer, void, undefined> {
    clock.up();
    try {
      // The connection stays: there may still be an answer to write.
      for await (const chunk of call.iterator({ destroyOnReturn: false }) as AsyncIterable<Buffer>) {
        clock.up();
        live.sent(chunk.byteLength);
        this.#raw_bytes += chunk.byteLength;
        const passed = guard === undefined ? chunk : await guard.push(chunk);
        if (passed.byteLength > 0) yield passed;
      }
    } catch (error) {
      throw isGantryError(error) ? error : hungUp();
    }
    clock.upDone();
    const rest = await guard?.end();
    if (rest !== undefined && rest.byteLength > 0) yield rest;
  }
}

/** A body that is here already, looked at once more for another call. */
export async function lookAt(body: Buffer, guard: BodyGuard | undefined): Promise<void> {
  if (guard === undefined) return;
  await guard.push(body);
  await guard.end();
}

/** What `work` gives, unless `signal` comes before. */
function before<T>(signal: AbortSignal, work: Promise<T>): Promise<T> {
  return new Promise((resolve, reject) => {
    const stop = (): void => reject(signal.reason);
    if (signal.aborted) stop();
    signal.addEventListener("abort", stop, { once: true });
    work.then(resolve, reject).finally(() => signal.removeEventListener("abort", stop));
  });
}
