import { parseArgs } from "node:util";
import { type Config, readConfig, UsageError } from "../config.ts";
import { type Rewrapped, rewrapSecrets } from "../egress/secrets/rewrap.ts";
import { placed, print, say, told } from "./command_line.ts";
import { recordingAlone } from "./recording.ts";

/** What `server.js secrets-rewrap` prints. */
export type RewrapResult = Rewrapped & { by: string; operator: string };

/**
 * `server.js secrets-rewrap`: another key for the secrets of a store that no server runs on. What is recorded is who was
 * named and the account of the machine: whoever has the keys in their hands is not asked for more.
 * @throws UsageError
 */
export async function rewrap(args: string[]): Promise<number> {
  const { config, actor } = readOptions(args);
  return told(async () => {
    const result = await recordingAlone(config, actor, async (recording): Promise<RewrapResult> => {
      const { human, operator } = recording;
      const by = { actor: [{ actor: human.id, kind: "human" as const }], operator };
      const done = await rewrapSecrets(recording, by, (n, total) => say("secrets", n, total));
      return { ...done, by: human.name, operator };
    });
    print({ result });
  });
}

/** @throws UsageError */
function readOptions(args: string[]): { config: Config; actor: string | undefined } {
  const text = { type: "string" } as const;
  try {
    const { values } = parseArgs({
      args,
      strict: true,
      options: { data: text, store: text, config: text, actor: text },
    });
    return { config: readConfig(placed(values)), actor: values.actor };
  } catch (error) {
    if (error instanceof UsageError) throw error;
    throw new UsageError(`${(error as Error).message}. The option is --actor ACTOR.`);
  }
}
