import { type Command, command } from "../arguments.ts";
import { connect, data_arg, json_arg } from "../connect.ts";
import { EXIT } from "../exit.ts";
import { usage } from "../failure.ts";
import { figuresLines, peopleText, windowText } from "../figures_text.ts";
import type { Terminal } from "../terminal.ts";
import { instant, paintFor } from "../text.ts";
import { parseSpan } from "../values.ts";

const WINDOW_MS_MAX = 86_400_000;
const DENIALS_SHOWN = 20;
/** Where there is no terminal: nothing has to be narrow. */
const PIPE_COLUMNS = 100;

/** The flag of the commands that show figures. */
export const window_arg = {
  window: { type: "string", valueHint: "SPAN", description: "runs that ended so recently, 1s to 24h (default 15m)" },
} as const;

/** @returns milliseconds; undefined: what the server takes. @throws Failure exit 2 */
export function parseWindow(text: string | undefined): number | undefined {
  if (text === undefined) return undefined;
  const window_ms = parseSpan("--window", text);
  if (window_ms > WINDOW_MS_MAX) throw usage(`--window is at most 24h, not "${text}".`);
  return window_ms;
}

/** `gantry stats` */
export function statsCommand(io: Terminal): Command {
  return command({
    summary: "what runs do and did, and how the machine is, in numbers",
    args: { ...window_arg, ...data_arg, ...json_arg },
    notes: [
      "Runs count when they ended within the window: the newest 5,000 of them, and it is said when there were more. " +
        "Percentiles are by nearest rank, so each is a time that a run took: startup from admission until its code was " +
        "loaded, completion from there until its outcome, queued until it had a slot, without the time that people took.",
      "Denied are runs that ended `denied`, and calls of runs that were refused, by code, of the newest 1,000 runs that had " +
        "either; what was refused for load never was a run and is counted by the metric gantry_runs_refused_total. " +
        "What waits for people is every approval that is pending, for runs and their calls, contracts and settings. " +
        "Slots and runners are those of the node that answers; they, the ledger and the witnesses are shown to tokens " +
        "with the scope ops:read.",
    ],
    examples: [
      ["gantry stats", "the last 15 minutes"],
      ["gantry stats --window 24h --json", "the last day, for programs"],
    ],
    async run(given) {
      const window_ms = parseWindow(given.window);
      const gantry = await connect(given.data, io);
      const figures = await gantry.stats.get(window_ms === undefined ? {} : { window_ms });
      if (given.json === true) {
        io.stdout.write(`${JSON.stringify(figures)}\n`);
        return EXIT.completed;
      }
      const paint = paintFor(io.stdout, io.env);
      const width = io.stdout.tty ? io.stdout.columns : PIPE_COLUMNS;
      const { running, waiting } = figures;
      const lines = [
        paint("bold", `${instant(figures.at)}, ${windowText(figures)}`),
        `${running} running, ${waiting.interactive.count + waiting.batch.count} waiting for a slot, ${peopleText(figures)}`,
        "",
        ...figuresLines(figures, { paint, width, denials_max: DENIALS_SHOWN, compact: false }),
      ];
      io.stdout.write(`${lines.join("\n")}\n`);
      return EXIT.completed;
    },
  });
}
