import { Agent, type IncomingMessage, request } from "node:http";
import { createConnection } from "node:net";
import { Duplex } from "node:stream";
import { HTTP_HEAD_MAX, NONCE_HEADER } from "../../../../isolate/src/protocol.ts";

/**
 * Connections to a runner, all opened and used once at boot. A process serves one run at a time, and one whose call had
 * to be broken off is not used again, so one is enough.
 */
export const RUNNER_CONNECTIONS = 1;
/** workerd closes a connection that has never been used after about 15 s (measured); a used one is kept awake. */
export const PING_MS = 5_000;
/** Twice the longest head that the host worker sends: its own limit, not Node's 16 KiB, must be the one that is met. */
const HEAD_BYTES_MAX = 2 * HTTP_HEAD_MAX;
const PING_MS_MAX = 2_000;

/**
 * An agent that opens its connections at boot and none afterwards: code that escaped V8 could put a symlink to another
 * socket in the place of ours, and a later connection would follow it.
 */
class PrimedAgent extends Agent {
  #sealed = false;
  readonly #path: string;

  constructor(path: string) {
    super({ keepAlive: true, maxSockets: RUNNER_CONNECTIONS, maxFreeSockets: RUNNER_CONNECTIONS, scheduling: "fifo" });
    this.#path = path;
  }

  /** Node calls this from a socket's own events too, where a throw would end our process: a refusal is called back. */
  override createConnection(
    _options: object,
    refuse?: (error: Error | null, socket: Duplex) => void,
  ): Duplex | undefined {
    if (!this.#sealed) return createConnection(this.#path);
    refuse?.(new Error("the runner's connections are spent"), Duplex.prototype);
    return undefined;
  }

  seal(): void {
    this.#sealed = true;
  }
}

/** Talks to the host worker of one runner over its in-socket. */
export class HostClient {
  readonly #agent: PrimedAgent;

  private constructor(agent: PrimedAgent) {
    this.#agent = agent;
  }

  /** Opens and uses every connection; afterwards none is ever opened again. */
  static async connect(socket_path: string): Promise<HostClient> {
    const agent = new PrimedAgent(socket_path);
    const client = new HostClient(agent);
    await client.ping();
    agent.seal();
    return client;
  }

  /** Rejects when a connection is gone or does not answer within 2 s. */
  async ping(): Promise<void> {
    await Promise.all(
      Array.from({ length: RUNNER_CONNECTIONS }, async () => {
        const response = await this.#send("GET", "/ping", { signal: AbortSignal.timeout(PING_MS_MAX) });
        for await (const _ of response) {
          // Read to the end, so that the connection is free again.
        }
      }),
    );
  }

  /** The response as soon as its head is there. Aborting the signal destroys the connection. */
  run(body: string, host_nonce: string, signal: AbortSignal): Promise<IncomingMessage> {
    return this.#send("POST", "/run", { body, signal, headers: { [NONCE_HEADER]: host_nonce } });
  }

  close(): void {
    this.#agent.destroy();
  }

  #send(
    method: string,
    path: string,
    o: { body?: string; signal: AbortSignal; headers?: Record<string, string> },
  ): Promise<IncomingMessage> {
    const { body, ...rest } = o;
    return new Promise((resolve, reject) => {
      const call = request(
        { agent: this.#agent, method, path, host: "runner", maxHeaderSize: HEAD_BYTES_MAX, ...rest },
        resolve,
      );
      call.on("error", reject);
      call.end(body);
    });
  }
}
