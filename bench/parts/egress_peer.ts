/** A process of its own for `egress-stream`: a destination with a long answer, and a guest that reads it slowly. */
import { once } from "node:events";
import { createServer, type IncomingMessage, request } from "node:http";
import type { AddressInfo } from "node:net";
import { sleep } from "./measure.ts";

const PIECE = Buffer.alloc(256 * 1024, 7);
/** The reader stops so often, and for so long, as one that does something with what it reads. */
const PAUSE_EACH_BYTES = 16 << 20;
const PAUSE_MS = 10;

export interface PeerAsk {
  socket: string;
  url: string;
}

const upstream = createServer((call, answer) => {
  let left = Number(call.url?.slice(1));
  answer.writeHead(200, { "content-length": left });
  const push = (): void => {
    while (left > 0) {
      left -= PIECE.byteLength;
      if (!answer.write(PIECE)) return void answer.once("drain", push);
    }
    answer.end();
  };
  push();
});
upstream.listen(0, "127.0.0.2");
await once(upstream, "listening");
process.send?.((upstream.address() as AddressInfo).port);
process.on("message", async ({ socket, url }: PeerAsk) => {
  const call = request({ socketPath: socket, path: url, setHost: false }).end();
  const [answer] = (await once(call, "response")) as [IncomingMessage];
  let read = 0;
  let next_pause = PAUSE_EACH_BYTES;
  for await (const chunk of answer as AsyncIterable<Buffer>) {
    read += chunk.byteLength;
    if (read < next_pause) continue;
    next_pause += PAUSE_EACH_BYTES;
    await sleep(PAUSE_MS);
  }
  process.send?.(read);
});
