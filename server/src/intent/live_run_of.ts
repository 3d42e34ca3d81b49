import type { LiveRunOf } from "../identity/contract.ts";
import { findRun } from "./store.ts";

/** A run that has a slot and has not ended, by its row: what identity asks before it mints a token for a run. */
export const liveRunOf: LiveRunOf = async (reader, tenant, run) => {
  const row = await findRun(reader, run);
  if (row === undefined || row.tenant !== tenant || row.state !== "starting" || row.deadline_at === null)
    return undefined;
  return { chain: row.chain, deadline_at: row.deadline_at };
};
