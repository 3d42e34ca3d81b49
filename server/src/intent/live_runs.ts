import { within } from "../kernel/clock.ts";
import { GantryError } from "../kernel/errors.ts";
import type { Metrics } from "../kernel/telemetry.ts";
import type { Fire } from "../storage/contract.ts";
import { Admission, type Capacity, type Ticket } from "./admission.ts";
import { Attempts, type Work } from "./attempts.ts";
import {
  DRAIN_CANCEL_MS,
  FAIRNESS_PERIOD_MS,
  LANES,
  type Lane,
  RETRY_AFTER_MS_MIN,
  type RunView,
  run_errors,
} from "./contract.ts";
import type { RunDoors } from "./doors.ts";
import { admittedEntry, endedEntry, queuedEntry } from "./entries.ts";
import { deferred, type Live } from "./live.ts";
import type { LogChunk } from "./log_store.ts";
import { insertLiveLog } from "./node_store.ts";
import { isConflict, type Node } from "./nodes.ts";
import type { Outward } from "./passage.ts";
import { cancelledRow, isHeld, type ReadinessDeps, type Ready, readyOf, waitUntil } from "./readiness.ts";
import { assertMayStart, type Creation, mayBeRefused, QUEUE_TIMER, type Recorder } from "./recorder.ts";
import type { Guard } from "./row_store.ts";
import { admittedRow, endedWithout, queuedRow } from "./rows.ts";
import { RunLog } from "./run_log.ts";
import { findRun, type Override, type RunRow } from "./store.ts";
import { viewOf } from "./view.ts";

export interface LiveRunsDeps extends ReadinessDeps {
  metrics: Metrics;
  node: Node;
  capacity: Capacity;
  recorder: Recorder;
  doors: RunDoors;
}

/** The runs of this process that have not ended: placed, started, cancelled, expired. */
export class LiveRuns {
  readonly #d: LiveRunsDeps;
  readonly #lives = new Map<string, Live>();
  readonly #admission: Admission;
  readonly #attempts: Attempts;
  /** What the gauge of each lane says. */
  readonly #told_waiting = new Map<Lane, number>();
  readonly #stopTelling: () => void;
  #draining = false;

