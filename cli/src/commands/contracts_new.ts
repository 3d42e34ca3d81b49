import { readdir, readFile } from "node:fs/promises";
import { join } from "node:path";
import { type Command, command } from "../arguments.ts";
import { json_arg } from "../connect.ts";
import { EXIT } from "../exit.ts";
import { typeThis, usage } from "../failure.ts";
import { reasonOf } from "../input.ts";
import type { Installation } from "../installation.ts";
import { putNew } from "../out_file.ts";
import type { Terminal } from "../terminal.ts";
import { oneLine } from "../text.ts";

/** As the server has it: 1 to 63 characters. */
const NAME = /^[a-z][a-z0-9-]{0,62}$/;
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
      "Writes <name>.yaml, and <name>.policy.yaml with requests and the answers that the contract gives to them, " +
        "into this directory. Change both, test, then apply: nothing is sent to the server before. " +
        "A file that exists already is not touched.",
    ],
    examples: [
      ["gantry contracts new --like docs-reader", "my-docs-reader.yaml and its table"],
      ["gantry contracts new web-triage --like issue-triage", "under a name of your own"],
      ["gantry policy test web-triage.policy.yaml", "does it say what you mean?"],
      ["gantry contracts apply web-triage.yaml", "in force, or proposed when it grants something"],
    ],
    async run(given) {
      const from = join(installation.examples, "contracts");
      const like = await worked(from, given.like);
      const name = given.name ?? `my-${like}`;
      if (!NAME.test(name)) {
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

/** @throws Failure exit 2, naming those that there are, when none of them was asked for. */
async function worked(from: string, like: string | undefined): Promise<string> {
  const names = (await readdir(from).catch((error: unknown) => none(from, error)))
    .filter((file) => file.endsWith(CONTRACT) && !file.endsWith(TABLE))
    .map((file) => file.slice(0, -CONTRACT.length))
    .sort();
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
