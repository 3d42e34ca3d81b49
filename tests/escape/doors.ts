import { createHash } from "node:crypto";
import type { IncomingMessage, ServerResponse } from "node:http";
import type { Duplex } from "node:stream";
import type { DoorHandler } from "../../server/src/execution/contract.ts";
import type { RunOptions } from "../fixtures/jailed_pool.ts";

export const LONG_MS = 60_000;
export const MB = 1024 * 1024;
/** What a guest may need in which much passes: its collector is in no hurry. */
export const ROOMY = { memory_mb: 512, cpu_ms: 20_000, wall_ms: LONG_MS };

/** Where the tests of doors run their guests. */
export interface DoorGround {
  /** Runs the body of a function of `input`, after what stands in `head`. @returns what the function returns. */
  guest(door: SeeingDoor, body: string, o?: RunOptions & { head?: string }): Promise<unknown>;
  /** Is the guest's process its own? */
  isAlone: boolean;
}

/** A call as it came to the door. */
export interface Seen {
  how: "request" | "connect" | "upgrade";
  method: string | undefined;
  url: string | undefined;
  headers: IncomingMessage["headers"];
  raw: string[];
  distinct: IncomingMessage["headersDistinct"];
}

export interface SeeingDoor extends DoorHandler {
  readonly seen: Seen[];
  /** Tunnels and WebSockets that are open now. */
  readonly open: Set<Duplex>;
  /** The most that were open at once. */
  most: number;
}

/** A door that tells of each call before it answers; what `parts` leaves out is refused. */
export function seeingDoor(parts: Partial<DoorHandler>): SeeingDoor {
  const door: SeeingDoor = {
    seen: [],
    open: new Set(),
    most: 0,
    request(call, answer) {
      note("request", call);
      if (parts.request === undefined) answer.writeHead(403).end();
      else parts.request(call, answer);
    },
    connect: (call, socket, head) => raw("connect", call, socket, head),
    upgrade: (call, socket, head) => raw("upgrade", call, socket, head),
  };
  const note = (how: Seen["how"], call: IncomingMessage): void => {
    const { method, url, headers, rawHeaders, headersDistinct } = call;
    door.seen.push({ how, method, url, headers, raw: rawHeaders, distinct: headersDistinct });
  };
  const raw = (how: "connect" | "upgrade", call: IncomingMessage, socket: Duplex, head: Buffer): void => {
    note(how, call);
    door.open.add(socket);
    door.most = Math.max(door.most, door.open.size);
    socket.on("close", () => void door.open.delete(socket));
    const answer = parts[how];
    if (answer === undefined) refuseRaw(socket);
    else answer(call, socket, head);
  };
  return door;
}

/** Reads the call to its end, and answers. */
export function ok(call: IncomingMessage, answer: ServerResponse): void {
  call.on("end", () => answer.end("ok")).resume();
}

export function refuseRaw(socket: Duplex): void {
  socket.once("finish", () => socket.destroy());
  socket.end("HTTP/1.1 403 Forbidden\r\ncontent-length: 3\r\nconnection: close\r\n\r\nno!");
}

export const accepted = (socket: Duplex): void => void socket.write("HTTP/1.1 200 OK\r\n\r\n");

/** A tunnel that sends back what it gets, and ends when the guest's side has ended. */
export function echoTunnel(_call: IncomingMessage, socket: Duplex, head: Buffer): void {
  accepted(socket);
  socket.write(head);
  socket.pipe(socket);
}

/** Its accept key is RFC 6455, section 4.2.2. */
const WEBSOCKET_GUID = "258EAFA5-E914-47DA-95CA-C5AB0DC85B11";

/** Of the text that the WebSocket below closes at, and how: a close frame with the code 4001. */
export const BYE = "bye";
const CLOSE_FRAME = Buffer.from([0x88, 2, 4001 >> 8, 4001 & 255]);

/** A WebSocket that sends back each frame it gets, unmasked, and ends after a close frame (RFC 6455, section 5.2). */
export function echoWebSocket(call: IncomingMessage, socket: Duplex, head: Buffer): void {
  const key = createHash("sha1").update(`${call.headers["sec-websocket-key"]}${WEBSOCKET_GUID}`).digest("base64");
  socket.write(
    `HTTP/1.1 101 Switching Protocols\r\nupgrade: websocket\r\nconnection: upgrade\r\nsec-websocket-accept: ${key}\r\n\r\n`,
  );
  let held = Buffer.from(head);
  socket.on("data", (chunk: Buffer) => {
    held = Buffer.concat([held, chunk]);
    for (let frame = frameOf(held); frame !== undefined; frame = frameOf(held)) {
      held = held.subarray(frame.bytes);
      socket.write(frame.answer.subarray(2).toString() === BYE ? CLOSE_FRAME : frame.answer);
      if (frame.is_close) socket.end();
    }
  });
  socket.on("end", () => socket.end());
}

function frameOf(held: Buffer): { bytes: number; answer: Buffer; is_close: boolean } | undefined {
  if (held.length < 2) return undefined;
  const first = held.readUInt8(0);
  const short = held.readUInt8(1) & 127;
  const extra = short === 126 ? 2 : short === 127 ? 8 : 0;
  if (held.length < 2 + extra + 4) return undefined;
  const length = extra === 0 ? short : extra === 2 ? held.readUInt16BE(2) : Number(held.readBigUInt64BE(2));
  const start = 2 + extra + 4;
  if (held.length < start + length) return undefined;
  const mask = held.subarray(2 + extra, start);
  const payload = Buffer.from(held.subarray(start, start + length));
  for (let at = 0; at < length; at += 1) payload[at] = (payload[at] ?? 0) ^ (mask[at % 4] ?? 0);
  const head = Buffer.concat([Buffer.from([first, short]), held.subarray(2, 2 + extra)]);
  return { bytes: start + length, answer: Buffer.concat([head, payload]), is_close: (first & 15) === 8 };
}

/** The same bytes wherever they are made, others in each block. `BLOCK_SOURCE` makes them in guests. */
export function block(at: number): Buffer {
  const bytes = Buffer.alloc(BLOCK_BYTES);
  let word = (at * 2_654_435_761) >>> 0;
  for (let i = 0; i < BLOCK_BYTES; i += 4) {
    word = (Math.imul(word, 1_664_525) + 1_013_904_223) >>> 0;
    bytes.writeUInt32LE(word, i);
  }
  return bytes;
}

export const BLOCK_BYTES = 64 * 1024;
export const BLOCKS = 1_024;

export const BLOCK_SOURCE = `
  const BLOCK_BYTES = ${BLOCK_BYTES}, BLOCKS = ${BLOCKS};
  const block = (at) => {
    const words = new Uint32Array(BLOCK_BYTES / 4);
    let word = (at * 2654435761) >>> 0;
    for (let i = 0; i < words.length; i++) words[i] = word = (Math.imul(word, 1664525) + 1013904223) >>> 0;
    return new Uint8Array(words.buffer);
  };`;

export function hashOfBlocks(): string {
  const hash = createHash("sha256");
  for (let at = 0; at < BLOCKS; at += 1) hash.update(block(at));
  return hash.digest("hex");
}
