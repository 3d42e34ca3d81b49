import { assert } from "../../kernel/assert.ts";
import type { Clock } from "../../kernel/clock.ts";
import { GantryError } from "../../kernel/errors.ts";
import { errors, type Value } from "../contract.ts";
import { checkedValues, Statements } from "../sql.ts";
import { mark_sql } from "../store.ts";
import type { Step } from "../unit.ts";
import type { BatchOutcome, Statement } from "./postgres_batch.ts";
import type { Connection } from "./postgres_connection.ts";
import { isUnreachable, judgePg, TransactionLost } from "./postgres_errors.ts";

export type Isolation = "READ COMMITTED" | "SERIALIZABLE";

export interface TurnParts {
  /**
   * Makes the connection that writes.
   * @throws TransactionLost, scope `unreachable`
   */
  open(): Promise<Connection>;
  clock: Clock;
  /** Names this process among the marks. */
  id: string;
  /** Called when a connection could be made, and when not. */
  reached(yes: boolean): void;
}

const COMMIT: Statement[] = [{ text: "COMMIT" }];
const ROLLBACK: Statement[] = [{ text: "ROLLBACK" }];
/**
 * Whoever writes locks this table first, and has it until its transaction ends: one writer at a time over all
 * processes, in the order of their asking. It is what a unit is promised (nothing that it read changes before it
 * commits), it makes ids rise in the order of the commits, and it leaves our own writers nothing to deadlock over.
 * LOCK TABLE takes no snapshot, unlike the SELECT of an advisory lock, so that a SERIALIZABLE unit sees all that was
 * committed before its turn (PostgreSQL 15, LOCK). EXCLUSIVE lets everybody read.
 */
const TAKE_TURN: Statement = { text: "LOCK TABLE storage_turns IN EXCLUSIVE MODE" };
/** Between two tries to learn what became of a commit. */
const ASK_AGAIN_MS = 200;
/** Marks of processes that have written nothing for so long are swept: 30 days. */
const MARK_LIFE_MS = 30 * 86_400_000;

/** The connection that writes, and what is known of its commits. One transaction at a time, each with the turn. */
export class TurnConnection {
  readonly #parts: TurnParts;
  readonly #statements = new Statements("postgres");
  #connection: Connection | undefined;
  /** Number of the last transaction that was marked. */
  #n = 0;
  #given_up: GantryError | undefined;

  constructor(parts: TurnParts) {
    this.#parts = parts;
  }

  /** The session's number on the server, for `pg_cancel_backend`. */
  get process_id(): number | undefined {
    return this.#connection?.process_id;
  }

  /**
   * Begins a transaction, waits for the turn and runs `statements` in it, in one round trip.
   * @returns the outcome of `statements`.
   * @throws TransactionLost when there is no transaction.
   */
  async begin(isolation: Isolation, statements: readonly Statement[]): Promise<BatchOutcome> {
    const connection = await this.#connected();
    const before: Statement[] = [{ text: `BEGIN ISOLATION LEVEL ${isolation}` }, TAKE_TURN];
    const { replies, failure } = await connection.run([...before, ...statements]);
    if (failure !== undefined && replies.length < before.length) {
      await this.rollBack();
      throw new TransactionLost(judgePg(failure.error, before[replies.length]?.text));
    }
    const rest = replies.slice(before.length);
    return failure === undefined ? { replies: rest } : { replies: rest, failure };
  }

  /** Runs more in the transaction. */
  run(statements: readonly Statement[]): Promise<BatchOutcome> {
    const connection = this.#connection;
    assert(connection !== undefined, "a transaction has a connection");
    return connection.run(statements);
  }

  /**
   * What a transaction that writes must hold. It numbers this process's transactions in its one row, so that after a
   * lost connection the number says whether that very COMMIT was carried out.
   */
  mark(): Step {
    this.#n += 1;
    const { text, params } = this.#own(mark_sql.write, [this.#parts.id, this.#n, this.#parts.clock.now()]);
    return { sql: text, params, expect: 1 };
  }

