import { type Command, command } from "../arguments.ts";
import { json_arg } from "../connect.ts";
import { runPrograms } from "../demo/programs.ts";
import { runStory } from "../demo/story.ts";
import type { Installation } from "../installation.ts";
import type { Terminal } from "../terminal.ts";

/** `gantry demo` */
export function demoCommand(io: Terminal, installation: Installation): Command {
  return command({
    summary: "see an agent work, be refused, be approved, and proved",
    args: {
      yes: { type: "boolean", description: "ask nobody: a second human of the demo's own approves" },
      programs: { type: "boolean", description: "eight programs instead: one tries to break out, one runs away" },
      keep: { type: "boolean", description: "keep the demo's data directory" },
      ...json_arg,
    },
    notes: [
      "It starts a server of its own and removes everything again. Each sentence with a mark was checked against what the " +
        "server really answered. Exit codes: 0 everything happened as it says, 1 not.",
      "On a terminal it asks you to approve; elsewhere it goes on as with --yes, and says so.",
    ],
    examples: [
      ["gantry demo", "takes a few seconds, and a decision"],
      ["gantry demo --yes --json", "unattended: the facts of each scene, for programs"],
      ["gantry demo --programs", "the other examples"],
    ],
    async run(given) {
      const options = { keep: given.keep === true, json: given.json === true };
      if (given.programs === true) return runPrograms(io, installation, options);
      return runStory(io, installation, { ...options, yes: given.yes === true });
    },
  });
}
