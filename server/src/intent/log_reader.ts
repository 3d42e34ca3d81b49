import { GantryError } from "../kernel/errors.ts";
import type { Reader } from "../storage/contract.ts";
import { LOG_FOLLOWERS_MAX, type LogLine, run_errors } from "./contract.ts";
import type { Live } from "./live.ts";
import { readLog } from "./log_store.ts";

/**
 * The lines of a run's log with `seq > after`: from the store, then those that only memory has, then those to come.
 * @param live  the run if it has not ended; its lines are read too. @param follow  wait for more until it has ended.
 * @param signal  ends the reading.
 * @throws RUN_FOLLOWERS
 */
export function followLog(
  store: Reader,
  run: string,
  after: number,
  live: Live | undefined,
  follow: boolean,
  signal?: AbortSignal,
): AsyncIterable<LogLine> {
  if (live === undefined || !follow) return readAll(store, run, after, live);
  if (live.log.followers >= LOG_FOLLOWERS_MAX) {
    throw new GantryError(run_errors.FOLLOWERS, {
      detail: `${LOG_FOLLOWERS_MAX} readers follow this log already.`,
      retry_after_ms: 1_000,
    });
  }
  return readOn(store, run, after, live, signal);
}

async function* readAll(store: Reader, run: string, after: number, live: Live | undefined): AsyncGenerator<LogLine> {
  let at = after;
  for (;;) {
    // Memory first: a line that becomes durable in between is then seen twice and not never.
    const tail = live?.log.tail(at) ?? [];
    const stored = await readLog(store, run, at);
    const lines = stored.length > 0 ? stored : tail;
    if (lines.length === 0) return;
    for (const line of lines) {
      yield line;
      at = line.seq;
    }
  }
}

async function* readOn(
  store: Reader,
  run: string,
  after: number,
  live: Live,
  signal?: AbortSignal,
): AsyncGenerator<LogLine> {
  const leave = live.log.follow();
  let at = after;
  let ended = false;
  const over = new Promise<void>((resolve) => {
    const end = () => {
      ended = true;
      resolve();
    };
    live.settled.promise.then(end, end);
    live.parked.promise.then(end, end);
    signal?.addEventListener("abort", end, { once: true });
    if (signal?.aborted) end();
  });
  try {
    for (;;) {
      const changed = live.log.changed();
      const was_ended = ended;
      for await (const line of readAll(store, run, at, live)) {
        if (signal?.aborted) return;
        yield line;
        at = line.seq;
      }
      if (was_ended) return;
      await Promise.race([changed, over]);
    }
  } finally {
    leave();
  }
}
