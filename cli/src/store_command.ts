import { spawn } from "node:child_process";
import { createInterface } from "node:readline";
import { EXIT } from "./exit.ts";
import { Failure, usage } from "./failure.ts";
import { startProgress } from "./progress.ts";
import type { Terminal } from "./terminal.ts";
import { bytesText } from "./text.ts";

/** A line of a command of the server that works on the store itself. */
interface StoreLine {
  progress?: { part: string; done: number; total: number };
  result?: unknown;
}

/** What is counted in bytes. */
const IN_BYTES = "database";

/**
 * Starts a command of the server, shows on a terminal how far it has come, and gives back its result.
 * @param args  of Node, the server's program first.
 * @param what  what the progress line says at first.
 * @throws Failure exit 2 with what it said when it refused; 130 when it was interrupted.
 */
export async function resultOf<T>(args: readonly string[], what: string, io: Terminal): Promise<T> {
  const child = spawn(process.execPath, args, { stdio: ["ignore", "pipe", "pipe"], cwd: io.cwd, env: io.env });
  const said: string[] = [];
  child.stderr.on("data", (chunk: Buffer) => said.push(chunk.toString()));
  const exited = new Promise<number | null>((settle, reject) => {
    child.once("error", reject);
    child.once("close", settle);
  });
  // On a terminal Ctrl-C reaches the child by itself; elsewhere it is handed on.
  const release = io.onInterrupt((signal) => child.kill(signal));
  const progress = startProgress(io.stderr, what);
  let result: unknown;
  try {
    for await (const line of createInterface({ input: child.stdout })) {
      const told = parseLine(line);
      if (told.progress !== undefined) progress.say(`${what}: ${progressText(told.progress)}`);
      result = told.result ?? result;
    }
    const code = await exited;
    if (code === 0 && result !== undefined) return result as T;
    if (code === null) throw new Failure(EXIT.cancelled, "Ended before it was done. Nothing has the name of a result.");
    const text = said
      .join("")
      .replace(/^gantry: /, "")
      .trim();
    if (code === EXIT.usage) throw usage(text);
    throw new Failure(EXIT.lost, text || "The server's command ended without a result.");
  } finally {
    progress.stop();
    release();
  }
}

function progressText({ part, done, total }: { part: string; done: number; total: number }): string {
  if (part === IN_BYTES && total > 1) return `${part}, ${bytesText(total)}`;
  return total > 1 ? `${part}, ${done} of ${total}` : part;
}

function parseLine(text: string): StoreLine {
  try {
    return JSON.parse(text) as StoreLine;
  } catch {
    return {}; // a word of the store for who starts a server
  }
}
