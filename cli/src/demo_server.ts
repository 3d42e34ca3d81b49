import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { readFile } from "node:fs/promises";
import { createInterface } from "node:readline";
import type { Readable } from "node:stream";
import { Gantry } from "@gantry/sdk";
import { EXIT } from "./exit.ts";
import { Failure, typeThis } from "./failure.ts";
import { serving } from "./installation.ts";
import { visible } from "./text.ts";

const READY_MS = 30_000;
/** How long the server may take to stop before it is killed. */
const STOP_MS = 10_000;
/** Characters of the server's output that an error quotes. */
const TAIL_MAX = 2_000;
/** The descriptor on which the server says that it is ready; 0 to 2 are the standard streams. */
const READY_FD = 3;

/** A server of our own, on a port of its own. */
export interface DemoServer {
  url: string;
  gantry: Gantry;
  stop(): Promise<void>;
}

/** @throws Failure exit 6, with the end of what it printed, if it is not ready in time. */
export async function startServer(program: string, data: string, env: NodeJS.ProcessEnv): Promise<DemoServer> {
  const args = serving(program, ["--data", data, "--port", "0", "--ready-fd", String(READY_FD)]);
  const child = spawn(process.execPath, args, { stdio: ["ignore", "pipe", "pipe", "pipe"], env });
  let tail = "";
  const keep = (chunk: Buffer): void => {
    tail = (tail + chunk.toString()).slice(-TAIL_MAX);
  };
  child.stdout?.on("data", keep);
  child.stderr?.on("data", keep);
  try {
    const { url, token_file } = JSON.parse(await readyLine(child)) as { url: string; token_file: string };
    const gantry = new Gantry({ url, token: await readFile(token_file, "utf8") });
    return { url, gantry, stop: () => stopChild(child) };
  } catch (error) {
    await stopChild(child);
    const why = error instanceof Error ? error.message : String(error);
    const said = tail.trim() === "" ? "" : ` It said:\n\n${visible(tail.trim())}`;
    throw new Failure(EXIT.lost, `The server did not start: ${why}.${said}`, {
      next_steps: [typeThis("See what this machine lacks", "npx gantry doctor")],
    });
  }
}

function readyLine(child: ChildProcess): Promise<string> {
  return new Promise((resolve, reject) => {
    const timer = setTimeout(() => reject(new Error(`it was not ready within ${READY_MS / 1_000} s`)), READY_MS);
    const fail = (why: string): void => {
      clearTimeout(timer);
      reject(new Error(why));
    };
    child.once("error", (error) => fail(error.message));
    child.once("exit", (code, signal) => fail(`it ended with ${signal ?? `exit code ${code}`}`));
    const lines = createInterface({ input: child.stdio[READY_FD] as Readable });
    lines.once("line", (line) => {
      clearTimeout(timer);
      lines.close();
      resolve(line);
    });
  });
}

/** Resolves when the process is gone. */
async function stopChild(child: ChildProcess): Promise<void> {
  if (child.exitCode !== null || child.signalCode !== null || child.pid === undefined) return;
  const gone = once(child, "exit");
  child.kill("SIGTERM");
  const timer = setTimeout(() => child.kill("SIGKILL"), STOP_MS);
  await gone;
  clearTimeout(timer);
}
