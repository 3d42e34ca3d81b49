import { chownSync } from "node:fs";
import { createServer, type IncomingMessage, type Server, type ServerResponse } from "node:http";
import type { Duplex } from "node:stream";
import { DOOR_HEADER, EGRESS_DOOR, STAMP_HEADER, stampedTunnel } from "../../../../isolate/src/protocol.ts";
import { GantryError, problemOf } from "../../kernel/errors.ts";
import {
  type DoorHandler,
  OUT_CONNECTIONS_MAX,
  OUT_HEAD_BYTES_MAX,
  OUT_HEAD_MS_MAX,
  OUT_HEADERS_MAX,
  runner_errors,
} from "../contract.ts";

/** Where the calls of one run go while it is live. */
export interface LiveDoor {
  durable: Promise<void>;
  handler: DoorHandler;
}

/**
 * Longer than the engine keeps a connection without a call (5 s): who closes first must be the one that makes the calls,
 * or one of them meets the close and fails.
 */
const IDLE_MS = 60_000;

/**
 * The socket that the calls of one runner's guests come out of. What runs in the process may call it as it likes, so
 * nothing that it claims is believed: a call goes to the door whose stamp it carries, while that run is live, and is
 * refused otherwise. All who can have learned a stamp have the same authority. Where nobody shares the process, the socket
 * says whose a call is, and no stamp is looked at. What has been handed on is the door's; nothing is kept of it here.
 */
export class OutSocket {
  readonly #server: Server;
  readonly #doors = new Map<string, LiveDoor>();
  #alone: LiveDoor | undefined;
  /** What is being answered on a connection. */
  readonly #answers = new WeakMap<Duplex, ServerResponse>();

  private constructor(head_ms: number) {
    this.#server = createServer(
      {
        maxHeaderSize: OUT_HEAD_BYTES_MAX,
        // A proxy's caller may leave the host header out: the target is absolute.
        requireHostHeader: false,
        headersTimeout: head_ms,
        connectionsCheckingInterval: head_ms / 2,
        // How long a body may take is for the door to say, which sees it move.
        requestTimeout: 0,
        keepAliveTimeout: IDLE_MS,
      },
      (call, answer) => void this.#request(call, answer),
    );
    this.#server.maxConnections = OUT_CONNECTIONS_MAX;
    // One more than the limit, so that one too many is seen and not silently dropped.
    this.#server.maxHeadersCount = OUT_HEADERS_MAX + 1;
    this.#server.on("clientError", (error: NodeJS.ErrnoException, socket) => this.#fault(error, socket));
    this.#server.on("connect", (call, socket, head) => void this.#raw("connect", call, socket, head));
    this.#server.on("upgrade", (call, socket, head) => void this.#raw("upgrade", call, socket, head));
  }

  /**
   * @param uid  whom the socket belongs to: connecting takes the right to write to it.
   * @param head_ms  how long the head of a call may take to arrive; looked at twice in that time.
   */
  static listen(path: string, uid: number | undefined, head_ms = OUT_HEAD_MS_MAX): Promise<OutSocket> {
    const out = new OutSocket(head_ms);
    return new Promise((resolve, reject) => {
      out.#server.once("error", reject);
      out.#server.listen(path, () => {
        if (uid !== undefined) chownSync(path, uid, uid);
        out.#server.unref();
        resolve(out);
      });
    });
  }

  /** Lets the calls with this stamp through to the door. @returns closes it: later calls are refused. */
  open(stamp: string, door: LiveDoor): () => void {
    this.#doors.set(stamp, door);
    return () => void this.#doors.delete(stamp);
  }

  /** Lets all calls through to the door, of a run that has the process to itself. @returns as of `open` */
  openAlone(door: LiveDoor): () => void {
    this.#alone = door;
    return () => {
      this.#alone = undefined;
    };
  }

  close(): void {
    this.#server.close();
    this.#server.closeAllConnections();
  }

  /** What is not HTTP, or has a head past its limits, costs its own connection; never is a text of ours put into a body. */
  #fault(error: NodeJS.ErrnoException, socket: Duplex): void {
    if (this.#answers.get(socket)?.headersSent === true) socket.destroy();
    else last(socket, `HTTP/1.1 ${HEAD_REFUSALS[error.code ?? ""] ?? "400 Bad Request"}`, "");
  }

  async #request(call: IncomingMessage, answer: ServerResponse): Promise<void> {
    const { socket } = call;
    this.#answers.set(socket, answer);
    answer.once("close", () => this.#answers.delete(socket));
    try {
      if (hasTooManyHeaders(call)) return void answer.writeHead(431, { connection: "close" }).end();
      const handler = await this.#handlerOf(call, takeStamp(call));
      if (answer.destroyed) return; // the guest has gone meanwhile
      if (handler === undefined) refuse(answer);
      else handler.request(call, answer);
    } catch {
      // Its run's admission could not be recorded, so nothing may leave; or its door has failed, and is as if shut.
      if (answer.headersSent) answer.destroy();
      else answer.writeHead(502).end();
    }
  }

  /** @param how  what the call wants the connection for; both leave HTTP behind. */
  async #raw(how: "connect" | "upgrade", call: IncomingMessage, socket: Duplex, head: Buffer): Promise<void> {
    // Node has let the socket go: whoever has it next, and for as long as nobody has, its failure is its own end only.
    socket.on("error", () => {});
    try {
      if (hasTooManyHeaders(call)) return last(socket, "HTTP/1.1 431 Request Header Fields Too Large", "");
      const stamp = how === "connect" ? this.#takeTunnelStamp(call) : takeStamp(call);
      const handler = await this.#handlerOf(call, stamp);
      if (socket.destroyed) return;
      if (handler === undefined) refuseRaw(socket);
      else handler[how](call, socket, head);
    } catch {
      socket.destroy(); // as above
    }
  }

  /**
   * Undefined: whose call it is cannot be told, or is no live run's.
   * @throws what `durable` rejects with
   */
  async #handlerOf(call: IncomingMessage, stamp: string | undefined): Promise<DoorHandler | undefined> {
    if (takeHeader(call, DOOR_HEADER, EGRESS_DOOR) !== EGRESS_DOOR) return undefined;
    const door = this.#doorOf(stamp);
    if (door === undefined) return undefined;
    await door.durable; // no effect before its record
    // The run may have ended while the record was being written.
    return this.#doorOf(stamp) === door ? door.handler : undefined;
  }

  #doorOf(stamp: string | undefined): LiveDoor | undefined {
    return this.#alone ?? (stamp === undefined ? undefined : this.#doors.get(stamp));
  }

  /** Where the process is a run's own, the authority is the guest's, whatever it looks like. */
  #takeTunnelStamp(call: IncomingMessage): string | undefined {
    takeStamp(call);
    const tunnel = this.#alone === undefined ? stampedTunnel(call.url ?? "") : undefined;
    if (tunnel !== undefined) call.url = tunnel.target;
    return tunnel?.stamp;
  }
}

