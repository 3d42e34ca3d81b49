import { type ChildProcess, spawn } from "node:child_process";
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { Agent, request } from "node:http";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createInterface } from "node:readline";
import type { Readable } from "node:stream";
import { fileURLToPath } from "node:url";
import type { RunView } from "../../sdk/src/types.ts";

/** A real server in a process of its own, and a client that keeps its connections. */
export interface GantryServer {
  pid: number;
  run(body: object): Promise<RunView>;
  close(): Promise<void>;
}

export async function openGantry(config: object): Promise<GantryServer> {
  const data = mkdtempSync(join(tmpdir(), "gantry-bench-"));
  writeFileSync(join(data, "config.yaml"), JSON.stringify({ log_level: "error", ...config }));
  const server = fileURLToPath(new URL("../../dist/server.js", import.meta.url));
  const args = [
    server,
    "up",
    "--data",
    join(data, "d"),
    "--port",
    "0",
    "--ready-fd",
    "3",
    "--config",
    join(data, "config.yaml"),
  ];
  const child = spawn(process.execPath, args, { stdio: ["ignore", "ignore", "inherit", "pipe"] });
  process.on("exit", () => child.kill("SIGKILL")); // a bench that fails leaves nothing running
  const { url, token_file } = await readyLine(child);
  const { port } = new URL(url);
  const authorization = `Bearer ${readFileSync(token_file, "utf8").trim()}`;
  const agent = new Agent({ keepAlive: true });
  return {
    pid: child.pid ?? 0,
    run: (body) =>
      new Promise((resolve, reject) => {
        const headers = { authorization, "content-type": "application/json" };
        const call = request(
          { agent, host: "127.0.0.1", port, method: "POST", path: "/v1/runs", headers },
          (response) => {
            let text = "";
            response
              .setEncoding("utf8")
              .on("data", (part) => {
                text += part;
              })
              .on("end", () => resolve(JSON.parse(text)));
          },
        );
        call.on("error", reject).end(JSON.stringify(body));
      }),
    close: async () => {
      child.kill("SIGTERM");
      await new Promise((resolve) => child.once("exit", resolve));
      rmSync(data, { recursive: true, force: true });
    },
  };
}

async function readyLine(child: ChildProcess): Promise<{ url: string; token_file: string }> {
  for await (const line of createInterface({ input: child.stdio[3] as Readable })) return JSON.parse(line);
  throw new Error("the server ended before it was ready");
}
