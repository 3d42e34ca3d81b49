import type { Compiler, RunnerPool } from "../execution/contract.ts";
import { assert } from "../kernel/assert.ts";
import { type Clock, within } from "../kernel/clock.ts";
import { GantryError, isGantryError } from "../kernel/errors.ts";
import type { Logger } from "../kernel/log.ts";
import type { Metrics } from "../kernel/telemetry.ts";
import type { Policy } from "../policy/contract.ts";
import type { Fire, Storage } from "../storage/contract.ts";
import { Admission, type Capacity, type Ticket } from "./admission.ts";
import { Attempts, type Work } from "./attempts.ts";
import type { CodeShelf } from "./code_shelf.ts";
import {
  DRAIN_CANCEL_MS,
  LANES,
  type Lane,
  QUEUE_AGE_MS,
  RETRY_AFTER_MS_MIN,
  type RunView,
  run_errors,
} from "./contract.ts";
import { denialOf } from "./decide.ts";
import { admittedEntry, endedEntry, queuedEntry } from "./entries.ts";
import { deferred, type Live } from "./live.ts";
import { insertLiveLog } from "./node_store.ts";
import { isConflict, type Node } from "./nodes.ts";
import { type Creation, QUEUE_TIMER, type Recorder } from "./recorder.ts";
import { admittedRow, deniedRow, endedWithout, queuedRow } from "./rows.ts";
import { RunLog } from "./run_log.ts";
import { findRun, type LogChunk, type RunRow } from "./store.ts";
import { viewOf } from "./view.ts";

export interface LiveRunsDeps {
  storage: Storage;
  policy: Policy;
  compiler: Compiler;
  pool: RunnerPool;
  clock: Clock;
  log: Logger;
  metrics: Metrics;
  node: Node;
  capacity: Capacity;
  shelf: CodeShelf;
  recorder: Recorder;
}

/** The runs of this process that have not ended: placed, started, cancelled, expired. */
export class LiveRuns {
  readonly #d: LiveRunsDeps;
  readonly #lives = new Map<string, Live>();
  readonly #admission: Admission;
  readonly #attempts: Attempts;
  /** What the gauge of each lane says. */
  readonly #told_waiting = new Map<Lane, number>();
  #draining = false;

