import {
  type CompiledCode,
  type JailName,
  type Job,
  type Outcome,
  type RunDoor,
  type Runner,
  type RunnerPool,
  type RunnerWant,
  runner_errors,
} from "../execution/contract.ts";
import type { Clock } from "../kernel/clock.ts";
import { type ErrorKind, type GantryError, hasCode, isGantryError } from "../kernel/errors.ts";
import type { Logger } from "../kernel/log.ts";
import type { Metrics } from "../kernel/telemetry.ts";
import type { PolicyView } from "../policy/contract.ts";
import { RUNNER_TRIES_MAX, type Termination, UNSETTLED_RETRY_MS } from "./contract.ts";
import { type RunDoors, withCalls } from "./doors.ts";
import { endedEntry } from "./entries.ts";
import type { Live } from "./live.ts";
import { isConflict, type Node } from "./nodes.ts";
import { isRefusal, type Recorder, unavailable } from "./recorder.ts";
import type { Guard } from "./row_store.ts";
import { endedBy, endedWithout } from "./rows.ts";
import { runnerKey } from "./runner_key.ts";
import type { RunRow } from "./store.ts";

export interface Work {
  code: CompiledCode;
  /** JSON text. */
  input: string;
  /** By which it was admitted. */
  view: PolicyView;
}

type Executed = { outcome: Outcome; runner: { id: string; jail: JailName; cold: boolean } } | Unexecuted;

interface Unexecuted {
  without: Exclude<Termination, "completed" | "denied">;
  detail?: string;
  /** What explains the end, where the termination alone does not. */
  kind?: ErrorKind;
}

export interface AttemptDeps {
  pool: RunnerPool;
  recorder: Recorder;
  clock: Clock;
  log: Logger;
  metrics: Metrics;
  node: Node;
  doors: RunDoors;
}

/** Executes runs that have a slot: the admission's commit overlaps the work, the result waits for the end's. */
export class Attempts {
  readonly #d: AttemptDeps;
  /** Runs whose end could not be recorded: their rows still say that they go on. */
  readonly #unsettled = new Map<string, { row: RunRow; guards: Guard[] }>();
  #cancelRetry: (() => void) | undefined;
  #settling = false;

  constructor(deps: AttemptDeps) {
    this.#d = deps;
  }

  /**
   * One attempt of a run, to its end. Never rejects: `live.accepted` and `live.settled` tell what became of it.
   * @param durable  the unit that admits the run; its row replaces `live.row`.
   * @param overlaps  may the work begin before the unit is durable? Not when it can still be refused.
   */
  async run(live: Live, work: Work, durable: Promise<RunRow>, overlaps = true): Promise<void> {
    const admitted = durable.then(
      (row) => {
        live.row = row;
        live.log.open();
        live.accepted.resolve();
      },
      (error: unknown) => {
        live.abort.abort(error);
        this.giveUp(live, error);
        throw error;
      },
    );
    admitted.catch(() => {}); // awaited below, after the execution
    if (!overlaps && !(await admitted.then(...settledAs))) return;
    const executed = await this.#execute(live, work, admitted);
    try {
      await admitted;
    } catch {
      return;
    }
    await this.#end(live, executed);
  }

