import { assert } from "../kernel/assert.ts";
import { GantryError } from "../kernel/errors.ts";
import { errors, GROUP_BYTES_MAX, ROWS_MAX, type Row, type Tx, type Value } from "./contract.ts";
import { checkedValues, type Statements, statementBytes } from "./sql.ts";

/** One checked statement of a unit. */
export interface Step {
  sql: string;
  params: Value[];
  /** Rows that it must change. */
  expect?: number;
}

/** How much of a result is wanted: one row, or all of at most this many; more are `STORAGE_ROWS`. */
export type Rows = "first" | number;

export interface Query {
  sql: string;
  params: Value[];
  rows: Rows;
}

/** An engine's way to run what is buffered and then read, inside the transaction of this unit. */
export type ReadInUnit = (steps: Step[], query: Query) => Promise<Row[]>;

/**
 * A unit under construction, for any engine. The first thing that goes wrong in it stays its failure: a unit that
 * swallowed an error must not commit the rest.
 */
export class BufferedTx implements Tx {
  readonly #statements: Statements;
  readonly #read: ReadInUnit;
  #steps: Step[] = [];
  #bytes = 0;
  #reads: Promise<unknown> = Promise.resolve();
  #ended = false;
  #failure: { error: unknown } | undefined;

  constructor(statements: Statements, read: ReadInUnit) {
    this.#statements = statements;
    this.#read = read;
  }

  run(sql: string, params: Value[], expect?: number): void {
    this.#guard(() => {
      const step = this.#check(sql, params);
      if (expect !== undefined) step.expect = expect;
      this.#steps.push(step);
    });
  }

  async get(sql: string, params: Value[]): Promise<Row | undefined> {
    return (await this.#query(sql, params, "first"))[0];
  }

  all(sql: string, params: Value[]): Promise<Row[]> {
    return this.#query(sql, params, ROWS_MAX);
  }

  async #query(sql: string, params: Value[], wanted: Rows): Promise<Row[]> {
    const query = this.#guard(() => ({ ...this.#check(sql, params), rows: wanted }));
    const steps = this.#takeSteps();
    // One at a time: a unit has one connection, and what was buffered before a read is seen by it.
    const rows = this.#reads.then(() => {
      if (this.#failure !== undefined) throw this.#failure.error;
      return this.#read(steps, query);
    });
    this.#reads = rows.catch((error: unknown) => this.fail(error));
    return rows;
  }

  /** What the unit failed with first, whatever its function made of it. */
  get failure(): unknown {
    return this.#failure?.error;
  }

  /** Makes every further use of the unit fail with `error`; the first failure stays. */
  fail(error: unknown): void {
    this.#failure ??= { error };
  }

  /**
   * Ends the unit: no statement can be added any more.
   * @returns what is still buffered, after all reads have been answered.
   * @throws the unit's failure, if it has one.
   */
  async end(): Promise<{ steps: Step[]; bytes: number }> {
    this.#ended = true;
    await this.#reads;
    if (this.#failure !== undefined) throw this.#failure.error;
    return { steps: this.#takeSteps(), bytes: this.#bytes };
  }

  /** Weight of all statements so far, against `GROUP_BYTES_MAX`. */
  get bytes(): number {
    return this.#bytes;
  }

  #check(sql: string, params: Value[]): Step {
    const values = checkedValues(params);
    const { text } = this.#statements.check(sql, values.length);
    // As the room wrote it: what a unit weighs is the same on every engine.
    this.#bytes += statementBytes(sql, values);
    if (this.#bytes > GROUP_BYTES_MAX) {
      throw new GantryError(errors.VALUE, {
        detail: `A unit holds at most ${GROUP_BYTES_MAX} bytes of statements and parameters; larger content is a blob.`,
      });
    }
    return { sql: text, params: values };
  }

  #takeSteps(): Step[] {
    const steps = this.#steps;
    this.#steps = [];
    return steps;
  }

  #guard<T>(work: () => T): T {
    if (this.#failure !== undefined) throw this.#failure.error;
    assert(!this.#ended, "a unit is not used after its end");
    try {
      return work();
    } catch (error) {
      this.fail(error);
      throw error;
    }
  }
}
