import type { Clock } from "../../kernel/clock.ts";
import { GantryError } from "../../kernel/errors.ts";
import type { Metrics } from "../../kernel/telemetry.ts";
import { errors, FULL_PROBE_MS, type Row, type Tx, UNIT_WALL_MS, WRITE_QUEUE_MAX } from "../contract.ts";
import type { Statements } from "../sql.ts";
import { BufferedTx, type Query, type Step } from "../unit.ts";
import type { FromWriter, ToWriter, UnitMessage } from "./messages.ts";
import { FULL_DETAIL, fromWire } from "./sqlite_errors.ts";
import { startThread, type Thread } from "./thread.ts";

export interface WriterParts {
  path: string;
  statements: Statements;
  clock: Clock;
  metrics: Metrics;
  /** The outcome of what is under way is unknown: the process must end. */
  fatal(error: unknown): void;
}

/** Someone waits for the writer's next answer about a unit. */
interface Waiting {
  resolve(rows: Row[]): void;
  reject(error: unknown): void;
}

/** One unit, from `write` to its end. */
interface Session {
  readonly id: number;
  readonly wall_ms: number;
  /** Does the writer know of it? Only a unit that reads is known before its end. */
  sent: boolean;
  /** Rejects `write` although the unit's function still runs. */
  readonly abandon: (error: unknown) => void;
  cancelDeadline(): void;
}

type Unit<T> = (tx: Tx) => Promise<T> | T;

/** The main thread's side of the writer thread. */
export class SqliteWriter {
  readonly #parts: WriterParts;
  readonly #waiting = new Map<number, Waiting>();
  /** Units that the writer has been given and that have not ended. */
  readonly #under_way = new Set<number>();
  /** Calls of `write` that have not resolved: some have not reached the writer yet. */
  #begun = 0;
  #thread: Thread<ToWriter> | undefined;
  #outbox: UnitMessage[] = [];
  #last_id = 0;
  #closing = false;
  #dead: GantryError | undefined;
  #stopProbes: (() => void) | undefined;
  #tellIdle: (() => void) | undefined;

  private constructor(parts: WriterParts) {
    this.#parts = parts;
  }

  /** @throws STORAGE_SETTINGS, or what the engine refused the file with. */
  static async open(parts: WriterParts): Promise<SqliteWriter> {
    const writer = new SqliteWriter(parts);
    writer.#thread = await startThread<ToWriter, FromWriter>(
      "threads/writer.js",
      { path: parts.path },
      { message: (message) => writer.#receive(message), fatal: (error) => writer.#die(error) },
    );
    return writer;
  }

  get full(): boolean {
    return this.#stopProbes !== undefined;
  }

  /** See `Storage.write`. `committed` is called with the unit when it is durable. */
  write<T>(unit: Unit<T>, wall_ms = UNIT_WALL_MS, committed: (tx: Tx) => void = () => {}): Promise<T> {
    return new Promise<T>((resolve, reject) => {
      this.#demandWritable();
      this.#last_id += 1;
      const session = { id: this.#last_id, wall_ms, sent: false, abandon: reject, cancelDeadline() {} };
      this.#begun += 1;
      this.#perform(session, unit, committed)
        .finally(() => {
          this.#begun -= 1;
          if (this.#begun === 0) this.#tellIdle?.();
        })
        .then(resolve, reject);
    });
  }

  /** Refuses further units and waits for those that have begun. */
  async drain(): Promise<void> {
    this.#closing = true;
    if (this.#begun === 0) return;
    await new Promise<void>((resolve) => {
      this.#tellIdle = resolve;
    });
  }

  /** Ends the thread after a `drain`. */
  async close(): Promise<void> {
    await this.drain();
    this.#setFull(false);
    if (this.#dead === undefined) await this.#thread?.close({ type: "close" });
    else await this.#thread?.kill();
  }

  async #perform<T>(session: Session, unit: Unit<T>, committed: (tx: Tx) => void): Promise<T> {
    const tx: BufferedTx = new BufferedTx(this.#parts.statements, (steps, query) =>
      this.#read(session, tx, steps, query),
    );
    try {
      const result = await unit(tx);
      const { steps, bytes } = await tx.end();
      session.cancelDeadline();
      if (session.sent) {
        this.#post({ type: "end", id: session.id, steps, bytes });
        await this.#answer(session.id);
      } else if (steps.length > 0) {
        this.#enqueue({ id: session.id, steps, bytes });
        await this.#answer(session.id);
      }
      committed(tx);
      return result;
    } catch (error) {
      tx.fail(error);
      session.cancelDeadline();
      this.#abort(session.id);
      throw error;
    }
  }

  async #read(session: Session, tx: BufferedTx, steps: Step[], query: Query): Promise<Row[]> {
    const { id } = session;
    if (session.sent) {
      this.#post({ type: "read", id, steps, query });
      return this.#answer(id);
    }
    this.#enqueue({ id, steps, query, bytes: tx.bytes });
    session.sent = true;
    const rows = await this.#answer(id);
    // The unit's time begins when it holds the writer, not while it waits for it.
    session.cancelDeadline = this.#parts.clock.after(session.wall_ms, () => {
      const late = new GantryError(errors.DEADLINE, {
        detail: `The unit held the writer for more than ${session.wall_ms} ms and was rolled back.`,
      });
      tx.fail(late);
      this.#waiting.get(id)?.reject(late);
      this.#abort(id);
      session.abandon(late);
    });
    return rows;
  }