  constructor(deps: LiveRunsDeps) {
    this.#d = deps;
    this.#attempts = new Attempts(deps);
    this.#admission = new Admission(deps.clock, deps.capacity, (ticket) => void this.#startWaiting(ticket));
    deps.storage.timers.on(QUEUE_TIMER, (fire) => this.#expire(fire));
  }

  get draining(): boolean {
    return this.#draining;
  }

  any(id: string): Live | undefined {
    return this.#lives.get(id);
  }

  find(tenant: string, id: string): Live | undefined {
    const live = this.#lives.get(id);
    return live?.row.tenant === tenant ? live : undefined;
  }

  /** The run as it stands, without a result. */
  view(live: Live): RunView {
    const { row, phase } = live;
    if (row.state === "ended") return viewOf(row);
    if (phase === "waiting") return { ...viewOf(row), ...this.#admission.positionOf(live.ticket) };
    return viewOf(row, phase === "running" || row.started_at !== null ? "running" : "starting");
  }

  /**
   * Starts a new run, or makes it wait.
   * @throws RUN_CONCURRENCY RUN_CAPACITY; there is no row then.
   */
  place(row: RunRow, on_busy: "reject" | "delay" | "downgrade", work: Work, creation: Creation): Live {
    const { clock, recorder, node } = this.#d;
    if (!node.serves()) {
      throw new GantryError(run_errors.CAPACITY, {
        detail: "This node could not say in time that it lives. It takes runs again as soon as it can.",
        retry_after_ms: RETRY_AFTER_MS_MIN,
      });
    }
    if (this.#draining) {
      throw new GantryError(run_errors.CAPACITY, {
        detail: "The server is shutting down.",
        retry_after_ms: RETRY_AFTER_MS_MIN,
      });
    }
    const live = this.#newLive(row, 0);
    const placement = this.#admission.place(live.ticket, on_busy);
    if (placement.kind === "refuse") {
      const { error, detail, retry_after_ms } = placement;
      throw new GantryError(error, { detail, retry_after_ms });
    }
    this.#lives.set(row.id, live);
    if (placement.kind === "start") {
      this.#begin(live, work, (admitted) =>
        recorder.create(admitted, admittedEntry(admitted, work.code.facts), creation),
      );
      return live;
    }
    live.phase = "waiting";
    live.downgraded = placement.downgraded;
    const queued = queuedRow({ ...row, lane: live.ticket.lane }, clock.now(), row.attempt, live.holder);
    const wait_until = waitUntil(queued, queued.created_at);
    live.row = queued;
    const entry = queuedEntry(queued, placement.downgraded, wait_until);
    recorder.create(queued, entry, { ...creation, wait_until }).then(
      (kept) => {
        live.row = { ...kept, input: null }; // what waits holds no memory for its input
        live.accepted.resolve();
      },
      (error: unknown) => {
        if (this.#admission.withdraw(live.ticket)) this.#lives.delete(row.id);
        this.#attempts.giveUp(live, error);
      },
    );
    this.#gauge();
    return live;
  }

  /** Takes up a run that waits in this node's name, left there by an earlier start or by a node that is gone. */
  restore(row: RunRow, last_log_seq: number): void {
    const live = this.#newLive({ ...row, input: null }, last_log_seq);
    live.holder = row.holder ?? live.holder;
    live.phase = "waiting";
    live.accepted.resolve();
    this.#lives.set(row.id, live);
    this.#admission.restore(live.ticket);
    this.#gauge();
  }

  /** Ends the run, or asks its process to end. Resolves when a waiting one has ended. @throws EVIDENCE_UNAVAILABLE */
  async cancel(live: Live, actor: string): Promise<void> {
    live.cancelled_by ??= actor;
    if (live.phase === "waiting") await this.#endWaiting(live, "cancelled");
    else live.abort.abort(new Error("cancelled"));
  }

  /** Another node has changed the run's row: if it does not wait here any more, it is dropped. */
  async recheck(live: Live): Promise<void> {
    const row = await findRun(this.#d.storage, live.row.id);
    if (live.phase !== "waiting" || isHeld(row, live)) return;
    this.#admission.withdraw(live.ticket);
    this.#drop(live);
  }

  /** Drops everything at once: what it becomes is decided by the rows. */
  abandon(): void {
    const all = [...this.#lives.values()];
    this.#lives.clear();
    for (const live of all) live.lost = true;
    for (const live of all) {
      if (live.phase === "waiting") this.#admission.withdraw(live.ticket);
      else live.abort.abort(new Error("the node gave the run up"));
      live.parked.resolve(undefined);
      live.log.settled();
    }
    this.#gauge();
  }

  #drop(live: Live): void {
    live.lost = true;
    live.phase = "ending";
    live.parked.resolve(undefined);
    live.log.settled();
    this.#leave(live);
  }

  async drain(limit_ms: number): Promise<void> {
    const { clock } = this.#d;
    this.#draining = true;
    this.#admission.close();
    const active: Live[] = [];
    for (const live of this.#lives.values()) {
      if (live.phase === "waiting") live.parked.resolve(undefined);
      else active.push(live);
    }
    const over = active.map((live) => Promise.race([live.settled.promise, live.parked.promise]));
    const ends = Promise.allSettled(over).then(() => true);
    if (!(await within(clock, limit_ms, ends, () => false))) {
      for (const live of active) live.abort.abort(new Error("shutdown"));
      await within(clock, DRAIN_CANCEL_MS, ends, () => false);
    }
    this.#attempts.stop();
  }

  #newLive(row: RunRow, last_log_seq: number): Live {
    const { clock, storage, node } = this.#d;
    const { id, tenant, lane } = row;
    const flush = (chunk: LogChunk) => {
      const by = { id, node: live.row.node ?? "", boot: live.row.boot ?? "" };
      return storage.write((tx) => insertLiveLog(tx, by, chunk));
    };
    const live: Live = {
      row,
      ticket: { run: id, tenant, lane, memory_mb: row.limits.memory_mb },
      phase: "starting",
      downgraded: false,
      holder: node.holder,
      lost: false,
      submitted: clock.monotonic(),
      admitted: 0,
      startup_ms: null,
      cancelled_by: null,
      abort: new AbortController(),
      log: new RunLog(clock, last_log_seq, flush),
      accepted: deferred(),
      settled: deferred(),
      parked: deferred(),
    };
    return live;
  }

  /** @param record  the unit that admits the run. */
  #begin(live: Live, work: Work, record: (admitted: RunRow) => Promise<RunRow>): void {
    const { clock, metrics, node } = this.#d;
    live.phase = "starting";
    live.row = admittedRow(live.row, clock.now(), node);
    metrics.observe("gantry_queue_wait_seconds", (clock.monotonic() - live.submitted) / 1_000, { lane: live.row.lane });
    this.#gauge();
    live.admitted = clock.monotonic();
    this.#attempts
      .run(live, work, record(live.row))
      .catch((error: unknown) => this.#attempts.giveUp(live, error))
      .finally(() => this.#leave(live));
  }

  /** A run that waited has its slot: what it needs is read, and policy is asked again, before it is admitted. */
  async #startWaiting(ticket: Ticket): Promise<void> {
    const live = this.#lives.get(ticket.run);
    if (live === undefined) return this.#admission.end(ticket);
    live.phase = "starting";
    try {
      await live.accepted.promise;
      const ready = await this.#load(live);
      if (ready === undefined || live.lost) return this.#drop(live);
      if (!("work" in ready)) return await this.#endStarting(live, ready);
      const { work, row } = ready;
      live.row = row;
      this.#begin(live, work, (admitted) =>
        this.#d.recorder.change(admitted, {
          guard: { state: "queued", holder: live.holder },
          entry: admittedEntry(admitted, work.code.facts),
        }),
      );
    } catch (error) {
      this.#attempts.giveUp(live, error);
      this.#leave(live);
    }
  }

  /** @returns what the run is started with, or the row that it ends with; undefined when it is another's now. */
  async #load(live: Live): Promise<{ work: Work; row: RunRow } | RunRow | undefined> {
    const { storage, shelf, compiler, policy, pool, clock, log } = this.#d;
    const row = await findRun(storage, live.row.id);
    if (row === undefined || !isHeld(row, live) || !this.#d.node.serves()) return undefined;
    const now = clock.now();
    if (live.abort.signal.aborted) return { ...endedWithout(row, now, "cancelled"), cancelled_by: live.cancelled_by };
    if (waitUntil(row, row.queued_at ?? row.created_at) <= now) return endedWithout(row, now, "expired");
    try {
      const view = await policy.open(row.tenant, row.contract, row.snapshot);
      const denial = denialOf(view, row.limits, row, pool);
      if (denial !== undefined) return deniedRow(row, now, denial);
    } catch (error) {
      // The state that the run was accepted under is gone: it may not start under another.
      if (isGantryError(error)) return deniedRow(row, now, error);
      throw error;
    }
    try {
      const code = await compiler.compile(await shelf.read(row.tenant, row.code_hash), row.limits);
      return { work: { code, input: await inputOf(row, storage.blobs) }, row };
    } catch (error) {
      log.error({ run: row.id, error }, "a run that waited could not be made ready");
      const detail = "What the run needs could not be made ready after it had waited.";
      return endedWithout(row, clock.now(), isGantryError(error) ? "capacity" : "runner_lost", detail);
    }
  }

  /** Ends a run that has a slot and was not admitted. */
  async #endStarting(live: Live, ended: RunRow): Promise<void> {
    const guard = { state: "queued", holder: live.holder } as const;
    const kept = await this.#d.recorder.change(ended, { guard, entry: endedEntry(ended) });
    this.#conclude(live, kept);
  }

  /** Ends a run that waits; if that cannot be recorded, it waits on. */
  async #endWaiting(live: Live, termination: "cancelled" | "expired", fire?: Fire): Promise<void> {
    const { recorder, clock } = this.#d;
    if (!this.#admission.withdraw(live.ticket)) return;
    live.phase = "ending";
    try {
      await live.accepted.promise;
      const ended = endedWithout(live.row, clock.now(), termination);
      if (termination === "cancelled") ended.cancelled_by = live.cancelled_by;
      const entry = endedEntry(ended);
      const kept = await recorder.change(ended, {
        guard: { state: "queued", holder: live.holder },
        entry,
        ...(fire === undefined ? {} : { fire }),
      });
      this.#conclude(live, kept);
    } catch (error) {
      if (isConflict(error) || live.lost) return this.#drop(live);
      live.phase = "waiting";
      this.#admission.restore(live.ticket);
      throw error;
    }
  }

  async #expire(fire: Fire): Promise<void> {
    const { storage, recorder, clock, node } = this.#d;
    const live = this.#lives.get(fire.key);
    if (live !== undefined) {
      if (live.phase === "waiting") await this.#endWaiting(live, "expired", fire);
      if (live.row.state === "ended" || live.lost) return;
    } else {
      const row = await findRun(storage, fire.key);
      if (row?.state === "queued") {
        const ended = endedWithout(row, clock.now(), "expired");
        const guard = { state: "queued", holder: row.holder } as const;
        const notice = row.holder !== node.holder;
        await recorder.change(ended, { guard, entry: endedEntry(ended), fire, notice });
        return;
      }
    }
    await storage.write((tx) => storage.timers.done(tx, fire));
  }

  #conclude(live: Live, kept: RunRow): void {
    live.row = kept;
    live.phase = "ending";
    live.log.settled();
    live.settled.resolve(kept);
    const { lane, termination } = kept;
    this.#d.metrics.add("gantry_runs_ended_total", { lane, termination: termination ?? "" });
    this.#leave(live);
  }

  #leave(live: Live): void {
    if (this.#lives.get(live.row.id) === live) this.#lives.delete(live.row.id);
    this.#admission.end(live.ticket);
    this.#gauge();
  }

  #gauge(): void {
    const { metrics } = this.#d;
    metrics.set("gantry_runs_active", this.#admission.active);
    for (const lane of LANES) {
      const waiting = this.#admission.waiting(lane);
      if (waiting === this.#told_waiting.get(lane)) continue; // as it is for every run that need not wait
      this.#told_waiting.set(lane, waiting);
      metrics.set("gantry_runs_queued", waiting, { lane });
    }
  }
}

/** Does the run wait in this node's memory, as the node believes? */
function isHeld(row: RunRow | undefined, live: Live): boolean {
  return row?.state === "queued" && row.holder === live.holder;
}

async function inputOf(row: RunRow, blobs: Storage["blobs"]): Promise<string> {
  if (row.input !== null) return row.input;
  const content = row.input_blob === null ? undefined : await blobs.get(row.input_blob);
  assert(content !== undefined, "an input is in its row or in a blob that is kept");
  return Buffer.from(content).toString("utf8");
}

/** When a run that waits since `since` ends `expired`. */
export function waitUntil(row: RunRow, since: number): number {
  return Math.min(since + QUEUE_AGE_MS[row.lane], row.expires_at ?? Number.MAX_SAFE_INTEGER);
}
