import { createSocket, type Socket as DatagramSocket } from "node:dgram";
import { mkdtemp, rm } from "node:fs/promises";
import { createServer, type Server } from "node:http";
import { type AddressInfo, connect } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";

/** How long a listener may take to notice that it was hit. */
const HIT_MS_MAX = 5_000;
const HOST = "127.0.0.1";
const HOST_6 = "::1";

/** Listeners on this machine that nothing should ever reach but `prove`. */
export interface Canaries {
  /** Where TCP and HTTP listen, on 127.0.0.1 and, where the machine has it, ::1; datagrams arrive on the same port. */
  host: string;
  port: number;
  /** Of a unix socket; empty where none could be opened. */
  socket: string;
  /** Connections and datagrams so far. */
  hits(): number;
  close(): Promise<void>;
}

interface Counter {
  hits: number;
}

/**
 * Opens them on a free port, and hits each from here, so that silence means something: they are counted from 0 after that.
 * @throws Error when one does not notice that it was hit.
 */
export async function openCanaries(): Promise<Canaries> {
  const counter: Counter = { hits: 0 };
  const closers: (() => Promise<void>)[] = [];
  const close = async (): Promise<void> => {
    for (const one of closers.splice(0).reverse()) await one();
  };
  try {
    const http = await listenHttp(counter, { host: HOST, port: 0 }, closers);
    const { port } = http.address() as AddressInfo;
    const has_6 = await optional(listenHttp(counter, { host: HOST_6, port, ipv6Only: true }, closers));
    await listenDatagrams(counter, port, closers);
    const directory = await mkdtemp(join(tmpdir(), "gantry-canary-"));
    closers.push(() => rm(directory, { recursive: true, force: true }));
    const path = join(directory, "s");
    const socket = (await optional(listenHttp(counter, { path }, closers))) ? path : "";
    await prove(counter, [
      () => knock({ host: HOST, port }),
      ...(has_6 ? [() => knock({ host: HOST_6, port })] : []),
      ...(socket === "" ? [] : [() => knock({ path: socket })]),
      () => send(port),
    ]);
    counter.hits = 0;
    return { host: HOST, port, socket, hits: () => counter.hits, close };
  } catch (error) {
    await close();
    throw error;
  }
}

async function listenHttp(
  counter: Counter,
  at: { host: string; port: number; ipv6Only?: boolean } | { path: string },
  closers: (() => Promise<void>)[],
): Promise<Server> {
  const server = createServer((_request, response) => response.end("sung"));
  server.on("connection", () => {
    counter.hits += 1;
  });
  await new Promise<void>((resolve, reject) => server.once("error", reject).listen(at, resolve));
  closers.push(
    () =>
      new Promise((resolve) => {
        server.close(() => resolve());
        server.closeAllConnections();
      }),
  );
  return server;
}

async function listenDatagrams(counter: Counter, port: number, closers: (() => Promise<void>)[]): Promise<void> {
  const socket: DatagramSocket = createSocket("udp4").on("message", () => {
    counter.hits += 1;
  });
  await new Promise<void>((resolve, reject) => socket.once("error", reject).bind(port, HOST, resolve));
  closers.push(() => new Promise((resolve) => socket.close(() => resolve())));
}

/** Not every machine has IPv6, and not every one unix sockets. */
async function optional(opening: Promise<unknown>): Promise<boolean> {
  return opening.then(
    () => true,
    () => false,
  );
}

async function prove(counter: Counter, hitting: (() => Promise<void>)[]): Promise<void> {
  for (const hit of hitting) {
    const before = counter.hits;
    await hit();
    for (const end = performance.now() + HIT_MS_MAX; counter.hits === before; ) {
      if (performance.now() > end) throw new Error("A canary did not notice that it was hit from here.");
      await new Promise((resolve) => setImmediate(resolve));
    }
  }
}

function knock(at: { host: string; port: number } | { path: string }): Promise<void> {
  return new Promise((resolve, reject) => {
    const socket = connect(at, () => socket.end(resolve)).once("error", reject);
  });
}

async function send(port: number): Promise<void> {
  const sender = createSocket("udp4");
  await new Promise<void>((resolve, reject) => {
    sender.send("x", port, HOST, (error) => (error === null ? resolve() : reject(error)));
  });
  sender.close();
}
