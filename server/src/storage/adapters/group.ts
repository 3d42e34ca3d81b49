import { assert } from "../../kernel/assert.ts";
import { GantryError } from "../../kernel/errors.ts";
import { errors, GROUP_BYTES_MAX, GROUP_UNITS_MAX } from "../contract.ts";
import { probe_sql } from "../store.ts";
import type { Query, Step } from "../unit.ts";
import type { Driver } from "./driver.ts";
import type { FromWriter, ToWriter, UnitMessage, UnitResult } from "./messages.ts";
import { FULL_DETAIL, judge, type Verdict, type WireError } from "./sqlite_errors.ts";

export interface GroupPorts {
  db: Driver;
  post(message: FromWriter): void;
  /** Messages that have arrived meanwhile. */
  drain(): Iterable<ToWriter>;
  /** Milliseconds, for the metric. */
  monotonic(): number;
  /** After each commit: a WAL that has grown too large is checkpointed. */
  afterCommit(): void;
}

/** Ends the whole group and not only one unit. */
class GroupLost extends Error {
  readonly verdict: Verdict;

  constructor(verdict: Verdict) {
    super(verdict.error.detail);
    this.verdict = verdict;
  }
}

/** Bytes that the probe of a full disk writes: as much as a small group. */
const PROBE_BYTES = 65_536;

/**
 * Group commit. Units that arrive during a commit are the next group; there is no waiting for more. A group is one
 * transaction, in which a unit that fails takes nothing but itself back. A unit that reads begins a group of its own
 * and keeps it open between messages; units that arrived meanwhile join it at its end.
 */
export class GroupCommitter {
  readonly #ports: GroupPorts;
  readonly #queue: UnitMessage[] = [];
  /** The unit that reads; it is alone in its transaction. */
  #open: UnitMessage | undefined;
  /** The units of the group, answered after its commit. */
  #group: UnitResult[] = [];
  #bytes = 0;
  #full = false;
  #dead = false;
  #closing = false;

  constructor(ports: GroupPorts) {
    this.#ports = ports;
  }

  /** Has `close` come? It may be the message that was handled, or one that arrived with it. */
  get closing(): boolean {
    return this.#closing;
  }

  /** Takes one message, and everything that has arrived with it; returns when there is nothing more to do. */
  handle(first: ToWriter): void {
    if (this.#dead) return;
    try {
      this.#accept(first);
      do {
        for (const message of this.#ports.drain()) this.#accept(message);
        this.#advance();
      } while (this.#open === undefined && this.#queue.length > 0);
    } catch (error) {
      const verdict = error instanceof GroupLost ? error.verdict : judge(error);
      if (!(error instanceof GroupLost) || verdict.scope === "fatal") this.#die(verdict.error);
      else this.#loseGroup(verdict);
    }
  }

  #accept(message: ToWriter): void {
    if (message.type === "units") {
      this.#queue.push(...message.units);
    } else if (message.type === "probe") {
      this.#probe();
    } else if (message.type === "close") {
      assert(this.#open === undefined && this.#queue.length === 0, "a store is closed when no unit is under way");
      this.#closing = true;
    } else if (this.#open?.id === message.id) {
      this.#goOn(this.#open, message);
    } else if (message.type === "abort") {
      const waiting = this.#queue.findIndex((unit) => unit.id === message.id);
      if (waiting >= 0) this.#queue.splice(waiting, 1);
    }
    // Anything else is for a unit that failed before the message arrived, and has had its answer.
  }

  #goOn(open: UnitMessage, message: Extract<ToWriter, { type: "read" | "end" | "abort" }>): void {
    if (message.type === "read") {
      this.#read(open, message.steps, message.query);
    } else if (message.type === "end") {
      this.#bytes = message.bytes;
      this.#end(open, message.steps);
    } else {
      this.#rollBackOpen();
    }
  }

  /** Commits one group, or opens the unit that reads and is next. */
  #advance(): void {
    if (this.#open !== undefined) return;
    if (this.#full) this.#refuseQueue({ code: "FULL", detail: FULL_DETAIL });
    const next = this.#queue[0];
    if (next === undefined && this.#group.length === 0) return;
    if (next?.query !== undefined && this.#group.length === 0) {
      this.#queue.shift();
      this.#open = next;
      this.#execute("BEGIN IMMEDIATE");
      this.#read(next, next.steps, next.query);
      return;
    }
    if (this.#group.length === 0) {
      this.#bytes = 0;
      this.#execute("BEGIN IMMEDIATE");
    }
    this.#fill();
    this.#commit();
  }

  /**
   * Runs the next blind units. At first without savepoints: units seldom fail, and SQLite copies each page that changes
   * within a savepoint to a journal of its own, which is a file from 64 KB on, as most groups have. It was a seventh of
   * the writer's CPU time. Where one fails, all are taken back and run again, each within its savepoint; not behind a
   * unit that has read, since its answers cannot be taken back.
   */
  #fill(): void {
    const repeatable = this.#group.length === 0;
    const taken = this.#takeBlind();
    if (repeatable) {
      if (taken.every(({ unit }) => this.#run(unit.steps) === undefined)) return;
      this.#execute("ROLLBACK");
      this.#execute("BEGIN IMMEDIATE");
    }
    for (const { unit, result } of taken) {
      this.#execute("SAVEPOINT unit");
      const error = this.#run(unit.steps);
      if (error !== undefined) {
        result.error = error;
        this.#execute("ROLLBACK TO unit");
      }
      this.#execute("RELEASE unit");
    }
  }

  /** Moves blind units from the head of the queue to the group, up to its limits. */
  #takeBlind(): { unit: UnitMessage; result: UnitResult }[] {
    const taken = [];
    for (let unit = this.#queue[0]; unit !== undefined && unit.query === undefined; unit = this.#queue[0]) {
      const fits = this.#group.length < GROUP_UNITS_MAX && this.#bytes + unit.bytes <= GROUP_BYTES_MAX;
      if (!fits && this.#group.length > 0) break;
      this.#queue.shift();
      this.#bytes += unit.bytes;
      const result: UnitResult = { id: unit.id };
      this.#group.push(result);
      taken.push({ unit, result });
    }
    return taken;
  }

  #commit(): void {
    const started = this.#ports.monotonic();
    this.#execute("COMMIT");
    const commit = { commit_ms: this.#ports.monotonic() - started, units: this.#group.length };
    const results = this.#group;
    this.#group = [];
    this.#ports.post({ type: "ended", results, commit });
    try {
      this.#ports.afterCommit();
    } catch (error) {
      // A checkpoint that finds no space has lost nothing: the WAL still holds everything.
      const verdict = judge(error);
      if (verdict.scope === "fatal") throw new GroupLost(verdict);
    }
  }

  #read(unit: UnitMessage, steps: Step[], query: Query): void {
    const error = this.#run(steps);
    if (error !== undefined) {
      this.#dropOpen(unit, error);
      return;
    }
    try {
      const rows = this.#ports.db.all(query.sql, query.params, query.rows);
      this.#ports.post({ type: "rows", id: unit.id, rows });
    } catch (thrown) {
      const verdict = judge(thrown, query.sql);
      if (verdict.scope !== "unit") throw new GroupLost(verdict);
      this.#dropOpen(unit, verdict.error);
    }
  }

  /** The open unit joins the group that is committed next. */
  #end(unit: UnitMessage, steps: Step[]): void {
    const error = this.#run(steps);
    if (error !== undefined) {
      this.#dropOpen(unit, error);
      return;
    }
    this.#open = undefined;
    this.#group.push({ id: unit.id });
  }

  /** Answers at once: nothing of the unit has to become durable. */
  #dropOpen(unit: UnitMessage, error: WireError): void {
    this.#rollBackOpen();
    this.#ports.post({ type: "ended", results: [{ id: unit.id, error }] });
  }

  #rollBackOpen(): void {
    this.#open = undefined;
    this.#execute("ROLLBACK");
  }

  /** @returns why the unit must be rolled back, or undefined. */
  #run(steps: Step[]): WireError | undefined {
    for (const step of steps) {
      try {
        const changed = this.#ports.db.run(step.sql, step.params);
        if (step.expect !== undefined && changed !== step.expect) {
          throw new GantryError(errors.CONFLICT, {
            detail: "The state has changed since it was read. Read it again and decide anew.",
            internal: { sql: step.sql, expected: step.expect, changed },
          });
        }
      } catch (error) {
        const verdict = judge(error, step.sql);
        if (verdict.scope !== "unit") throw new GroupLost(verdict);
        return verdict.error;
      }
    }
    return undefined;
  }