  /** Nothing of the run is released; its row, if there is one, is ended as soon as the store can be written. */
  giveUp(live: Live, cause: unknown): void {
    const error = unavailable(cause);
    this.#d.doors.abandon(live.outward);
    if (isConflict(cause) || live.lost) {
      this.#yield(live, error);
      return;
    }
    if (isRefusal(cause) && live.row.entries.length === 0) {
      this.#refuse(live, cause);
      return;
    }
    this.#d.log.error({ run: live.row.id, cause }, "a run could not be recorded");
    live.phase = "ending";
    live.accepted.reject(error);
    live.settled.reject(error);
    live.log.settled();
    const { node } = this.#d;
    const guards: Guard[] = [
      { state: "starting", node: live.row.node ?? node.id, boot: live.row.boot ?? node.boot },
      { state: "queued", holder: live.holder },
    ];
    this.#unsettled.set(live.row.id, { row: { ...live.row, started_at: live.started_at }, guards });
    this.#cancelRetry ??= this.#d.clock.every(UNSETTLED_RETRY_MS, () => {
      if (this.#settling) return;
      this.#settling = true;
      void this.#settle().finally(() => {
        this.#settling = false;
      });
    });
  }

  /** There is no row: a room that takes part in its first unit has said no. */
  #refuse(live: Live, error: GantryError): void {
    live.phase = "ending";
    live.accepted.reject(error);
    live.settled.reject(error);
    live.log.settled();
  }

  /** The row is not what this node made of it: another has taken the run, and the row alone can tell of it. */
  #yield(live: Live, error: GantryError): void {
    this.#d.log.warn({ run: live.row.id, error }, "a run is no longer this node's");
    live.phase = "ending";
    live.lost = true;
    live.abort.abort(error);
    live.accepted.reject(error); // of a run whose row never was; else it has resolved
    live.parked.resolve(undefined);
    live.log.settled();
  }

  /** Stops trying; the next start finds the rows. */
  stop(): void {
    this.#cancelRetry?.();
    this.#cancelRetry = undefined;
  }

  /** Another runner is taken only when the one before died without having reached the guest: nothing has happened then. */
  async #execute(live: Live, work: Work, durable: Promise<void>): Promise<Executed> {
    const { clock, log, doors } = this.#d;
    const { signal } = live.abort;
    const { id, expires_at } = live.row;
    const door: RunDoor = {
      durable,
      log: live.log.add.bind(live.log),
      begun: () => {
        if (live.phase !== "starting") return;
        live.phase = "running";
        live.started_at = clock.now();
      },
    };
    for (let tries = 1; ; tries += 1) {
      const runner = await this.#runnerFor(live);
      if ("without" in runner) return runner;
      if (expires_at !== null && expires_at <= clock.now()) {
        runner.discard();
        return { without: "expired" };
      }
      const job = jobOf(live, work, clock.now());
      if (live.outward !== undefined) door.egress = doors.open(live.outward, job.deadline_at);
      const called = clock.monotonic();
      const outcome = await runner.execute(job, door, signal);
      live.startup_ms = called - live.admitted + outcome.startup_ms;
      if (outcome.begun || tries >= RUNNER_TRIES_MAX) {
        return { outcome, runner: { id: runner.id, jail: runner.jail, cold: runner.cold } };
      }
      if (signal.aborted) return { without: "cancelled" };
      log.warn({ run: id, runner: runner.id, tries }, "a runner died before it reached the guest");
    }
  }

  async #runnerFor({ row, abort }: Live): Promise<Runner | Unexecuted> {
    const { pool, log } = this.#d;
    const { id: run, isolation: kind, tenant, limits } = row;
    const key = runnerKey(row);
    const want: RunnerWant = { kind, tenant, memory_mb: limits.memory_mb, ...(key === undefined ? {} : { key }) };
    try {
      return await pool.acquire(want, abort.signal);
    } catch (error) {
      if (abort.signal.aborted) return { without: "cancelled" };
      if (hasCode(error, runner_errors.SESSION_BUSY)) {
        return { without: "capacity", detail: error.parts.detail, kind: runner_errors.SESSION_BUSY };
      }
      log.error({ run, error }, "no runner could be had");
      return { without: "capacity", detail: isGantryError(error) ? error.parts.detail : "No jailed process started." };
    }
  }

  async #end(live: Live, executed: Executed): Promise<void> {
    const { clock, recorder, doors } = this.#d;
    live.phase = "ending";
    const log = await live.log.close();
    if (live.lost) {
      doors.abandon(live.outward);
      return live.log.settled();
    }
    const departed = live.outward === undefined ? undefined : await doors.depart(live.outward);
    const now = clock.now();
    const { row: made, result } =
      "outcome" in executed
        ? endedBy(live.row, now, executed.outcome, executed.runner)
        : { row: endedWithout(live.row, now, executed.without, executed.detail, executed.kind), result: undefined };
    const row = withCalls(made, departed?.summary);
    row.started_at = live.started_at;
    if (row.termination === "cancelled") {
      row.cancelled_by = live.cancelled_by;
      row.override = live.override;
    }
    const hashes = { log: "outcome" in executed ? log.hash : undefined, egress_log: departed?.log_hash };
    const entry = endedEntry(row, hashes);
    const guard: Guard = { state: "starting", node: live.row.node ?? "", boot: live.row.boot ?? "" };
    try {
      const kept = await recorder.change(row, { guard, entry, result, chunks: log.chunks, passage: { departed } });
      this.#measure(live, kept);
      live.row = kept;
      live.log.settled();
      live.settled.resolve(kept);
    } catch (error) {
      this.giveUp(live, error);
    }
  }

  #measure(live: Live, row: RunRow): void {
    const { metrics } = this.#d;
    const labels = { lane: row.lane, isolation: row.isolation };
    metrics.add("gantry_runs_ended_total", { lane: row.lane, termination: row.termination ?? "" });
    if (row.startup_us === null || row.completion_us === null) return;
    const startup_ms = live.startup_ms ?? row.startup_us / 1e3;
    metrics.observe("gantry_run_startup_duration_seconds", startup_ms / 1e3, labels);
    metrics.observe("gantry_run_completion_duration_seconds", row.completion_us / 1e6, labels);
    const blocked = (row.blocked ?? []).reduce((sum, call) => sum + call.count, 0);
    if (blocked > 0) metrics.add("gantry_egress_blocked_total", {}, blocked);
    this.#d.log.debug({ run: live.row.id, termination: row.termination }, "a run ended");
  }

  /** Ends the rows whose end was lost: without their result, which nobody has seen. */
  async #settle(): Promise<void> {
    const { clock, recorder, node, log, metrics } = this.#d;
    for (const [id, { row, guards }] of [...this.#unsettled]) {
      const before = { ...row, termination: null, node: row.node ?? node.id, boot: row.boot ?? node.boot };
      const detail = "The end of the run could not be recorded, so its result was discarded.";
      const ended = endedWithout(before, clock.now(), "node_lost", detail);
      for (const guard of guards) {
        try {
          await recorder.change(ended, { guard, entry: endedEntry(ended), passage: { lost: row.attempt } });
          metrics.add("gantry_runs_ended_total", { lane: row.lane, termination: "node_lost" });
          this.#unsettled.delete(id);
          break;
        } catch (error) {
          if (!isConflict(error)) {
            log.warn({ run: id, error }, "the end of a run still cannot be recorded");
            return;
          }
          // The row has ended, or was never there: the last guard that fails says that nothing is left to do.
          if (guard.state === "queued") this.#unsettled.delete(id);
        }
      }
    }
    if (this.#unsettled.size === 0) this.stop();
  }
}

const settledAs = [() => true, () => false] as const;

/** The guest's deadline counts from its own start, as the watchdog's does; the row's from the admission. */
function jobOf({ row, outward }: Live, { code, input }: Work, now: number): Job {
  const { id, limits, session } = row;
  const vars = outward === undefined ? row.vars : { ...row.vars, ...outward.leases.vars };
  const job: Job = { run: id, code, input, vars, limits, deadline_at: now + limits.wall_ms };
  return session === null ? job : { ...job, session };
}
