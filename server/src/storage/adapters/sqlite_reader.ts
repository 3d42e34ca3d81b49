import { GantryError } from "../../kernel/errors.ts";
import { errors, type Row, type Value } from "../contract.ts";
import { checkedValues, type Statements } from "../sql.ts";
import type { FromReader, ToReader } from "./messages.ts";
import { fromWire } from "./sqlite_errors.ts";
import { startThread, type Thread } from "./thread.ts";

type Answer = Extract<FromReader, { type: "answer" }>;

/** Scans at once, each on a connection of the reader thread; one more waits. */
const SCANS_MAX = 16;

/** The main thread's side of the reader thread. */
export class SqliteReader {
  readonly #statements: Statements;
  readonly #answers = new Map<number, { resolve(answer: Answer): void; reject(error: unknown): void }>();
  #thread: Thread<ToReader> | undefined;
  #last_id = 0;
  #held = 0;
  readonly #queue: (() => void)[] = [];
  #closed: GantryError | undefined;

  private constructor(statements: Statements) {
    this.#statements = statements;
  }

  static async open(path: string, statements: Statements, fatal: (error: unknown) => void): Promise<SqliteReader> {
    const reader = new SqliteReader(statements);
    reader.#thread = await startThread<ToReader, FromReader>(
      "threads/reader.js",
      { path },
      {
        message: (answer) => {
          const waiting = reader.#answers.get(answer.id);
          reader.#answers.delete(answer.id);
          waiting?.resolve(answer);
        },
        fatal(error) {
          reader.#refuse("The reader failed.");
          fatal(error);
        },
      },
    );
    return reader;
  }

  async *scan(sql: string, params: Value[]): AsyncGenerator<Row[], void, undefined> {
    const checked = this.#check(sql, params);
    const id = await this.#begin();
    try {
      let answer = await this.#ask({ type: "scan", id, ...checked });
      while (!answer.done) {
        yield answer.rows;
        answer = await this.#ask({ type: "page", id });
      }
    } finally {
      this.#end(id);
    }
  }

  /** Ends every state that is still held. */
  async close(): Promise<void> {
    if (this.#closed !== undefined) return;
    this.#refuse("The store is closed.");
    await this.#thread?.close({ type: "close" });
  }

  #check(sql: string, params: Value[]): { sql: string; params: Value[] } {
    const values = checkedValues(params);
    return { sql: this.#statements.check(sql, values.length).text, params: values };
  }

  async #begin(): Promise<number> {
    if (this.#held >= SCANS_MAX) {
      // Whoever ends a state hands its place over, so that `#held` stays.
      await new Promise<void>((resolve) => this.#queue.push(resolve));
    } else {
      this.#held += 1;
    }
    this.#last_id += 1;
    const id = this.#last_id;
    try {
      await this.#ask({ type: "begin", id });
    } catch (error) {
      this.#end(id);
      throw error;
    }
    return id;
  }

  #end(id: number): void {
    if (this.#closed === undefined) this.#thread?.post({ type: "end", id });
    const next = this.#queue.shift();
    if (next === undefined) this.#held -= 1;
    else next();
  }

  async #ask(message: Exclude<ToReader, { type: "end" | "close" }>): Promise<Answer> {
    const answer = await new Promise<Answer>((resolve, reject) => {
      if (this.#closed !== undefined) return reject(this.#closed);
      this.#answers.set(message.id, { resolve, reject });
      this.#thread?.post(message);
    });
    if (answer.error !== undefined) throw fromWire(answer.error);
    return answer;
  }

  #refuse(detail: string): void {
    this.#closed = new GantryError(errors.CLOSED, { detail });
    for (const waiting of this.#answers.values()) waiting.reject(this.#closed);
    this.#answers.clear();
  }
}
