import type { Clock } from "../../kernel/clock.ts";
import { GantryError, isGantryError } from "../../kernel/errors.ts";
import type { Logger } from "../../kernel/log.ts";
import type { Random } from "../../kernel/random.ts";
import type { Metrics } from "../../kernel/telemetry.ts";
import {
  errors,
  FULL_PROBE_MS,
  GROUP_BYTES_MAX,
  GROUP_UNITS_MAX,
  type Tx,
  UNIT_RETRIES_MAX,
  UNIT_WALL_MS,
  type Unwritable,
  WRITE_QUEUE_MAX,
} from "../contract.ts";
import type { Statements } from "../sql.ts";
import { probe_sql } from "../store.ts";
import { BufferedTx, type Step } from "../unit.ts";
import type { Connection } from "./postgres_connection.ts";
import {
  judgePg,
  PG_FULL_DETAIL,
  type PgVerdict,
  TransactionLost,
  told,
  UNREACHABLE_DETAIL,
} from "./postgres_errors.ts";
import { commitGroup } from "./postgres_group.ts";
import { ReadingUnit } from "./postgres_reading_unit.ts";
import { TurnConnection } from "./postgres_turn.ts";

export interface PostgresWriterParts {
  statements: Statements;
  /** Makes the connection that writes. @throws TransactionLost, scope `unreachable` */
  open(): Promise<Connection>;
  /** Cancels what that session is running. */
  cancel(process_id: number): Promise<void>;
  clock: Clock;
  random: Random;
  metrics: Metrics;
  logger: Logger;
}

/** A unit without reads: it waits to be committed with others. */
interface BlindUnit {
  steps: Step[];
  bytes: number;
  resolve(): void;
  reject(error: unknown): void;
}

/** A unit that reads: it has the writer to itself until `serve` resolves, which it always does. */
interface TurnAsked {
  serve(): Promise<void>;
  reject(error: unknown): void;
}

type Unit<T> = (tx: Tx) => Promise<T> | T;

/** Bytes that the probe of a full disk writes. */
const PROBE_BYTES = 65_536;
/** A transaction that others were in the way of is tried again within so many times its number of tries. */
const JITTER_MS = 20;
/** How long a store that is being closed waits for a database to come back and tell what became of a commit. */
const CLOSE_WAIT_MS = 5_000;

/** Units on PostgreSQL: in the order of their calls, blind ones in groups, over one connection. */
export class PostgresWriter {
  readonly #parts: PostgresWriterParts;
  readonly #turn: TurnConnection;
  readonly #queue: (BlindUnit | TurnAsked)[] = [];
  /** Units that have been queued and have not ended. */
  #under_way = 0;
  /** Calls of `write` that have not resolved. */
  #begun = 0;
  /** The end of what the writer is doing. */
  #working: Promise<void> | undefined;
  #closing = false;
  #trouble: { why: Unwritable; stopProbes: () => void } | undefined;
  #tellIdle: (() => void) | undefined;

