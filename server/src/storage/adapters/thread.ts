import { Worker } from "node:worker_threads";
import { entryPoint } from "../../kernel/entries.ts";
import type { ThreadStart } from "./messages.ts";
import { fromWire, type WireError } from "./sqlite_errors.ts";

/** What every thread of the room says besides its answers. */
type Life =
  | { type: "ready" }
  | { type: "refused"; error: WireError }
  | { type: "fatal"; error: WireError }
  | { type: "closed" };

export interface Thread<To> {
  post(message: To): void;
  /** Sends `last` and resolves when the thread has ended. */
  close(last: To): Promise<void>;
  /** Ends the thread wherever it is. */
  kill(): Promise<void>;
}

/**
 * Starts a thread and resolves when it is ready.
 * @param name  as in `scripts/build.mjs`.
 * @param on.message  each answer.
 * @param on.fatal  the thread failed or ended by itself: what it had been given has an unknown outcome.
 * @throws what the thread was refused with, e.g. STORAGE_SETTINGS.
 */
export function startThread<To, From extends { type: string }>(
  name: string,
  start: ThreadStart,
  on: { message(message: Exclude<From, Life>): void; fatal(error: unknown): void },
): Promise<Thread<To>> {
  return new Promise((resolve, reject) => {
    const worker = new Worker(entryPoint(name), { workerData: start });
    let ended = false;
    let closed = (): void => {};
    const thread: Thread<To> = {
      post: (message) => worker.postMessage(message),
      close: (last) =>
        new Promise((done) => {
          if (ended) return done();
          closed = done;
          worker.postMessage(last);
        }),
      async kill() {
        ended = true;
        await worker.terminate();
      },
    };
    const fail = (error: unknown): void => {
      reject(error); // Without effect once it is ready.
      on.fatal(error);
    };
    worker.on("message", (message: From | Life) => {
      switch (message.type) {
        case "ready":
          return resolve(thread);
        case "refused":
          ended = true;
          return reject(fromWire((message as Extract<Life, { type: "refused" }>).error));
        case "fatal":
          return fail(fromWire((message as Extract<Life, { type: "fatal" }>).error));
        case "closed":
          ended = true;
          return;
        default:
          return on.message(message as Exclude<From, Life>);
      }
    });
    worker.on("error", fail);
    worker.on("exit", (code) => {
      if (!ended) fail(new Error(`thread ${name} ended with code ${code}`));
      ended = true;
      closed();
    });
  });
}