  constructor(deps: LiveRunsDeps) {
    this.#d = deps;
    this.#attempts = new Attempts(deps);
    this.#admission = new Admission(deps.clock, deps.capacity, (ticket) => void this.#startWaiting(ticket));
    deps.storage.timers.on(QUEUE_TIMER, (fire) => this.#expire(fire));
    this.#stopTelling = deps.clock.every(FAIRNESS_PERIOD_MS, () => this.#tellFairness());
  }

  /** Runs that hold a slot of this node. */
  get active(): number {
    return this.#admission.active;
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
    const { row, phase, started_at } = live;
    if (row.state === "ended") return viewOf(row);
    if (phase === "waiting") return { ...viewOf(row), ...this.#admission.positionOf(live.ticket) };
    return viewOf(row, phase === "running" || started_at !== null ? "running" : "starting");
  }

  /**
   * Starts a new run, or makes it wait.
   * @throws RUN_CONCURRENCY RUN_CAPACITY; there is no row then.
   */
  place(row: RunRow, on_busy: "reject" | "delay" | "downgrade", work: Work, creation: Creation): Live {
    const { clock, recorder, node } = this.#d;
    assertMayStart(row, creation.warrant);
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
      const admitted = admittedRow(row, clock.now(), node);
      const durable = this.#createStarting(live, admitted, work, creation);
      this.#begin(live, work, admitted, durable, !mayBeRefused(row, creation));
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

  #createStarting(live: Live, admitted: RunRow, work: Work, creation: Creation): Promise<RunRow> {
    const { recorder, doors } = this.#d;
    const create = (outward: Outward | undefined) => {
      live.outward = outward;
      return recorder.create(admitted, admittedEntry(admitted, work.code.facts), { ...creation, outward });
    };
    const outward = doors.prepare(admitted, work.view);
    return outward instanceof Promise ? outward.then(create) : create(outward);
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

  /**
   * Ends the run, or asks its process to end. Resolves when a waiting one has ended.
   * @param override  a human ends what an agent has begun.
   * @throws EVIDENCE_UNAVAILABLE
   */
  async cancel(live: Live, actor: string, override: Override | null): Promise<void> {
    if (live.cancelled_by === null) live.override = override;
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

  /** So many nodes serve now: a tenant has its part of each budget on each. */
  shareWith(nodes: number): void {
    this.#admission.shareWith(nodes);
    this.#gauge();
  }

  /** Drops everything at once: what it becomes is decided by the rows. */
  abandon(): void {
    const all = [...this.#lives.values()];
    this.#lives.clear();
    for (const live of all) live.lost = true;
    for (const live of all) {
      if (live.phase === "waiting") this.#admission.withdraw(live.ticket);
      else live.abort.abort(new Error("the node gave the run up"));
      this.#d.doors.abandon(live.outward);
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
    this.#stopTelling();
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
    const { id, tenant, lane, contract, code_hash: code } = row;
    const flush = (chunk: LogChunk) => {
      const by = { id, node: live.row.node ?? "", boot: live.row.boot ?? "" };
      return storage.write((tx) => insertLiveLog(tx, by, chunk));
    };
    const live: Live = {
      row,
      ticket: { run: id, tenant, lane, code, contract, memory_mb: row.limits.memory_mb },
      phase: "starting",
      downgraded: false,
      holder: node.holder,
      lost: false,
      started_at: null,
      submitted: clock.monotonic(),
      admitted: 0,
      startup_ms: null,
      cancelled_by: null,
      override: null,
      abort: new AbortController(),
      log: new RunLog(clock, last_log_seq, flush),
      outward: undefined,
      accepted: deferred(),
      settled: deferred(),
      parked: deferred(),
    };
    return live;
  }

  /** @param durable  the unit that admits the run. @param overlaps  see `Attempts.run`. */
  #begin(live: Live, work: Work, admitted: RunRow, durable: Promise<RunRow>, overlaps = true): void {
    const { clock, metrics } = this.#d;
    live.phase = "starting";
    live.row = admitted;
    metrics.observe("gantry_queue_wait_seconds", (clock.monotonic() - live.submitted) / 1_000, { lane: live.row.lane });
    this.#gauge();
    live.admitted = clock.monotonic();
    this.#attempts
      .run(live, work, durable, overlaps)
      .catch((error: unknown) => this.#attempts.giveUp(live, error))
      .finally(() => this.#leave(live));
  }

  /** A run that waited has its slot: everything is asked again, and what it needs is read, before it is admitted. */
  async #startWaiting(ticket: Ticket): Promise<void> {
    const live = this.#lives.get(ticket.run);
    if (live === undefined) return this.#admission.end(ticket);
    live.phase = "starting";
    try {
      await live.accepted.promise;
      const ready = await readyOf(this.#d, live);
      if (ready === undefined || live.lost) return this.#drop(live);
      if (!("work" in ready)) return await this.#endStarting(live, ready);
      await this.#admit(live, ready);
    } catch (error) {
      this.#attempts.giveUp(live, error);
      this.#leave(live);
    }
  }

  async #admit(live: Live, { row, work, warrant, outward }: Ready): Promise<void> {
    const { recorder, clock, node } = this.#d;
    const admitted = admittedRow(row, clock.now(), node);
    const change = {
      guard: { state: "queued", holder: live.holder },
      entry: admittedEntry(admitted, work.code.facts),
      warrant,
      passage: { outward },
    } as const;
    live.row = row;
    live.outward = outward;
    if (row.approval === null) return this.#begin(live, work, admitted, recorder.change(admitted, change));
    // What people approved begins when their approval is used up, and not while that may still be refused.
    const kept = await recorder.change(admitted, change);
    if (kept.state === "ended") return this.#conclude(live, kept);
    this.#begin(live, work, kept, Promise.resolve(kept));
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
      const now = clock.now();
      const ended =
        termination === "cancelled" ? cancelledRow(live.row, now, live) : endedWithout(live.row, now, termination);
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
      if (row?.state === "queued" || row?.state === "waiting_approval") {
        const ended = endedWithout(row, clock.now(), "expired");
        const { state, holder } = row;
        const guard: Guard = state === "queued" ? { state, holder } : { state };
        const notice = state === "queued" && holder !== node.holder;
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

  #tellFairness(): void {
    const index = this.#admission.fairness();
    for (const lane of LANES) {
      const value = index[lane];
      if (value !== undefined) this.#d.metrics.set("gantry_fairness_index", value, { lane });
    }
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
