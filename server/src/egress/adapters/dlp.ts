import { Worker } from "node:worker_threads";
import { assert } from "../../kernel/assert.ts";
import { entryPoint } from "../../kernel/entries.ts";
import { GantryError } from "../../kernel/errors.ts";
import { Turns } from "../../kernel/turns.ts";
import { DLP_QUEUE_MAX, DLP_TENANT_QUEUE_MAX, DLP_WINDOW_BYTES_MAX, egress_errors } from "../contract.ts";
import type { DlpScanner } from "../guards/deps.ts";

/** Texts that the thread has at a time: enough that it never waits, and few, as they have had their turn. */
const GIVEN_MAX = 8;

/** To the thread: a text, whose memory goes over with it. */
export interface DlpAsk {
  id: number;
  window: Uint8Array;
  /** Of the window: what has gone over has none. */
  bytes: number;
}
/** And back: what was found. */
export interface DlpAnswer {
  id: number;
  found: string | undefined;
  bytes: number;
}

interface Waiting {
  tenant: string;
  window: Uint8Array<ArrayBuffer>;
  resolve(found: string | undefined): void;
  reject(error: Error): void;
}

/**
 * The main thread's side of the search for what looks like a secret. The thread starts with the first text. It is given
 * texts of tenants in turns, and no more at a time than keeps it busy: one long text, or several short ones. So whoever
 * asks waits for what the thread has, and for one text of each tenant, whatever else one of them has brought. A thread
 * that fails takes with it what it had been given, and the next text starts another.
 */
export class DlpThread implements DlpScanner {
  readonly #turns = new Turns<Waiting>();
  /** What the thread has. */
  readonly #given = new Map<number, Waiting>();
  #given_bytes = 0;
  #thread: Worker | undefined;
  #asked = 0;
  #is_closed = false;

  scan(window: Uint8Array, tenant: string): Promise<string | undefined> {
    assert(window.byteLength <= DLP_WINDOW_BYTES_MAX, "a window is no longer than DLP_WINDOW_BYTES_MAX");
    if (this.#is_closed) return Promise.reject(refusal("the search for secrets has ended"));
    const own = this.#of(tenant);
    if (own >= DLP_TENANT_QUEUE_MAX) {
      return Promise.reject(refusal(`${own} bodies of the tenant wait already to be searched for secrets`));
    }
    if (this.#turns.size + this.#given.size >= DLP_QUEUE_MAX) {
      const displaced = this.#turns.takeFromLongest(own);
      if (displaced === undefined) {
        return Promise.reject(refusal(`${DLP_QUEUE_MAX} bodies wait already to be searched for secrets`));
      }
      displaced.reject(
        refusal("it waited to be searched for secrets, behind others of the tenant, and its place is taken"),
      );
    }
    return new Promise((resolve, reject) => {
      // A copy of its own: what goes over must not share its memory with anything that stays.
      this.#turns.add(tenant, { tenant, window: new Uint8Array(window), resolve, reject });
      this.#give();
    });
  }

  async close(): Promise<void> {
    this.#is_closed = true;
    for (const { reject } of this.#turns.drain()) reject(refusal("the search for secrets has ended"));
    await this.#thread?.terminate();
  }

  #of(tenant: string): number {
    let given = 0;
    for (const waiting of this.#given.values()) if (waiting.tenant === tenant) given += 1;
    return this.#turns.of(tenant) + given;
  }

  #give(): void {
    for (let next = this.#turns.peek(); next !== undefined; next = this.#turns.peek()) {
      const bytes = next.window.byteLength;
      if (this.#given.size > 0 && this.#given_bytes + bytes > DLP_WINDOW_BYTES_MAX) return;
      if (this.#given.size >= GIVEN_MAX) return;
      this.#turns.shift();
      const id = ++this.#asked;
      const thread = this.#thread ?? this.#start();
      this.#given.set(id, next);
      this.#given_bytes += bytes;
      thread.postMessage({ id, window: next.window, bytes } satisfies DlpAsk, [next.window.buffer]);
    }
  }

  #answered({ id, found, bytes }: DlpAnswer): void {
    const waiting = this.#given.get(id);
    this.#given.delete(id);
    this.#given_bytes -= bytes;
    waiting?.resolve(found);
    this.#give();
  }

  #start(): Worker {
    const thread = new Worker(entryPoint("threads/dlp.js"));
    thread.unref();
    thread.on("message", (answer: DlpAnswer) => this.#answered(answer));
    // The exit follows, and says it to whoever waits.
    thread.on("error", () => {});
    thread.on("exit", () => {
      if (this.#thread === thread) this.#thread = undefined;
      const given = [...this.#given.values()];
      this.#given.clear();
      this.#given_bytes = 0;
      for (const { reject } of given) reject(refusal("the search for secrets broke off"));
      if (!this.#is_closed) this.#give();
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
