import type { Clock } from "../../kernel/clock.ts";
import { GantryError, hasCode } from "../../kernel/errors.ts";
import { type Checkpoint, errors, type LogReader, SEAL_EVERY_MS, SEAL_WAIT_MS } from "../contract.ts";

const POLL_MS = 25;

/**
 * The newest checkpoint, once it covers what `index` says; what has just been recorded is sealed within a moment.
 * @param index  of the last entry that must be covered, undefined while it waits to be sealed.
 * @throws EVIDENCE_NOT_SEALED  it is not within `SEAL_WAIT_MS`.
 */
export async function coveringCheckpoint(
  { log, clock }: { log: LogReader; clock: Clock },
  index: () => Promise<number | undefined>,
): Promise<Checkpoint> {
  const started = clock.monotonic();
  for (;;) {
    const last = await index();
    const newest = last === undefined ? undefined : await released(log);
    if (last !== undefined && newest !== undefined && last < newest.size) return newest;
    if (clock.monotonic() - started >= SEAL_WAIT_MS) {
      throw new GantryError(errors.NOT_SEALED, {
        detail: `No checkpoint covers these entries after ${SEAL_WAIT_MS} ms. Ask again; /readyz says if sealing stands still.`,
        retry_after_ms: SEAL_EVERY_MS,
      });
    }
    await new Promise<void>((resolve) => void clock.after(POLL_MS, resolve));
  }
}

async function released(log: LogReader): Promise<Checkpoint | undefined> {
  try {
    return await log.checkpoint();
  } catch (error) {
    // The first one of a new log is on its way.
    if (hasCode(error, errors.NOT_SEALED)) return undefined;
    throw error;
  }
}
