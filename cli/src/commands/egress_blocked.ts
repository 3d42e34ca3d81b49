import type { BlockedEgressCall } from "@gantry/sdk";
import { type Command, command, type Group } from "../arguments.ts";
import { connect, data_arg, json_arg } from "../connect.ts";
import { EXIT } from "../exit.ts";
import type { Column } from "../table.ts";
import type { Terminal } from "../terminal.ts";
import { count, instant, minute, oneLine, type Paint, paintFor } from "../text.ts";
import { printTable } from "./runs.ts";

const id_arg = { id: { type: "positional", required: true, description: "a stopped call's id, blk_…" } } as const;

/** `gantry egress blocked …` */
export function blockedGroup(io: Terminal): Group {
  return {
    kind: "group",
    summary: "stopped calls: let them go, or drop them",
    commands: { list: listCommand(io), show: showCommand(io), retry: retryCommand(io), drop: dropCommand(io) },
  };
}

const columns: Column<BlockedEgressCall>[] = [
  { title: "CALL", cell: ({ id }) => oneLine(id) },
  { title: "CREATED", cell: ({ created_at }) => minute(created_at) },
  { title: "STATE", cell: ({ state }) => oneLine(state) },
  { title: "CODE", cell: ({ code }) => oneLine(code) },
  { title: "METHOD", cell: ({ method }) => oneLine(method) },
  { title: "URL", cell: ({ url }) => oneLine(url), shrink: true },
];

function listCommand(io: Terminal): Command {
  return command({
    summary: "the newest first",
    args: { ...data_arg, ...json_arg },
    notes: ["A rule that says on_blocked: dead-letter has calls that change something kept here, for seven days."],
    examples: [["gantry egress blocked list", "what waits for a decision"]],
    async run(given) {
      const items = await (await connect(given.data, io)).egress.blocked.list();
      if (given.json === true) io.stdout.write(`${JSON.stringify({ items, more: false })}\n`);
      else printTable(items, columns, false, ["blocked call", "blocked calls"], io);
      return EXIT.completed;
    },
  });
}

function showCommand(io: Terminal): Command {
  return command({
    summary: "one of them: where to, and why it was stopped",
    args: { ...id_arg, ...data_arg, ...json_arg },
    examples: [["gantry egress blocked show blk_01j…", "before you let it go"]],
    async run(given) {
      const call = await (await connect(given.data, io)).egress.blocked.get(given.id);
      if (given.json === true) io.stdout.write(`${JSON.stringify(call)}\n`);
      else io.stdout.write(callText(call, paintFor(io.stdout, io.env)));
      return EXIT.completed;
    },
  });
}

function retryCommand(io: Terminal): Command {
  return command({
    summary: "send it, if the contract now allows it",
    args: { ...id_arg, ...data_arg, ...json_arg },
    notes: [
      "It is judged again, by the contract's active version and in your name, and is sent under its old idempotency key. " +
        "Exit 0 when it was answered, 1 when sending it failed, 3 when the contract still does not allow it.",
    ],
    examples: [["gantry egress blocked retry blk_01j…", "after the contract has been changed"]],
    async run(given) {
      const call = await (await connect(given.data, io)).egress.blocked.retry(given.id);
      if (given.json === true) io.stdout.write(`${JSON.stringify(call)}\n`);
      else io.stdout.write(callText(call, paintFor(io.stdout, io.env)));
      return call.state === "sent" ? EXIT.completed : EXIT.threw;
    },
  });
}

function dropCommand(io: Terminal): Command {
  return command({
    summary: "never send it",
    args: { ...id_arg, ...data_arg, ...json_arg },
    examples: [["gantry egress blocked drop blk_01j…", "its body is erased"]],
    async run(given) {
      const { id } = given;
      await (await connect(given.data, io)).egress.blocked.drop(id);
      io.stdout.write(given.json === true ? `${JSON.stringify({ id })}\n` : `${oneLine(id)} dropped\n`);
      return EXIT.completed;
    },
  });
}

function callText(call: BlockedEgressCall, paint: Paint): string {
  const { id, state, status, method, url, code, contract, subject, body_bytes, created_at, expires_at } = call;
  const tone = state === "sent" ? "green" : state === "waiting" ? "yellow" : "red";
  const rows: [string, string][] = [
    ["call", `${method} ${url}`],
    ["body", count(body_bytes, "byte")],
    ["stopped", `${code}, ${contract.name}@${contract.version}`],
    ["run", subject],
    ["at", instant(created_at)],
    ...(state === "waiting" ? [["until", instant(expires_at)] as [string, string]] : []),
  ];
  const head = `${paint(tone, state)}${status === null ? "" : ` ${status}`}  ${oneLine(id)}`;
  return `${[head, ...rows.map(([name, text]) => `  ${paint("dim", name.padEnd(7))}  ${oneLine(text)}`)].join("\n")}\n`;
}
