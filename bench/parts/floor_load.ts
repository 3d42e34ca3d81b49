/** The floor of a run: an unjailed workerd that `load()`s the same program for each call, through the same HTTP client. */
import { spawn } from "node:child_process";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { Agent, request } from "node:http";
import { createRequire } from "node:module";
import { tmpdir } from "node:os";
import { join } from "node:path";

const HOST = `export default { async fetch(request, env) {
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

export interface Floor {
  boot_ms: number;
  call(js: string, input: unknown): Promise<string>;
  close(): void;
}

export async function openFloor(): Promise<Floor> {
  const cwd = mkdtempSync(join(tmpdir(), "gantry-floor-"));
  writeFileSync(join(cwd, "host.js"), HOST);
  writeFileSync(join(cwd, "c.capnp"), CONFIG);
  const { default: workerd } = require("workerd") as { default: string };
  const from = performance.now();
  const child = spawn(workerd, ["serve", "--experimental", "--control-fd=3", "c.capnp"], {
    cwd,
    stdio: ["ignore", "ignore", "inherit", "pipe"],
  });
  process.on("exit", () => child.kill("SIGKILL"));
  await new Promise((resolve) => child.stdio[3]?.once("data", resolve));
  const agent = new Agent({ keepAlive: true });
  return {
    boot_ms: performance.now() - from,
    call: (js, input) =>
      new Promise((resolve, reject) => {
        const call = request({ agent, socketPath: join(cwd, "in.sock"), method: "POST", path: "/" }, (response) => {
          let text = "";
          response.on("data", (part) => (text += part)).on("end", () => resolve(text));
        });
        call.on("error", reject).end(JSON.stringify({ js, input }));
      }),
    close: () => {
      child.kill("SIGKILL");
      rmSync(cwd, { recursive: true, force: true });
    },
  };
}
