/** The control plane in a process of its own (`control_plane.ts`), and a caller of it. */
import { type ChildProcess, fork } from "node:child_process";
import { once } from "node:events";
import { Agent, request } from "node:http";
import { fileURLToPath } from "node:url";
import type { Spent } from "./cpu.ts";

const body = JSON.stringify({
  code: { source: "export default (input) => ({ sum: input.a + input.b });" },
  input: { a: 1, b: 2 },
  on_busy: "delay",
});

export interface Plane {
  run(): Promise<void>;
  spent(): Promise<Spent>;
  close(): Promise<void>;
}

/** @param ledger  `none`: nothing is recorded, to see what recording costs. */
export async function openPlane(ledger: "sealed" | "none" = "sealed"): Promise<Plane> {
  const child = fork(fileURLToPath(new URL("control_plane.ts", import.meta.url)), [ledger]);
  process.on("exit", () => child.kill("SIGKILL")); // a bench that fails leaves nothing running
  const { url, secret } = (await answer(child)) as { url: string; secret: string };
  const { hostname, port } = new URL(url);
  const agent = new Agent({ keepAlive: true });
  const headers = {
    authorization: `Bearer ${secret}`,
    "content-type": "application/json",
    "content-length": Buffer.byteLength(body),
  };
  const run = (): Promise<void> =>
    new Promise((resolve, reject) => {
      const o = { agent, host: hostname, port, method: "POST", path: "/v1/runs", headers };
      const call = request(o, (response) => {
        response.resume().on("end", () => {
          if (response.statusCode === 200) resolve();
          else reject(new Error(`answered ${response.statusCode}`));
        });
      });
      call.on("error", reject).end(body);
    });
  return {
    run,
    async spent() {
      child.send("spent");
      return (await answer(child)) as Spent;
    },
    async close() {
      child.send("close");
      await once(child, "exit");
    },
  };
}

async function answer(child: ChildProcess): Promise<unknown> {
  const [message] = await once(child, "message");
  return message;
}
