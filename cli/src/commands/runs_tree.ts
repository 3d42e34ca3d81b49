import type { RunView } from "@gantry/sdk";
import { type Command, command } from "../arguments.ts";
import { connect, data_arg, json_arg } from "../connect.ts";
import { EXIT } from "../exit.ts";
import { type Column, table } from "../table.ts";
import type { Terminal } from "../terminal.ts";
import { count, duration, minute, paintFor } from "../text.ts";

/** A run, and how far below the first of the tree it is shown. */
interface Branch {
  run: RunView;
  level: number;
}

/** `gantry runs tree`: the runs that started each other. */
export function treeCommand(io: Terminal): Command {
  return command({
    summary: "which runs a run has started, and which started it",
    args: {
      id: { type: "positional", required: true, description: "a run's id, run_…; any of its tree" },
      ...data_arg,
      ...json_arg,
    },
    examples: [
      ["gantry runs tree run_01j…", "the whole tree that it is in, each run below the one that started it"],
      ["gantry runs tree run_01j… --json", "an array of runs, the first of the tree in front"],
    ],
    async run(given) {
      const runs = await (await connect(given.data, io)).runs.tree(given.id);
      if (given.json === true) {
        io.stdout.write(`${JSON.stringify(runs)}\n`);
        return EXIT.completed;
      }
      const width = io.stdout.tty ? io.stdout.columns : undefined;
      io.stdout.write(table(branchesOf(runs), columnsOf(given.id), paintFor(io.stdout, io.env), width));
      io.stderr.write(`${count(runs.length, "run")}, ${duration(cpuOf(runs))} of CPU.\n`);
      return EXIT.completed;
    },
  });
}

const columnsOf = (asked: string): Column<Branch>[] => [
  { title: "RUN", cell: ({ run, level }) => `${"  ".repeat(level)}${run.id}${run.id === asked ? " *" : ""}` },
  { title: "CREATED", cell: ({ run }) => minute(run.created_at) },
  { title: "STATE", cell: ({ run }) => run.termination ?? run.state },
  { title: "CONTRACT", cell: ({ run }) => `${run.contract.name}@${run.contract.version}`, shrink: true },
  { title: "CPU", cell: ({ run }) => (run.usage === undefined ? "" : duration(run.usage.cpu_ms)), align: "right" },
];

function cpuOf(runs: readonly RunView[]): number {
  return runs.reduce((sum, run) => sum + (run.usage?.cpu_ms ?? 0), 0);
}

/** Each run right below the one that started it. A tree is as deep as the server lets it be, so nothing recurses. */
function branchesOf(runs: readonly RunView[]): Branch[] {
  const below = new Map<string, RunView[]>();
  for (const run of runs) if (run.parent !== undefined) below.set(run.parent, [...(below.get(run.parent) ?? []), run]);
  const [root] = runs;
  const branches: Branch[] = [];
  const next: Branch[] = root === undefined ? [] : [{ run: root, level: 0 }];
  for (let branch = next.pop(); branch !== undefined; branch = next.pop()) {
    branches.push(branch);
    const { run, level } = branch;
    next.push(...(below.get(run.id) ?? []).map((child) => ({ run: child, level: level + 1 })).reverse());
  }
  return branches;
}
