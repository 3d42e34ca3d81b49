import { createInterface } from "node:readline/promises";
import { Writable } from "node:stream";

/** What a command may touch of the process that it runs in; a test passes its own. */
export interface Terminal {
  readonly env: Readonly<Record<string, string | undefined>>;
  /** Absolute; relative paths of arguments begin here. */
  readonly cwd: string;
  readonly stdout: Sink;
  readonly stderr: Sink;
  /** True when a person types: then the terminal itself sends Ctrl-C to every process of the command. */
  readonly interactive: boolean;
  /** Asks whoever types for one line; without its end. Only where `interactive`. */
  ask(question: string): Promise<string>;
  /** The same, and what is typed is not shown. */
  askHidden(question: string): Promise<string>;
  /** All of standard input, UTF-8. */
  stdin(): Promise<string>;
  /** Standard input as it comes, for what is too large to be held. */
  stdinBytes(): AsyncIterable<Uint8Array>;
  /** Calls `fn` for each SIGINT and SIGTERM until the returned function is called; nobody listening: the process ends. */
  onInterrupt(fn: (signal: "SIGINT" | "SIGTERM") => void): () => void;
  /**
   * Gives `fn` each key as it is typed, unseen and without Enter, until the returned function is called. Ctrl-C is a key
   * then (`\u0003`) and no signal. Where nobody types, nothing happens.
   */
  onKey(fn: (key: string) => void): () => void;
  /** Calls `fn` when the terminal has another size. */
  onResize(fn: () => void): () => void;
  /** Calls `fn` at the end of the process, however it ends, unless the returned function was called: to tidy up. */
  onExit(fn: () => void): () => void;
}

/** One output stream. */
export interface Sink {
  readonly tty: boolean;
  /** Columns of a line; 80 where there is no terminal. */
  readonly columns: number;
  /** Lines; 24 where there is no terminal. */
  readonly rows: number;
  write(text: string): void;
}

/** The terminal of this process. A reader that leaves early (`| head`) ends the command in silence. */
export function systemTerminal(): Terminal {
  return {
    env: process.env,
    cwd: process.cwd(),
    stdout: sinkOf(process.stdout),
    stderr: sinkOf(process.stderr),
    interactive: process.stdin.isTTY === true,
    ask: (question) => askLine(question, process.stderr),
    async askHidden(question) {
      process.stderr.write(question);
      // An interface that thinks it speaks to a terminal turns the terminal's own echo off; its output goes nowhere.
      const nowhere = new Writable({ write: (_chunk, _encoding, done) => done() });
      try {
        return await askLine("", nowhere, { terminal: true, historySize: 0 });
      } finally {
        process.stderr.write("\n");
      }
    },
    async stdin() {
      const chunks: Buffer[] = [];
      for await (const chunk of process.stdin) chunks.push(Buffer.from(chunk));
      return Buffer.concat(chunks).toString("utf8");
    },
    stdinBytes: () => process.stdin,
    onInterrupt(fn) {
      const signals = ["SIGINT", "SIGTERM"] as const;
      for (const signal of signals) process.on(signal, fn);
      return () => {
        for (const signal of signals) process.off(signal, fn);
      };
    },
    onKey: keysOf,
    onResize(fn) {
      process.stdout.on("resize", fn);
      return () => void process.stdout.off("resize", fn);
    },
    onExit(fn) {
      process.once("exit", fn);
      return () => void process.off("exit", fn);
    },
  };
}

function keysOf(fn: (key: string) => void): () => void {
  const { stdin } = process;
  if (stdin.isTTY !== true) return () => undefined;
  const heard = (chunk: Buffer): void => fn(chunk.toString("utf8"));
  const release = (): void => {
    stdin.off("data", heard);
    stdin.setRawMode(false);
    stdin.pause();
    process.off("exit", release);
  };
  stdin.setRawMode(true);
  stdin.on("data", heard);
  // A shell gets its terminal back as it was, after a crash as well.
  process.once("exit", release);
  return release;
}

async function askLine(question: string, output: Writable, o: { terminal?: boolean; historySize?: number } = {}) {
  const lines = createInterface({ input: process.stdin, output, ...o });
  // Ctrl-C and Ctrl-D are answers, too: none.
  const ended = new Promise<string>((resolve) => lines.once("close", () => resolve("")));
  try {
    return await Promise.race([lines.question(question), ended]);
  } finally {
    lines.close();
  }
}

function sinkOf(stream: NodeJS.WriteStream): Sink {
  stream.on("error", (error: NodeJS.ErrnoException) => {
    if (error.code === "EPIPE") process.exit(0);
    throw error;
  });
  return {
    tty: stream.isTTY === true,
    get columns() {
      // Some pseudo-terminals say 0.
      return stream.columns || 80;
    },
    get rows() {
      return stream.rows || 24;
    },
    write: (text) => void stream.write(text),
  };
}
