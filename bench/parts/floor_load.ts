/** The floor of a run: unjailed workerd that `load()`s the same program for each call, through the server's own client. */
import { spawn } from "node:child_process";
import { once } from "node:events";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { createRequire } from "node:module";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { HostClient, PING_MS } from "../../server/src/execution/adapters/host_client.ts";

const HOST = `export default { async fetch(request, env) {
  if (request.method === "GET") return new Response("pong");
  const { js, input } = await request.json();
  const worker = env.LOADER.load({ compatibilityDate: "2026-07-01", mainModule: "main.js", globalOutbound: null,
    modules: { "main.js": 'import guest from "guest.js"; export default { async fetch(r) { return Response.json(await guest(await r.json())) } }', "guest.js": js } });
  return worker.getEntrypoint().fetch("http://run/", { method: "POST", body: JSON.stringify(input) });
} };`;
const CONFIG = `using Workerd = import "/workerd/workerd.capnp";
const config :Workerd.Config = (
  services = [(name = "host", worker = (modules = [(name = "host.js", esModule = embed "host.js")],
    compatibilityDate = "2026-07-01", compatibilityFlags = ["experimental"],
    bindings = [(name = "LOADER", workerLoader = (id = "runs"))]))],
  sockets = [(name = "in", address = "unix:in.sock", http = (), service = "host")]);`;
const require = createRequire(new URL("../../server/package.json", import.meta.url));

export type Floor = Awaited<ReturnType<typeof openFloor>>;

export async function openFloor() {
  const cwd = mkdtempSync(join(tmpdir(), "gantry-floor-"));
  writeFileSync(join(cwd, "host.js"), HOST);
  writeFileSync(join(cwd, "c.capnp"), CONFIG);
  const { default: workerd } = require("workerd") as { default: string };
  const args = ["serve", "--experimental", "--control-fd=3", "c.capnp"];
  const from = performance.now();
  const child = spawn(workerd, args, { cwd, stdio: ["ignore", "ignore", "inherit", "pipe"] });
  const close = (): void => {
    process.off("exit", close);
    child.kill("SIGKILL");
    rmSync(cwd, { recursive: true, force: true });
  };
  process.on("exit", close);
  await once(child.stdio[3] as NodeJS.EventEmitter, "data");
  const boot_ms = performance.now() - from;
  const connect = (): Promise<HostClient> => HostClient.connect(join(cwd, "in.sock"));
  let client = await connect();
  const again = async (): Promise<void> => {
    client = await connect(); // a runner whose connection broke would be replaced as a whole
  };
  setInterval(() => client.ping().catch(again).catch(close), PING_MS).unref();
  const call = async (js: string, input: unknown): Promise<string> => {
    const answer = await client.run(JSON.stringify({ js, input }), "floor", 1024 * 1024);
    return String(answer?.body);
  };
  return { pid: child.pid ?? 0, boot_ms, call, close };
}
