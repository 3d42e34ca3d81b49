import type { Witness } from "@gantry/sdk";
import { type Command, command } from "../arguments.ts";
import { connect, data_arg, json_arg } from "../connect.ts";
import { EXIT } from "../exit.ts";
import type { Column } from "../table.ts";
import type { Terminal } from "../terminal.ts";
import { duration, minute, oneLine } from "../text.ts";
import { printTable } from "./runs.ts";

const columns: Column<Witness>[] = [
  { title: "WITNESS", cell: ({ sink }) => oneLine(sink), shrink: true },
  { title: "SIZE", cell: ({ size }) => String(size), align: "right" },
  { title: "LAG", cell: ({ lag_ms }) => (lag_ms === 0 ? "none" : duration(lag_ms)), align: "right" },
  { title: "UP TO DATE", cell: ({ ok_at }) => (ok_at === null ? "never" : minute(ok_at)) },
  { title: "ERROR", cell: ({ error }) => oneLine(error ?? ""), shrink: true },
];

/** `gantry evidence witnesses` */
export function witnessesCommand(io: Terminal): Command {
  return command({
    summary: "who holds copies of checkpoints, and how far",
    args: { ...data_arg, ...json_arg },
    examples: [["gantry evidence witnesses", "the size, the lag and the last error of each"]],
    async run(given) {
      const { items } = await (await connect(given.data, io)).evidence.witnesses();
      if (given.json === true) io.stdout.write(`${JSON.stringify({ items, more: false })}\n`);
      else {
        printTable(items, columns, false, ["witness", "witnesses"], io);
        if (items.length === 0) {
          io.stderr.write(
            "Without one, the log proves nothing against whoever operates it: see witnesses in the config file.\n",
          );
        }
      }
      return EXIT.completed;
    },
  });
}
