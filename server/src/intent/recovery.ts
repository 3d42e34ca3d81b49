import type { Clock } from "../kernel/clock.ts";
import { isGantryError } from "../kernel/errors.ts";
import type { Logger } from "../kernel/log.ts";
import type { Metrics } from "../kernel/telemetry.ts";
import type { Policy } from "../policy/contract.ts";
import { ROWS_MAX, type Storage } from "../storage/contract.ts";
import { ATTEMPTS_MAX, HEARTBEAT_MS, NODE_SILENT_MS } from "./contract.ts";
import { endedEntry, queuedEntry } from "./entries.ts";
import { type LiveRuns, waitUntil } from "./live_runs.ts";
import type { Recorder } from "./recorder.ts";
import { endedWithout, queuedRow } from "./rows.ts";
import { isSilent, lastLogSeq, liveRuns, type RunRow, upsertNode } from "./store.ts";

export interface RecoveryDeps {
  storage: Storage;
  policy: Policy;
  recorder: Recorder;
  lives: LiveRuns;
  clock: Clock;
  log: Logger;
  metrics: Metrics;
  node: { id: string; boot: string };
}

/**
 * Makes the rows true again after a crash: a run that was starting on an earlier boot of this node, or on a node that
 * has been silent for `NODE_SILENT_MS`, ends `node_lost` or waits again; what waited waits on. Runners themselves died
 * with their process.
 */
export async function recover(d: RecoveryDeps): Promise<{ lost: number; requeued: number; queued: number }> {
  const counts = { lost: 0, requeued: 0, queued: 0 };
  const waiting: RunRow[] = [];
  for (let after = ""; ; ) {
    const rows = await liveRuns(d.storage, after, ROWS_MAX);
    for (const row of rows) {
      if (row.state === "queued") waiting.push(row);
      else if (await isLost(d, row)) {
        const again = await settleLost(d, row);
        if (again === undefined) counts.lost += 1;
        else {
          counts.requeued += 1;
          waiting.push(again);
        }
      }
    }
    const last = rows.at(-1);
    if (last === undefined || rows.length < ROWS_MAX) break;
    after = last.id;
  }
  // The mark of this boot comes after the reading of the old ones, and before anything starts.
  await d.storage.write((tx) => upsertNode(tx, d.node, d.clock.now()));
  for (const row of waiting) d.lives.restore(row, row.attempt > 1 ? await lastLogSeq(d.storage, row.id) : 0);
  counts.queued = waiting.length - counts.requeued;
  if (waiting.length + counts.lost > 0) d.log.info(counts, "runs of an earlier start were taken up");
  return counts;
}

/** Says every `HEARTBEAT_MS` that this node lives. @returns a function that stops it. */
export function startHeartbeat(d: Pick<RecoveryDeps, "storage" | "clock" | "log" | "node">): () => void {
  return d.clock.every(HEARTBEAT_MS, () => {
    d.storage
      .write((tx) => upsertNode(tx, d.node, d.clock.now()))
      .catch((error: unknown) => d.log.warn({ error }, "the node's heartbeat could not be written"));
  });
}

async function isLost(d: RecoveryDeps, row: RunRow): Promise<boolean> {
  if (row.node === d.node.id) return row.boot !== d.node.boot;
  return isSilent(d.storage, row.node ?? "", d.clock.now() - NODE_SILENT_MS);
}

/** @returns the row as it waits again, or undefined when it has ended. */
async function settleLost(d: RecoveryDeps, row: RunRow): Promise<RunRow | undefined> {
  const now = d.clock.now();
  const guard = { state: "starting", node: row.node ?? "", boot: row.boot ?? "" } as const;
  if (row.retry === "if_lost" && row.attempt < ATTEMPTS_MAX && (await isIdempotent(d, row))) {
    const again = queuedRow(row, now, row.attempt + 1);
    const wait_until = waitUntil(again, now);
    return d.recorder.change(again, { guard, entry: queuedEntry(again, false, wait_until), wait_until });
  }
  const ended = endedWithout(row, now, "node_lost", "The server stopped while the run was going on.");
  await d.recorder.change(ended, { guard, entry: endedEntry(ended) });
  d.metrics.add("gantry_runs_ended_total", { lane: row.lane, termination: "node_lost" });
  return undefined;
}

/** Does the state that the run was accepted under still say that it may be repeated? */
async function isIdempotent(d: RecoveryDeps, row: RunRow): Promise<boolean> {
  try {
    return (await d.policy.open(row.tenant, row.contract, row.snapshot)).contract.idempotent;
  } catch (error) {
    if (isGantryError(error)) return false;
    throw error;
  }
}
