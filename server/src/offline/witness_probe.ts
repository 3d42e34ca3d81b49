import { existsSync } from "node:fs";
import { dirname } from "node:path";
import { type Sender, SINK_PROBE_MS } from "../evidence/contract.ts";
import { type Clock, within } from "../kernel/clock.ts";
import { openSinks, type WitnessChoice } from "../witness_choice.ts";

/** As `doctor` prints it. */
interface WitnessCheck {
  name: string;
  ok: boolean | "warn";
  detail: string;
  fix?: string;
}

const FIX = {
  file: "Make the directory of the file, and let the server's user append to it.",
  git: "Let the server's user reach the remote without being asked: a key for ssh, or user and token in the URL.",
  webhook: "Let the witness be reached from here; it answers a GET as it likes.",
} as const;

/**
 * Asks each witness what it holds, as a server does at its start. A witness that is down is a warning: nothing waits for it.
 * @param scratch  an empty directory, so that a running server's clones are left alone.
 */
export function probeWitnesses(
  choices: WitnessChoice[],
  scratch: string,
  { clock, sender }: { clock: Clock; sender: Sender },
): Promise<WitnessCheck[]> {
  return Promise.all(
    choices.map(async (choice): Promise<WitnessCheck> => {
      const [sink] = openSinks([choice], { clock, sender, data: scratch });
      const name = `witness ${sink?.name ?? ""}`;
      const late = new AbortController();
      try {
        if (choice.kind === "file" && !existsSync(dirname(choice.address)))
          throw new Error("its directory is not there");
        const asked = sink?.newest(late.signal) ?? Promise.resolve(undefined);
        const note = await within(clock, SINK_PROBE_MS, asked, () => {
          late.abort();
          throw new Error(`no answer within ${SINK_PROBE_MS / 1_000} s`);
        });
        const none = sink?.tells === true ? "holds no checkpoint yet" : "answers, and does not tell what it holds";
        return { name, ok: true, detail: note === undefined ? none : "holds a checkpoint" };
      } catch (error) {
        return { name, ok: "warn", detail: (error as Error).message, fix: FIX[choice.kind] };
      }
    }),
  );
}
