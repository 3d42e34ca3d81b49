import { assert } from "../../kernel/assert.ts";
import { GantryError } from "../../kernel/errors.ts";
import { errors, type Reader } from "../contract.ts";
import type { Statements } from "../sql.ts";
import { type Driver, openDriver } from "./driver.ts";
import { configureReader } from "./settings.ts";
import { fromWire, judge } from "./sqlite_errors.ts";
import { pointReads } from "./sqlite_points.ts";

/** States held at once, each a connection; one more waits. */
const SNAPSHOTS_MAX = 16;

/**
 * States that are read on the main thread, as single points are: their reads are as short. The sealer makes nine of
 * them, one after the other, up to ten times a second; as messages to the reader thread and back these cost the main
 * thread as much as the reads themselves do (0.7 ms of CPU time) and that thread 1 ms more.
 */
export class SqliteSnapshots {
  readonly #open: () => Promise<Driver>;
  readonly #statements: Statements;
  readonly #fatal: (error: unknown) => void;
  readonly #idle: Driver[] = [];
  readonly #held = new Set<Driver>();
  /** Places that are taken: states that are held, and those that are being opened. */
  #taken = 0;
  readonly #queue: (() => void)[] = [];
  #closed = false;

  constructor(path: string, busy_ms: number, statements: Statements, fatal: (error: unknown) => void) {
    this.#statements = statements;
    this.#fatal = fatal;
    this.#open = async () => {
      const db = await openDriver(path, { read_only: false, busy_ms });
      configureReader(db);
      return db;
    };
  }

  /** See `Storage.snapshot`. */
  async hold<T>(read: (reader: Reader) => Promise<T>): Promise<T> {
    this.#demandOpen();
    if (this.#taken < SNAPSHOTS_MAX) this.#taken += 1;
    // Whoever ends a state hands its place over, so that `#taken` stays.
    else await new Promise<void>((resolve) => this.#queue.push(resolve));
    let db: Driver | undefined;
    let is_held = true;
    try {
      db = await this.#begin();
      return await read(
        pointReads(db, this.#statements, this.#fatal, () => {
          this.#demandOpen();
          assert(is_held, "a state is read between its begin and its end");
        }),
      );
    } finally {
      is_held = false;
      if (db !== undefined) this.#end(db);
      const next = this.#queue.shift();
      if (next === undefined) this.#taken -= 1;
      else next();
    }
  }

  /** Ends every state that is still held. */
  close(): void {
    if (this.#closed) return;
    for (const db of this.#held) db.run("ROLLBACK", []);
    for (const db of [...this.#held, ...this.#idle]) db.close();
    this.#closed = true;
  }

  async #begin(): Promise<Driver> {
    const db = this.#idle.pop() ?? (await this.#open());
    try {
      this.#demandOpen();
      db.run("BEGIN", []);
      // BEGIN alone fixes nothing: the first read does (https://www.sqlite.org/isolation.html).
      db.all("SELECT COUNT(*) AS n FROM schema_migrations", [], 1);
    } catch (error) {
      db.close();
      const verdict = judge(error);
      if (verdict.scope === "fatal") this.#fatal(error);
      throw fromWire(verdict.error);
    }
    this.#held.add(db);
    return db;
  }

  #end(db: Driver): void {
    if (this.#closed) return;
    this.#held.delete(db);
    db.run("ROLLBACK", []);
    this.#idle.push(db);
  }

  #demandOpen(): void {
    if (this.#closed) throw new GantryError(errors.CLOSED, { detail: "The store is closed." });
  }
}
