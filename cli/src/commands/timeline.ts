import type { TimelineQuery } from "@gantry/sdk";
import { type Command, command } from "../arguments.ts";
import { connect, data_arg, json_arg } from "../connect.ts";
import { EXIT } from "../exit.ts";
import { usage } from "../failure.ts";
import { out_arg, putText } from "../out_file.ts";
import type { Terminal } from "../terminal.ts";
import { visible } from "../text.ts";
import { parseSince } from "../values.ts";

/** `gantry timeline` */
export function timelineCommand(io: Terminal): Command {
  return command({
    summary: "what happened, reconstructed from the ledger alone",
    args: {
      ref: { type: "positional", required: false, description: "what it is about: a run, an actor, a snapshot" },
      since: { type: "string", valueHint: "WHEN", description: "everything since: 10m, 2h, 7d, or a date" },
      ...out_arg,
      ...data_arg,
      ...json_arg,
    },
    notes: [
      "Markdown, times in UTC. Each line names its entry, gaps are named, nothing is inferred: the same ledger gives the " +
        "same bytes.",
    ],
    examples: [
      ["gantry timeline run_01j…", "one run: who, under what rule, what was denied, how it ended"],
      ["gantry timeline --since 2h -o incident.md", "all that your tenant did in the last two hours"],
    ],
    async run(given) {
      const about = aboutOf(given);
      const { timelines } = await connect(given.data, io);
      const text =
        given.json === true
          ? `${JSON.stringify(await timelines.get(about))}\n`
          : visible(await timelines.markdown(about));
      await putText(given.output, text, io);
      return EXIT.completed;
    },
  });
}

/** @throws Failure exit 2 */
function aboutOf({ ref, since }: { ref?: string | undefined; since?: string | undefined }): TimelineQuery {
  if (ref !== undefined && since !== undefined) throw usage("A timeline is of REF or --since WHEN, not of both.");
  if (ref !== undefined) return { ref };
  if (since !== undefined) return { since: parseSince(since, Date.now()) };
  throw usage("Say what about: a run's id or another, or --since 2h.");
}