  /** A statement of our own: when it fails, the group is lost. */
  #execute(sql: string): void {
    try {
      this.#ports.db.run(sql, []);
    } catch (error) {
      const verdict = judge(error, sql);
      const ours = verdict.scope === "unit" && verdict.error.code !== "BUSY";
      throw new GroupLost(ours ? { scope: "fatal", error: verdict.error } : verdict);
    }
  }

  /** Takes the whole group back and refuses what waits; after a full disk, everything until a probe commits. */
  #loseGroup(verdict: Verdict): void {
    const lost = this.#open === undefined ? this.#group : [...this.#group, { id: this.#open.id }];
    this.#group = [];
    this.#open = undefined;
    this.#rollBackIfOpen();
    if (verdict.scope === "full") {
      this.#full = true;
      this.#ports.post({ type: "full", full: true });
    }
    this.#ports.post({ type: "ended", results: lost.map(({ id }) => ({ id, error: verdict.error })) });
    this.#refuseQueue(verdict.error);
  }

  #rollBackIfOpen(): void {
    try {
      this.#ports.db.exec("ROLLBACK");
    } catch {
      // There is none: it had not begun, or SQLite took it back itself, as it may on SQLITE_FULL.
    }
  }

  #refuseQueue(error: WireError): void {
    const results = this.#queue.splice(0).map(({ id }) => ({ id, error }));
    if (results.length > 0) this.#ports.post({ type: "ended", results });
  }

  #probe(): void {
    if (!this.#full) return;
    try {
      this.#ports.db.exec("BEGIN IMMEDIATE");
      this.#ports.db.run(probe_sql, [new Uint8Array(PROBE_BYTES)]);
      this.#ports.db.exec("COMMIT");
    } catch (error) {
      this.#rollBackIfOpen();
      const verdict = judge(error, probe_sql);
      if (verdict.scope === "fatal") throw new GroupLost(verdict);
      return;
    }
    this.#full = false;
    this.#ports.post({ type: "full", full: false });
  }

  /** The state of the file is unknown: nothing is answered any more, the process ends and recovers at its next start. */
  #die(error: WireError): void {
    this.#dead = true;
    this.#ports.post({ type: "fatal", error });
  }
}
