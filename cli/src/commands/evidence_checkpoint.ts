import { type Command, command } from "../arguments.ts";
import { connect, data_arg, json_arg } from "../connect.ts";
import { EXIT } from "../exit.ts";
import { Failure } from "../failure.ts";
import { out_arg, putText } from "../out_file.ts";
import type { Terminal } from "../terminal.ts";
import { instant, oneLine } from "../text.ts";

/** `gantry evidence checkpoint` */
export function checkpointCommand(io: Terminal): Command {
  return command({
    summary: "save what the log has signed: its size and root",
    args: { ...out_arg, ...data_arg, ...json_arg },
    notes: [
      "Keep it where the server's operator cannot change it. Later it shows whether the log was made anew: verify and " +
        "audit take it as --checkpoint.",
    ],
    examples: [
      ["gantry evidence checkpoint -o saved", "keep it, and compare later"],
      ["gantry evidence checkpoint", "see it"],
    ],
    async run(given) {
      const note = await (await connect(given.data, io)).proofs.checkpoint();
      const taken_at = Date.now();
      const { origin, size, root } = headOf(note);
      await putText(given.output, note, given.json === true && given.output === undefined ? silent(io) : io);
      if (given.json === true) {
        const file = given.output === undefined ? {} : { file: given.output };
        io.stdout.write(`${JSON.stringify({ origin, size, root, taken_at, note, ...file })}\n`);
        return EXIT.completed;
      }
      const saved = given.output === undefined ? "" : `${given.output}: `;
      io.stderr.write(`${saved}log ${oneLine(origin)}, size ${size}, taken at ${instant(taken_at)}\n`);
      return EXIT.completed;
    },
  });
}

function silent(io: Terminal): Pick<Terminal, "cwd" | "stdout"> {
  return { cwd: io.cwd, stdout: { ...io.stdout, write: () => undefined } };
}

/** The three lines of a checkpoint (C2SP tlog-checkpoint). Its signature is judged by `gantry evidence verify`. */
function headOf(note: string): { origin: string; size: number; root: string } {
  const [origin = "", size = "", root = ""] = note.split("\n");
  if (origin === "" || !/^\d{1,16}$/.test(size) || root === "") {
    throw new Failure(EXIT.lost, "The server's answer is no checkpoint: an origin, a size and a root on a line each.");
  }
  return { origin, size: Number(size), root };
}
