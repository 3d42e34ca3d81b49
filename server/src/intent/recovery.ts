import { errors as evidence_errors } from "../evidence/contract.ts";
import type { Clock } from "../kernel/clock.ts";
import { hasCode, isGantryError } from "../kernel/errors.ts";
import type { Logger } from "../kernel/log.ts";
import type { Metrics } from "../kernel/telemetry.ts";
import type { Policy } from "../policy/contract.ts";
import { ROWS_MAX, type Storage } from "../storage/contract.ts";
import { ATTEMPTS_MAX } from "./contract.ts";
import { endedEntry, queuedEntry } from "./entries.ts";
import type { LiveRuns } from "./live_runs.ts";
import { lastLogSeq } from "./log_store.ts";
import { anyWaitsForNobody, deleteSilent, lostRuns, type NodeRow, readNodes, takeWaiting } from "./node_store.ts";
import { isConflict, type Node } from "./nodes.ts";
import { waitUntil } from "./readiness.ts";
import type { Recorder } from "./recorder.ts";
import { endedWithout, queuedRow } from "./rows.ts";
import { findRun, type RunRow, waitingRuns } from "./store.ts";

export interface RecoveryDeps {
  storage: Storage;
  policy: Policy;
  recorder: Recorder;
  lives: LiveRuns;
  clock: Clock;
  log: Logger;
  metrics: Metrics;
  node: Node;
}

export interface Recovered {
  lost: number;
  requeued: number;
  queued: number;
}

/** Where a node was heard last, by our own clock. */
interface Heard {
  boot: string;
  heartbeat_at: number;
  /** Monotonic, when we had read that mark for the first time. */
  since: number;
}

/**
 * Makes the rows true again after a crash, of an earlier start of this node or of another node: a run that was going on
 * ends `node_lost` or waits again, and what waited waits on, here. Runners themselves died with their process.
 * A node is gone when it has left, when a later boot has taken its place, or when its mark has not changed for the
 * allowed silence while we watched: only our own monotonic clock is asked, so clocks that differ or jump do no harm.
 * Every change is guarded by the row: when two nodes look at the same time, one of them finds nothing left to do.
 */
export class Recovery {
  readonly #d: RecoveryDeps;
  readonly #heard = new Map<string, Heard>();
  #looking = false;
  #owes = false;

  constructor(deps: RecoveryDeps) {
    this.#d = deps;
  }

