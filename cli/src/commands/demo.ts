import { type Command, command } from "../arguments.ts";
import { json_arg } from "../connect.ts";
import { runDemo } from "../demo.ts";
import type { Installation } from "../installation.ts";
import type { Terminal } from "../terminal.ts";

/** `gantry demo` */
export function demoCommand(io: Terminal, installation: Installation): Command {
  return command({
    summary: "see programs run, one try to break out and one run away",
    args: {
      keep: { type: "boolean", description: "keep the demo's data directory" },
      ...json_arg,
    },
    notes: ["It starts a server of its own and removes everything again. Exit codes: 0 all as expected, 1 not."],
    examples: [
      ["gantry demo", "takes a few seconds"],
      ["gantry demo --json", "the runs, for programs"],
    ],
    run: (given) => runDemo(io, installation, { keep: given.keep === true, json: given.json === true }),
  });
}
