// `npm run docs:reference`: writes docs/reference/cli.md from the command line's own tree; `--check` compares.
import type { Command, Group } from "../cli/src/arguments.ts";
import { shortOf } from "../cli/src/arguments.ts";
import { EXIT } from "../cli/src/exit.ts";
import { SECTIONS } from "../cli/src/help.ts";
import { commandTree } from "../cli/src/program.ts";
import { systemTerminal } from "../cli/src/terminal.ts";
import { settle } from "./contracts.ts";

const HEAD = `# The command line

Every command of \`gantry\`, as \`gantry help\` tells it. The server is found by \`GANTRY_URL\` and \`GANTRY_TOKEN\`, else by the data directory
(\`--data\`, \`GANTRY_DATA\`, \`./.gantry\`). Errors are sentences on standard error with the next step; with \`--json\` they are JSON on standard output,
too.

This file is written by \`npm run docs:reference\`.

`;

type Leaf = { path: string[]; command: Command };
type Args = Command["args"];

function leavesOf(path: string[], node: Command | Group): Leaf[] {
  if (node.kind === "command") return [{ path, command: node }];
  return Object.entries(node.commands).flatMap(([word, below]) => leavesOf([...path, word], below));
}

const cell = (text: string) => text.replaceAll("|", "\\|").replaceAll(/\s+/g, " ").replaceAll("<", "&lt;");

function argumentRows(args: Args): string[] {
  return Object.entries(args).map(([name, def]) => {
    if (def.type === "positional") {
      const is_optional = def.required === false ? ", may be left out" : "";
      return `| \`${name.toUpperCase()}\` | ${cell(def.description ?? "")}${is_optional} |`;
    }
    const value = def.type === "enum" ? (def.options ?? []).join("|") : (def.valueHint ?? "");
    const short = shortOf(def);
    const flag = `${short === undefined ? "" : `-${short}, `}--${name}${value === "" ? "" : ` ${value}`}`;
    return `| \`${flag.replaceAll("|", "\\|")}\` | ${cell(def.description ?? "")} |`;
  });
}

function section({ path, command }: Leaf): string {
  const full = ["gantry", ...path].join(" ");
  const rows = argumentRows(command.args);
  return [
    `### ${full}`,
    "",
    `${capital(command.summary)}.`,
    "",
    ...(rows.length === 0 ? [] : ["| argument | what |", "|---|---|", ...rows, ""]),
    "```text",
    ...command.examples.flatMap(([example, what]) => [`# ${what}`, example]),
    "```",
    "",
    ...command.notes.flatMap((note) => [note.replaceAll("<", "&lt;"), ""]),
  ].join("\n");
}

function capital(text: string): string {
  return text.charAt(0).toUpperCase() + text.slice(1);
}

const root = commandTree(systemTerminal(), { server: "", examples: "", version: "" });
/** A code that is new does not compile before somebody has said what it means. */
const MEANT: Record<keyof typeof EXIT, string> = {
  completed: "done; a run completed",
  threw: "the answer is no; a run threw or did not load",
  usage: "the command line, the code, a file or the input is wrong",
  denied: "denied, declined, or waits for people",
  limit: "a run went past one of its limits",
  capacity: "no room, or too late",
  lost: "the server or the run went away",
  cancelled: "cancelled",
};
const codes = Object.entries(EXIT).map(([name, code]) => `| ${code} | ${MEANT[name as keyof typeof EXIT]} |`);
const text =
  HEAD +
  SECTIONS.map(([title, names]) => {
    const leaves = names.flatMap((name) => leavesOf([name], root.commands[name] as Command | Group));
    return `## ${title}\n\n${leaves.map(section).join("\n")}`;
  }).join("\n") +
  ["", "## Exit codes", "", "| code | what |", "|---|---|", ...codes, ""].join("\n");
process.exitCode = settle("docs/reference/cli.md", text, process.argv);
