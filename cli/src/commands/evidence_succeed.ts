import { type Command, command } from "../arguments.ts";
import { json_arg, store_arg } from "../connect.ts";
import { EXIT } from "../exit.ts";
import { usage } from "../failure.ts";
import { demandServer, type Installation } from "../installation.ts";
import { resultOf } from "../store_command.ts";
import type { Terminal } from "../terminal.ts";
import { count, oneLine, paintFor, wrap } from "../text.ts";
import { place_args, placeWords } from "./backup.ts";

/** What `server.js succeed` prints. */
export interface SucceedView {
  old: { origin: string; size: number };
  new: { origin: string; vkey: string; size: number };
  entry: string;
  seen: { where: string; origin: string; size: number }[];
  by: string;
  operator: string;
}

/** Why, under which name, and by whom. */
export const succession_args = {
  reason: { type: "string", valueHint: "TEXT", description: "why the log is ended; recorded for good" },
  origin: {
    type: "string",
    valueHint: "NAME",
    description: "what the successor is called (default: a name like the old)",
  },
  actor: {
    type: "string",
    valueHint: "ACTOR",
    description: "the human who decides it, by id or subject (default: the owner)",
  },
} as const;

interface SuccessionGiven {
  reason?: string | undefined;
  origin?: string | undefined;
  actor?: string | undefined;
}

/** The same, as the server's program takes them. */
export function successionWords(given: SuccessionGiven): string[] {
  return (["reason", "origin", "actor"] as const).flatMap((name) => {
    const value = given[name];
    return value === undefined ? [] : [`--${name}=${value}`];
  });
}

/** `gantry evidence succeed` */
export function succeedCommand(io: Terminal, installation: Installation): Command {
  return command({
    summary: "end a log that cannot go on; begin its successor",
    args: { ...succession_args, ...place_args, ...store_arg, ...json_arg },
    notes: [
      "For a store that was restored from a backup older than what its log has signed, for a log whose key is lost, and " +
        "for a second server from one backup. It works on the store itself: stop every server of it first.",
      "The successor has the entries that are there, by the same indices, and a name and key of its own. Its first " +
        "checkpoint covers the entry log.succeeded: the last checkpoint of the old log, those that checkpoint.latest and " +
        "the witnesses of the config file hold, the reason, the human you name and the account of this machine.",
      "What was signed under the old name verifies with the old key for ever. Give auditors the new key.",
    ],
    examples: [
      [
        'gantry evidence succeed --reason "Restored Monday: the disk was lost" --config /etc/gantry.yaml',
        "after a loss",
      ],
    ],
    async run(given) {
      if (given.reason === undefined) throw usage("--reason TEXT says why the log is ended; it is recorded for good.");
      const words = [demandServer(installation), "succeed", ...placeWords(given, io), ...successionWords(given)];
      const view = await resultOf<SucceedView>(words, "ending the log", io);
      if (given.json === true) io.stdout.write(`${JSON.stringify(view)}\n`);
      else {
        const width = Math.min(100, io.stdout.columns);
        const [first = "", ...rest] = succeedRows(view).map((line) => wrap(line, width));
        const paint = paintFor(io.stdout, io.env);
        io.stdout.write(`${[paint("green", first), ...rest].join("\n")}\n`);
      }
      return EXIT.completed;
    },
  });
}

/** What became of the log, a paragraph each. */
export function succeedRows({ old, new: next, entry, seen, by, operator }: SucceedView): string[] {
  const largest = Math.max(old.size, ...seen.filter(({ origin }) => origin === old.origin).map(({ size }) => size));
  const lost = largest - old.size;
  const gone =
    lost === 0
      ? "No larger checkpoint of it was found."
      : `It was seen signed up to ${largest}: ${count(lost, "entry", "entries")} of it are lost, and the successor says so.`;
  return [
    `The log ${oneLine(old.origin)} ended at ${count(old.size, "entry", "entries")}. ${gone}`,
    `${oneLine(next.origin)} goes on with its entries; its first checkpoint has ${next.size}. ${entry} says why, by ${oneLine(by)} (${oneLine(operator)}).`,
    `Its key, for auditors, beside the old one: ${next.vkey}`,
  ];
}
