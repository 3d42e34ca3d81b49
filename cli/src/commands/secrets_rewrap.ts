import { type Command, command } from "../arguments.ts";
import { json_arg, store_arg } from "../connect.ts";
import { EXIT } from "../exit.ts";
import { demandServer, type Installation } from "../installation.ts";
import { resultOf } from "../store_command.ts";
import type { Terminal } from "../terminal.ts";
import { count, oneLine, paintFor, wrap } from "../text.ts";
import { place_args, placeWords } from "./backup.ts";

/** What `server.js secrets-rewrap` prints. */
export interface RewrapView {
  key: string;
  before: string[];
  secrets: number;
  tenants: number;
  resumed: boolean;
  by: string;
  operator: string;
}

/** `gantry secrets rewrap` */
export function rewrapCommand(io: Terminal, installation: Installation): Command {
  return command({
    summary: "wrap all secrets with a new key",
    args: {
      actor: {
        type: "string",
        valueHint: "ACTOR",
        description: "the human who decides it, by id or subject (default: the owner)",
      },
      ...place_args,
      ...store_arg,
      ...json_arg,
    },
    notes: [
      "It works on the store itself: stop every server of it first, for the moment that this takes. A kill at any point " +
        "loses nothing; the server starts all the same, and the same command goes on where it ended.",
      "The new key is in keys/secrets.key. Take a backup afterwards, and copy the folder keys to the other nodes of the " +
        "database before they start. The ledger has secrets.rewrapped, by the human you name and the account of this machine.",
      "An older backup has the older key and what it opens. If one was stolen, change the secrets themselves where they " +
        "are from, and set them anew.",
    ],
    examples: [["gantry secrets rewrap --config /etc/gantry.yaml", "when somebody leaves who could read the keys"]],
    async run(given) {
      const actor = given.actor === undefined ? [] : [`--actor=${given.actor}`];
      const words = [demandServer(installation), "secrets-rewrap", ...placeWords(given, io), ...actor];
      const view = await resultOf<RewrapView>(words, "wrapping secrets", io);
      if (given.json === true) io.stdout.write(`${JSON.stringify(view)}\n`);
      else {
        const width = Math.min(100, io.stdout.columns);
        const [first = "", ...rest] = rewrapRows(view).map((line) => wrap(line, width));
        const paint = paintFor(io.stdout, io.env);
        io.stdout.write(`${[paint("green", first), ...rest].join("\n")}\n`);
      }
      return EXIT.completed;
    },
  });
}

/** What was done, a paragraph each. */
export function rewrapRows({ key, secrets, tenants, resumed, by, operator }: RewrapView): string[] {
  const verb = secrets === 1 ? "is" : "are";
  const who = `by ${oneLine(by)} (${oneLine(operator)})`;
  const done =
    secrets === 0
      ? `Every secret was wrapped with the key ${key} already; the key before it is gone now.`
      : `${count(secrets, "secret", "secrets")} of ${count(tenants, "tenant", "tenants")} ${verb} wrapped with the key ${key}, ${who}.`;
  return [
    done,
    ...(resumed ? ["That ended a change of keys that had been broken off. For another key, repeat the command."] : []),
    "The key is in keys/secrets.key. Take a backup, and copy the folder keys to the other nodes before they start.",
  ];
}
