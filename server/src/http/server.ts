import { createServer, type RequestListener, type Server, type ServerOptions, STATUS_CODES } from "node:http";
import type { Socket } from "node:net";
import { createAdaptorServer } from "@hono/node-server";
import { assert } from "../kernel/assert.ts";
import type { Clock } from "../kernel/clock.ts";
import { type ErrorKind, GantryError, problemOf } from "../kernel/errors.ts";
import {
  CLOSE_POLL_MS,
  CONNECTIONS_MAX,
  errors,
  HEADER_BYTES_MAX,
  HEADERS_MAX,
  HEADERS_TIMEOUT_MS,
  KEEP_ALIVE_MS,
  REFUSED_CLOSE_MS,
  REQUEST_TIMEOUT_MS,
} from "./contract.ts";
import type { Ahead } from "./fast_path.ts";
import { plainSocket, renewTls, type TlsMaterial, tlsListener } from "./tls.ts";

export interface Listener {
  readonly host: string;
  readonly port: number;
  /** `https:` where there is TLS, and then with `name` where the caller gave one. */
  readonly url: string;
  /** Connections that begin from now on get this certificate. Only for a listener that began with one. */
  renew(material: TlsMaterial): void;
  /**
   * Takes no new connection, lets answers that are on their way be finished for up to `limit_ms`, then cuts the rest.
   * Let runs drain at the same time: requests that wait for them are answered then.
   */
  close(limit_ms: number): Promise<void>;
}

type Fetch = Parameters<typeof createAdaptorServer>[0]["fetch"];

/** What bounds a connection. */
export interface ConnectionLimits {
  headers_max: number;
  headers_timeout_ms: number;
  request_timeout_ms: number;
  keep_alive_ms: number;
  connections_max: number;
}

export const CONNECTION_LIMITS: Readonly<ConnectionLimits> = {
  headers_max: HEADERS_MAX,
  headers_timeout_ms: HEADERS_TIMEOUT_MS,
  request_timeout_ms: REQUEST_TIMEOUT_MS,
  keep_alive_ms: KEEP_ALIVE_MS,
  connections_max: CONNECTIONS_MAX,
};

/**
 * @param app.ahead  default: every request is the app's.
 * @param o.port  0 for any free one.
 * @param o.limits  default `CONNECTION_LIMITS`.
 * @param o.tls  makes it a listener of HTTPS; what speaks HTTP to it is told so.
 * @param o.name  what the URL calls this machine; default: `host`.
 * @throws the system's error, e.g. `EADDRINUSE`.
 */
export async function listen(
  app: { fetch: Fetch; ahead?: Ahead },
  o: {
    host?: string;
    port: number;
    clock: Clock;
    limits?: Partial<ConnectionLimits>;
    tls?: TlsMaterial | undefined;
    name?: string | undefined;
  },
): Promise<Listener> {
  const host = o.host ?? "127.0.0.1";
  const limits = { ...CONNECTION_LIMITS, ...o.limits };
  const tls = o.tls === undefined ? undefined : tlsListener(o.tls, limits.headers_timeout_ms);
  const create = (tls?.createServer ?? createServer) as typeof createServer;
  const aheadOf = (rest: RequestListener) => goAhead(app.ahead, limits.headers_max, rest);
  const server = createAdaptorServer({
    createServer: ((options: ServerOptions, rest: RequestListener) => create(options, aheadOf(rest))) as typeof create,
    fetch: (request, env) => {
      // Node's own `maxHeadersCount` leaves the raw headers whole, and those are what requests are made of.
      const too_many = env.incoming.rawHeaders.length > 2 * limits.headers_max;
      return too_many ? tooManyHeaders(limits.headers_max) : app.fetch(request, env);
    },
    overrideGlobalObjects: false, // the process has other users of Request and Response
    serverOptions: {
      ...tls?.options,
      maxHeaderSize: HEADER_BYTES_MAX,
      headersTimeout: limits.headers_timeout_ms,
      requestTimeout: limits.request_timeout_ms,
      keepAliveTimeout: limits.keep_alive_ms,
      connectionsCheckingInterval: limits.headers_timeout_ms / 2,
    },
  }) as Server;
  server.maxConnections = limits.connections_max;
  server.on("clientError", (error, socket) => refuse(error, socket as Socket, o.clock, tls !== undefined));
  const cut = openConnections(server);
  await new Promise<void>((resolve, reject) => {
    server.once("error", reject);
    server.listen(o.port, host, () => {
      server.off("error", reject);
      resolve();
    });
  });
  const address = server.address();
  assert(typeof address === "object" && address !== null, "a TCP listener has an address and a port");
  const { port } = address;
  const name = o.name ?? host;
  return {
    host,
    port,
    url: `${tls === undefined ? "http" : "https"}://${name.includes(":") ? `[${name}]` : name}:${port}`,
    renew(material) {
      assert(tls !== undefined, "a listener without TLS has no certificate to renew");
      renewTls(server, material);
    },
    close: (limit_ms) => closing(server, o.clock, limit_ms, cut),
  };
}

