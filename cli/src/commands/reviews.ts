import type { BreakGlass } from "@gantry/sdk";
import { type Command, command, type Group } from "../arguments.ts";
import { connect, data_arg, json_arg } from "../connect.ts";
import { EXIT } from "../exit.ts";
import { usage } from "../failure.ts";
import type { Column } from "../table.ts";
import type { Terminal } from "../terminal.ts";
import { instant, minute, oneLine } from "../text.ts";
import { printTable } from "./runs.ts";

/** `gantry reviews …` */
export function reviewsGroup(io: Terminal): Group {
  return {
    kind: "group",
    summary: "look at what was decided alone",
    commands: { list: listCommand(io), close: closeCommand(io) },
  };
}

const columns: Column<BreakGlass>[] = [
  { title: "REVIEW", cell: ({ id }) => oneLine(id) },
  { title: "BROKEN", cell: ({ at }) => minute(at) },
  { title: "BY", cell: ({ actor }) => oneLine(actor) },
  { title: "APPROVAL", cell: ({ approval }) => oneLine(approval) },
  { title: "REASON", cell: ({ reason }) => oneLine(reason), shrink: true },
];

function listCommand(io: Terminal): Command {
  return command({
    summary: "broken glasses that nobody has reviewed",
    args: { ...data_arg, ...json_arg },
    notes: ["While there is one, nothing privileged starts."],
    examples: [["gantry reviews list", "what holds up privileged runs"]],
    async run(given) {
      const items = await (await connect(given.data, io)).approvals.debts();
      if (given.json === true) io.stdout.write(`${JSON.stringify({ items, more: false })}\n`);
      else printTable(items, columns, false, ["open review", "open reviews"], io);
      return EXIT.completed;
    },
  });
}

function closeCommand(io: Terminal): Command {
  return command({
    summary: "say what a review found",
    args: {
      id: { type: "positional", required: true, description: "a review's id, bgl_…" },
      note: { type: "string", valueHint: "TEXT", description: "what was found" },
      ...data_arg,
      ...json_arg,
    },
    notes: ["It takes another human than the one who broke the glass."],
    examples: [['gantry reviews close bgl_01j… --note "read diff and timeline"', "privileged runs go on"]],
    async run(given) {
      if (given.note === undefined) throw usage("--note is missing: say what the review found.");
      const view = await (await connect(given.data, io)).approvals.close(given.id, given.note);
      io.stdout.write(given.json === true ? `${JSON.stringify(view)}\n` : `${oneLine(view.id)} ${view.debt}\n`);
      return EXIT.completed;
    },
  });
}

/** `gantry attend` */
export function attendCommand(io: Terminal): Command {
  return command({
    summary: "say that you watch, outside attended hours",
    args: { ...data_arg, ...json_arg },
    notes: ["A contract may name the hours when people watch. Outside of them, raises wait for somebody who says so."],
    examples: [["gantry attend", "it holds for an hour"]],
    async run(given) {
      const said = await (await connect(given.data, io)).approvals.attend();
      if (given.json === true) io.stdout.write(`${JSON.stringify(said)}\n`);
      else io.stdout.write(`You are taken to watch until ${instant(said.until_at)}.\n`);
      return EXIT.completed;
    },
  });
}