  /** `look`, unless one is under way; what goes wrong is tried again at the next. */
  lookLater(): void {
    if (this.#looking) return;
    this.#looking = true;
    this.look()
      .catch((error: unknown) => this.#d.log.warn({ error }, "the runs of lost nodes could not be looked after"))
      .finally(() => {
        this.#looking = false;
      });
  }

  /** Has the last look left something, because nothing could be recorded? */
  get owes(): boolean {
    return this.#owes;
  }

  /** Takes up what belongs to nobody. */
  async look(): Promise<Recovered> {
    const { storage, node, lives, log } = this.#d;
    this.#owes = false;
    const counts: Recovered = { lost: 0, requeued: 0, queued: 0 };
    if (node.shared !== undefined) await this.#declareSilent();
    for (let after = ""; node.serves(); ) {
      const ids = await lostRuns(storage, after, ROWS_MAX);
      for (const id of ids) await this.#settleLost(id, counts);
      const last = ids.at(-1);
      if (last === undefined || ids.length < ROWS_MAX) break;
      after = last;
    }
    const { holder } = node;
    // A read first: an idle look costs no commit.
    if (node.serves() && !lives.draining && (await anyWaitsForNobody(storage))) {
      for (let taken = 1; taken > 0; counts.queued += taken) {
        taken = await storage.write((tx) => takeWaiting(tx, holder));
      }
    }
    if (counts.queued + counts.requeued > 0) await this.#takeUp(holder);
    if (counts.lost + counts.requeued + counts.queued > 0) log.info(counts, "runs that no node had were taken up");
    return counts;
  }

  async #declareSilent(): Promise<void> {
    const { storage, clock, node, lives } = this.#d;
    const asked_at = clock.monotonic();
    const others = (await readNodes(storage)).filter(({ id }) => id !== node.id);
    const read_at = clock.monotonic();
    lives.shareWith(1 + others.length);
    for (const id of this.#heard.keys()) if (!others.some((other) => other.id === id)) this.#heard.delete(id);
    for (const other of others) {
      const heard = this.#heard.get(other.id);
      if (heard === undefined || heard.boot !== other.boot || heard.heartbeat_at !== other.heartbeat_at) {
        const { boot, heartbeat_at } = other;
        this.#heard.set(other.id, { boot, heartbeat_at, since: read_at });
      } else if (asked_at - heard.since >= other.silent_ms && node.serves()) await this.#declare(other);
    }
  }

  async #declare(other: NodeRow): Promise<void> {
    const { storage, log } = this.#d;
    try {
      await storage.write((tx) => deleteSilent(tx, other));
      log.warn({ node: other.id, boot: other.boot }, "a node has been silent for too long: it is lost");
    } catch (error) {
      if (!isConflict(error)) throw error; // else it was heard, or another node was faster
    }
  }

  async #settleLost(id: string, counts: Recovered): Promise<void> {
    const { storage, clock, recorder, metrics, node } = this.#d;
    const row = await findRun(storage, id);
    if (row?.state !== "starting") return;
    const now = clock.now();
    const guard = { state: "starting", node: row.node ?? "", boot: row.boot ?? "" } as const;
    // What people approved was one start, and it is used up.
    const may = row.approval === null && row.retry === "if_lost" && row.attempt < ATTEMPTS_MAX;
    const again = may && (await this.#isIdempotent(row));
    try {
      if (again) {
        const queued = queuedRow(row, now, row.attempt + 1, node.holder);
        const wait_until = waitUntil(queued, now);
        const entry = queuedEntry(queued, false, wait_until);
        await recorder.change(queued, { guard, entry, wait_until, passage: { lost: row.attempt } });
        counts.requeued += 1;
        return;
      }
      const ended = endedWithout(row, now, "node_lost", "The server stopped while the run was going on.");
      await recorder.change(ended, { guard, entry: endedEntry(ended), passage: { lost: row.attempt } });
      metrics.add("gantry_runs_ended_total", { lane: row.lane, termination: "node_lost" });
      counts.lost += 1;
    } catch (error) {
      if (isConflict(error)) return; // another node has settled it, or the lost one came to its end
      if (!isLedgerClosed(error)) throw error;
      // The run stays as it is until a later look may record its end: a start that failed would stop the reads as well.
      this.#owes = true;
    }
  }

  /** Brings what waits in this node's name, and not yet in its memory, there. */
  async #takeUp(holder: string): Promise<void> {
    const { storage, lives, node } = this.#d;
    for (let after = ""; ; ) {
      const rows = await waitingRuns(storage, holder, after, ROWS_MAX);
      for (const row of rows) {
        const last_log_seq = row.attempt > 1 ? await lastLogSeq(storage, row.id) : 0;
        // What is known of it under another name of this node is of an earlier boot.
        if (node.holder === holder && lives.any(row.id)?.holder !== holder) lives.restore(row, last_log_seq);
      }
      const last = rows.at(-1);
      if (last === undefined || rows.length < ROWS_MAX) return;
      after = last.id;
    }
  }

  /** Does the state that the run was accepted under still say that it may be repeated? */
  async #isIdempotent(row: RunRow): Promise<boolean> {
    try {
      return (await this.#d.policy.open(row.tenant, row.contract, row.snapshot)).contract.idempotent;
    } catch (error) {
      if (isGantryError(error)) return false;
      throw error;
    }
  }
}

/** Does the ledger itself take nothing at the moment? Its guard says why; what the store cannot do is another matter. */
function isLedgerClosed(error: unknown): boolean {
  const { BACKLOG, FORKED, KEY_MODE, ROLLBACK, UNAVAILABLE } = evidence_errors;
  if (!hasCode(error, UNAVAILABLE)) return false;
  return [BACKLOG, FORKED, KEY_MODE, ROLLBACK].some(({ code }) => error.parts.reasons?.[0]?.code === code);
}