function goAhead(ahead: Ahead | undefined, headers_max: number, rest: RequestListener): RequestListener {
  if (ahead === undefined) return rest;
  return (incoming, outgoing) => {
    if (incoming.rawHeaders.length > 2 * headers_max) return rest(incoming, outgoing);
    ahead(incoming, outgoing, () => rest(incoming, outgoing));
  };
}

/** Ends every connection that is open when it is called: Node knows of those alone that have spoken HTTP. */
function openConnections(server: Server): () => void {
  const open = new Set<Socket>();
  server.on("connection", (socket: Socket) => {
    open.add(socket);
    socket.once("close", () => open.delete(socket));
  });
  return () => {
    for (const socket of open) socket.destroy();
  };
}

function tooManyHeaders(max: number): Response {
  const error = new GantryError(errors.HEADERS, { detail: `A request may have at most ${max} headers.` });
  const headers = { "content-type": "application/problem+json" };
  return new Response(JSON.stringify(problemOf(error)), { status: errors.HEADERS.status, headers });
}

/** Answers what never became a request: Node's own answer would have no body. */
function refuse(error: Error & { code?: string }, spoke: Socket, clock: Clock, is_tls: boolean): void {
  const socket = plainSocket(error, spoke) ?? spoke;
  // More of the same may still arrive.
  if (socket.writableEnded) return;
  // Node (20) keeps the answer under way here: nothing may be written into the middle of it.
  const { _httpMessage: answer } = socket as { _httpMessage?: { headersSent: boolean } | null };
  if (!socket.writable || answer?.headersSent || error.code === "ECONNRESET") return void socket.destroy();
  const { kind, detail } = faultOf(error.code, is_tls);
  const body = JSON.stringify(problemOf(new GantryError(kind, { detail })));
  const head = [
    `HTTP/1.1 ${kind.status} ${STATUS_CODES[kind.status]}`,
    "content-type: application/problem+json",
    `content-length: ${Buffer.byteLength(body)}`,
    "connection: close",
  ];
  socket.end(`${head.join("\r\n")}\r\n\r\n${body}`);
  // Destroyed at once, the rest that the client sends would reset the connection before it has read the answer.
  const stopWaiting = clock.after(REFUSED_CLOSE_MS, () => socket.destroy());
  socket.once("close", stopWaiting);
}

function faultOf(code: string | undefined, is_tls: boolean): { kind: ErrorKind; detail: string } {
  if (code === "HPE_HEADER_OVERFLOW") {
    const detail = `The request line and headers together may have at most ${HEADER_BYTES_MAX} bytes.`;
    return { kind: errors.HEADERS, detail };
  }
  if (code === "ERR_HTTP_REQUEST_TIMEOUT") {
    const detail = `Headers must arrive within ${HEADERS_TIMEOUT_MS} ms, the whole request within ${REQUEST_TIMEOUT_MS} ms.`;
    return { kind: errors.TIMEOUT, detail };
  }
  if (code === "ERR_SSL_HTTP_REQUEST") {
    return { kind: errors.MALFORMED, detail: "This port speaks HTTPS: begin the URL with https://." };
  }
  return { kind: errors.MALFORMED, detail: `Send requests in HTTP/1.1, ${is_tls ? "over TLS" : "without TLS"}.` };
}

function closing(server: Server, clock: Clock, limit_ms: number, cut: () => void): Promise<void> {
  return new Promise((resolve) => {
    const stopPolling = clock.every(CLOSE_POLL_MS, () => server.closeIdleConnections());
    const stopWaiting = clock.after(limit_ms, cut);
    server.close(() => {
      stopPolling();
      stopWaiting();
      resolve();
    });
    server.closeIdleConnections();
  });
}
