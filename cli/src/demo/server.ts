import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { readFile } from "node:fs/promises";
import { createInterface } from "node:readline";
import type { Readable } from "node:stream";
import { Gantry } from "@gantry/sdk";
import { EXIT } from "../exit.ts";
import { Failure, typeThis } from "../failure.ts";
import { serving } from "../installation.ts";
import { visible } from "../text.ts";

const READY_MS = 30_000;
/** How long the server may take to stop before it is killed. */
const STOP_MS = 10_000;
/** Characters of the server's output that an error quotes. */
const TAIL_MAX = 2_000;
/** Characters of its standard output that are kept: a banner. */
const PRINTED_MAX = 20_000;
/** 128 and the signal's number, as shells have it. */
const EXIT_HANGUP = 129;
/** The descriptor on which the server says that it is ready; 0 to 2 are the standard streams. */
const READY_FD = 3;

/** A server of our own, on a port of its own. */
export interface DemoServer {
  url: string;
  /** As its owner. */
  gantry: Gantry;
  /** What it has printed for whoever started it, the banner with the owner's login link. */
  printed(): string;
  stop(): Promise<void>;
}

/** @throws Failure exit 6, with the end of what it printed, if it is not ready in time. */
export async function startServer(program: string, data: string, env: NodeJS.ProcessEnv): Promise<DemoServer> {
  const args = serving(program, ["--data", data, "--port", "0", "--ready-fd", String(READY_FD)]);
  const child = spawn(process.execPath, args, { stdio: ["ignore", "pipe", "pipe", "pipe"], env });
  // A terminal that is closed, or a bug, ends this process on the spot: the server must not outlive it.
  const reap = (): void => void child.kill("SIGKILL");
  const hangUp = (): void => process.exit(EXIT_HANGUP);
  process.once("exit", reap);
  process.once("SIGHUP", hangUp);
  const stop = async (): Promise<void> => {
    await stopChild(child);
    process.off("exit", reap);
    process.off("SIGHUP", hangUp);
  };
  let tail = "";
  let printed = "";
  const keep = (chunk: Buffer): void => {
    tail = (tail + chunk.toString()).slice(-TAIL_MAX);
  };
  child.stdout?.on("data", (chunk: Buffer) => {
    keep(chunk);
    if (printed.length < PRINTED_MAX) printed += chunk.toString();
  });
  child.stderr?.on("data", keep);
  try {
    const { url, token_file } = JSON.parse(await readyLine(child)) as { url: string; token_file: string };
    const gantry = new Gantry({ url, token: await readFile(token_file, "utf8") });
    return { url, gantry, printed: () => printed, stop };
  } catch (error) {
    await stop();
    const why = error instanceof Error ? error.message : String(error);
    const said = tail.trim() === "" ? "" : ` It said:\n\n${visible(tail.trim())}`;
    throw new Failure(EXIT.lost, `The server did not start: ${why}.${said}`, {
      next_steps: [typeThis("See what this machine lacks", "npx gantry doctor")],
    });
  }
}

/**
 * What a command of the server's program prints as its one line of JSON; the store must not be open elsewhere.
 * @param args  as `["login-link", "--data", DIR]`
 * @throws Failure exit 6 with what it said.
 */
export async function serverAnswer(program: string, args: readonly string[], env: NodeJS.ProcessEnv): Promise<unknown> {
  const child = spawn(process.execPath, [program, ...args], { stdio: ["ignore", "pipe", "pipe"], env });
  let out = "";
  let said = "";
  child.stdout.on("data", (chunk: Buffer) => {
    out += chunk.toString();
  });
  child.stderr.on("data", (chunk: Buffer) => {
    said = (said + chunk.toString()).slice(-TAIL_MAX);
  });
  const code = await new Promise<number | null>((settle, reject) => {
    child.once("error", reject);
    child.once("close", settle);
  });
  if (code === 0) return JSON.parse(out) as unknown;
  throw new Failure(EXIT.lost, `gantry ${args[0]} ended with exit code ${code}: ${visible(said.trim())}`);
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
