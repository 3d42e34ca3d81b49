import type { Entry } from "@gantry/sdk";
import { type Command, command, type Group } from "../arguments.ts";
import { connect, data_arg, json_arg } from "../connect.ts";
import { EXIT } from "../exit.ts";
import type { Installation } from "../installation.ts";
import { limit_arg, parseLimit, take } from "../pages.ts";
import type { Column } from "../table.ts";
import type { Terminal } from "../terminal.ts";
import { instant, minute, oneLine, type Paint, paintFor, visible } from "../text.ts";
import { parseSince } from "../values.ts";
import { auditCommand } from "./evidence_audit.ts";
import { checkpointCommand } from "./evidence_checkpoint.ts";
import { exportCommand } from "./evidence_export.ts";
import { proofCommand, statementCommand } from "./evidence_files.ts";
import { keyCommand } from "./evidence_key.ts";
import { succeedCommand } from "./evidence_succeed.ts";
import { verifyCommand } from "./evidence_verify.ts";
import { witnessesCommand } from "./evidence_witnesses.ts";
import { printTable } from "./runs.ts";

/** `gantry evidence …` */
export function evidenceGroup(io: Terminal, installation: Installation): Group {
  return {
    kind: "group",
    summary: "read the ledger: what happened, by whom, under what rule",
    commands: {
      list: listCommand(io),
      show: showCommand(io),
      export: exportCommand(io),
      verify: verifyCommand(io),
      audit: auditCommand(io, installation),
      checkpoint: checkpointCommand(io),
      key: keyCommand(io),
      proof: proofCommand(io),
      statement: statementCommand(io),
      witnesses: witnessesCommand(io),
      succeed: succeedCommand(io, installation),
    },
  };
}

const columns: Column<Entry>[] = [
  { title: "INDEX", cell: (entry) => (entry.index === undefined ? "" : String(entry.index)), align: "right" },
  { title: "ENTRY", cell: (entry) => entry.id },
  { title: "AT", cell: (entry) => minute(entry.at) },
  { title: "KIND", cell: (entry) => oneLine(entry.kind) },
  { title: "VERDICT", cell: (entry) => oneLine(entry.decision?.verdict ?? "") },
  { title: "REFS", cell: (entry) => oneLine(entry.refs.join(" ")), shrink: true },
];

function listCommand(io: Terminal): Command {
  return command({
    summary: "entries in order of arrival, or the newest first",
    args: {
      ref: { type: "string", valueHint: "ID", description: "only entries that name this run, actor or snapshot" },
      kind: { type: "string", valueHint: "KIND", description: "only of this kind, as run.ended" },
      since: { type: "string", valueHint: "WHEN", description: "10m, 2h, 7d, or a date as 2026-01-31" },
      newest: { type: "boolean", description: "the newest first" },
      ...limit_arg,
      ...data_arg,
      ...json_arg,
    },
    examples: [
      ["gantry evidence list --ref run_01j…", "one run's story"],
      ["gantry evidence list --newest", "what was recorded last"],
      ["gantry evidence list --kind run.ended --since 1h", "what ended in the last hour"],
    ],
    async run(given) {
      const limit = parseLimit(given.limit);
      const since = given.since === undefined ? undefined : parseSince(given.since, Date.now());
      const gantry = await connect(given.data, io);
      const { items, more } = await take(limit, (page_limit) =>
        gantry.evidence.pages({
          limit: page_limit,
          ...(given.ref === undefined ? {} : { ref: given.ref }),
          ...(given.kind === undefined ? {} : { kind: given.kind }),
          ...(since === undefined ? {} : { since }),
          ...(given.newest === true ? { order: "newest" as const } : {}),
        }),
      );
      if (given.json === true) io.stdout.write(`${JSON.stringify({ items, more })}\n`);
      else printTable(items, columns, more, ["entry", "entries"], io);
      return EXIT.completed;
    },
  });
}

function showCommand(io: Terminal): Command {
  return command({
    summary: "one entry, whole",
    args: {
      id: { type: "positional", required: true, description: "an entry's id, ent_…" },
      open: { type: "string", valueHint: "FIELD", description: "show this private field; the opening is recorded" },
      ...data_arg,
      ...json_arg,
    },
    examples: [
      ["gantry evidence show ent_01j…", "the fact and who stands behind it"],
      ["gantry evidence show ent_01j… --open why", "with what was given as the reason"],
    ],
    async run(given) {
      const { evidence } = await connect(given.data, io);
      const entry = await evidence.get(given.id, given.open === undefined ? {} : { open: given.open });
      if (given.json === true) io.stdout.write(`${JSON.stringify(entry)}\n`);
      else io.stdout.write(entryText(entry, paintFor(io.stdout, io.env)));
      return EXIT.completed;
    },
  });
}

function entryText(entry: Entry, paint: Paint): string {
  // Who acted comes first to a reader; in the entry it is who answers for it.
  const links = entry.actor.map(({ actor, kind }) => `${kind} ${actor}`);
  const rows: [string, string][] = [
    ["entry", entry.id],
    ["at", instant(entry.at)],
    ["actor", links.reverse().join(" for ")],
    ["refs", entry.refs.join(" ")],
    ["contract", entry.contract === undefined ? "" : `${entry.contract.name}@${entry.contract.version}`],
    ["snapshot", entry.snapshot ?? ""],
    ["decision", entry.decision === undefined ? "" : [entry.decision.verdict, ...entry.decision.codes].join(" ")],
    ["private", Object.keys(entry.commitments ?? {}).join(" ")],
    ["leaf", entry.leaf],
    ["index", entry.index === undefined ? paint("dim", "(not sealed yet)") : String(entry.index)],
  ];
  const shown = rows
    .filter(([, text]) => text !== "")
    .map(([name, text]) => `${paint("dim", name.padEnd(8))}  ${text}`);
  const opened = Object.entries(entry.opened ?? {}).flatMap(([field, { value }]) => {
    return ["", paint("bold", oneLine(field)), visible(Buffer.from(value, "base64").toString("utf8"))];
  });
  const data = visible(JSON.stringify(entry.data, null, 2));
  return `${[paint("bold", oneLine(entry.kind)), ...shown, "", data, ...opened].join("\n")}\n`;
}
