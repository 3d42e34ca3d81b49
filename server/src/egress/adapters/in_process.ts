import { createServer, type IncomingMessage, request } from "node:http";
import { duplexPair } from "node:stream";
import type { EgressDoor } from "../contract.ts";
import type { HeaderList } from "../parts.ts";

/** A call of our own through a door, as a guest makes it. */
export interface InProcessCall {
  method: string;
  /** Absolute. */
  href: string;
  headers: HeaderList;
  body: Buffer;
}

export interface InProcessAnswer {
  status: number;
  /** Lower case; of several of a name the first. */
  headers: Record<string, string>;
  /** Its beginning, as far as `kept_bytes_max` reaches; the rest is read and dropped. */
  body: Buffer;
}

/**
 * One exchange with a door over a connection that is in memory: the door hears and says what it would over a socket, and
 * no step of it is left out.
 * @throws when the answer broke off.
 */
export async function askDoor(
  door: EgressDoor,
  { method, href, headers, body }: InProcessCall,
  kept_bytes_max: number,
): Promise<InProcessAnswer> {
  const [inner, outer] = duplexPair();
  const server = createServer({ requireHostHeader: false }, (call, answer) => door.request(call, answer));
  server.emit("connection", inner);
  try {
    const answer = await new Promise<IncomingMessage>((resolve, reject) => {
      const call = request({ createConnection: () => outer, method, path: href, setHost: false });
      for (const [name, value] of headers) call.appendHeader(name, value);
      call.appendHeader("content-length", String(body.byteLength));
      call.on("error", reject).on("response", resolve);
      call.end(body);
    });
    return {
      status: answer.statusCode ?? 0,
      headers: firstOf(answer),
      body: await beginningOf(answer, kept_bytes_max),
    };
  } finally {
    outer.destroy();
    inner.destroy();
    server.close();
  }
}

function firstOf({ rawHeaders }: IncomingMessage): Record<string, string> {
  const headers: Record<string, string> = Object.create(null);
  for (let at = 0; at + 1 < rawHeaders.length; at += 2)
    headers[rawHeaders[at]?.toLowerCase() ?? ""] ??= rawHeaders[at + 1] ?? "";
  return headers;
}

async function beginningOf(answer: IncomingMessage, bytes_max: number): Promise<Buffer> {
  const kept: Buffer[] = [];
  let left = bytes_max;
  for await (const chunk of answer as AsyncIterable<Buffer>) {
    if (left > 0) kept.push(chunk.subarray(0, left));
    left -= chunk.byteLength;
  }
  return Buffer.concat(kept);
}
