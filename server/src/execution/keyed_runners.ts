import { assert } from "../kernel/assert.ts";
import type { Clock } from "../kernel/clock.ts";
import { GantryError } from "../kernel/errors.ts";
import type { Metrics } from "../kernel/telemetry.ts";
import { Turns } from "../kernel/turns.ts";
import type { JailedProcess, ProcessNumbers } from "./adapters/jailed_process.ts";
import { RUNNER_WAIT_MS_MAX, runner_errors, SESSION_WAITING_MAX } from "./contract.ts";
import { type Bound, Group, type KeyedWant, type Waiter } from "./group.ts";
import { type Retirement, spentBy, staleBy } from "./retire.ts";
import { Room } from "./room.ts";
import { busy } from "./warm_stock.ts";

/** Where keyed runners get their processes from. */
export interface Source {
  take(memory_mb: number): JailedProcess | undefined;
  next(tenant: string, memory_mb: number, signal: AbortSignal): Promise<JailedProcess>;
  giveUp(process: JailedProcess): void;
  refill(): void;
}

/** A keyed process claimed for one run. */
export interface Seat {
  process: JailedProcess;
  cold: boolean;
  /** What the process has used so far, read at the claim. */
  before: ProcessNumbers;
  /** @param after  what it has used at the run's end; undefined: it must not serve again. */
  release(after: ProcessNumbers | undefined): void;
}

export interface KeyedOptions {
  /** Keyed processes of this node. */
  bound_max: number;
  clock: Clock;
  metrics: Metrics;
}

const HOUSEKEEPING_MS = 1_000;

/**
 * Processes that serve one key, one run at a time: a run takes an idle one of its key, else binds a fresh one, else waits
 * for whichever comes first. When the node holds as many as it may, room is made as `Room` says, and keys that wait for
 * it take turns.
 */
export class KeyedRunners {
  readonly #source: Source;
  readonly #clock: Clock;
  readonly #metrics: Metrics;
  readonly #groups = new Map<string, Group>();
  readonly #bound = new Set<Bound>();
  /** Of these, the ones that have no run. */
  readonly #idle = new Set<Bound>();
  readonly #room: Room;
  /** Keys that wait for room. */
  readonly #hungry = new Turns<Group>();
  #waiting = 0;
  #stop_housekeeping: (() => void) | undefined;

  constructor(source: Source, o: KeyedOptions) {
    assert(o.bound_max > 0, "a node may hold at least one keyed runner");
    this.#source = source;
    this.#clock = o.clock;
    this.#metrics = o.metrics;
    this.#room = new Room(o.bound_max, this.#groups, this.#bound);
  }

  /** Claims that wait. */
  get waiting(): number {
    return this.#waiting;
  }

  /** How many processes have no run: asked at every admission. */
  get idling(): number {
    return this.#idle.size;
  }

  /** The processes that have no run. */
  idle(): JailedProcess[] {
    return [...this.#idle].map((each) => each.process);
  }

  /** @throws RUNNER_BOOT_FAILED RUNNER_BUSY RUNNER_SESSION_BUSY; rejects with the signal's reason when it aborts first. */
  acquire(want: KeyedWant, signal: AbortSignal): Promise<Seat> {
    const group = this.#groupOf(want);
    const idle = this.#takeIdle(group);
    if (idle !== undefined) return Promise.resolve(this.#seat(idle, false));
    if (want.kind === "session" && group.waiters.length >= SESSION_WAITING_MAX) {
      const detail = `${SESSION_WAITING_MAX} runs wait for this session already; it serves one at a time.`;
      return Promise.reject(new GantryError(runner_errors.SESSION_BUSY, { detail, retry_after_ms: 1_000 }));
    }
    return new Promise((resolve, reject) => {
      const began = this.#clock.monotonic();
      const done = (): void => {
        signal.removeEventListener("abort", aborted);
        stop_waiting();
        this.#waiting -= 1;
        const seconds = (this.#clock.monotonic() - began) / 1_000;
        this.#metrics.observe("gantry_runner_wait_seconds", seconds, { kind: want.kind });
      };
      const waiter: Waiter = {
        resolve: (bound, cold) => {
          done();
          resolve(this.#seat(bound, cold));
        },
        reject: (error) => {
          done();
          reject(error);
        },
      };
      const leave = (reason: unknown): void => {
        group.waiters.splice(group.waiters.indexOf(waiter), 1);
        waiter.reject(reason);
        this.#settle(group);
      };
      const aborted = (): void => leave(signal.reason);
      const stop_waiting = this.#clock.after(RUNNER_WAIT_MS_MAX, () => leave(busy()));
      this.#waiting += 1;
      group.waiters.push(waiter);
      signal.addEventListener("abort", aborted);
      this.#grow(group);
    });
  }

  /** Nothing is ordered or looked after any more; who owns the processes ends them. */
  close(): void {
    this.#stop_housekeeping?.();
    for (const { ordered } of this.#groups.values()) for (const abort of ordered) abort.abort();
  }

  #groupOf(want: KeyedWant): Group {
    const name = `${want.kind} ${want.memory_mb} ${want.key}`;
    let group = this.#groups.get(name);
    if (group === undefined) {
      group = new Group(name, want);
      this.#groups.set(name, group);
    }
    return group;
  }

  /** The one used last: it is the likeliest to be in the caches, and the others may grow old enough to go. */
  #takeIdle(group: Group): Bound | undefined {
    const now = this.#clock.monotonic();
    for (let bound = group.idle.at(-1); bound !== undefined; bound = group.idle.at(-1)) {
      const use = bound.process.use();
      const reason = staleBy(bound, use, now);
      if (reason !== undefined || use === undefined) this.#retire(bound, reason ?? "died");
      else {
        group.idle.pop();
        this.#idle.delete(bound);
        bound.idle_since = null;
        bound.seen = use;
        return bound;
      }
    }
    return undefined;
  }

  #seat(bound: Bound, cold: boolean): Seat {
    let released = false;
    return {
      process: bound.process,
      cold,
      before: bound.seen,
      release: (after) => {
        if (released) return;
        released = true;
        this.#release(bound, after);
      },
    };
  }

  #release(bound: Bound, after: ProcessNumbers | undefined): void {
    const { group } = bound;
    const now = this.#clock.monotonic();
    bound.runs += 1;
    const reason = after === undefined ? "unclean" : spentBy(bound, after, now);
    if (after === undefined || reason !== undefined) this.#retire(bound, reason ?? "unclean");
    else if (this.#hungry.size > 0 && this.#room.owes(group, now)) this.#retire(bound, "shared");
    else {
      bound.seen = after;
      bound.seen_at = now;
      const waiter = group.waiters.shift();
      if (waiter === undefined) this.#rest(bound);
      else waiter.resolve(bound, false);
    }
    this.#feed(); // before the group itself asks again: who waits for room has asked earlier
    this.#settle(group);
  }

  #rest(bound: Bound): void {
    bound.idle_since = this.#clock.monotonic();
    bound.group.idle.push(bound);
    this.#idle.add(bound);
    this.#stop_housekeeping ??= this.#clock.every(HOUSEKEEPING_MS, () => this.#housekeep());
  }

  /** Asks for as many processes as the group's waiters may use. */
  #grow(group: Group): void {
    while (group.wantsMore) {
      const victim = this.#room.victimFor(group);
      if (victim === "none") {
        if (group.hungry_since === null) this.#hungry.add(group.want.tenant, group);
        group.hungry_since ??= this.#clock.monotonic();
        return;
      }
      if (victim !== undefined) this.#retire(victim, "evicted");
      const ready = this.#source.take(group.want.memory_mb);
      if (ready === undefined) this.#order(group);
      else this.#bind(group, ready, false);
    }
  }

