/** `egress-stream`: what a long answer to a slow reader leaves in memory. */
import { fork } from "node:child_process";
import { once } from "node:events";
import { fileURLToPath } from "node:url";
import { openDoorGround } from "../../tests/fixtures/door_ground.ts";
import type { PeerAsk } from "./egress_peer.ts";
import { table } from "./measure.ts";

const BYTES = 1 << 30;
/** Before, so that code and heap are as in a process that has run for a while. */
const WARM_BYTES = 128 << 20;
const LOOK_EACH_MS = 5;

export async function stream(): Promise<void> {
  const ground = await openDoorGround();
  const peer = fork(fileURLToPath(new URL("egress_peer.ts", import.meta.url)));
  const [port] = (await once(peer, "message")) as [number];
  ground.dns.addresses("api.example", ["127.0.0.2"], 60);
  const here = { private: true as const, addresses: ["127.0.0.2"], response_bytes_max: BYTES };
  const { socket } = await ground.open([{ hosts: ["api.example"], protocol: "http", ports: [port], ...here }], {
    contract: { budgets: { egress_calls_max: 10, egress_bytes_max: 3 * BYTES } },
  });
  const read = async (bytes: number): Promise<void> => {
    peer.send({ socket, url: `http://api.example:${port}/${bytes}` } satisfies PeerAsk);
    const [got] = (await once(peer, "message")) as [number];
    if (got !== bytes) throw new Error(`${got} of ${bytes} bytes arrived`);
  };
  await read(WARM_BYTES);
  const before = process.memoryUsage.rss();
  let most = before;
  const looking = setInterval(() => {
    most = Math.max(most, process.memoryUsage.rss());
  }, LOOK_EACH_MS);
  const began = performance.now();
  await read(BYTES);
  const seconds = (performance.now() - began) / 1_000;
  clearInterval(looking);
  console.log("1 GiB through the door to a slow reader in another process (MiB)");
  table(
    ["", "MiB"],
    [
      ["more memory at most", (most - before) / 2 ** 20],
      ["per second", BYTES / 2 ** 20 / seconds],
    ],
  );
  peer.kill();
  await ground.remove();
}
