import { GantryError, isGantryError } from "../../kernel/errors.ts";
import { errors, type Row, type Value } from "../contract.ts";
import { type Column, columnValue, wireOf } from "./postgres_rows.ts";

/** One statement on its way to PostgreSQL, with `$1` for placeholders. */
export interface Statement {
  text: string;
  params?: readonly Value[];
  /** Most rows that are read; one that gives more is `STORAGE_ROWS`, unless only the first is wanted. Absent: none. */
  rows?: number | "first";
  /** One of many texts that differ in a name only: it is parsed each time instead of being kept. */
  unnamed?: true;
}

/** What one statement gave. */
export interface Reply {
  /** The command's tag without its counts, e.g. `COMMIT`. */
  tag: string;
  /** Rows that it changed, or gave. */
  changed: number;
  rows: Row[];
  /** A row could not be read. The statement itself succeeded. */
  unreadable?: GantryError;
}

export interface BatchOutcome {
  /** Of the statements that succeeded, in order. */
  replies: Reply[];
  /** What the statement after them failed with; nothing after it was run. */
  failure?: { error: unknown };
}

/** What `Connection` of pg 8.23.1 offers to whatever is submitted to a client; @types/pg describes it with other arguments. */
export interface Wire {
  stream: { cork(): void; uncork(): void };
  parse(query: { name: string; text: string }): void;
  bind(o: { statement: string; values: (string | Buffer | null)[] }): void;
  describe(o: { type: "P"; name: string }): void;
  execute(o: { rows?: number }): void;
  sync(): void;
}

/** Statements that a connection keeps prepared; a text beyond is parsed each time. */
export const STATEMENTS_PREPARED_MAX = 500;

/** The prepared statements of one connection, by text. */
export class PreparedTexts {
  readonly #names = new Map<string, string>();
  /** Parsed on the server, as far as we were told. */
  readonly #parsed = new Set<string>();

  /** The statement's name; empty when there are too many. */
  nameOf(text: string): string {
    const known = this.#names.get(text);
    if (known !== undefined) return known;
    if (this.#names.size >= STATEMENTS_PREPARED_MAX) return "";
    const name = `s${this.#names.size}`;
    this.#names.set(text, name);
    return name;
  }

  isParsed(name: string): boolean {
    return this.#parsed.has(name);
  }

  confirm(name: string): void {
    if (name !== "") this.#parsed.add(name);
  }
}

/**
 * Several statements in one round trip: all their messages leave together with a single Sync at the end, and after an
 * error the server skips to that Sync (PostgreSQL 15, 55.2.3 Extended Query and 55.2.4 Pipelining). Statements one by
 * one cost a round trip and a turn of the event loop each, which is most of the time of a group commit.
 * pg takes it as one query: it calls the `handle…` methods (as it does for its cursors).
 */
export class Batch {
  readonly #statements: readonly Statement[];
  readonly #prepared: PreparedTexts;
  readonly #settle: (outcome: BatchOutcome) => void;
  readonly #replies: Reply[] = [];
  /** Names whose Parse is under way, in order. */
  readonly #parsing: string[] = [];
  #columns: Column[] = [];
  #rows: Row[] = [];
  #unreadable: GantryError | undefined;
  #settled = false;

  constructor(statements: readonly Statement[], prepared: PreparedTexts, settle: (outcome: BatchOutcome) => void) {
    this.#statements = statements;
    this.#prepared = prepared;
    this.#settle = settle;
  }

  submit(wire: Wire): void {
    const sent = new Set<string>();
    wire.stream.cork();
    try {
      for (const { text, params = [], rows, unnamed } of this.#statements) {
        const name = unnamed === true ? "" : this.#prepared.nameOf(text);
        if (!sent.has(name) && !this.#prepared.isParsed(name)) {
          wire.parse({ name, text });
          this.#parsing.push(name);
          if (name !== "") sent.add(name);
        }
        wire.bind({ statement: name, values: params.map(wireOf) });
        if (rows !== undefined) wire.describe({ type: "P", name: "" });
        // One row more than wanted, to see that there is one. What a statement writes it writes completely all the same.
        wire.execute(rows === undefined ? {} : { rows: rows === "first" ? 1 : rows + 1 });
      }
      wire.sync();
    } finally {
      wire.stream.uncork();
    }
  }

  handleParseComplete(): void {
    const name = this.#parsing.shift();
    if (name !== undefined) this.#prepared.confirm(name);
  }

  handleRowDescription({ fields }: { fields: Column[] }): void {
    this.#columns = fields;
  }

  handleDataRow({ fields }: { fields: (string | null)[] }): void {
    const statement = this.#statements[this.#replies.length];
    if (statement?.rows === undefined || this.#unreadable !== undefined) return;
    try {
      if (this.#rows.length === statement.rows) {
        throw new GantryError(errors.ROWS, {
          detail: `The query has more than ${statement.rows} rows.`,
          internal: { sql: statement.text },
        });
      }
      const row: Row = {};
      for (const [index, column] of this.#columns.entries())
        row[column.name] = columnValue(fields[index] ?? null, column);
      this.#rows.push(row);
    } catch (error) {
      if (!isGantryError(error)) throw error;
      this.#unreadable = error;
    }
  }

  handleCommandComplete({ text }: { text: string }): void {
    // "INSERT 0 3", "UPDATE 3", "COMMIT": the count is the last word.
    const words = text.split(" ");
    const count = Number(words.at(-1));
    this.#end(words[0] ?? "", Number.isNaN(count) ? 0 : count);
  }

  /** The rows that were asked for are there, and the statement has more. */
  handlePortalSuspended(): void {
    this.#end("SELECT", this.#rows.length);
  }

  handleEmptyQuery(): void {
    this.#end("", 0);
  }

  handleReadyForQuery(): void {
    this.#finish({ replies: this.#replies });
  }

  /** An error of the server, or of the connection. */
  handleError(error: unknown): void {
    this.#finish({ replies: this.#replies, failure: { error } });
  }

  #end(tag: string, changed: number): void {
    const reply: Reply = { tag, changed, rows: this.#rows };
    this.#replies.push(this.#unreadable === undefined ? reply : { ...reply, unreadable: this.#unreadable });
    this.#rows = [];
    this.#columns = [];
    this.#unreadable = undefined;
  }

  #finish(outcome: BatchOutcome): void {
    if (this.#settled) return;
    this.#settled = true;
    this.#settle(outcome);
  }
}
