import { describe, expect, it } from "vitest";
import { type Literal, literals, SERVER, sources, TESTS } from "./source.ts";

const STATEMENT =
  /\b(SELECT\s|INSERT\s+(OR\s+\w+\s+)?INTO\b|UPDATE\s+[\w?]+\s+SET\b|DELETE\s+FROM\b|(CREATE|DROP|ALTER)\s+(TEMP\s+)?(UNIQUE\s+)?(TABLE|INDEX|VIEW|TRIGGER)\b|WITH\s+\w+\s+AS\b)/;
const PLACES = /^server\/src\/(storage\/.*|[^/]+\/([a-z]+\/)?([a-z]+_)?store\.ts):/;
/** What the two engines do not share, or do not do alike. */
const NOT_SHARED = /\b(I?LIKE|GLOB|REGEXP|TRIGGER|json_\w+|jsonb\w*|AUTOINCREMENT|SERIAL)\b|->>?|@>/i;

const isSql = ({ text }: Literal) => STATEMENT.test(text);
/** The texts of each file. */
const server = sources(SERVER, TESTS).map(literals);
const sql = server.flat().filter(isSql);

/** Names of columns that some table of these texts leaves nullable. */
function nullable(texts: Literal[]): Set<string> {
  const columns = new Set<string>();
  for (const { text } of texts) {
    for (const table of text.matchAll(/CREATE TABLE(?: IF NOT EXISTS)?\s+\w+\s*\(((?:[^()]|\([^()]*\))*)\)/g)) {
      for (const line of (table[1] ?? "").split(/,(?![^(]*\))/)) {
        const column = /^\s*([a-z_][a-z0-9_]*)\s/.exec(line)?.[1];
        if (column && !/NOT NULL|PRIMARY KEY|\{id\}/.test(line)) columns.add(column);
      }
    }
  }
  return columns;
}

/** Terms of an `ORDER BY` over a nullable column that do not say where nulls go. */
function silentOrders(texts: Literal[], columns: Set<string>): string[] {
  return texts.flatMap(({ at, text }) =>
    [...text.matchAll(/ORDER BY\s+([^)]*?)(?=\s+LIMIT\b|\s+FOR\b|\s+RETURNING\b|\)|;|$)/g)].flatMap((match) =>
      (match[1] ?? "")
        .split(",")
        .map((term) => term.trim())
        .filter((term) => columns.has(/^(?:\w+\.)?(\w+)/.exec(term)?.[1] ?? "") && !/NULLS (FIRST|LAST)/.test(term))
        .map((term) => `${at} ORDER BY ${term}`),
    ),
  );
}

describe("SQL", () => {
  it("stands in store.ts, in files named <noun>_store.ts and in storage/ only", () => {
    expect(sql.filter(({ at }) => !PLACES.test(at))).toEqual([]);
    expect(sql.length).toBeGreaterThan(40);
  });

  it("uses nothing that the two engines do not share", () => {
    expect(sql.filter(({ text }) => NOT_SHARED.test(text))).toEqual([]);
  });

  it("says where nulls go when it sorts by a nullable column", () => {
    const silent = server.flatMap((texts) => silentOrders(texts.filter(isSql), nullable(texts)));
    expect(silent).toEqual([]);
  });

  it("is recognised, and told from words that look like it", () => {
    const texts = [
      "SELECT 1",
      "INSERT INTO t (a) VALUES (?)",
      "UPDATE ? SET a = ?",
      "DELETE FROM t",
      "CREATE TABLE t (a)",
    ];
    expect(texts.filter((text) => !STATEMENT.test(text))).toEqual([]);
    expect(
      ["DELETE", "Select a run", "UPDATED_AT", "an update of the table"].filter((text) => STATEMENT.test(text)),
    ).toEqual([]);
  });

  it("is caught when it leaves the order of nulls open", () => {
    const table = { at: "a", text: "CREATE TABLE t (a {int} NOT NULL, b {text}, PRIMARY KEY (a, b))" };
    const query = (order: string) => ({ at: "b", text: `SELECT a FROM t ORDER BY ${order} LIMIT 1` });
    const columns = nullable([table]);
    expect([...columns]).toEqual(["b"]);
    expect(silentOrders([query("a, t.b DESC")], columns)).toEqual(["b ORDER BY t.b DESC"]);
    expect(silentOrders([query("a, b DESC NULLS LAST")], columns)).toEqual([]);
  });
});
