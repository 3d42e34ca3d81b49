import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { createInterface } from "node:readline";
import { fileURLToPath } from "node:url";

/** Runs `storage_child.ts`; its arguments follow. */
export const CHILD = [
  process.execPath,
  "--import",
  "tsx",
  fileURLToPath(new URL("./storage_child.ts", import.meta.url)),
] as const;

export interface Line {
  open?: boolean;
  acknowledged?: string;
  refused?: string;
  counted?: boolean;
  [key: string]: unknown;
}

export interface Child {
  process: ChildProcess;
  lines: Line[];
  ended: Promise<number | null>;
}

/** Starts a process that prints JSON lines. */
export function start(command: readonly string[]): Child {
  const [file, ...args] = command;
  const child = spawn(file!, args, { stdio: ["ignore", "pipe", "inherit"] });
  const lines: Line[] = [];
  const reader = createInterface({ input: child.stdout });
  reader.on("line", (line) => lines.push(JSON.parse(line) as Line));
  const ended = Promise.all([once(child, "exit"), once(reader, "close")]).then(() => child.exitCode);
  return { process: child, lines, ended };
}
