import type { Secret } from "@gantry/sdk";
import { type Command, command, type Group } from "../arguments.ts";
import { connect, data_arg, json_arg } from "../connect.ts";
import { EXIT } from "../exit.ts";
import { usage } from "../failure.ts";
import type { Installation } from "../installation.ts";
import type { Column } from "../table.ts";
import type { Terminal } from "../terminal.ts";
import { minute, oneLine } from "../text.ts";
import { printTable } from "./runs.ts";
import { rewrapCommand } from "./secrets_rewrap.ts";

const NEVER_IN_WORDS =
  "A secret is not given on the command line: every user of this machine can see it there while the command runs, and " +
  "the shell keeps it in its history. Pipe it in, or type it when you are asked for it.";
/** The server's own maximum. */
export const SECRET_BYTES_MAX = 64 * 1024;

const name_arg = { name: { type: "positional", required: true, description: "a secret's name" } } as const;

/** `gantry secrets …` */
export function secretsGroup(io: Terminal, installation: Installation): Group {
  return {
    kind: "group",
    summary: "what calls are made with, and code never sees",
    commands: {
      set: setCommand(io),
      list: listCommand(io),
      rm: removeCommand(io),
      rewrap: rewrapCommand(io, installation),
    },
  };
}

function setCommand(io: Terminal): Command {
  return command({
    summary: "seal a value under a name, or a new version of it",
    args: {
      ...name_arg,
      ...data_arg,
      ...json_arg,
    },
    surplus: NEVER_IN_WORDS,
    notes: [
      "The value comes from standard input, or is asked for on a terminal, where it is not shown. Nothing gives it back: " +
        "not the server, not a log, not the ledger.",
      "A contract's rule says secret: {name: NAME, slot: bearer}. The run then finds a lease in its environment " +
        "(github-token in GITHUB_TOKEN) that means nothing anywhere else; in the call that the rule allows, the secret takes its place.",
    ],
    examples: [
      ["gantry secrets set github-token", "asks for it, without showing it"],
      ["pass show github | gantry secrets set github-token", "from a password store"],
    ],
    async run(given) {
      if (given.name.includes("=")) throw usage(NEVER_IN_WORDS);
      const value = await readValue(given.name, io);
      try {
        const set = await (await connect(given.data, io)).secrets.set(given.name, value);
        if (given.json === true) io.stdout.write(`${JSON.stringify(set)}\n`);
        else io.stdout.write(`${oneLine(set.name)} is sealed, version ${set.version}\n`);
      } finally {
        value.fill(0);
      }
      return EXIT.completed;
    },
  });
}

/** @throws Failure exit 2 for nothing, and for more than a secret may have. */
async function readValue(name: string, io: Terminal): Promise<Uint8Array> {
  if (io.interactive) {
    const typed = await io.askHidden(`Value of ${oneLine(name)} (not shown): `);
    if (typed === "") throw usage("No value was typed, so nothing was changed.");
    return Buffer.from(typed, "utf8");
  }
  const chunks: Uint8Array[] = [];
  let bytes = 0;
  for await (const chunk of io.stdinBytes()) {
    bytes += chunk.byteLength;
    // One more than fits: a line ending that is taken off does not count.
    if (bytes > SECRET_BYTES_MAX + 2)
      throw usage(`Standard input has more than the ${SECRET_BYTES_MAX} bytes of a secret.`);
    chunks.push(chunk);
  }
  const value = withoutLineEnd(Buffer.concat(chunks));
  if (value.byteLength === 0) throw usage("Standard input was empty, so nothing was changed.");
  return value;
}

/** `echo` and editors add one; a header's value cannot have any. */
function withoutLineEnd(bytes: Buffer): Buffer {
  if (bytes.at(-1) !== 0x0a) return bytes;
  return bytes.subarray(0, bytes.at(-2) === 0x0d ? -2 : -1);
}

const columns: Column<Secret>[] = [
  { title: "SECRET", cell: ({ name }) => oneLine(name) },
  { title: "VERSION", cell: ({ version }) => String(version), align: "right" },
  { title: "SET", cell: ({ created_at }) => minute(created_at) },
  { title: "BY", cell: ({ actor }) => oneLine(actor), shrink: true },
];

function listCommand(io: Terminal): Command {
  return command({
    summary: "names and versions; values are never shown",
    args: { ...data_arg, ...json_arg },
    examples: [["gantry secrets list", "what rules may name"]],
    async run(given) {
      const items = await (await connect(given.data, io)).secrets.list();
      if (given.json === true) io.stdout.write(`${JSON.stringify({ items, more: false })}\n`);
      else printTable(items, columns, false, ["secret", "secrets"], io);
      return EXIT.completed;
    },
  });
}

function removeCommand(io: Terminal): Command {
  return command({
    summary: "remove a secret, and revoke its leases",
    args: { ...name_arg, ...data_arg, ...json_arg },
    notes: ["Runs that hold a lease of it are refused from then on; calls under way with it are cut."],
    examples: [["gantry secrets rm github-token", "after it has leaked, and been changed where it is from"]],
    async run(given) {
      await (await connect(given.data, io)).secrets.remove(given.name);
      const { name } = given;
      io.stdout.write(given.json === true ? `${JSON.stringify({ name })}\n` : `${oneLine(name)} removed\n`);
      return EXIT.completed;
    },
  });
}
