import { connect } from "cloudflare:sockets";
import * as net from "node:net";
import type { Attempt } from "./report.ts";

export interface Targets {
  http: string[];
  tcp: { host: string; port: number };
  /** A file of the host. */
  file: string;
}

export function viaNetwork({ http, tcp }: Targets): Attempt[] {
  return [
    ...http.map((url): Attempt => [`fetch ${url}`, async () => `status ${(await fetch(url)).status}`]),
    ["cloudflare:sockets connect", () => bytesFrom(connect({ hostname: tcp.host, port: tcp.port }))],
    ["WebSocket", () => opened(new WebSocket(`ws://${tcp.host}:${tcp.port}/`))],
    ["node:net connect", () => answered(tcp)],
  ];
}

/** A socket that was let through would answer a request with bytes. */
async function bytesFrom(socket: Socket): Promise<string | undefined> {
  const writer = socket.writable.getWriter();
  await writer.write(new TextEncoder().encode("GET /healthz HTTP/1.0\r\n\r\n"));
  const { value } = await socket.readable.getReader().read();
  return value === undefined ? undefined : `${value.byteLength} bytes`;
}

function opened(socket: WebSocket): Promise<string> {
  return new Promise((resolve, reject) => {
    socket.addEventListener("open", () => resolve("open"));
    socket.addEventListener("error", (event) => reject(new Error(event.message || "error")));
    socket.addEventListener("close", (event) => reject(new Error(`closed, ${event.code}`)));
  });
}

function answered({ host, port }: Targets["tcp"]): Promise<string | undefined> {
  return new Promise((resolve, reject) => {
    const socket = net.connect(port, host, () => socket.write("GET /healthz HTTP/1.0\r\n\r\n"));
    socket.on("data", (data) => resolve(`${data.length} bytes`));
    socket.on("error", reject);
    socket.on("close", () => resolve(undefined));
  });
}
