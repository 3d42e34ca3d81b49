import { spawn } from "node:child_process";
import { constants } from "node:os";
import { type Command, command } from "../arguments.ts";
import { data_arg, dataDirectory, store_arg } from "../connect.ts";
import { demandServer, type Installation, serving } from "../installation.ts";
import type { Terminal } from "../terminal.ts";
import { wholeNumber } from "../values.ts";

const PORT_MAX = 65_535;

/** `gantry up`: the server as a child process with our standard streams. */
export function upCommand(io: Terminal, installation: Installation): Command {
  return command({
    summary: "start a server on a data directory and stay with it",
    args: {
      ...data_arg,
      port: { type: "string", valueHint: "N", description: "where it listens on loopback; 0 picks one" },
      ...store_arg,
      config: { type: "string", valueHint: "FILE", description: "a configuration file" },
      "insecure-no-jail": { type: "boolean", description: "run code without a jail; every run's record says so" },
    },
    notes: [
      "The first start makes the data directory, the owner and owner.token. Ctrl-C stops the server after " +
        "what runs has ended.",
      "State and evidence are kept in SQLite in the data directory, or in PostgreSQL (13 or later) with --store; blobs, " +
        "keys and tokens stay in the data directory. Other users of this machine can read a command line: a " +
        "password is better given in PGPASSWORD, or as part of the URL in GANTRY_STORE or in the config file (store:).",
    ],
    examples: [
      ["gantry up", "on ./.gantry"],
      ["gantry up --data /var/lib/gantry --port 4280", "somewhere else"],
      ["gantry up --store postgres://gantry@db.example/gantry", "with the state in PostgreSQL"],
    ],
    async run(given) {
      const args: string[] = [];
      // Left out, the server decides: its config file may name a directory, else it looks where we would.
      if (given.data !== undefined) args.push("--data", dataDirectory(given.data, io));
      if (given.port !== undefined) args.push("--port", String(portOf(given.port)));
      if (given.store !== undefined) args.push("--store", given.store);
      if (given.config !== undefined) args.push("--config", given.config);
      if (given["insecure-no-jail"] === true) args.push("--insecure-no-jail");
      return runInFront(serving(demandServer(installation), args), io);
    },
  });
}

function portOf(text: string): number {
  return Math.min(wholeNumber("--port", text), PORT_MAX + 1);
}

/**
 * Runs a Node program with our streams until it ends; SIGINT and SIGTERM reach it once.
 * @returns its exit code; 128 plus the signal's number when a signal ended it.
 */
async function runInFront(args: readonly string[], io: Terminal): Promise<number> {
  const child = spawn(process.execPath, args, { stdio: "inherit", cwd: io.cwd, env: io.env });
  const release = io.onInterrupt((signal) => {
    // A terminal sends Ctrl-C to the whole foreground group, the child included; a second one would mean "at once".
    if (signal === "SIGINT" && io.interactive) return;
    child.kill(signal);
  });
  try {
    return await new Promise<number>((resolve, reject) => {
      child.once("error", reject);
      child.once("exit", (code, signal) => resolve(code ?? 128 + (signal === null ? 0 : constants.signals[signal])));
    });
  } finally {
    release();
  }
}