  constructor(parts: PostgresWriterParts) {
    this.#parts = parts;
    this.#turn = new TurnConnection({
      open: parts.open,
      clock: parts.clock,
      id: Buffer.from(parts.random.bytes(16)).toString("hex"),
      reached: (yes) => this.reached(yes),
    });
  }

  get trouble(): Unwritable | undefined {
    return this.#trouble?.why;
  }

  /** @throws STORAGE_UNREACHABLE while the database is: readers need not find out each for themselves. */
  demandReachable(): void {
    if (this.trouble === "STORAGE_UNREACHABLE") throw refusal("STORAGE_UNREACHABLE");
  }

  /** Somebody could make a connection, or could not: then units are refused until a probe succeeds. */
  reached(yes: boolean): void {
    if (!yes) this.#setTrouble("STORAGE_UNREACHABLE");
    else if (this.trouble === "STORAGE_UNREACHABLE") this.#setTrouble(undefined);
  }

  /** Connects, and removes marks of old. @throws STORAGE_UNREACHABLE STORAGE_SETTINGS */
  async start(): Promise<void> {
    await told(() => this.#turn.sweep());
  }

  /** See `Storage.write`. `committed` is called with the unit when it is durable. */
  async write<T>(unit: Unit<T>, wall_ms = UNIT_WALL_MS, committed: (tx: Tx) => void = () => {}): Promise<T> {
    this.#demandWritable();
    this.#begun += 1;
    try {
      for (let tries = 0; ; tries++) {
        try {
          return await this.#perform(unit, wall_ms, committed);
        } catch (error) {
          if (!(error instanceof TransactionLost)) throw error;
          const { scope, error: said } = error.verdict;
          this.#heed(error.verdict);
          if ((scope !== "again" && scope !== "lost") || tries === UNIT_RETRIES_MAX) throw said;
          await this.#jitter(tries);
        }
      }
    } finally {
      this.#begun -= 1;
      if (this.#begun === 0) this.#tellIdle?.();
    }
  }

  /** Refuses further units and waits for those that have begun. */
  async drain(): Promise<void> {
    this.#closing = true;
    if (this.#begun === 0) return;
    const cancel = this.#parts.clock.after(CLOSE_WAIT_MS, () => this.#turn.giveUp());
    await new Promise<void>((resolve) => {
      this.#tellIdle = resolve;
    });
    cancel();
  }

  /** Ends the connection after a `drain`. */
  async close(): Promise<void> {
    await this.drain();
    this.#setTrouble(undefined);
    await this.#working;
    await this.#turn.close();
  }

  /** @throws TransactionLost when the unit may be run again */
  #perform<T>(unit: Unit<T>, wall_ms: number, committed: (tx: Tx) => void): Promise<T> {
    const { statements, clock, cancel } = this.#parts;
    return new Promise<T>((resolve, reject) => {
      const reading = new ReadingUnit({
        turn: this.#turn,
        takeTurn: (serve) => this.#ask(serve),
        cancel: (process_id) => cancel(process_id),
        clock,
        wall_ms,
        late: (error) => {
          tx.fail(error);
          reject(error);
        },
      });
      const tx: BufferedTx = new BufferedTx(statements, (steps, query) => reading.read(steps, query));
      this.#run(unit, tx, reading).then((result) => {
        committed(tx);
        resolve(result);
      }, reject);
    });
  }

  async #run<T>(unit: Unit<T>, tx: BufferedTx, reading: ReadingUnit): Promise<T> {
    try {
      const result = await unit(tx);
      const { steps, bytes } = await tx.end();
      if (reading.begun) await reading.end(steps);
      else if (steps.length > 0) await this.#blind(steps, bytes);
      return result;
    } catch (error) {
      tx.fail(error);
      await reading.abandon();
      // Whatever the function made of it: a transaction that was lost is no decision of the unit's.
      throw tx.failure instanceof TransactionLost ? tx.failure : error;
    }
  }

  #blind(steps: Step[], bytes: number): Promise<void> {
    return new Promise<void>((resolve, reject) => this.#enqueue({ steps, bytes, resolve, reject }));
  }

  /** @returns when `serve` has the turn. */
  #ask(serve: () => Promise<void>): Promise<void> {
    return new Promise<void>((resolve, reject) => {
      this.#enqueue({
        reject,
        serve() {
          resolve();
          return serve();
        },
      });
    });
  }

  #demandWritable(): void {
    if (this.#closing) throw new GantryError(errors.CLOSED, { detail: "The store takes no more writes." });
    if (this.#trouble !== undefined) throw refusal(this.#trouble.why);
  }

  #enqueue(job: BlindUnit | TurnAsked): void {
    if (this.#trouble !== undefined) throw refusal(this.#trouble.why);
    if (this.#under_way >= WRITE_QUEUE_MAX) {
      throw new GantryError(errors.BUSY, { detail: `${WRITE_QUEUE_MAX} units wait for the writer.` });
    }
    this.#under_way += 1;
    this.#queue.push(job);
    // `nextTick` runs when all promises have: units that are made in one turn of the event loop are one group.
    this.#working ??= new Promise<void>((resolve) => process.nextTick(resolve)).then(() => this.#work());
  }

  /** Ends the queue, one group or one reading unit at a time: what arrives meanwhile is the next group. */
  async #work(): Promise<void> {
    for (let next = this.#queue[0]; next !== undefined; next = this.#queue[0]) {
      if ("serve" in next) {
        this.#queue.shift();
        await next.serve();
        this.#under_way -= 1;
      } else {
        await this.#commit(this.#takeGroup());
      }
    }
    this.#working = undefined;
  }

  #takeGroup(): BlindUnit[] {
    const group: BlindUnit[] = [];
    let bytes = 0;
    for (let next = this.#queue[0]; next !== undefined && "steps" in next; next = this.#queue[0]) {
      const fits = group.length < GROUP_UNITS_MAX && bytes + next.bytes <= GROUP_BYTES_MAX;
      if (!fits && group.length > 0) break;
      bytes += next.bytes;
      group.push(next);
      this.#queue.shift();
    }
    return group;
  }

  async #commit(group: BlindUnit[]): Promise<void> {
    const { clock, metrics, logger } = this.#parts;
    const units = group.map(({ steps }) => steps);
    const started = clock.monotonic();
    for (let tries = 0; ; tries++) {
      try {
        const faults = await commitGroup(this.#turn, units);
        metrics.observe("gantry_storage_commit_seconds", (clock.monotonic() - started) / 1_000);
        metrics.observe("gantry_storage_group_units", group.length);
        for (const [index, unit] of group.entries()) {
          if (faults[index] === undefined) unit.resolve();
          else unit.reject(faults[index]);
        }
        break;
      } catch (error) {
        if (!(error instanceof TransactionLost || isGantryError(error))) throw error;
        const verdict = judgePg(error);
        const may_succeed = verdict.scope === "again" || verdict.scope === "lost";
        if (!may_succeed || tries === UNIT_RETRIES_MAX) {
          logger.warn({ error: String(verdict.error), internal: verdict.error.parts.internal }, "a group was lost");
          for (const unit of group) unit.reject(verdict.error);
          this.#heed(verdict);
          break;
        }
        await this.#jitter(tries);
      }
    }
    this.#under_way -= group.length;
  }

  #heed(verdict: PgVerdict): void {
    if (verdict.scope === "full") this.#setTrouble("STORAGE_FULL");
  }

  /** While there is trouble nothing is taken, what waits is refused, and a probe looks each `FULL_PROBE_MS`. */
  #setTrouble(why: Unwritable | undefined): void {
    if (why === this.trouble) return;
    this.#trouble?.stopProbes();
    this.#trouble = undefined;
    if (why === undefined) return;
    this.#parts.logger.error({ why }, "the store takes no writes");
    this.#trouble = { why, stopProbes: this.#parts.clock.every(FULL_PROBE_MS, () => this.#probe(why)) };
    const refused = this.#queue.splice(0);
    this.#under_way -= refused.length;
    for (const job of refused) job.reject(refusal(why));
  }

  #probe(why: Unwritable): void {
    // The writer is at work: it is asking what became of a commit, and notices by itself when the database is back.
    if (this.#working !== undefined) return;
    const probe = why === "STORAGE_FULL" ? this.#probeDisk() : this.#turn.ping();
    this.#working = probe
      .then(
        () => this.#setTrouble(undefined),
        () => {}, // Not yet.
      )
      .then(() => this.#work());
  }

  /** Random bytes: PostgreSQL would compress others, and they would find room where a unit does not. */
  async #probeDisk(): Promise<void> {
    const { text } = this.#parts.statements.check(probe_sql, 1);
    const outcomes = await commitGroup(this.#turn, [[{ sql: text, params: [this.#parts.random.bytes(PROBE_BYTES)] }]]);
    if (outcomes[0] !== undefined) throw outcomes[0];
  }

  /** Waits a little, longer after each try and not as long as others do. */
  #jitter(tries: number): Promise<void> {
    const share = (this.#parts.random.bytes(1)[0] ?? 0) / 255;
    return new Promise<void>((resolve) => this.#parts.clock.after(share * JITTER_MS * (tries + 1), resolve));
  }
}

function refusal(why: Unwritable): GantryError {
  const is_full = why === "STORAGE_FULL";
  return new GantryError(is_full ? errors.FULL : errors.UNREACHABLE, {
    detail: is_full ? PG_FULL_DETAIL : UNREACHABLE_DETAIL,
    retry_after_ms: FULL_PROBE_MS,
  });
}
