import { type ChildProcess, spawn } from "node:child_process";
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { Agent, request } from "node:http";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createInterface } from "node:readline";
import type { Readable } from "node:stream";
import { fileURLToPath } from "node:url";
import type { ProblemDocument, RunRequest, RunView } from "../../sdk/src/types.ts";

/** As `gantry up` starts it (cli/src/installation.ts). */
const NODE_OPTIONS = ["--max-semi-space-size=32"];

/** The body of `POST /v1/runs`, with ways to isolate that a server may not have. */
export type Ask = Omit<RunRequest, "isolation"> & { isolation?: string; session?: string };

/** A real server in a process of its own, and a client that keeps its connections. */
export interface GantryServer {
  pid: number;
  /** @throws Refused when the server answers with a problem. */
  run(body: Ask): Promise<RunView>;
  close(): Promise<void>;
}

/** What the server said instead of running. */
export class Refused extends Error {
  readonly problem: ProblemDocument;

  constructor(problem: ProblemDocument) {
    super(problem.code);
    this.problem = problem;
  }
}

export async function openGantry(config: object): Promise<GantryServer> {
  const data = mkdtempSync(join(tmpdir(), "gantry-bench-"));
  const config_file = join(data, "config.yaml");
  writeFileSync(config_file, JSON.stringify({ log_level: "error", ...config }));
  const server = fileURLToPath(new URL("../../dist/server.js", import.meta.url));
  const options = ["--data", join(data, "d"), "--port", "0", "--ready-fd", "3", "--config", config_file];
  const child = spawn(process.execPath, [...NODE_OPTIONS, server, "up", ...options], {
    stdio: ["ignore", "ignore", "inherit", "pipe"],
  });
  process.on("exit", () => child.kill("SIGKILL")); // a bench that fails leaves nothing running
  const { url, token_file } = await readyLine(child);
  return {
    pid: child.pid ?? 0,
    run: runsThrough(url, readFileSync(token_file, "utf8").trim()),
    close: async () => {
      child.kill("SIGTERM");
      await new Promise((resolve) => child.once("exit", resolve));
      rmSync(data, { recursive: true, force: true });
    },
  };
}

/** Node's own client, as towards the floor: `fetch` would take more of the cores that the server needs. */
function runsThrough(url: string, token: string): GantryServer["run"] {
  const { port } = new URL(url);
  const agent = new Agent({ keepAlive: true });
  return (ask) =>
    new Promise((resolve, reject) => {
      const body = JSON.stringify(ask);
      const headers = {
        authorization: `Bearer ${token}`,
        "content-type": "application/json",
        "content-length": Buffer.byteLength(body),
      };
      const to = { agent, host: "127.0.0.1", port, method: "POST", path: "/v1/runs", headers };
      const call = request(to, (response) => {
        let text = "";
        response
          .setEncoding("utf8")
          .on("data", (part) => {
            text += part;
          })
          .on("end", () => {
            const said = JSON.parse(text) as RunView | ProblemDocument;
            if ("state" in said) resolve(said);
            else reject(new Refused(said));
          });
      });
      call.on("error", reject).end(body);
    });
}

async function readyLine(child: ChildProcess): Promise<{ url: string; token_file: string }> {
  for await (const line of createInterface({ input: child.stdio[3] as Readable })) return JSON.parse(line);
  throw new Error("the server ended before it was ready");
}
