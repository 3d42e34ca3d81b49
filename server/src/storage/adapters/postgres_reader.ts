import { type Reader, type Row, SCAN_PAGE_ROWS, UNIT_RETRIES_MAX, type Value } from "../contract.ts";
import { checkedValues, type Statements } from "../sql.ts";
import type { Rows } from "../unit.ts";
import type { Reply, Statement } from "./postgres_batch.ts";
import type { Connection } from "./postgres_connection.ts";
import { judgePg, TransactionLost, told } from "./postgres_errors.ts";
import { ConnectionPool } from "./postgres_pool.ts";
import { serialReader } from "./serial_reader.ts";

/** Of `DATABASE_CONNECTIONS_MAX`: those for point reads, and those that hold a state for a scan or a snapshot. */
export const POINT_CONNECTIONS = 8;
export const VIEW_CONNECTIONS = 7;

/** `SELECT 1` fixes the state: BEGIN alone does not (PostgreSQL 15, 13.2.2). */
const BEGIN_VIEW = [{ text: "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY" }, { text: "SELECT 1" }];
const ROLLBACK = [{ text: "ROLLBACK" }];
const FETCH: Statement = { text: `FETCH ${SCAN_PAGE_ROWS} FROM scan`, rows: SCAN_PAGE_ROWS };
/** Reads of one snapshot are each under a savepoint: one that fails must not poison those that follow. */
const SAVEPOINT = { text: "SAVEPOINT read" };
const RELEASE = { text: "RELEASE read" };
const ROLLBACK_TO = [{ text: "ROLLBACK TO read" }];

/** Everything that reads outside of a unit, over connections that cannot write. */
export class PostgresReader {
  readonly #statements: Statements;
  readonly #points: ConnectionPool;
  readonly #views: ConnectionPool;

  /** @param open  makes a connection whose transactions are READ ONLY. */
  constructor(statements: Statements, open: () => Promise<Connection>) {
    this.#statements = statements;
    this.#points = new ConnectionPool(POINT_CONNECTIONS, open);
    this.#views = new ConnectionPool(VIEW_CONNECTIONS, open);
  }

  /** One row, or all of at most `ROWS_MAX`; a statement is a transaction of its own. */
  async query(sql: string, params: Value[], rows: Rows): Promise<Row[]> {
    const statement = { ...this.#check(sql, params), rows };
    return told(async () => {
      for (let attempt = 0; ; attempt++) {
        try {
          return await this.#points.use((connection) => readOne(connection, statement));
        } catch (error) {
          // A session that has ended while it was idle shows when it is used, and a read may be done again.
          const is_lost = error instanceof TransactionLost && error.verdict.scope === "lost";
          if (!is_lost || attempt === UNIT_RETRIES_MAX) throw error;
        }
      }
    });
  }

  /** Runs statements of our own, e.g. to cancel another session's. */
  async own(statements: Statement[]): Promise<Reply[]> {
    return told(() => this.#points.use((connection) => connection.demand(statements)));
  }

  async snapshot<T>(read: (reader: Reader) => Promise<T>): Promise<T> {
    return told(() =>
      this.#views.use(async (connection) => {
        await connection.demand(BEGIN_VIEW);
        const { reader, settled } = serialReader((sql, params, rows) => {
          const statement = { ...this.#check(sql, params), rows };
          return () => told(() => readInView(connection, statement));
        });
        try {
          return await read(reader);
        } finally {
          await settled();
          await connection.run(ROLLBACK);
        }
      }),
    );
  }

  async *scan(sql: string, params: Value[]): AsyncGenerator<Row[], void, undefined> {
    const { text, params: values } = this.#check(sql, params);
    const declare = { text: `DECLARE scan NO SCROLL CURSOR FOR ${text}`, params: values };
    // A generator cannot yield inside a callback: the connection is borrowed until `end`.
    const { connection, end } = await told(() => borrow(this.#views));
    try {
      let page = await told(() => readOne(connection, FETCH, [...BEGIN_VIEW, declare]));
      while (page.length > 0) {
        yield page;
        if (page.length < SCAN_PAGE_ROWS) return;
        page = await told(() => readOne(connection, FETCH));
      }
    } finally {
      await connection.run(ROLLBACK);
      end();
    }
  }

  async close(): Promise<void> {
    await Promise.all([this.#points.close(), this.#views.close()]);
  }

  #check(sql: string, params: Value[]): { text: string; params: Value[] } {
    const values = checkedValues(params);
    return { text: this.#statements.check(sql, values.length).text, params: values };
  }
}

function borrow(pool: ConnectionPool): Promise<{ connection: Connection; end: () => void }> {
  return new Promise((resolve, reject) => {
    const used = pool.use((connection) => new Promise<void>((end) => resolve({ connection, end })));
    used.catch(reject);
  });
}

async function readOne(connection: Connection, statement: Statement, before: Statement[] = []): Promise<Row[]> {
  const replies = await connection.demand([...before, statement]);
  return rowsOf(replies.at(-1));
}

async function readInView(connection: Connection, statement: Statement): Promise<Row[]> {
  const { replies, failure } = await connection.run([SAVEPOINT, statement, RELEASE]);
  if (failure === undefined) return rowsOf(replies[1]);
  if (!connection.lost) await connection.demand(ROLLBACK_TO);
  throw new TransactionLost(judgePg(failure.error, statement.text));
}

/** @throws STORAGE_VALUE STORAGE_ROWS */
export function rowsOf(reply: Reply | undefined): Row[] {
  if (reply?.unreadable !== undefined) throw reply.unreadable;
  return reply?.rows ?? [];
}
