import { hostname, userInfo } from "node:os";
import { type Config, UsageError } from "../config.ts";
import type { Ledger } from "../evidence/contract.ts";
import { EvidenceLedger } from "../evidence/ledger.ts";
import { openStateKey } from "../evidence/state_key.ts";
import { humanFor } from "../identity/admin_link.ts";
import { type Clock, systemClock } from "../kernel/clock.ts";
import { isGantryError } from "../kernel/errors.ts";
import { createIds, type Ids } from "../kernel/ids.ts";
import { type Random, systemRandom } from "../kernel/random.ts";
import { type Metrics, noMetrics } from "../kernel/telemetry.ts";
import { KINDS } from "../schema.ts";
import { openPrivateFiles } from "../storage/adapters/private_files.ts";
import { agreementsOf } from "../storage/agreements.ts";
import type { PrivateFiles, Storage } from "../storage/contract.ts";
import { demandNobody, offlineSentence, openAlone } from "./opening.ts";

/** What a command works with that changes a store by itself, and says so in the ledger. */
export interface Recording {
  clock: Clock;
  random: Random;
  ids: Ids;
  metrics: Metrics;
  storage: Storage;
  files: PrivateFiles;
  state_key: Uint8Array;
  ledger: Ledger;
  /** Who is named for it. */
  human: Awaited<ReturnType<typeof humanFor>>;
  /** The account of the machine where it is done: whoever has the store in their hands is not asked for more. */
  operator: string;
}

/**
 * Does something to a store that no server runs on, on no node: another one would go on with what it has read.
 * @param named  a human's id or subject; default the owner.
 * @throws UsageError  there is no store, or a server runs on it.
 */
export async function recordingAlone<T>(
  config: Pick<Config, "store" | "data" | "blobs">,
  named: string | undefined,
  work: (recording: Recording) => Promise<T>,
): Promise<T> {
  const clock = systemClock();
  const random = systemRandom();
  const common = { clock, random, ids: createIds(clock, random), metrics: noMetrics };
  const opened = await openAlone(config, common).catch((error: unknown) => {
    if (isGantryError(error)) throw new UsageError(offlineSentence(error));
    throw error;
  });
  const { storage } = opened;
  try {
    if (config.store.engine === "postgres") await demandNobody(storage, clock.now());
    const files = openPrivateFiles(config.data, random);
    const state_key = await openStateKey(agreementsOf(storage), files, random);
    const ledger = new EvidenceLedger({ ...common, storage, state_key, kinds: KINDS });
    const human = await humanFor(storage, { tenant: undefined, actor: named });
    const operator = `${userInfo().username}@${hostname()}`;
    return await work({ ...common, storage, files, state_key, ledger, human, operator });
  } finally {
    await opened.close();
  }
}