function hasTooManyHeaders({ rawHeaders }: IncomingMessage): boolean {
  return rawHeaders.length / 2 > OUT_HEADERS_MAX;
}

function takeStamp(call: IncomingMessage): string | undefined {
  return takeHeader(call, STAMP_HEADER, undefined);
}

/** What is between the engine and us goes no further. A header that was sent twice has a value that fits nothing. */
function takeHeader<T>(call: IncomingMessage, name: string, absent: T): string | T {
  const value = call.headers[name];
  if (value === undefined) return absent;
  // Node makes both out of `rawHeaders` when they are first looked at, and would then miss the ones removed.
  delete call.headersDistinct[name];
  delete call.headers[name];
  const { rawHeaders } = call;
  for (let at = rawHeaders.length - 2; at >= 0; at -= 2) {
    if (rawHeaders[at]?.toLowerCase() === name) rawHeaders.splice(at, 2);
  }
  return String(value);
}

const HEAD_REFUSALS: Record<string, string> = {
  HPE_HEADER_OVERFLOW: "431 Request Header Fields Too Large",
  ERR_HTTP_REQUEST_TIMEOUT: "408 Request Timeout",
};

const CLOSED_BODY = JSON.stringify(
  problemOf(
    new GantryError(runner_errors.CLOSED, {
      detail: "The call belongs to no run that is under way in this process. A run calls out while it goes on.",
    }),
  ),
);
const CLOSED_HEADERS = { "content-type": "application/problem+json" } as const;

function refuse(answer: ServerResponse): void {
  answer.writeHead(runner_errors.CLOSED.status, CLOSED_HEADERS).end(CLOSED_BODY);
}

function refuseRaw(socket: Duplex): void {
  last(
    socket,
    `HTTP/1.1 ${runner_errors.CLOSED.status} Conflict\r\ncontent-type: application/problem+json`,
    CLOSED_BODY,
  );
}

/** The last that is said on a connection. It is not waited for the other side, which may never close its own. */
function last(socket: Duplex, head: string, body: string): void {
  if (!socket.writable) return void socket.destroy();
  socket.once("finish", () => socket.destroy());
  socket.end(`${head}\r\nconnection: close\r\ncontent-length: ${Buffer.byteLength(body)}\r\n\r\n${body}`);
}
