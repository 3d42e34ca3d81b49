import type { ContractSummary } from "@gantry/sdk";
import { type Command, command, type Group } from "../arguments.ts";
import { connect, data_arg, json_arg } from "../connect.ts";
import { EXIT } from "../exit.ts";
import type { Installation } from "../installation.ts";
import type { Column } from "../table.ts";
import type { Terminal } from "../terminal.ts";
import { oneLine, paintFor, visible } from "../text.ts";
import { applyCommand, diffCommand } from "./contracts_apply.ts";
import { newCommand } from "./contracts_new.ts";
import { printTable } from "./runs.ts";

/** `gantry contracts …` */
export function contractsGroup(io: Terminal, installation: Installation): Group {
  return {
    kind: "group",
    summary: "say and see what code may do",
    commands: {
      new: newCommand(io, installation),
      diff: diffCommand(io),
      apply: applyCommand(io),
      list: listCommand(io),
      show: showCommand(io),
    },
  };
}

const columns: Column<ContractSummary>[] = [
  { title: "CONTRACT", cell: ({ name }) => oneLine(name) },
  { title: "VERSION", cell: ({ version }) => String(version), align: "right" },
  { title: "CLASS", cell: (contract) => oneLine(contract.class) },
  { title: "ORIGIN", cell: ({ built_in }) => (built_in ? "built in" : "yours") },
  { title: "STATE", cell: stateText },
  { title: "SNAPSHOT", cell: ({ snapshot }) => oneLine(snapshot), shrink: true },
];

function stateText({ state, pending }: ContractSummary): string {
  return pending === null ? state : `${state}, ${pending.version} waits`;
}

function listCommand(io: Terminal): Command {
  return command({
    summary: "the active version of each contract",
    args: { ...data_arg, ...json_arg },
    examples: [["gantry contracts list", "what --contract takes"]],
    async run(given) {
      const items = await (await connect(given.data, io)).contracts.list();
      if (given.json === true) io.stdout.write(`${JSON.stringify({ items, more: false })}\n`);
      else printTable(items, columns, false, ["contract", "contracts"], io);
      return EXIT.completed;
    },
  });
}

function showCommand(io: Terminal): Command {
  return command({
    summary: "one contract, what it inherits filled in",
    args: { name: { type: "positional", required: true, description: "a contract's name" }, ...data_arg, ...json_arg },
    examples: [["gantry contracts show scratch", "its class, isolation and limits"]],
    async run(given) {
      const found = await (await connect(given.data, io)).contracts.get(given.name);
      const paint = paintFor(io.stdout, io.env);
      if (given.json === true) io.stdout.write(`${JSON.stringify(found)}\n`);
      else {
        const head = `${found.name}@${found.version}: ${found.class}, ${found.built_in ? "built in" : "yours"}`;
        const { suspension, pending } = found;
        const rest = [
          ...(suspension === null
            ? []
            : [
                `${paint("red", "suspended")}  ${suspension.metric}: ${suspension.counted} of ${suspension.runs} runs, by ${suspension.entry}`,
              ]),
          ...(pending === null
            ? []
            : [`${paint("yellow", "waits")}      version ${pending.version}: ${pending.approval}`]),
          `${paint("dim", "snapshot")}   ${found.snapshot}`,
          `${paint("dim", "isolation")}  ${isolationText(found.contract)}`,
          "",
          JSON.stringify(found.contract, null, 2),
        ];
        io.stdout.write(`${[paint("bold", oneLine(head)), ...rest.map(visible)].join("\n")}\n`);
      }
      return EXIT.completed;
    },
  });
}

/** What a run gets that asks for nothing, and the weakest that it may ask for. */
function isolationText({ isolation, isolation_floor }: ContractSummary["contract"]): string {
  return `${String(isolation)} by default, ${String(isolation_floor)} at least`;
}