  /**
   * Resolves when the transaction is durable.
   * @param marked  it holds a mark. One that only read needs none: nothing of it can get lost.
   * @throws TransactionLost when it certainly is not.
   * @throws STORAGE_CLOSED when nobody knows, because the store was closed before the database came back.
   */
  async commit(marked: boolean): Promise<void> {
    const { replies, failure } = await this.run(COMMIT);
    // COMMIT of a transaction that has failed succeeds, as ROLLBACK.
    if (failure === undefined && replies[0]?.tag === "COMMIT") return;
    const verdict = judgePg(failure?.error ?? new Error("the transaction had failed before its COMMIT"), "COMMIT");
    if (verdict.scope === "lost" && (!marked || (await this.#isCommitted(this.#n)))) return;
    throw new TransactionLost(verdict);
  }

  async rollBack(): Promise<void> {
    if (this.#connection === undefined || this.#connection.lost) return;
    const { failure } = await this.#connection.run(ROLLBACK);
    // A connection of which nobody knows what state it is in is not used again.
    if (failure !== undefined) this.#connection.destroy();
  }

  /** Gives the session up; the next transaction makes a new one. */
  drop(): void {
    this.#connection?.destroy();
  }

  /** A round trip, to see whether the database is there. @throws TransactionLost */
  async ping(): Promise<void> {
    await (await this.#connected()).demand([{ text: "SELECT 1" }]);
  }

  /** Removes marks that nobody will ask for. */
  async sweep(): Promise<void> {
    const connection = await this.#connected();
    await connection.demand([this.#own(mark_sql.sweep, [this.#parts.clock.now() - MARK_LIFE_MS])]);
  }

  /** Ends the asking for what became of a commit: the next start of the process finds it in the database. */
  giveUp(): void {
    this.#given_up = new GantryError(errors.CLOSED, {
      detail: "The database did not come back; which of the last units are durable is known when it does.",
    });
  }

  /** Without a transaction. Takes this process's mark along. */
  async close(): Promise<void> {
    const connection = this.#connection;
    if (connection === undefined || connection.lost) return;
    await connection.run([this.#own(mark_sql.remove, [this.#parts.id])]);
    await connection.close();
  }

  /**
   * Was transaction `n` committed? Its session may not have noticed that we are gone, and be in its COMMIT still: it has
   * the turn, so whoever gets the turn after it sees how it ended. Asks until there is an answer.
   */
  async #isCommitted(n: number): Promise<boolean> {
    const ask = [{ text: "BEGIN ISOLATION LEVEL READ COMMITTED" }, TAKE_TURN];
    const read: Statement = { ...this.#own(mark_sql.read, [this.#parts.id]), rows: "first" };
    for (;;) {
      if (this.#given_up !== undefined) throw this.#given_up;
      try {
        const replies = await (await this.#connected()).demand([...ask, read, ...COMMIT]);
        return replies[ask.length]?.rows[0]?.["n"] === n;
      } catch (error) {
        if (!(error instanceof TransactionLost)) throw error;
        await this.rollBack();
        await new Promise<void>((resolve) => this.#parts.clock.after(ASK_AGAIN_MS, resolve));
      }
    }
  }

  async #connected(): Promise<Connection> {
    if (this.#connection !== undefined && !this.#connection.lost) return this.#connection;
    this.#connection = undefined;
    try {
      this.#connection = await this.#parts.open();
    } catch (error) {
      if (isUnreachable(error)) this.#parts.reached(false);
      throw error;
    }
    this.#parts.reached(true);
    return this.#connection;
  }

  #own(sql: string, params: Value[]): { text: string; params: Value[] } {
    return { text: this.#statements.check(sql, params.length).text, params: checkedValues(params) };
  }
}
