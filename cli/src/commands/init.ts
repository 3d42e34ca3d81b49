import { access, mkdir, readFile } from "node:fs/promises";
import { join, relative, resolve } from "node:path";
import type { NextStep } from "@gantry/sdk";
import { type Command, command } from "../arguments.ts";
import { json_arg } from "../connect.ts";
import { CONTRACT_NAME } from "../contract_name.ts";
import { EXIT } from "../exit.ts";
import { typeThis, usage } from "../failure.ts";
import { reasonOf } from "../input.ts";
import { putNew } from "../out_file.ts";
import { stepsText } from "../render.ts";
import { STARTER_IGNORE, starterConfig, starterContract, starterTable } from "../starter.ts";
import type { Terminal } from "../terminal.ts";
import { oneLine, paintFor } from "../text.ts";

const NAME_DEFAULT = "first";
const CONFIG = "gantry.yaml";
const IGNORE = ".gitignore";
/** A line that keeps the data directory out of the repository. */
const IGNORES_DATA = /^\/?\.gantry\/?\s*$/m;

/** `gantry init` */
export function initCommand(io: Terminal): Command {
  return command({
    summary: "a config file and a first contract, to start from",
    args: {
      dir: { type: "positional", required: false, description: "where to; default: this directory" },
      contract: {
        type: "string",
        valueHint: "NAME",
        description: `what the contract is called; default: ${NAME_DEFAULT}`,
      },
      ...json_arg,
    },
    notes: [
      `Writes ${CONFIG}, with the members that one is likely to change; a contract with its policy table, in contracts/, ` +
        "which holds at the first start because it grants nothing; and, where there is none, a .gitignore for the data " +
        "directory. Nothing is started and nothing is sent.",
      "A file that exists is not touched. If one of the first three does, none is written. " +
        "Exit codes: 0 written, 2 something stands in the way.",
    ],
    examples: [
      ["gantry init", "into this directory"],
      ["gantry init ops --contract web-triage", "into ops/, with contracts/web-triage.yaml"],
      ["gantry up --config gantry.yaml", "what comes next"],
    ],
    async run(given) {
      const name = given.contract ?? NAME_DEFAULT;
      if (!CONTRACT_NAME.test(name)) {
        throw usage(`${oneLine(name)} is no name: it has 1 to 63 of a-z, 0-9 and -, and starts with a letter.`);
      }
      const directory = resolve(io.cwd, given.dir ?? ".");
      const shown = (file: string) => relative(io.cwd, join(directory, file)) || file;
      const files = [
        { file: CONFIG, text: starterConfig(name) },
        { file: `contracts/${name}.yaml`, text: starterContract(name) },
        { file: `contracts/${name}.policy.yaml`, text: starterTable(name) },
      ];
      await demandFree(directory, files, shown);
      const ignored = await readOrNothing(join(directory, IGNORE));
      if (ignored === undefined) files.push({ file: IGNORE, text: STARTER_IGNORE });
      await makeDirectory(join(directory, "contracts"), shown("contracts"));
      // Named as the caller sees them, also where one cannot be written.
      await putNew(
        files.map(({ file, text }) => ({ file: shown(file), text })),
        io,
      );

      const written = files.map(({ file }) => shown(file));
      const kept = ignored === undefined ? [] : [shown(IGNORE)];
      const is_ignored = ignored === undefined || IGNORES_DATA.test(ignored);
      const next_steps = stepsAfter(name, given.dir, is_ignored ? undefined : shown(IGNORE));
      if (given.json === true) {
        io.stdout.write(`${JSON.stringify({ contract: name, written, kept, next_steps })}\n`);
        return EXIT.completed;
      }
      const said = [
        ...written.map((file) => `wrote ${file}`),
        ...kept.map((file) => `${file} exists and stays as it is`),
      ];
      io.stdout.write(`${said.join("\n")}\n\n${stepsText(next_steps, undefined, paintFor(io.stdout, io.env))}\n`);
      return EXIT.completed;
    },
  });
}

/** @throws Failure exit 2 that names every file which is there already. */
async function demandFree(
  directory: string,
  files: readonly { file: string }[],
  shown: (file: string) => string,
): Promise<void> {
  const taken: string[] = [];
  for (const { file } of files) {
    const is_there = await access(join(directory, file)).then(
      () => true,
      () => false,
    );
    if (is_there) taken.push(shown(file));
  }
  if (taken.length === 0) return;
  const verb = taken.length === 1 ? "exists" : "exist";
  throw usage(`${taken.join(", ")} ${verb} already; nothing was written, and nothing was changed.`, {
    next_steps: [
      typeThis("Start with what is there", `gantry up --config ${shown(CONFIG)}`),
      typeThis("Or begin in another directory", "gantry init DIR"),
    ],
  });
}

async function makeDirectory(path: string, shown: string): Promise<void> {
  try {
    await mkdir(path, { recursive: true });
  } catch (error) {
    throw usage(`${shown}/ cannot be made: ${reasonOf(error)}.`);
  }
}

/** @returns undefined: there is no such file. */
async function readOrNothing(path: string): Promise<string | undefined> {
  try {
    return await readFile(path, "utf8");
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === "ENOENT") return undefined;
    throw usage(`${path} cannot be read: ${reasonOf(error)}.`);
  }
}

function stepsAfter(name: string, dir: string | undefined, not_ignored: string | undefined): NextStep[] {
  const ignore: NextStep = {
    kind: "change",
    text: `Add the line .gantry/ to ${not_ignored}: the data directory has keys and tokens in it`,
  };
  return [
    ...(not_ignored === undefined ? [] : [ignore]),
    ...(dir === undefined ? [] : [typeThis("Go there", `cd ${dir}`)]),
    typeThis("Start the server", `gantry up --config ${CONFIG}`),
    typeThis("Run something by the contract", `gantry run FILE --contract ${name}`),
    typeThis("Ask what the contract says", `gantry policy test contracts/${name}.policy.yaml`),
    typeThis("Apply a change that takes something away", `gantry contracts apply contracts/${name}.yaml`),
    typeThis("Start again after one that grants something, log in, and approve it", "gantry approvals list"),
    typeThis("See worked contracts, to start from one that does more", "gantry contracts new"),
  ];
}
