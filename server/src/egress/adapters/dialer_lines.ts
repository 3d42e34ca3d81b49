import type { Socket } from "node:net";
import { Duplex } from "node:stream";
import { Client } from "undici";
import { assert } from "../../kernel/assert.ts";
import type { Clock } from "../../kernel/clock.ts";
import { CONNECTIONS_IDLE_MAX, CONNECTIONS_IDLE_MS_MAX, EGRESS_HEADER_BYTES_MAX } from "../contract.ts";
import type { Dialled } from "./dial.ts";

/** What may change something is not sent on a connection that was idle for longer: servers close them, mostly after 5 s. */
const FRESH_MS = 1_000;

const NOTHING = Buffer.alloc(0);

/** One connection, and undici's parser on it. It serves one exchange at a time. */
export class Line {
  readonly key: string;
  readonly socket: Socket;
  readonly #wire: Socket;
  readonly client: Client;
  #idle_since = 0;
  /** Has it served an exchange before? */
  served = false;
  /** What the socket died of, known before undici knows it. */
  broke: Error | undefined;

  /** @param dialled  connected, and listened to by nobody yet. */
  constructor(key: string, { socket, wire }: Dialled) {
    this.key = key;
    this.socket = socket;
    this.#wire = wire;
    // First of all listeners. undici 7.30 takes a reset for the end of an answer without a length, and asserts when it
    // has paused such an answer; under another name it is an error like others.
    socket.on("error", (error: NodeJS.ErrnoException) => {
      this.broke = error;
      if (error.code === "ECONNRESET") error.code = "EGRESS_RESET";
    });
    let given = false;
    // The origin only makes up a `host` that is always overwritten; `http` keeps undici from TLS of its own.
    this.client = new Client("http://destination", {
      connect: (_options, callback) => {
        if (given) return callback(new Error("the connection is gone"), null);
        given = true;
        // undici asks in the middle of looking what is to be done, and does not look again in the same turn.
        queueMicrotask(() => callback(null, socket));
      },
      maxHeaderSize: EGRESS_HEADER_BYTES_MAX,
      headersTimeout: 0,
      bodyTimeout: 0,
      keepAliveTimeout: CONNECTIONS_IDLE_MS_MAX,
      keepAliveMaxTimeout: CONNECTIONS_IDLE_MS_MAX,
    });
  }

  get alive(): boolean {
    return !this.socket.destroyed && this.broke === undefined;
  }

  rest(at: number): void {
    this.served = true;
    this.#idle_since = at;
  }

  idle(at: number): number {
    return at - this.#idle_since;
  }

  /**
   * Was the end of this connection a reset? libuv 1.46 tells of a reset that comes together with bytes as of an end,
   * without a look at the socket's error. To write nothing sends nothing, and finds that error.
   */
  probe(told: (reset: Error | undefined) => void): void {
    // Below TLS, which may have let it pass. The socket's own `write` refuses after an end, though its half is still open.
    const write: (bytes: Buffer, done: (error?: Error | null) => void) => boolean = Duplex.prototype.write;
    write.call(this.#wire, NOTHING, (error) => {
      if (error != null) this.broke ??= error;
      told(error ?? undefined);
    });
  }

  /** Always with an error: undici takes a close without one for the end of an answer without a length. */
  destroy(error: Error): void {
    this.broke ??= error;
    this.socket.destroy(error);
  }
}

/** Connections without an exchange, at most `CONNECTIONS_IDLE_MAX`; the one that has waited longest goes first. */
export class KeptLines {
  readonly #clock: Clock;
  readonly #idle = new Map<string, Line[]>();
  /** In the order in which they came to rest. */
  readonly #order = new Set<Line>();
  #closed = false;

  constructor(clock: Clock) {
    this.#clock = clock;
  }

  /** The one that rested last. Dead ones are forgotten on the way. */
  take(key: string, safe: boolean): Line | undefined {
    const lines = this.#idle.get(key);
    for (let line = lines?.pop(); line !== undefined; line = lines?.pop()) {
      this.#order.delete(line);
      if (lines?.length === 0) this.#idle.delete(key);
      if (!line.alive) continue;
      if (safe || line.idle(this.#clock.monotonic()) <= FRESH_MS) return line;
      line.destroy(new Error("idle for too long to be trusted with this call"));
    }
    return undefined;
  }

  rest(line: Line): void {
    if (!line.alive) return;
    if (this.#closed) {
      line.destroy(new Error("closed"));
      return;
    }
    assert(!this.#order.has(line), "a connection rests once");
    if (!line.served) line.socket.once("close", () => this.#forget(line));
    line.rest(this.#clock.monotonic());
    const lines = this.#idle.get(line.key);
    if (lines === undefined) this.#idle.set(line.key, [line]);
    else lines.push(line);
    this.#order.add(line);
    if (this.#order.size <= CONNECTIONS_IDLE_MAX) return;
    const [oldest] = this.#order;
    if (oldest === undefined) return;
    this.#forget(oldest);
    oldest.destroy(new Error("too many idle connections"));
  }

  get size(): number {
    return this.#order.size;
  }

  close(): void {
    this.#closed = true;
    for (const line of this.#order) line.destroy(new Error("closed"));
    this.#order.clear();
    this.#idle.clear();
  }

  #forget(line: Line): void {
    if (!this.#order.delete(line)) return;
    const lines = this.#idle.get(line.key)?.filter((each) => each !== line) ?? [];
    if (lines.length === 0) this.#idle.delete(line.key);
    else this.#idle.set(line.key, lines);
  }
}
