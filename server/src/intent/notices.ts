import type { Clock } from "../kernel/clock.ts";
import type { Logger } from "../kernel/log.ts";
import { ROWS_MAX, type Storage } from "../storage/contract.ts";
import { NOTICE_KEEP_MS, NOTICE_POLL_MS } from "./contract.ts";
import type { LiveRuns } from "./live_runs.ts";
import { deleteNotices, type Notice, readNotices } from "./node_store.ts";

export interface NoticeDeps {
  storage: Storage;
  clock: Clock;
  log: Logger;
  lives: LiveRuns;
}

/** Hears every `NOTICE_POLL_MS` what other nodes want of the runs that this one has. @returns a function that stops it. */
export function hearNotices(d: NoticeDeps): () => void {
  let busy = false;
  return d.clock.every(NOTICE_POLL_MS, () => {
    if (busy) return;
    busy = true;
    hear(d)
      .catch((error: unknown) => d.log.warn({ error }, "what other nodes want could not be read"))
      .finally(() => {
        busy = false;
      });
  });
}

async function hear(d: NoticeDeps): Promise<void> {
  const notices = await readNotices(d.storage, ROWS_MAX);
  for (const notice of notices) await heed(d, notice);
  const until = d.clock.now() - NOTICE_KEEP_MS;
  if (notices.some(({ at }) => at <= until)) await d.storage.write((tx) => deleteNotices(tx, until));
}

/** A notice is read again until it is swept: it must mean the same each time. */
async function heed({ lives, log }: NoticeDeps, { run, actor, override }: Notice): Promise<void> {
  const live = lives.any(run);
  if (live === undefined) return;
  try {
    if (actor === null) await lives.recheck(live);
    else if (live.cancelled_by === null) await lives.cancel(live, actor, override);
  } catch (error) {
    log.warn({ run, error }, "another node's notice could not be followed");
  }
}
