import { type ChildProcess, spawn } from "node:child_process";
import { chmodSync, rmSync } from "node:fs";
import { createServer, type Server, type Socket } from "node:net";
import { join } from "node:path";
import { createInterface } from "node:readline";
import type { Readable, Writable } from "node:stream";
import { fileURLToPath } from "node:url";
import { assert } from "../../kernel/assert.ts";
import { entryPoint } from "../../kernel/entries.ts";
import { missingPrograms } from "./jails.ts";
import { type NurseryOrder, type NurseryReport, STREAMS } from "./nursery_protocol.ts";
import type { RuntimeDir } from "./runtime_dir.ts";

/** A stream's first line is `<id> <name>`: longer ones are not from the nursery. */
const GREETING_BYTES_MAX = 128;

export interface ChildExit {
  code: number | null;
  signal: NodeJS.Signals | null;
  /** Why it could not be started. */
  error?: string;
}

/** A process that the nursery has started. */
export interface NurseryChild {
  /** Undefined when it could not be started: `exited` says why. */
  pid: number | undefined;
  /** Both ways. */
  control: Socket;
  stdout: Socket;
  stderr: Socket;
  exited: Promise<ChildExit>;
}

interface Expected {
  streams: Map<string, Socket>;
  started: (pid: number | undefined) => void;
  connected: () => void;
}

/** The control plane's side of the nursery. Its end is the end of every jail: `on_lost` is called then. */
export class Nursery {
  readonly #child: ChildProcess;
  readonly #server: Server;
  readonly #orders: Writable;
  /** Until it has started, or could not be. */
  readonly #expected = new Map<string, Expected>();
  /** Until it has ended. */
  readonly #exits = new Map<string, (exit: ChildExit) => void>();
  #closing = false;

  private constructor(child: ChildProcess, server: Server, on_lost: (error: Error) => void) {
    assert(child.stdin !== null && child.stdout !== null, "the nursery is spawned with pipes");
    this.#child = child;
    this.#server = server;
    this.#orders = child.stdin;
    this.#orders.on("error", () => {}); // its end tells the story
    server.on("connection", (socket) => this.#greet(socket));
    createInterface({ input: child.stdout as Readable }).on("line", (line) => this.#hear(JSON.parse(line)));
    child.on("exit", () => {
      if (!this.#closing) on_lost(new Error("the nursery ended"));
    });
  }

  /** Spawn it early: it is the only process that the control plane itself forks for jails. */
  static async open(runtime: RuntimeDir, on_lost: (error: Error) => void): Promise<Nursery> {
    const path = join(runtime.path, "n.sock");
    rmSync(path, { force: true });
    const server = createServer();
    await new Promise<void>((resolve, reject) => {
      server.once("error", reject);
      server.listen(path, resolve);
    });
    chmodSync(path, 0o600); // a guest without a jail shares the file system
    const entry = fileURLToPath(entryPoint("nursery.js"));
    // Without setpriv no jail can be built either: the nursery then has nothing to do, and ends with its stdin.
    const signalled = missingPrograms(["setpriv"]).length === 0 ? ["setpriv", "--pdeathsig=KILL", "--"] : [];
    const [file = "", ...args] = [...signalled, process.execPath, entry, path];
    const child = spawn(file, args, {
      stdio: ["pipe", "pipe", "inherit"],
      env: { PATH: "/usr/sbin:/usr/bin:/sbin:/bin" },
      detached: true, // a Ctrl-C at the terminal is for the control plane, which stops runs in good order
    });
    await new Promise<void>((resolve, reject) => {
      child.once("spawn", resolve);
      child.once("error", reject);
    });
    return new Nursery(child, server, on_lost);
  }

  /** Resolves when the process has been started, or could not be, and its streams are connected. */
  async start(order: NurseryOrder): Promise<NurseryChild> {
    let exit: (exit: ChildExit) => void = () => {};
    const exited = new Promise<ChildExit>((resolve) => {
      exit = resolve;
    });
    this.#exits.set(order.id, exit);
    const streams = new Map<string, Socket>();
    const pid = await new Promise<number | undefined>((resolve) => {
      let started: { pid: number | undefined } | undefined;
      // A process may have ended before its streams are here: they were opened before it was, and are waited for.
      const settle = (): void => {
        if (started === undefined || (started.pid !== undefined && streams.size < STREAMS.length)) return;
        this.#expected.delete(order.id);
        resolve(started.pid);
      };
      this.#expected.set(order.id, {
        streams,
        connected: settle,
        started: (pid) => {
          started ??= { pid };
          settle();
        },
      });
      this.#orders.write(`${JSON.stringify(order)}\n`);
    });
    const [control, stdout, stderr] = STREAMS.map((name) => streams.get(name));
    if (control === undefined || stdout === undefined || stderr === undefined) {
      for (const stream of streams.values()) stream.destroy();
      throw new Error((await exited).error ?? "the process could not be started");
    }
    return { pid, control, stdout, stderr, exited };
  }

  /** Ends the nursery; whatever it started and still runs gets its death signal. */
  async close(): Promise<void> {
    this.#closing = true;
    const gone = new Promise((resolve) => this.#child.once("exit", resolve));
    this.#orders.end();
    await gone;
    this.#server.close();
  }

  #hear(report: NurseryReport): void {
    const expected = this.#expected.get(report.id);
    if ("pid" in report) {
      expected?.started(report.pid);
      return;
    }
    this.#exits.get(report.id)?.(report);
    this.#exits.delete(report.id);
    expected?.started(undefined);
  }

  /** Reads the first line, byte by byte so to speak: what follows it is the jail's. */
  #greet(socket: Socket): void {
    socket.on("error", () => socket.destroy());
    let head = Buffer.alloc(0);
    const read = (): void => {
      for (let chunk = socket.read(); chunk !== null; chunk = socket.read()) {
        head = Buffer.concat([head, chunk]);
        const end = head.indexOf(0x0a);
        if (end < 0 && head.length <= GREETING_BYTES_MAX) continue;
        socket.off("readable", read);
        const [id = "", name = ""] = head.toString("latin1", 0, Math.max(0, end)).split(" ");
        const expected = this.#expected.get(id);
        if (expected === undefined || expected.streams.has(name)) {
          socket.destroy();
          return;
        }
        if (end + 1 < head.length) socket.unshift(head.subarray(end + 1));
        expected.streams.set(name, socket);
        expected.connected();
        return;
      }
    };
    socket.on("readable", read);
  }
}
