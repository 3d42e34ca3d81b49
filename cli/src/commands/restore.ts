import { resolve } from "node:path";
import { type Command, command } from "../arguments.ts";
import { json_arg, store_arg } from "../connect.ts";
import { EXIT } from "../exit.ts";
import { usage } from "../failure.ts";
import { demandServer, type Installation } from "../installation.ts";
import { resultOf } from "../store_command.ts";
import type { Terminal } from "../terminal.ts";
import { count, instant, oneLine, paintFor, wrap } from "../text.ts";
import { type BackupView, backupRows, place_args, placeWords } from "./backup.ts";
import { type SucceedView, succeedRows, succession_args, successionWords } from "./evidence_succeed.ts";

/** What `server.js restore` prints. */
interface RestoreView {
  data: string;
  from: string;
  backup: Omit<BackupView, "path">;
  audited: boolean;
  /** Where what was there is now. */
  moved: string | null;
  gap: {
    state: "whole" | "unasked" | "lost" | "succeeded" | "none";
    lost: number;
    from: number;
    to: number;
    since_at: number;
    held: { where: string; origin: string; size: number }[];
    silent: { name: string; why: string }[];
  };
  succeeded: SucceedView | null;
}

/** `gantry restore BACKUP` */
export function restoreCommand(io: Terminal, installation: Installation): Command {
  return command({
    summary: "put a backup in the place of a data directory",
    args: {
      backup: {
        type: "positional",
        required: true,
        description: "a directory that `backup` made, or before-<time>.db, the copy from before an upgrade",
      },
      ...place_args,
      ...store_arg,
      replace: {
        type: "boolean",
        description: "move what is there to DIR.before-<time>; nothing is deleted",
      },
      succeed: { type: "boolean", description: "end the backup's log and begin its successor; says --reason" },
      ...succession_args,
      ...json_arg,
    },
    notes: [
      "Every byte of the backup is looked at first, and again in its new place. The server must be stopped.",
      "Entries that were signed after the backup are lost with it. Where the old directory or a witness of the config file " +
        "knows of them, the log may not go on under its name: restore says so, and what to do. See docs/backup.md.",
      "Never start two servers from one backup: both would sign as the same log.",
    ],
    examples: [
      ["gantry restore /backups/monday --data /var/lib/gantry --config /etc/gantry.yaml", "on a new machine"],
      ["gantry restore /backups/monday --replace", "in place of ./.gantry, which is moved aside"],
      ['gantry restore /backups/monday --succeed --reason "The disk of node 1 is gone"', "entries were lost"],
      ["gantry restore .gantry/before-1790000000000.db --replace", "back to before an upgrade"],
    ],
    async run(given) {
      if (given.succeed === true && given.reason === undefined) throw usage("--succeed needs --reason TEXT.");
      const words = [demandServer(installation), "restore", resolve(io.cwd, given.backup), ...placeWords(given, io)];
      if (given.replace === true) words.push("--replace");
      if (given.succeed === true) words.push("--succeed");
      const view = await resultOf<RestoreView>([...words, ...successionWords(given)], "restoring", io);
      if (given.json === true) io.stdout.write(`${JSON.stringify(view)}\n`);
      else io.stdout.write(restoreText(view, io));
      return EXIT.completed;
    },
  });
}

function restoreText(view: RestoreView, io: Terminal): string {
  const paint = paintFor(io.stdout, io.env);
  const width = Math.min(100, io.stdout.columns);
  const lines = [`${paint("green", "restored")} ${view.data}`, ...backupRows(view.backup)];
  if (view.moved !== null) lines.push(`  before  moved to ${view.moved}`);
  for (const paragraph of paragraphs(view))
    lines.push("", paragraph.startsWith("  ") ? paragraph : wrap(paragraph, width));
  const warned = lines.join("\n").replace(/^warning /m, `${paint("yellow", "warning")} `);
  return `${warned}\n`;
}

/** What a person must know before they start it; a line that begins with two spaces is a command. */
function paragraphs(view: RestoreView): string[] {
  const { backup, gap, succeeded, data } = view;
  const said: string[] = [];
  if (backup.engine === "postgres") {
    said.push("Its database is not here: pg_restore the dump that was made before it, and start the server then.");
  }
  if (succeeded !== null) said.push(...succeedRows(succeeded));
  else if (backup.engine === "postgres") said.push(...dumpLines(gap, backup.log?.origin, data));
  else said.push(...gapLines(gap, backup.log?.origin ?? "", data));
  for (const { name, why } of gap.silent) said.push(`warning ${name} could not be asked: ${oneLine(why)}.`);
  if (succeeded === null && backup.log !== null) {
    const one =
      backup.engine === "postgres"
        ? "Use one database with this backup and no second"
        : "Start one server from this backup and no second";
    said.push(
      `${one}: both would sign as ${oneLine(backup.log.origin)}, and fork it. A second one, for ` +
        "a test, gets a log of its own first: gantry evidence succeed.",
    );
  }
  return said;
}

/** The log is in the dump, which restore does not see: what the files remember of it is what a server compares it with. */
function dumpLines({ state, to, held }: RestoreView["gap"], origin: string | undefined, data: string): string[] {
  if (origin === undefined) return [];
  const command = `  npx gantry evidence succeed --reason "…" --store postgres://… --data ${data}`;
  if (state === "succeeded") {
    const now = held.find((one) => one.origin !== origin)?.origin ?? "another";
    const ended = `The log ${oneLine(origin)} of the backup was ended, and ${oneLine(now)} is its successor`;
    return [
      `warning ${ended}. If the dump is of the old one, begin another successor before a server starts on it:`,
      command,
    ];
  }
  return [
    `The log ${oneLine(origin)} was signed up to ${count(to, "entry", "entries")}. A server on a dump with fewer can be read, and ` +
      "records nothing and runs nothing (EVIDENCE_ROLLBACK). If there is a newer dump, restore that. If not, end this log and begin its " +
      "successor, which says so for good:",
    command,
  ];
}

function gapLines(
  { state, lost, from, to, since_at, held }: RestoreView["gap"],
  origin: string,
  data: string,
): string[] {
  const who = held.map(({ where }) => oneLine(where)).join("; ");
  const command = `  npx gantry evidence succeed --reason "…" --data ${data}`;
  if (state === "lost") {
    const gone =
      lost === 0
        ? `The log ${origin} was signed with other entries at the same size (${from})`
        : `The log ${origin} ends at ${from} entries in the backup, and was seen signed up to ${to}: ${count(lost, "sealed entry", "sealed entries")}, and whatever was recorded after ${instant(since_at)}, are not in it`;
    return [
      `warning ${gone}. Who holds the newer checkpoint: ${who}.`,
      "The log cannot go on under its name: it would contradict what others hold. The server starts and can be read, and " +
        "records nothing and runs nothing (EVIDENCE_ROLLBACK) until you decide. If there is a newer copy of the store, " +
        "restore that. If not, end this log and begin its successor, which says so for good:",
      command,
    ];
  }
  if (state === "whole") return [`No newer checkpoint of the log was found. Asked: ${who}. The log goes on.`];
  if (state === "unasked") {
    return [
      `warning nobody could be asked whether ${origin} went on after the backup: there was no directory to replace, and no witness answered. If a server ` +
        `recorded more after ${instant(since_at)}, begin a successor before you start this one:`,
      command,
    ];
  }
  return [];
}
