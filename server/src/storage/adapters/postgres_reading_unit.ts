import type { Clock } from "../../kernel/clock.ts";
import { GantryError } from "../../kernel/errors.ts";
import { errors, type Row } from "../contract.ts";
import type { Query, Step } from "../unit.ts";
import type { Statement } from "./postgres_batch.ts";
import { faultOf, statementsOf } from "./postgres_group.ts";
import { rowsOf } from "./postgres_reader.ts";
import type { TurnConnection } from "./postgres_turn.ts";

export interface ReadingUnitParts {
  turn: TurnConnection;
  /** Waits for the writer; it stays ours until `serve` resolves. */
  takeTurn(serve: () => Promise<void>): Promise<void>;
  /** Cancels what that session is running. */
  cancel(process_id: number): Promise<void>;
  clock: Clock;
  wall_ms: number;
  /** The unit's time is over and it is being taken back, wherever its function is. */
  late(error: GantryError): void;
}

/**
 * The transaction of a unit that reads: it has the turn from the first read on. The unit's time begins when that read
 * is answered, not while it waits.
 */
export class ReadingUnit {
  readonly #parts: ReadingUnitParts;
  /** Resolves `serve`. */
  #giveBack: (() => void) | undefined;
  #state: "new" | "begun" | "ended" = "new";
  #marked = false;
  #under_way: Promise<unknown> | undefined;
  #cancelling: Promise<void> | undefined;
  #cancelDeadline: () => void = () => {};

  constructor(parts: ReadingUnitParts) {
    this.#parts = parts;
  }

  get begun(): boolean {
    return this.#state !== "new";
  }

  /** Runs what is buffered, then the query. @throws the first fault; TransactionLost when it is not the unit's own */
  async read(steps: Step[], query: Query): Promise<Row[]> {
    const is_first = this.#state === "new";
    if (is_first) await this.#begin();
    // An INSERT … RETURNING writes. The mark comes before the first write, so that its row is locked first.
    const marked = this.#withMark(steps, !/^SELECT\b/i.test(query.sql));
    const statements: Statement[] = [
      ...statementsOf(marked),
      { text: query.sql, params: query.params, rows: query.rows },
    ];
    const outcome = await this.#watch(
      is_first ? this.#parts.turn.begin("SERIALIZABLE", statements) : this.#parts.turn.run(statements),
    );
    const fault = faultOf([...marked, { sql: query.sql, params: [] }], outcome);
    if (fault !== undefined) throw fault.error;
    const rows = rowsOf(outcome.replies.at(-1));
    if (is_first && this.#state === "begun") this.#startDeadline();
    return rows;
  }

  /** Runs the rest and commits. @throws as `read` */
  async end(steps: Step[]): Promise<void> {
    this.#cancelDeadline();
    const marked = this.#withMark(steps, false);
    if (marked.length > 0) {
      const fault = faultOf(marked, await this.#watch(this.#parts.turn.run(statementsOf(marked))));
      if (fault !== undefined) throw fault.error;
    }
    await this.#watch(this.#parts.turn.commit(this.#marked));
    this.#finish();
  }

  /** Takes everything back, if there is something. */
  async abandon(): Promise<void> {
    this.#cancelDeadline();
    if (this.#state !== "begun") return;
    this.#state = "ended";
    await this.#under_way?.catch(() => {}); // Its caller has the error.
    if (this.#giveBack === undefined) return; // It never had the turn.
    if (this.#cancelling === undefined) {
      await this.#parts.turn.rollBack();
    } else {
      // A cancellation that comes late would meet whatever this session does next, so it does nothing any more.
      await this.#cancelling;
      this.#parts.turn.drop();
    }
    this.#finish();
  }

  async #begin(): Promise<void> {
    this.#state = "begun";
    await this.#parts.takeTurn(
      () =>
        new Promise<void>((resolve) => {
          this.#giveBack = resolve;
        }),
    );
  }

  #finish(): void {
    this.#state = "ended";
    this.#giveBack?.();
    this.#giveBack = undefined;
  }

  #withMark(steps: Step[], writes: boolean): Step[] {
    if (this.#marked || (steps.length === 0 && !writes)) return steps;
    this.#marked = true;
    return [this.#parts.turn.mark(), ...steps];
  }

  /** One batch at a time; `abandon` waits for it. */
  async #watch<T>(work: Promise<T>): Promise<T> {
    this.#under_way = work;
    try {
      return await work;
    } finally {
      this.#under_way = undefined;
    }
  }

  #startDeadline(): void {
    const { clock, wall_ms, late, turn, cancel } = this.#parts;
    this.#cancelDeadline = clock.after(wall_ms, () => {
      late(
        new GantryError(errors.DEADLINE, {
          detail: `The unit held the writer for more than ${wall_ms} ms and was rolled back.`,
        }),
      );
      const { process_id } = turn;
      if (this.#under_way !== undefined && process_id !== undefined) {
        // Without success the statement ends by itself, at the latest when its own time is over.
        this.#cancelling = cancel(process_id).catch(() => {});
      }
      void this.abandon();
    });
  }
}
