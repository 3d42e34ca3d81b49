import { readdir, readFile } from "node:fs/promises";
import { join } from "node:path";
import { type Command, command } from "../arguments.ts";
import { json_arg } from "../connect.ts";
import { CONTRACT_NAME } from "../contract_name.ts";
import { EXIT } from "../exit.ts";
import { typeThis, usage } from "../failure.ts";
import { reasonOf } from "../input.ts";
import type { Installation } from "../installation.ts";
import { putNew } from "../out_file.ts";
import { stepsText } from "../render.ts";
import { type Column, table } from "../table.ts";
import type { Terminal } from "../terminal.ts";
import { oneLine, paintFor } from "../text.ts";

const CONTRACT = ".yaml";
const TABLE = ".policy.yaml";
/** A line of a worked contract that is about the worked contract alone. */
const ABOUT_COPYING = /^# Copy it:.*\n/m;

/** `gantry contracts new` */
export function newCommand(io: Terminal, installation: Installation): Command {
  return command({
    summary: "a contract of your own, copied from a worked one",
    args: {
      name: { type: "positional", required: false, description: "its name; default: my-<the other's>" },
      like: { type: "string", valueHint: "WORKED", description: "the worked contract; left out: says which there are" },
      ...json_arg,
    },
    notes: [
      "Alone, it lists the worked contracts and what each is for.",
      "Writes <name>.yaml, and <name>.policy.yaml with requests and the answers that the contract gives to them, " +
        "into this directory. Change both, test, then apply: nothing is sent to the server before. " +
        "A file that exists already is not touched.",
    ],
    examples: [
      ["gantry contracts new", "which there are"],
      ["gantry contracts new --like docs-reader", "my-docs-reader.yaml and its table"],
      ["gantry contracts new web-triage --like issue-triage", "under a name of your own"],
      ["gantry policy test web-triage.policy.yaml", "does it say what you mean?"],
      ["gantry contracts apply web-triage.yaml", "in force, or proposed when it grants something"],
    ],
    async run(given) {
      const from = join(installation.examples, "contracts");
      if (given.like === undefined && given.name === undefined) {
        await printWorked(from, given.json === true, io);
        return EXIT.completed;
      }
      const like = await worked(from, given.like);
      const name = given.name ?? `my-${like}`;
      if (!CONTRACT_NAME.test(name)) {
        throw usage(`${oneLine(name)} is no name: it has 1 to 63 of a-z, 0-9 and -, and starts with a letter.`);
      }
      const files = await Promise.all(
        [CONTRACT, TABLE].map(async (kind) => ({
          file: `${name}${kind}`,
          text: renamed(await readFile(join(from, `${like}${kind}`), "utf8"), like, name),
        })),
      );
      await putNew(files, io);
      const written = files.map(({ file }) => file);
      if (given.json === true) io.stdout.write(`${JSON.stringify({ name, like, files: written })}\n`);
      else io.stdout.write(`${written.map((file) => `wrote ${file}`).join("\n")}\n`);
      return EXIT.completed;
    },
  });
}

interface Worked {
  name: string;
  /** What it is for: the first sentence of its file. */
  summary: string;
}

const columns: Column<Worked>[] = [
  { title: "WORKED CONTRACT", cell: ({ name }) => name },
  { title: "WHAT FOR", cell: ({ summary }) => summary, shrink: true },
];

async function printWorked(from: string, json: boolean, io: Terminal): Promise<void> {
  const items = await Promise.all(
    (await workedNames(from)).map(async (name) => ({
      name,
      summary: summaryOf(await readFile(join(from, `${name}${CONTRACT}`), "utf8")),
    })),
  );
  if (json) {
    io.stdout.write(`${JSON.stringify({ items })}\n`);
    return;
  }
  const paint = paintFor(io.stdout, io.env);
  const step = typeThis("Copy one", `gantry contracts new --like ${items[0]?.name ?? "WORKED"}`);
  io.stdout.write(table(items, columns, paint, io.stdout.tty ? io.stdout.columns : undefined));
  io.stderr.write(`\n${stepsText([step], undefined, paintFor(io.stderr, io.env))}\n`);
}

/** The first sentence of the comment that a worked contract begins with. */
function summaryOf(text: string): string {
  const head = /^(?:#.*\n)*/.exec(text)?.[0] ?? "";
  const words = head.replaceAll(/^# ?/gm, "").replaceAll(/\s+/g, " ");
  return oneLine(/^[^.:]*/.exec(words)?.[0] ?? "");
}

async function workedNames(from: string): Promise<string[]> {
  return (await readdir(from).catch((error: unknown) => none(from, error)))
    .filter((file) => file.endsWith(CONTRACT) && !file.endsWith(TABLE))
    .map((file) => file.slice(0, -CONTRACT.length))
    .sort();
}

/** @throws Failure exit 2, naming those that there are, when none of them was asked for. */
async function worked(from: string, like: string | undefined): Promise<string> {
  const names = await workedNames(from);
  const found = names.find((name) => name === like);
  if (found !== undefined) return found;
  const what =
    like === undefined ? "Say which worked contract to copy" : `There is no worked contract ${oneLine(like)}`;
  throw usage(`${what}; there are: ${names.join(", ")}.`, {
    next_steps: names.slice(0, 1).map((name) => typeThis("For example", `gantry contracts new --like ${name}`)),
  });
}

function none(from: string, error: unknown): never {
  throw usage(`The worked contracts cannot be read in ${from}: ${reasonOf(error)}.`);
}

/** Everywhere that the name stands alone: in the document, in every case of the table, and in what the comments say. */
function renamed(text: string, like: string, name: string): string {
  return text.replace(ABOUT_COPYING, "").replaceAll(new RegExp(`(?<![\\w-])${like}(?![\\w-])`, "g"), name);
}