  #order(group: Group): void {
    const { tenant, memory_mb } = group.want;
    const abort = new AbortController();
    group.ordered.add(abort);
    this.#source.next(tenant, memory_mb, abort.signal).then(
      (process) => {
        // It may have been taken back in the moment in which it came: then it is spare, and there is room as before.
        if (group.ordered.delete(abort) || this.#room.isFree()) this.#bind(group, process, true);
        else this.#source.giveUp(process);
        this.#settle(group);
      },
      (error: unknown) => {
        if (!group.ordered.delete(abort)) return;
        // While the key has a runner, whoever waits is served by that one, and asks again when it is let go.
        if (group.bound > 0) return;
        group.waiters.shift()?.reject(error);
        this.#feed();
        this.#settle(group);
      },
    );
  }

  #bind(group: Group, process: JailedProcess, cold: boolean): void {
    const seen = process.use();
    if (seen === undefined) {
      this.#source.giveUp(process);
      return;
    }
    const at = this.#clock.monotonic();
    const rest = { bound_at: at, runs: 0, idle_since: null, seen, seen_at: at };
    const bound: Bound = { process, group, primed_rss_bytes: seen.rss_bytes, ...rest };
    this.#bound.add(bound);
    this.#groups.set(group.name, group);
    group.bound += 1;
    void process.dead.then(() => {
      if (bound.idle_since !== null && this.#bound.has(bound)) this.#retire(bound, "died");
    });
    const waiter = group.waiters.shift();
    if (waiter === undefined) this.#rest(bound);
    else waiter.resolve(bound, cold);
    this.#source.refill();
  }

  /** Takes back what was ordered for waiters who were served otherwise, and orders for those who were not. */
  #settle(group: Group): void {
    for (const abort of [...group.ordered].slice(group.waiters.length)) {
      group.ordered.delete(abort);
      abort.abort();
    }
    this.#grow(group);
    this.#forget(group);
  }

  /** Gives room that has become free to the keys that wait for it, in turn. */
  #feed(): void {
    for (let left = this.#hungry.size; left > 0; left -= 1) {
      const group = this.#hungry.shift();
      if (group === undefined) return;
      const since = group.hungry_since;
      group.hungry_since = null;
      this.#grow(group);
      if (group.hungry_since !== null) group.hungry_since = since; // it waits on, and is as hungry as before
      this.#forget(group);
    }
  }

  #retire(bound: Bound, reason: Retirement): void {
    bound.group.remove(bound);
    bound.idle_since = null;
    this.#idle.delete(bound);
    this.#bound.delete(bound);
    bound.group.bound -= 1;
    this.#source.giveUp(bound.process);
    this.#metrics.add("gantry_runners_retired_total", { reason });
    this.#forget(bound.group);
  }

  #forget(group: Group): void {
    if (group.isEmpty && group.hungry_since === null) this.#groups.delete(group.name);
  }

  /** Idle runners go when they are old, or when something in them goes on. */
  #housekeep(): void {
    const now = this.#clock.monotonic();
    for (const bound of [...this.#idle]) {
      const use = bound.process.use();
      const reason = staleBy(bound, use, now);
      if (reason !== undefined || use === undefined) this.#retire(bound, reason ?? "died");
      else {
        bound.seen = use;
        bound.seen_at = now;
      }
    }
    if (this.#idle.size > 0) return;
    this.#stop_housekeeping?.();
    this.#stop_housekeeping = undefined;
  }
}
