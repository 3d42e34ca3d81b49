import type { ArgsDef } from "citty";
import { type Command, type Group, shortOf } from "./arguments.ts";
import { type Paint, wrap } from "./text.ts";

const INTRO = [
  "A run is one execution of code, in a jailed process without network or host.",
  "It calls what its contract names and nothing else, through one door: Gantry's.",
  "A contract says what it may do, limits say how much: decided outside the code.",
  "Where it says so, people decide first, about exactly what they were shown.",
  "What happened is in the ledger, with how it ended and what it tried.",
];

/** Sections of the first page; a test checks that every command is in one. */
export const SECTIONS: readonly (readonly [title: string, commands: readonly string[]])[] = [
  ["Start", ["demo", "init", "up", "login", "logout", "me", "doctor"]],
  ["Run code", ["run", "runs", "tasks"]],
  ["Say what code may do", ["contracts", "policy", "egress", "secrets", "leases"]],
  ["Decide as a person", ["approvals", "approve", "decline", "break-glass", "reviews", "attend"]],
  ["Understand", ["stats", "top", "timeline", "evidence", "redteam"]],
  ["Administer", ["tenants", "actors", "tokens", "keys", "webhooks", "admin", "backup", "restore"]],
];

/** `gantry help`: what this is, in a few lines, and every command. */
export function firstPage(root: Group, version: string, paint: Paint): string {
  const lines = [
    `${paint("bold", `gantry ${version}`)}: a self-hosted agent cloud`,
    "",
    ...INTRO.map((one) => `  ${one}`),
  ];
  for (const [title, names] of SECTIONS) {
    lines.push("", paint("bold", title));
    for (const name of names) {
      const one = root.commands[name];
      if (one !== undefined) lines.push(`  ${paint("cyan", `gantry ${name}`.padEnd(18))}  ${one.summary}`);
    }
  }
  lines.push(
    "",
    paint("bold", "Try"),
    `  ${"gantry demo".padEnd(38)}  see it work, and see it stop`,
    `  ${"gantry run main.ts --input '{\"a\": 1}'".padEnd(38)}  run your own`,
    `  ${"gantry help run".padEnd(38)}  flags, examples, exit codes`,
    "",
    ...wrap(
      "The server is found by GANTRY_URL and GANTRY_TOKEN, else by the data directory (--data, GANTRY_DATA, ./.gantry).",
      80,
    ).split("\n"),
  );
  return `${lines.join("\n")}\n`;
}

/** `gantry help runs` */
export function groupPage(path: readonly string[], group: Group, paint: Paint): string {
  const full = ["gantry", ...path].join(" ");
  const names = Object.keys(group.commands);
  const width = Math.max(...names.map((name) => name.length));
  const lines = [`${paint("bold", full)}: ${group.summary}`, ""];
  for (const name of names) {
    lines.push(`  ${paint("cyan", `${full} ${name.padEnd(width)}`)}  ${group.commands[name]?.summary ?? ""}`);
  }
  lines.push("", `Flags and examples: gantry help ${[...path, names[0] ?? ""].join(" ")}`);
  return `${lines.join("\n")}\n`;
}

/** `gantry help run`: usage, flags, examples, notes. */
export function commandPage(path: readonly string[], command: Command, paint: Paint): string {
  const full = ["gantry", ...path].join(" ");
  const words = Object.entries(command.args).filter(([, def]) => def.type === "positional");
  const flags = flagRows(command.args);
  const usage = [full, ...words.map(([name]) => name.toUpperCase()), ...(flags.length > 0 ? ["[flags]"] : [])].join(
    " ",
  );
  const lines = [`${paint("bold", full)}: ${command.summary}`, "", `  ${usage}`];
  const rows = [...words.map(([name, def]) => [name.toUpperCase(), def.description ?? ""] as const), ...flags];
  const width = Math.max(0, ...rows.map(([name]) => name.length));
  if (rows.length > 0) lines.push("");
  for (const [name, text] of rows) {
    const indent = " ".repeat(width + 4);
    lines.push(`  ${paint("cyan", name.padEnd(width))}  ${wrap(text, 80, indent).slice(indent.length)}`);
  }
  lines.push("", paint("bold", "Examples"));
  for (const [example, what] of command.examples)
    lines.push(...exampleLines(example), wrap(paint("dim", what), 80, "      "));
  for (const note of command.notes) lines.push("", wrap(note, 80));
  return `${lines.join("\n")}\n`;
}

/** As it can be pasted into a shell: what is too long goes on behind a backslash. */
function exampleLines(example: string): string[] {
  const lines = wrap(example, 74).split("\n");
  return lines.map((line, n) => `${n === 0 ? "  " : "    "}${line}${n === lines.length - 1 ? "" : " \\"}`);
}

function flagRows(args: ArgsDef): (readonly [string, string])[] {
  return Object.entries(args)
    .filter(([, def]) => def.type !== "positional")
    .map(([name, def]) => {
      const value = def.type === "enum" ? (def.options ?? []).join("|") : (def.valueHint ?? "").replace(" ...", "");
      const short = shortOf(def);
      return [
        `${short === undefined ? "" : `-${short}, `}--${name}${value === "" ? "" : ` ${value}`}`,
        def.description ?? "",
      ] as const;
    });
}
