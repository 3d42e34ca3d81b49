import { execFileSync, spawn } from "node:child_process";
import { renameSync, rmSync, symlinkSync } from "node:fs";
import { createRequire } from "node:module";
import { createConnection, createServer } from "node:net";
import { createInterface } from "node:readline";
import { fileURLToPath, pathToFileURL } from "node:url";
import type { JailReport } from "../../server/src/execution/contract.ts";

const PROBE = "tests/fixtures/probe_jail.ts";
const ROOT = fileURLToPath(new URL("../../", import.meta.url));
/** Runs TypeScript in whatever directory. */
const TSX = `--import=${pathToFileURL(createRequire(import.meta.url).resolve("tsx")).href}`;

/** A runner that another process of Node has started. */
export interface Holder {
  pid: number;
  killParent(): void;
  remove(): void;
}

export async function holdRunner(jail: string): Promise<Holder> {
  const parent = spawn(process.execPath, [TSX, PROBE, jail, "hold"], {
    cwd: ROOT,
    stdio: ["ignore", "pipe", "inherit"],
  });
  for await (const line of createInterface({ input: parent.stdout })) {
    const { pid, runtime, base } = JSON.parse(line) as { pid: number; runtime: string; base: string };
    return {
      pid,
      killParent: () => void parent.kill("SIGKILL"),
      remove: () => {
        for (const path of [runtime, base]) rmSync(path, { recursive: true, force: true });
      },
    };
  }
  throw new Error("the holder ended before its runner was there");
}

export interface Probed {
  report: JailReport;
}

/** The report of a jail, made by a process of its own below `root`; `wrap` is a command that runs it. */
export function probeElsewhere(jail: string, o: { root?: string; wrap?: string[] } = {}): Probed {
  const [file = "", ...args] = [...(o.wrap ?? []), process.execPath, TSX, PROBE, jail];
  const printed = execFileSync(file, args, {
    cwd: o.root ?? ROOT,
    encoding: "utf8",
    stdio: ["ignore", "pipe", "pipe"],
  });
  return JSON.parse(printed);
}

export interface Impostor {
  hits(): number;
  /** Proves that it listens: one connection by its path. @returns the hits so far */
  hitFromOutside(): Promise<number>;
  close(): Promise<void>;
}

/** Listens elsewhere and puts a symlink to it where `socket_path` was, as code that escaped its engine could. */
export async function serveAt(socket_path: string): Promise<Impostor> {
  let hits = 0;
  const server = createServer((socket) => {
    hits += 1;
    socket.destroy();
  });
  const elsewhere = `${socket_path}.other`;
  await new Promise<void>((resolve) => server.listen(elsewhere, resolve));
  renameSync(socket_path, `${socket_path}.old`);
  symlinkSync(elsewhere, socket_path);
  return {
    hits: () => hits,
    hitFromOutside: () =>
      new Promise((resolve, reject) => {
        const socket = createConnection(socket_path);
        socket
          .on("error", reject)
          .on("close", () => resolve(hits))
          .resume();
      }),
    close: () => new Promise((resolve) => server.close(() => resolve())),
  };
}
