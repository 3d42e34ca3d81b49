import { approval_errors, type Decided, type Outcome, type Subject } from "../gates/contract.ts";
import type { Clock } from "../kernel/clock.ts";
import { GantryError } from "../kernel/errors.ts";
import type { Logger } from "../kernel/log.ts";
import type { Metrics } from "../kernel/telemetry.ts";
import type { Storage, Tx } from "../storage/contract.ts";
import { UNSETTLED_RETRY_MS } from "./contract.ts";
import { endedEntry, queuedEntry } from "./entries.ts";
import type { LiveRuns } from "./live_runs.ts";
import type { Node } from "./nodes.ts";
import { waitUntil } from "./readiness.ts";
import type { Recorder } from "./recorder.ts";
import type { RowReader } from "./row_reader.ts";
import type { Guard } from "./row_store.ts";
import { deniedRow, endedWithout, queuedRow } from "./rows.ts";
import { findRun, type RunRow } from "./store.ts";

export interface ApprovedRunsDeps {
  storage: Storage;
  recorder: Recorder;
  lives: LiveRuns;
  node: Node;
  rows: RowReader;
  clock: Clock;
  log: Logger;
  metrics: Metrics;
}

/**
 * What becomes of a run that waits for people, when they or their clocks have decided. The run's row changes in the
 * deciding unit, so that a crash leaves either both or neither; it comes into memory when that is durable, here or, after
 * a crash, wherever the row is found.
 */
export class ApprovedRuns implements Subject {
  readonly #d: ApprovedRunsDeps;

  constructor(deps: ApprovedRunsDeps) {
    this.#d = deps;
  }

  async decided(tx: Tx, decided: Decided): Promise<{ stale: string } | undefined> {
    const row = await findRun(tx, decided.subject_id);
    const guard = row === undefined ? undefined : guardOf(row);
    const fits = row !== undefined && guard !== undefined && row.approval === decided.id;
    if (decided.outcome === "approved" || decided.outcome === "broken_glass") {
      if (!fits || row.state !== "waiting_approval") return { stale: approval_errors.SUPERSEDED.code };
      await this.#queue(tx, row);
    } else if (fits) {
      // Approved and in a queue, it may still be declined, or come too late.
      const ended = endedAs(row, decided, decided.outcome, this.#d.clock.now());
      const notice = row.state === "queued" && row.holder !== this.#d.node.holder;
      await this.#d.recorder.write(tx, ended, { guard, entry: endedEntry(ended), notice });
    }
    return undefined;
  }

  async #queue(tx: Tx, row: RunRow): Promise<void> {
    const { clock, node, lives, recorder } = this.#d;
    const now = clock.now();
    // A node that takes nothing leaves it to whichever looks next for runs that nobody has.
    const holder = node.serves() && !lives.draining ? node.holder : null;
    const queued: RunRow = { ...queuedRow(row, now, row.attempt, node.holder), holder };
    const entry = queuedEntry(queued, false, waitUntil(queued, now));
    // The approval has a clock of its own, which ends both; only the caller's may ring before.
    const timer = row.expires_at === null ? {} : { wait_until: row.expires_at };
    await recorder.write(tx, queued, { guard: { state: "waiting_approval" }, entry, ...timer });
  }

  settled({ subject_id, outcome }: Decided): void {
    this.#bring(subject_id, outcome).catch((error: unknown) => {
      const { clock, log } = this.#d;
      log.warn({ run: subject_id, error }, "a decided run could not be taken up; it is tried again");
      clock.after(UNSETTLED_RETRY_MS, () => this.settled({ subject_id, outcome } as Decided));
    });
  }

  /** What the row says now goes: told twice, or late, it changes nothing. */
  async #bring(id: string, outcome: Outcome): Promise<void> {
    const { storage, lives, node, rows, metrics } = this.#d;
    const row = await findRun(storage, id);
    const live = lives.any(id);
    if (row?.state === "queued" && row.holder === node.holder && live === undefined) lives.restore(row, 0);
    if (row?.state === "ended" && live !== undefined) await lives.recheck(live);
    if (row?.state === "ended" && outcome !== "approved") {
      metrics.add("gantry_runs_ended_total", { lane: row.lane, termination: row.termination ?? "" });
    }
    rows.wake(id);
  }
}

/** Undefined for a run that a decision cannot change any more. */
function guardOf({ state, holder }: RunRow): Guard | undefined {
  if (state === "waiting_approval") return { state };
  return state === "queued" ? { state, holder } : undefined;
}

type Ended = Exclude<Outcome, "approved" | "broken_glass">;

function endedAs(row: RunRow, { statement, by }: Decided, outcome: Ended, now: number): RunRow {
  switch (outcome) {
    case "declined": {
      const last = by.at(-1);
      const detail = `${last === undefined ? "A human" : `The human ${last.actor}`} declined: the run will not start.`;
      const reverses = row.chain.at(-1)?.kind === "agent" ? "decline" : null;
      return { ...endedWithout(row, now, "approval_declined", detail), override: reverses };
    }
    case "expired": {
      const waiting = row.state === "waiting_approval";
      const kind = waiting ? approval_errors.EXPIRED : approval_errors.EXECUTE_EXPIRED;
      const detail = waiting
        ? `Nobody decided until ${new Date(statement.not_after).toISOString()}. Submit it again to ask again.`
        : `It did not start within ${statement.execute_before} ms of its approval. Submit it again to ask again.`;
      return endedWithout(row, now, "expired", detail, kind);
    }
    case "superseded": {
      const detail = "The same was asked for again, and the newer request has taken this one's place.";
      return deniedRow(row, now, new GantryError(approval_errors.SUPERSEDED, { detail }));
    }
  }
}
