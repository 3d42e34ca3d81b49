/** `egress-stream`: what a long answer to a slow reader leaves in memory. */
import { once } from "node:events";
import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import { openDoorGround } from "../../tests/fixtures/door_ground.ts";
import { table } from "./measure.ts";

const BYTES = 1 << 30;
const PIECE = Buffer.alloc(256 * 1024, 7);
/** The reader stops so often, and for so long, as one that does something with what it reads. */
const PAUSE_EACH_BYTES = 16 << 20;
const PAUSE_MS = 10;

export async function stream(): Promise<void> {
  const ground = await openDoorGround();
  const upstream = createServer((_call, answer) => {
    answer.writeHead(200, { "content-length": BYTES });
    let left = BYTES;
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
  const { port } = upstream.address() as AddressInfo;
  ground.dns.addresses("api.example", ["127.0.0.2"], 60);
  const { call } = await ground.open(
    [
      {
        hosts: ["api.example"],
        protocol: "http",
        ports: [port],
        private: true,
        addresses: ["127.0.0.2"],
        response_bytes_max: BYTES,
      },
    ],
    { contract: { budgets: { egress_calls_max: 2, egress_bytes_max: 2 * BYTES } } },
  );
  const began = performance.now();
  const answer = await call(`http://api.example:${port}/`);
  let read = 0;
  let next_pause = PAUSE_EACH_BYTES;
  const before = process.memoryUsage().rss;
  let most = before;
  for await (const chunk of answer.body as AsyncIterable<Buffer>) {
    read += chunk.byteLength;
    most = Math.max(most, process.memoryUsage.rss());
    if (read < next_pause) continue;
    next_pause += PAUSE_EACH_BYTES;
    await new Promise((resolve) => setTimeout(resolve, PAUSE_MS));
  }
  const seconds = (performance.now() - began) / 1_000;
  console.log("1 GiB to a slow reader; client, door and destination in one process");
  table(
    ["", "MiB"],
    [
      ["more memory at most", (most - before) / 2 ** 20],
      ["per second", read / 2 ** 20 / seconds],
    ],
  );
  upstream.closeAllConnections();
  upstream.close();
  await ground.remove();
}
