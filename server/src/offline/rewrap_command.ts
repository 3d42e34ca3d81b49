import { hostname, userInfo } from "node:os";
import { parseArgs } from "node:util";
import { type Config, readConfig, UsageError } from "../config.ts";
import { type Rewrapped, rewrapSecrets } from "../egress/secrets/rewrap.ts";
import { EvidenceLedger } from "../evidence/ledger.ts";
import { openStateKey } from "../evidence/state_key.ts";
import { humanFor } from "../identity/admin_link.ts";
import { systemClock } from "../kernel/clock.ts";
import { isGantryError } from "../kernel/errors.ts";
import { createIds } from "../kernel/ids.ts";
import { systemRandom } from "../kernel/random.ts";
import { noMetrics } from "../kernel/telemetry.ts";
import { KINDS } from "../schema.ts";
import { openPrivateFiles } from "../storage/adapters/private_files.ts";
import { agreementsOf } from "../storage/agreements.ts";
import { placed, print, say, told } from "./command_line.ts";
import { demandNobody, offlineSentence, openAlone } from "./opening.ts";

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
    print({ result: await rewrapOn(config, actor) });
  });
}

/** @param named  a human's id or subject; default the owner. @throws UsageError */
async function rewrapOn(
  config: Pick<Config, "store" | "data" | "blobs">,
  named: string | undefined,
): Promise<RewrapResult> {
  const clock = systemClock();
  const random = systemRandom();
  const common = { clock, random, ids: createIds(clock, random), metrics: noMetrics };
  const sentence = (error: unknown): never => {
    if (isGantryError(error)) throw new UsageError(offlineSentence(error));
    throw error;
  };
  const opened = await openAlone(config, common).catch(sentence);
  const { storage } = opened;
  try {
    // Another node has read its keys, and would not know the new one.
    if (config.store.engine === "postgres") await demandNobody(storage, clock.now());
    const files = openPrivateFiles(config.data, random);
    const state_key = await openStateKey(agreementsOf(storage), files, random);
    const ledger = new EvidenceLedger({ ...common, storage, state_key, kinds: KINDS });
    const { id, name } = await humanFor(storage, { tenant: undefined, actor: named });
    const operator = `${userInfo().username}@${hostname()}`;
    const by = { actor: [{ actor: id, kind: "human" as const }], operator };
    const done = await rewrapSecrets({ storage, ledger, random, files, state_key }, by, (n, total) =>
      say("secrets", n, total),
    );
    return { ...done, by: name, operator };
  } catch (error) {
    return sentence(error);
  } finally {
    await opened.close();
  }
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
