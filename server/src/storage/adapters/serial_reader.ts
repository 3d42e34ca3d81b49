import { type Reader, ROWS_MAX, type Row, type Value } from "../contract.ts";
import type { Rows } from "../unit.ts";

/**
 * A reader of one state, which has one connection: its reads take turns.
 * @param prepare  checks a read when it is asked for, and copies its parameters; what it returns runs in the read's turn.
 */
export function serialReader(prepare: (sql: string, params: Value[], rows: Rows) => () => Promise<Row[]>): {
  reader: Reader;
  /** Resolves when no read is under way. */
  settled(): Promise<unknown>;
} {
  let tail: Promise<unknown> = Promise.resolve();
  const query = async (sql: string, params: Value[], rows: Rows): Promise<Row[]> => {
    const answer = tail.then(prepare(sql, params, rows));
    tail = answer.catch(() => {}); // Its caller has the error; the next read does not depend on it.
    return answer;
  };
  const reader: Reader = {
    all: (sql, params) => query(sql, params, ROWS_MAX),
    get: async (sql, params) => (await query(sql, params, "first"))[0],
  };
  return { reader, settled: () => tail };
}
