import type { EgressRow, Gantry, RunView } from "@gantry/sdk";
import { type Command, command } from "../arguments.ts";
import { connect, data_arg, json_arg } from "../connect.ts";
import { EXIT } from "../exit.ts";
import { type Column, table } from "../table.ts";
import type { Terminal } from "../terminal.ts";
import { bytesText, oneLine, paintFor } from "../text.ts";

const columns: Column<EgressRow>[] = [
  { title: "VERDICT", cell: ({ verdict }) => verdict },
  { title: "METHOD", cell: ({ method }) => oneLine(method) },
  { title: "HOST", cell: ({ host }) => oneLine(host), shrink: true },
  { title: "PATH", cell: ({ path }) => oneLine(path ?? ""), shrink: true },
  { title: "RULE", cell: ({ rule }) => oneLine(rule ?? "") },
  { title: "CODE", cell: ({ code }) => oneLine(code ?? "") },
  { title: "CALLS", cell: ({ count }) => String(count), align: "right" },
  { title: "SENT", cell: ({ request_bytes }) => bytesText(request_bytes), align: "right" },
  { title: "RECEIVED", cell: ({ response_bytes }) => bytesText(response_bytes), align: "right" },
];

/** `gantry runs calls` */
export function callsCommand(io: Terminal): Command {
  return command({
    summary: "what a run called, and what was not let out",
    args: {
      id: { type: "positional", required: true, description: "a run's id, run_…" },
      each: { type: "boolean", description: "call by call, one JSON object per line" },
      ...data_arg,
      ...json_arg,
    },
    notes: [
      "The sums are those of the ledger. Call by call is a private log beside it: without bodies and without the values " +
        "of queries and headers, and kept for 30 days.",
    ],
    examples: [
      ["gantry runs calls run_01j…", "by host, method and rule"],
      ["gantry runs calls run_01j… --each", "in their order"],
    ],
    async run(given) {
      const gantry = await connect(given.data, io);
      if (given.each === true) {
        for await (const line of linesOf(gantry, given.id)) io.stdout.write(`${JSON.stringify(line)}\n`);
        return EXIT.completed;
      }
      const { rows: told } = await gantry.runs.calls(given.id);
      const rows = told.length > 0 ? told : blockedRows(await gantry.runs.get(given.id));
      if (given.json === true) io.stdout.write(`${JSON.stringify({ items: rows, more: false })}\n`);
      else {
        const width = io.stdout.tty ? io.stdout.columns : undefined;
        io.stdout.write(table(rows, columns, paintFor(io.stdout, io.env), width));
        if (rows.length === 0) io.stderr.write("It called nothing.\n");
      }
      return EXIT.completed;
    },
  });
}

/** A run without a network has no door that tells more of its calls than where they would have gone. */
function blockedRows({ blocked = [] }: RunView): EgressRow[] {
  const unknown = { path: null, rule: null, code: null, request_bytes: 0, response_bytes: 0 };
  return blocked.map((call) => ({ ...call, ...unknown, verdict: "denied" }));
}

async function* linesOf(gantry: Gantry, id: string): AsyncGenerator<Record<string, unknown>, void, undefined> {
  for (let cursor: string | undefined; ; ) {
    const page = await gantry.runs.calls(id, { cursor });
    yield* page.lines;
    if (page.next === undefined || page.next === cursor) return;
    cursor = page.next;
  }
}
