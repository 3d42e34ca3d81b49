import type { ServerResponse } from "node:http";
import type { Readable } from "node:stream";
import { EFFECT_BODY_BYTES_MAX } from "../contract.ts";
import type { AnswerScan } from "../parts.ts";
import type { CallClock } from "./call_clock.ts";
import { hungUp } from "./faults.ts";
import type { LiveCall } from "./live_call.ts";

/** What an answer's body passes on its way to the guest. */
export interface Relay {
  body: Readable;
  answer: ServerResponse;
  live: LiveCall;
  clock: CallClock;
}

/** A body as it passes, for whoever wants it afterwards: at most `EFFECT_BODY_BYTES_MAX`. */
export class KeptBody {
  #chunks: Buffer[] | undefined = [];
  #bytes = 0;

  push(chunk: Buffer): void {
    this.#bytes += chunk.byteLength;
    if (this.#bytes > EFFECT_BODY_BYTES_MAX) this.#chunks = undefined;
    this.#chunks?.push(chunk);
  }

  /** @returns undefined: it was longer. */
  whole(): Buffer | undefined {
    return this.#chunks === undefined ? undefined : Buffer.concat(this.#chunks);
  }
}

/**
 * The body as it comes, no faster than the guest takes it. Resolves when all of it has left this process.
 * @throws EGRESS_INCOMPLETE EGRESS_TIME EGRESS_SIZE EGRESS_BUDGET, or why the call was broken off
 */
export function relayPlain({ body, answer, live, clock }: Relay, kept?: KeptBody): Promise<void> {
  return new Promise((resolve, reject) => {
    const { signal } = live;
    const settle = (error: unknown): void => {
      signal.removeEventListener("abort", stopped);
      answer.off("close", closed);
      if (error === undefined) {
        resolve();
        return;
      }
      body.destroy();
      reject(error);
    };
    const stopped = (): void => settle(signal.reason);
    const closed = (): void => settle(answer.writableFinished ? undefined : hungUp());
    if (signal.aborted) return stopped();
    if (body.errored) return settle(body.errored);
    signal.addEventListener("abort", stopped);
    answer.on("close", closed);
    answer.on("finish", () => settle(undefined));
    answer.on("drain", () => {
      clock.down();
      body.resume();
    });
    body.on("error", settle);
    body.on("end", () => answer.end());
    body.on("data", (chunk: Buffer) => {
      try {
        live.received(chunk.byteLength);
        kept?.push(chunk);
      } catch (error) {
        return settle(error);
      }
      clock.down();
      if (!answer.write(chunk)) body.pause();
    });
  });
}

/**
 * As `relayPlain`, each byte after it has been searched.
 * @throws as `relayPlain`, and EGRESS_SECRET_ECHO EGRESS_SCAN
 */
export async function relaySearched(
  { body, answer, live, clock }: Relay,
  scan: AnswerScan,
  kept: KeptBody | undefined,
): Promise<void> {
  for await (const chunk of body as AsyncIterable<Buffer>) {
    live.received(chunk.byteLength);
    clock.down();
    kept?.push(chunk);
    await write(answer, await scan.push(chunk), live.signal);
    clock.down();
  }
  await write(answer, await scan.end(), live.signal);
  await finish(answer, live.signal);
}

/** Writes a whole body, and waits as `relayPlain` does. */
export async function writeWhole(answer: ServerResponse, body: Buffer, signal: AbortSignal): Promise<void> {
  await write(answer, body, signal);
  await finish(answer, signal);
}

function write(answer: ServerResponse, bytes: Buffer, signal: AbortSignal): Promise<void> | undefined {
  if (bytes.byteLength === 0 || answer.write(bytes)) return undefined;
  return once(answer, "drain", signal);
}

function finish(answer: ServerResponse, signal: AbortSignal): Promise<void> | undefined {
  answer.end();
  return answer.writableFinished ? undefined : once(answer, "finish", signal);
}

function once(answer: ServerResponse, event: "drain" | "finish", signal: AbortSignal): Promise<void> {
  return new Promise((resolve, reject) => {
    const settle = (error?: unknown): void => {
      answer.off(event, happened).off("close", closed);
      signal.removeEventListener("abort", stopped);
      if (error === undefined) resolve();
      else reject(error);
    };
    const happened = (): void => settle();
    const closed = (): void => settle(hungUp());
    const stopped = (): void => settle(signal.reason);
    if (signal.aborted) return stopped();
    if (answer.destroyed) return closed();
    answer.on(event, happened).on("close", closed);
    signal.addEventListener("abort", stopped);
  });
}
