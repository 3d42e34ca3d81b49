import { Worker } from "node:worker_threads";
import { assert } from "../../kernel/assert.ts";
import { entryPoint } from "../../kernel/entries.ts";
import { GantryError } from "../../kernel/errors.ts";
import { DLP_QUEUE_MAX, DLP_WINDOW_BYTES_MAX, egress_errors } from "../contract.ts";
import type { DlpScanner } from "../guards/deps.ts";

/** To the thread: a text, whose memory goes over with it. */
export interface DlpAsk {
  id: number;
  window: Uint8Array;
}
/** And back: what was found. */
export interface DlpAnswer {
  id: number;
  found: string | undefined;
}

interface Waiting {
  resolve(found: string | undefined): void;
  reject(error: Error): void;
}

/**
 * The main thread's side of the search for what looks like a secret. The thread starts with the first text. One that fails
 * takes with it what it had been given, and the next text starts another.
 */
export class DlpThread implements DlpScanner {
  readonly #waiting = new Map<number, Waiting>();
  #thread: Worker | undefined;
  #asked = 0;
  #is_closed = false;

  scan(window: Uint8Array): Promise<string | undefined> {
    assert(window.byteLength <= DLP_WINDOW_BYTES_MAX, "a window is no longer than DLP_WINDOW_BYTES_MAX");
    if (this.#is_closed) return Promise.reject(refusal("the search for secrets has ended"));
    if (this.#waiting.size >= DLP_QUEUE_MAX) {
      return Promise.reject(refusal(`${DLP_QUEUE_MAX} bodies wait already to be searched for secrets`));
    }
    const thread = this.#thread ?? this.#start();
    const id = ++this.#asked;
    // A copy of its own: what goes over must not share its memory with anything that stays.
    const copy = new Uint8Array(window);
    return new Promise((resolve, reject) => {
      this.#waiting.set(id, { resolve, reject });
      thread.postMessage({ id, window: copy } satisfies DlpAsk, [copy.buffer]);
    });
  }

  async close(): Promise<void> {
    this.#is_closed = true;
    await this.#thread?.terminate();
  }

  #start(): Worker {
    const thread = new Worker(entryPoint("threads/dlp.js"));
    thread.unref();
    thread.on("message", ({ id, found }: DlpAnswer) => {
      this.#waiting.get(id)?.resolve(found);
      this.#waiting.delete(id);
    });
    // The exit follows, and says it to whoever waits.
    thread.on("error", () => {});
    thread.on("exit", () => {
      if (this.#thread === thread) this.#thread = undefined;
      for (const { reject } of this.#waiting.values()) reject(refusal("the search for secrets broke off"));
      this.#waiting.clear();
    });
    this.#thread = thread;
    return thread;
  }
}

function refusal(why: string): GantryError {
  return new GantryError(egress_errors.CAPACITY, {
    detail: `The call was not sent: ${why}. Try again later.`,
    retry_after_ms: 1_000,
  });
}
