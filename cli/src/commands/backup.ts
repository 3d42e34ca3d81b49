import { resolve } from "node:path";
import { type Command, command } from "../arguments.ts";
import { data_arg, dataDirectory, json_arg, store_arg } from "../connect.ts";
import { EXIT } from "../exit.ts";
import { usage } from "../failure.ts";
import { demandServer, type Installation } from "../installation.ts";
import { resultOf } from "../store_command.ts";
import type { Terminal } from "../terminal.ts";
import { bytesText, count, instant, oneLine, paintFor, wrap } from "../text.ts";

/** What `server.js backup` prints, and with `audit` what `backup-verify` does. */
export interface BackupView {
  path: string;
  version: string;
  created_at: number;
  engine: "sqlite" | "postgres";
  log: { origin: string; size: number; root: string } | null;
  files: number;
  bytes: number;
  audit?: { ok: boolean; size: number; root: string } | null;
}

/** Which installation a command of the store is for. */
export const place_args = {
  ...data_arg,
  config: { type: "string", valueHint: "FILE", description: "the configuration file that `up` is given" },
} as const;

interface PlaceGiven {
  data?: string | undefined;
  config?: string | undefined;
  store?: string | undefined;
}

/** The same, as the server's program takes it. */
export function placeWords(given: PlaceGiven, io: Terminal): string[] {
  const words: string[] = [];
  // Left out beside a config file, the server decides: the file may name a directory.
  if (given.data !== undefined || given.config === undefined) words.push("--data", dataDirectory(given.data, io));
  if (given.store !== undefined) words.push("--store", given.store);
  if (given.config !== undefined) words.push("--config", resolve(io.cwd, given.config));
  return words;
}

/** `gantry backup DIR`, `gantry backup verify DIR` */
export function backupCommand(io: Terminal, installation: Installation): Command {
  return command({
    summary: "copy the store while the server runs; verify a copy",
    args: {
      dir: { type: "positional", required: true, description: "a directory that is not there yet; or the word verify" },
      backup: { type: "positional", required: false, description: "behind verify: the backup to look at" },
      ...place_args,
      ...store_arg,
      ...json_arg,
    },
    notes: [
      "The server may run and write, or be stopped. Everything that was acknowledged before the backup began is in it. " +
        "It gets its name when it is whole and on disk: what has the name is a backup.",
      "A backup holds the keys and the owner's token. Keep it as you keep a password.",
      "With PostgreSQL the database is not in it: run pg_dump first, then this for the keys and blobs.",
      "verify looks at every byte, lets SQLite check the database, and audits the ledger. Exit codes: 0 whole, 2 not.",
    ],
    examples: [
      ["gantry backup /backups/monday", "of ./.gantry, server up or not"],
      ["gantry backup /backups/$(date +%F) --config /etc/gantry.yaml", "from a timer of the system"],
      ["gantry backup verify /backups/monday", "is it whole?"],
    ],
    async run(given) {
      const server = demandServer(installation);
      const is_check = given.dir === "verify";
      if (is_check && given.backup === undefined) throw usage("verify takes the backup's directory.");
      if (!is_check && given.backup !== undefined) throw usage(`One directory is enough: ${given.dir}.`);
      const words = is_check
        ? [server, "backup-verify", resolve(io.cwd, given.backup ?? "")]
        : [server, "backup", resolve(io.cwd, given.dir), ...placeWords(given, io)];
      const view = await resultOf<BackupView>(words, is_check ? "verifying" : "copying", io);
      if (given.json === true) io.stdout.write(`${JSON.stringify(view)}\n`);
      else io.stdout.write(backupText(view, is_check, io));
      return EXIT.completed;
    },
  });
}

function backupText(view: BackupView, is_check: boolean, io: Terminal): string {
  const paint = paintFor(io.stdout, io.env);
  const width = Math.min(100, io.stdout.columns);
  const lines = [`${paint("green", is_check ? "whole" : "made")} ${view.path}`, ...backupRows(view)];
  if (is_check) lines.push(`  audit   ${auditLine(view)}`);
  if (view.engine === "postgres") {
    const said =
      "The database is not in it. Dump that first, each time, so that no row names a blob that the copy lacks:";
    lines.push("", wrap(said, width), "  pg_dump --format=custom --file gantry.dump postgres://…");
  }
  if (!is_check) {
    const secret =
      "It holds the keys and the owner's token of this installation: whoever has it can sign as this log, open its secrets " +
      "and act as its owner. Keep it as you keep a password, and not on the disk that it is a copy of.";
    lines.push("", wrap(secret, width), `Look at it: npx gantry backup verify ${view.path}`);
  }
  return `${lines.join("\n")}\n`;
}

/** Rows on what a backup is. */
export function backupRows({ created_at, version, engine, log, files, bytes }: Omit<BackupView, "path">): string[] {
  const sealed = log === null ? "" : count(log.size, "sealed entry", "sealed entries");
  const ends = engine === "postgres" ? `${sealed} in the database` : sealed;
  return [
    `  taken   ${instant(created_at)}, by Gantry ${oneLine(version)}`,
    ...(log === null ? [] : [`  log     ${oneLine(log.origin)}, ${ends}`]),
    `  files   ${count(files, "file")}, ${bytesText(bytes)}`,
  ];
}

function auditLine({ audit, engine }: BackupView): string {
  if (audit !== null && audit !== undefined) return "the whole store agrees with its ledger";
  if (engine === "postgres") return "not done: the database is elsewhere (gantry evidence audit --store postgres://…)";
  return "not done: an older version wrote the database; audit it after its first start";
}
