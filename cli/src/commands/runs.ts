import type { RunState, RunView, Termination } from "@gantry/sdk";
import { type Command, command, type Group } from "../arguments.ts";
import { connect, data_arg, json_arg } from "../connect.ts";
import { waitingText } from "../execute.ts";
import { EXIT } from "../exit.ts";
import { limit_arg, parseLimit, take } from "../pages.ts";
import { logText, no_sources, resultText, runErrorText, summaryText } from "../render.ts";
import { type Column, table } from "../table.ts";
import type { Terminal } from "../terminal.ts";
import { count, duration, minute, type Paint, paintFor, visible } from "../text.ts";
import { wholeNumber } from "../values.ts";
import { callsCommand } from "./runs_calls.ts";
import { treeCommand } from "./runs_tree.ts";

const id_arg = { id: { type: "positional", required: true, description: "a run's id, run_…" } } as const;

/** `gantry runs …` */
export function runsGroup(io: Terminal): Group {
  return {
    kind: "group",
    summary: "list, show, follow and cancel runs",
    commands: {
      list: listCommand(io),
      show: showCommand(io),
      tree: treeCommand(io),
      logs: logsCommand(io),
      calls: callsCommand(io),
      cancel: cancelCommand(io),
    },
  };
}

const columns: Column<RunView>[] = [
  { title: "RUN", cell: (run) => run.id },
  { title: "CREATED", cell: (run) => minute(run.created_at) },
  { title: "STATE", cell: (run) => run.termination ?? run.state },
  { title: "CONTRACT", cell: (run) => `${run.contract.name}@${run.contract.version}`, shrink: true },
  { title: "CPU", cell: (run) => (run.usage === undefined ? "" : duration(run.usage.cpu_ms)), align: "right" },
];

function listCommand(io: Terminal): Command {
  return command({
    summary: "the newest runs",
    args: {
      state: {
        type: "enum",
        options: ["waiting_approval", "queued", "starting", "running", "ended"],
        description: "only in this state",
      },
      termination: { type: "string", valueHint: "NAME", description: "only ended so, as cpu_exceeded" },
      session: { type: "string", valueHint: "ID", description: "only of this session" },
      ...limit_arg,
      ...data_arg,
      ...json_arg,
    },
    examples: [
      ["gantry runs list", "the newest 20"],
      ["gantry runs list --session s1", "what one session did"],
      ["gantry runs list --termination denied --limit 100", "what was refused"],
    ],
    async run(given) {
      const limit = parseLimit(given.limit);
      const gantry = await connect(given.data, io);
      const { items, more } = await take(limit, (page_limit) =>
        gantry.runs.pages({
          limit: page_limit,
          ...(given.state === undefined ? {} : { state: given.state as RunState }),
          ...(given.termination === undefined ? {} : { termination: given.termination as Termination }),
          ...(given.session === undefined ? {} : { session: given.session }),
        }),
      );
      if (given.json === true) io.stdout.write(`${JSON.stringify({ items, more })}\n`);
      else printTable(items, columns, more, ["run", "runs"], io);
      return EXIT.completed;
    },
  });
}

/** A table on standard output; what a person should know about it on standard error. */
export function printTable<T>(
  items: readonly T[],
  columns: readonly Column<T>[],
  more: boolean,
  noun: readonly [one: string, many: string],
  io: Terminal,
): void {
  const width = io.stdout.tty ? io.stdout.columns : undefined;
  io.stdout.write(table(items, columns, paintFor(io.stdout, io.env), width));
  if (items.length === 0) io.stderr.write(`There is no such ${noun[0]} yet.\n`);
  if (more) io.stderr.write(`These are the first ${count(items.length, ...noun)}; --limit shows more.\n`);
}

function showCommand(io: Terminal): Command {
  return command({
    summary: "one run: its result, how it ended, what it used",
    args: { ...id_arg, ...data_arg, ...json_arg },
    examples: [["gantry runs show run_01j…", "everything that is recorded of it"]],
    async run(given) {
      const view = await (await connect(given.data, io)).runs.get(given.id);
      if (given.json === true) io.stdout.write(`${JSON.stringify(view)}\n`);
      else io.stdout.write(viewText(view, paintFor(io.stdout, io.env)));
      return EXIT.completed;
    },
  });
}

function viewText(view: RunView, paint: Paint): string {
  const result = view.termination === "completed" ? `\n${visible(resultText(view.result))}\n` : "";
  if (view.state === "waiting_approval") return waitingText(view, paint);
  return runErrorText(view, no_sources, paint) + summaryText(view, paint) + result;
}

function logsCommand(io: Terminal): Command {
  return command({
    summary: "a run's log",
    args: {
      ...id_arg,
      follow: { type: "boolean", description: "keep printing until the run has ended" },
      after: { type: "string", valueHint: "SEQ", description: "only lines after this sequence number" },
      ...data_arg,
      ...json_arg,
    },
    examples: [
      ["gantry runs logs run_01j… --follow", "as it is written"],
      ["gantry runs logs run_01j… --json", "one JSON object per line, with seq, at and level"],
    ],
    async run(given) {
      const gantry = await connect(given.data, io);
      const paint = paintFor(io.stdout, io.env);
      const after = given.after === undefined ? {} : { after: wholeNumber("--after", given.after) };
      for await (const line of gantry.runs.logs(given.id, { follow: given.follow === true, ...after })) {
        io.stdout.write(`${given.json === true ? JSON.stringify(line) : logText(line, paint)}\n`);
      }
      return EXIT.completed;
    },
  });
}

function cancelCommand(io: Terminal): Command {
  return command({
    summary: "end a run; one that has ended stays as it is",
    args: { ...id_arg, ...data_arg, ...json_arg },
    examples: [["gantry runs cancel run_01j…", "its process is killed at once"]],
    async run(given) {
      const view = await (await connect(given.data, io)).runs.cancel(given.id);
      const ending = view.termination ?? view.state;
      io.stdout.write(given.json === true ? `${JSON.stringify(view)}\n` : `${view.id} ${ending}\n`);
      return EXIT.completed;
    },
  });
}