  #demandWritable(): void {
    if (this.#dead !== undefined) throw this.#dead;
    if (this.#closing) throw new GantryError(errors.CLOSED, { detail: "The store takes no more writes." });
    if (this.full) throw new GantryError(errors.FULL, { detail: FULL_DETAIL, retry_after_ms: FULL_PROBE_MS });
  }

  #enqueue(unit: UnitMessage): void {
    if (this.#dead !== undefined) throw this.#dead;
    if (this.#under_way.size >= WRITE_QUEUE_MAX) {
      throw new GantryError(errors.BUSY, { detail: `${WRITE_QUEUE_MAX} units wait for the writer.` });
    }
    this.#under_way.add(unit.id);
    // Units that are made in one turn of the event loop cross in one message: `nextTick` runs when all promises have.
    if (this.#outbox.push(unit) === 1) process.nextTick(() => this.#flush());
  }

  #flush(): void {
    if (this.#outbox.length === 0) return;
    const units = this.#outbox;
    this.#outbox = [];
    this.#thread?.post({ type: "units", units });
  }

  #post(message: ToWriter): void {
    this.#flush();
    this.#thread?.post(message);
  }

  #answer(id: number): Promise<Row[]> {
    return new Promise((resolve, reject) => {
      if (this.#dead !== undefined) return reject(this.#dead);
      this.#waiting.set(id, { resolve, reject });
    });
  }

  /** Without effect when the writer does not have the unit, or has ended it. */
  #abort(id: number): void {
    if (!this.#under_way.has(id)) return;
    this.#post({ type: "abort", id });
    this.#end(id);
  }

  #end(id: number): void {
    this.#under_way.delete(id);
    this.#waiting.delete(id);
  }

  #receive(message: Exclude<FromWriter, { type: "ready" | "refused" | "fatal" | "closed" }>): void {
    if (message.type === "rows") {
      this.#waiting.get(message.id)?.resolve(message.rows);
      return;
    }
    if (message.type === "full") {
      this.#setFull(message.full);
      return;
    }
    for (const { id, error } of message.results) {
      const waiting = this.#waiting.get(id);
      this.#end(id);
      if (error === undefined) waiting?.resolve([]);
      else waiting?.reject(fromWire(error));
    }
    if (message.commit === undefined) return;
    this.#parts.metrics.observe("gantry_storage_commit_seconds", message.commit.commit_ms / 1_000);
    this.#parts.metrics.observe("gantry_storage_group_units", message.commit.units);
  }

  #setFull(full: boolean): void {
    if (full === this.full) return;
    this.#stopProbes?.();
    this.#stopProbes = full ? this.#parts.clock.every(FULL_PROBE_MS, () => this.#post({ type: "probe" })) : undefined;
  }

  #die(error: unknown): void {
    if (this.#dead !== undefined) return;
    this.#dead = new GantryError(errors.CLOSED, {
      detail: "The store failed; which of the last units are durable is known after a restart.",
      cause: error,
    });
    for (const waiting of this.#waiting.values()) waiting.reject(this.#dead);
    this.#waiting.clear();
    this.#under_way.clear();
    this.#setFull(false);
    this.#parts.fatal(error);
  }
}
