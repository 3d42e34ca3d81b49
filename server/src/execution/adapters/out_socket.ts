import { chownSync } from "node:fs";
import { createServer, type IncomingMessage, type Server, type ServerResponse } from "node:http";
import type { Socket } from "node:net";
import { Readable } from "node:stream";
import type { ReadableStream } from "node:stream/web";
import { STAMP_HEADER } from "../../../../isolate/src/protocol.ts";
import {
  type DoorHandler,
  OUT_CONNECTIONS_MAX,
  OUT_HEAD_BYTES_MAX,
  OUT_HEADERS_MAX,
  runner_errors,
} from "../contract.ts";

/** Where the calls of one run go while it is live. */
export interface LiveDoor {
  durable: Promise<void>;
  handler: DoorHandler;
}

/** Of the connection itself, not of the call: RFC 9110, section 7.6.1, and what `fetch` sets by itself. */
const HOP_BY_HOP = new Set([
  "connection",
  "keep-alive",
  "proxy-connection",
  "te",
  "trailer",
  "transfer-encoding",
  "upgrade",
  "host",
]);

/**
 * The socket that the calls of one runner's guests come out of. What runs in the process may call it as it likes, so
 * nothing that it claims is believed: a call is answered by the door whose stamp it carries, while that run is live, and
 * refused otherwise. All who can have learned a stamp have the same authority.
 */
export class OutSocket {
  readonly #server: Server;
  readonly #doors = new Map<string, LiveDoor>();

  private constructor() {
    // A proxy's caller may leave the host header out: the target is absolute.
    const head = { maxHeaderSize: OUT_HEAD_BYTES_MAX, requireHostHeader: false };
    this.#server = createServer(head, (call, answer) => void this.#answer(call, answer));
    this.#server.maxConnections = OUT_CONNECTIONS_MAX;
    // One more than the limit, so that one too many is seen and not silently dropped.
    this.#server.maxHeadersCount = OUT_HEADERS_MAX + 1;
    this.#server.on("clientError", (error: NodeJS.ErrnoException, socket) => refuseHead(error, socket as Socket));
    for (const event of ["connect", "upgrade"] as const) {
      this.#server.on(event, (_call, socket) =>
        socket.end("HTTP/1.1 501 Not Implemented\r\nconnection: close\r\n\r\n"),
      );
    }
  }

  /** @param uid  whom the socket belongs to: connecting takes the right to write to it. */
  static listen(path: string, uid: number | undefined): Promise<OutSocket> {
    const out = new OutSocket();
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

  close(): void {
    this.#server.close();
    this.#server.closeAllConnections();
  }

  async #answer(call: IncomingMessage, answer: ServerResponse): Promise<void> {
    try {
      if (call.rawHeaders.length / 2 > OUT_HEADERS_MAX) {
        return void answer.writeHead(431, { connection: "close" }).end();
      }
      const stamp = call.headers[STAMP_HEADER];
      const door = typeof stamp === "string" ? this.#doors.get(stamp) : undefined;
      if (door === undefined) return refused(answer);
      await door.durable; // no effect before its record
      // The run may have ended while the record was being written.
      if (this.#doors.get(stamp as string) !== door) return refused(answer);
      await send(await door.handler(requestOf(call)), answer);
    } catch {
      if (answer.headersSent) answer.destroy();
      else answer.writeHead(502).end();
    }
  }
}

/** What is not HTTP, or has a head past its limit, costs its own connection. */
function refuseHead(error: NodeJS.ErrnoException, socket: Socket): void {
  const status = error.code === "HPE_HEADER_OVERFLOW" ? "431 Request Header Fields Too Large" : "400 Bad Request";
  if (socket.writable) socket.end(`HTTP/1.1 ${status}\r\nconnection: close\r\n\r\n`);
}

function refused(answer: ServerResponse): void {
  const { code, title, status } = runner_errors.CLOSED;
  answer.writeHead(status, { "content-type": "application/problem+json" });
  answer.end(JSON.stringify({ code, title, status }));
}

/** The engine speaks to this socket as to a proxy: the target is the guest's own URL, absolute. */
function requestOf(call: IncomingMessage): Request {
  const headers = new Headers();
  for (let i = 0; i < call.rawHeaders.length; i += 2) {
    const [name = "", value = ""] = call.rawHeaders.slice(i, i + 2);
    if (!HOP_BY_HOP.has(name.toLowerCase()) && name.toLowerCase() !== STAMP_HEADER) headers.append(name, value);
  }
  const method = call.method ?? "GET";
  if (method === "GET" || method === "HEAD") return new Request(call.url ?? "", { method, headers });
  const body = Readable.toWeb(call) as unknown as RequestInit["body"];
  return new Request(call.url ?? "", { method, headers, body, duplex: "half" } as RequestInit);
}

async function send(response: Response, answer: ServerResponse): Promise<void> {
  const headers = [...response.headers].filter(([name]) => !HOP_BY_HOP.has(name));
  answer.writeHead(response.status, headers.flat());
  if (response.body !== null) {
    for await (const chunk of Readable.fromWeb(response.body as unknown as ReadableStream)) {
      if (!answer.write(chunk)) await new Promise((resolve) => answer.once("drain", resolve).once("close", resolve));
      if (answer.destroyed) return;
    }
  }
  answer.end();
}
