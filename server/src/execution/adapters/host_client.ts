import { buildConnector, Client, type Dispatcher } from "undici";
import {
  type HostOutcome,
  HTTP_HEAD_MAX,
  HTTP_HEADER,
  NONCE_HEADER,
  OUTCOME_HEADER,
} from "../../../../isolate/src/protocol.ts";
import type { HostAnswer } from "../result.ts";

/** workerd closes a connection that has never been used after about 15 s (measured); a used one is kept awake. */
export const PING_MS = 5_000;
/** Twice the longest head that the host worker sends: its own limit must be the one that is met. */
const HEAD_BYTES_MAX = 2 * HTTP_HEAD_MAX;
const PING_MS_MAX = 2_000;
const PONG_BYTES_MAX = 16;
/** The host cuts what a fault says; three texts of 8 KiB as JSON fit. */
const FAULT_BYTES_MAX = 256 * 1024;
/** The longest that a timer can wait: it is the host that may close a connection, or we when its process has ended. */
const IDLE_MS_MAX = 2 ** 31 - 1;
const NOTHING = Buffer.alloc(0);

/**
 * Talks to the host worker of one runner over its in-socket: over one connection, opened at boot and never again. A process
 * serves one run at a time, and one whose call had to be broken off is not used again. Code that escaped V8 could put a
 * symlink to another socket in the place of ours, and a later connection would follow it.
 *
 * undici's client and not Node's: a call through `node:http`, with an agent, a signal and a stream for the answer, took
 * four times the CPU (89 µs against 20, Node 20.20 and undici 7.30 in a loop).
 */
export class HostClient {
  readonly #client: Client;

  private constructor(socket_path: string) {
    const open = buildConnector({ socketPath: socket_path });
    let is_spent = false;
    this.#client = new Client("http://runner", {
      connect(options, callback) {
        if (is_spent) return callback(new Error("the runner's connection is spent"), null);
        is_spent = true;
        open(options, callback);
      },
      maxHeaderSize: HEAD_BYTES_MAX,
      // How long a run takes is its limits' matter.
      headersTimeout: 0,
      bodyTimeout: 0,
      keepAliveTimeout: IDLE_MS_MAX,
      keepAliveMaxTimeout: IDLE_MS_MAX,
    });
  }

  /** Opens and uses the connection. */
  static async connect(socket_path: string): Promise<HostClient> {
    const client = new HostClient(socket_path);
    await client.ping();
    return client;
  }

  /** Rejects when the connection is gone, or the host says nothing for 2 s (undici's timers: up to half a second more). */
  async ping(): Promise<void> {
    const pong = await this.#send(
      { method: "GET", path: "/ping", headersTimeout: PING_MS_MAX, bodyTimeout: PING_MS_MAX },
      { output: PONG_BYTES_MAX, fault: PONG_BYTES_MAX },
    );
    if (pong === undefined) throw new Error("the host answered a ping at length");
  }

  /**
   * The answer, read to its end. Rejects when the connection breaks, or is closed meanwhile.
   * @param bytes_max  of output.
   * @returns undefined when there was more: the answer may be endless, so reading stops there, and the connection ends.
   */
  run(body: string, host_nonce: string, bytes_max: number): Promise<HostAnswer | undefined> {
    return this.#send(
      { method: "POST", path: "/run", headers: [NONCE_HEADER, host_nonce], body },
      { output: bytes_max, fault: FAULT_BYTES_MAX },
    );
  }

  /** Breaks off what goes on, and ends the connection. */
  close(): void {
    void this.#client.destroy();
  }

  #send(call: Dispatcher.DispatchOptions, most: BodyLimits): Promise<HostAnswer | undefined> {
    return new Promise((resolve, reject) => {
      this.#client.dispatch(call, new Reading(most, resolve, reject));
    });
  }
}

/** Bytes of a body. */
interface BodyLimits {
  output: number;
  fault: number;
}

/** What undici tells of one answer. What throws here breaks the call off, and rejects. */
class Reading implements Dispatcher.DispatchHandler {
  readonly #most: BodyLimits;
  readonly #resolve: (answer: HostAnswer | undefined) => void;
  readonly #reject: (error: Error) => void;
  #abort: () => void = () => {};
  readonly #answer: HostAnswer = {
    ...{ status: 0, outcome: undefined, begun: 0, started: undefined, is_silent: false },
    ...{ head: undefined, body: NOTHING },
  };
  readonly #chunks: Buffer[] = [];
  #bytes = 0;
  #bytes_max = 0;

  constructor(most: BodyLimits, resolve: (answer: HostAnswer | undefined) => void, reject: (error: Error) => void) {
    this.#most = most;
    this.#resolve = resolve;
    this.#reject = reject;
  }

  onConnect(abort: () => void): void {
    this.#abort = abort;
  }

  onHeaders(status: number, raw: Buffer[]): boolean {
    if (status < 200) throw new Error(`the host answered ${status}`); // it knows no interim answers
    const answer = this.#answer;
    answer.status = status;
    for (let i = 0; i + 1 < raw.length; i += 2) {
      const name = String(raw[i]).toLowerCase();
      if (name === OUTCOME_HEADER) this.#hear(String(raw[i + 1]));
      else if (name === HTTP_HEADER) answer.head = JSON.parse(String(raw[i + 1]));
    }
    this.#bytes_max = answer.outcome === "value" || answer.outcome === "http" ? this.#most.output : this.#most.fault;
    return true;
  }

  #hear(words: string): void {
    const answer = this.#answer;
    const [outcome, begun, started, silent] = words.split(" ");
    answer.outcome = outcome as HostOutcome;
    answer.begun = Number(begun);
    // As the guest's isolate says: it may be anything.
    answer.started = Number.isFinite(Number(started)) ? Number(started) : undefined;
    answer.is_silent = silent !== undefined;
  }

  onData(chunk: Buffer): boolean {
    this.#bytes += chunk.length;
    this.#chunks.push(chunk);
    if (this.#bytes > this.#bytes_max) {
      this.#resolve(undefined);
      this.#abort();
    }
    return true;
  }

  onComplete(): void {
    const [first = NOTHING] = this.#chunks;
    this.#answer.body = this.#chunks.length > 1 ? Buffer.concat(this.#chunks, this.#bytes) : first;
    this.#resolve(this.#answer);
  }

  onError(error: Error): void {
    this.#reject(error);
  }
}
