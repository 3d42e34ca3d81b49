import type { AppliedContract, ContractDelta, ProposedContract } from "@gantry/sdk";
import { type Command, command } from "../arguments.ts";
import { connect, data_arg, json_arg } from "../connect.ts";
import { inFiles, nameOf, readDocument } from "../documents.ts";
import { EXIT } from "../exit.ts";
import { usage } from "../failure.ts";
import { stepsText } from "../render.ts";
import type { Terminal } from "../terminal.ts";
import { oneLine, type Paint, paintFor, visible } from "../text.ts";

const document_args = {
  file: { type: "positional", required: true, description: "the document, YAML or JSON; - for standard input" },
  name: { type: "string", valueHint: "NAME", description: "the contract, when the document's line is hard to find" },
} as const;

/** `gantry contracts apply FILE` */
export function applyCommand(io: Terminal): Command {
  return command({
    summary: "put a contract in force, or propose it when it loosens",
    args: {
      ...document_args,
      "if-version": {
        type: "string",
        valueHint: "N",
        description: "only if this version is active; 0: only if there is none",
      },
      ...data_arg,
      ...json_arg,
    },
    notes: [
      "What is proved to be tightening is active at once. Everything else waits until people have approved exactly this " +
        "document: until then, what is active stays so. A document that says what holds changes nothing.",
      "Exit 0 when it is in force, 3 when it waits for people.",
    ],
    examples: [
      ["gantry contracts apply acme-staging.yaml", "in force, or waiting under an approval's id"],
      ["gantry contracts apply acme-staging.yaml --if-version 3", "refused when somebody was faster"],
      ["gantry contracts diff acme-staging.yaml", "what it would change, before"],
    ],
    async run(given) {
      const document = await readDocument(given.file, io);
      const name = nameOf(document, given.name);
      const if_version = versionOf(given["if-version"]);
      const gantry = await connect(given.data, io);
      const called = new Map([[`contract ${name}`, document]]);
      const o = if_version === undefined ? {} : { if_version };
      const applied = await inFiles(called, gantry.contracts.apply(name, document.text, o));
      if (given.json === true) io.stdout.write(`${JSON.stringify(applied)}\n`);
      else io.stdout.write(`${appliedText(applied, paintFor(io.stdout, io.env))}\n`);
      return "approval" in applied ? EXIT.denied : EXIT.completed;
    },
  });
}

/** `gantry contracts diff FILE` */
export function diffCommand(io: Terminal): Command {
  return command({
    summary: "what a document would change, and whether it waits",
    args: { ...document_args, ...data_arg, ...json_arg },
    notes: [
      "Lines with ! loosen what holds now; for a contract that there is not yet, what it extends. Exit 1 when one does.",
    ],
    examples: [["gantry contracts diff acme-staging.yaml", "what loosens comes first"]],
    async run(given) {
      const document = await readDocument(given.file, io);
      const name = nameOf(document, given.name);
      const gantry = await connect(given.data, io);
      const diff = await inFiles(new Map([[`contract ${name}`, document]]), gantry.contracts.diff(name, document.text));
      if (given.json === true) io.stdout.write(`${JSON.stringify(diff)}\n`);
      else {
        const against = diff.version === null ? "a new contract" : `against ${diff.name}@${diff.version}`;
        const says = diff.delta.lines.length === 0 ? "changes nothing" : diff.delta.loosens ? "loosens" : "tightens";
        const lines = [
          `${oneLine(diff.name)}: ${says}, ${against}`,
          ...deltaLines(diff.delta, paintFor(io.stdout, io.env)),
        ];
        io.stdout.write(`${lines.join("\n")}\n`);
      }
      return diff.delta.loosens ? EXIT.threw : EXIT.completed;
    },
  });
}

function versionOf(text: string | undefined): number | undefined {
  if (text === undefined) return undefined;
  if (/^\d{1,9}$/.test(text)) return Number(text);
  throw usage(`--if-version takes a whole number, not ${oneLine(text)}.`);
}

function appliedText(applied: AppliedContract | ProposedContract, paint: Paint): string {
  const { contract, delta, changed } = applied;
  const name = `${contract.name}@${contract.version}`;
  if ("approval" in applied) {
    const again = changed ? "" : ", as before";
    const head = paint("bold", `${name} waits for people${again}: ${applied.approval}`);
    return [head, ...deltaLines(delta, paint), "", stepsText(applied.next_steps.map(stepOf), undefined, paint)].join(
      "\n",
    );
  }
  if (!changed) return `${name} says the same already${contract.state === "suspended" ? ", and is suspended" : ""}`;
  return [paint("bold", `${name} is in force`), ...deltaLines(delta, paint)].join("\n");
}

function stepOf({ kind, text, command }: ProposedContract["next_steps"][number]) {
  return { kind, text, ...(command === undefined ? {} : { command }) };
}

/** `!` loosens, `-` tightens. */
function deltaLines({ lines }: ContractDelta, paint: Paint): string[] {
  return lines.map(({ at, loosens, text }) => {
    const line = `${loosens ? "!" : "-"} ${visible(at)}  ${oneLine(text)}`;
    return `  ${loosens ? paint("yellow", line) : line}`;
  });
}
