import ts from "typescript";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { MIGRATIONS } from "../../server/src/schema.ts";
import { openDriver } from "../../server/src/storage/adapters/driver.ts";
import { type Engine, Statements } from "../../server/src/storage/sql.ts";
import { lock_sql, mark_sql, timer_sql } from "../../server/src/storage/store.ts";
import { need } from "../fixtures/need.ts";
import {
  openPostgresStore,
  type PostgresServer,
  type PostgresStore,
  postgresMissing,
  startPostgres,
} from "../fixtures/postgres.ts";
import { openSqliteStore, type SqliteStore } from "../fixtures/sqlite_store.ts";
import { nodes, parse, place, sources } from "../tidy/source.ts";

/** Every statement of every room, as the engines themselves read it. */

const migrations = [...MIGRATIONS];
const STORES = /^server\/src\/[^/]+\/([a-z]+\/)?([a-z]+_)?store\.ts$/;

interface Found {
  at: string;
  sql: string;
}

/** Texts that stand in the source as they are run; what is put together runs in the rooms' own tests. */
const written: Found[] = sources(STORES).flatMap((source) => {
  const file = parse(source);
  return nodes(file)
    .filter((node) => ts.isStringLiteral(node) || ts.isNoSubstitutionTemplateLiteral(node))
    .map((node) => ({ at: place(file, node), sql: node.text.trim() }))
    .filter(({ sql }) => /^(SELECT|INSERT INTO|UPDATE|DELETE FROM|WITH)\s/.test(sql));
});
const built: Found[] = [timer_sql.due(3), timer_sql.claim(3)].map((sql) => ({ at: "timer_sql", sql }));
const only_postgres = new Set<string>(Object.values(mark_sql));

function statementsOf(engine: Engine): { at: string; text: string; params: number }[] {
  const statements = new Statements(engine);
  return [...written, ...built]
    .filter(({ sql }) => engine === "postgres" || !only_postgres.has(sql))
    .map(({ at, sql }) => ({ at, ...checkedAnyCount(statements, sql) }));
}

/** The text with as many parameters as it takes. */
function checkedAnyCount(statements: Statements, sql: string): { text: string; params: number } {
  for (let params = 0; ; params++) {
    try {
      return statements.check(sql, params);
    } catch (error) {
      if (!String(error).includes("parameters")) throw error;
    }
  }
}

describe("every statement", () => {
  it("is found", () => {
    const rooms = new Set(written.map(({ at }) => at.split("/")[2]));
    expect([...rooms].sort()).toEqual(["egress", "evidence", "gates", "identity", "intent", "policy", "storage"]);
    expect(written.map(({ sql }) => sql)).toEqual(expect.arrayContaining([lock_sql.take, timer_sql.set]));
  });

  describe("on SQLite", () => {
    let store: SqliteStore;
    beforeAll(async () => {
      store = await openSqliteStore(migrations);
    });
    afterAll(() => store.remove());

    it("can be prepared", async () => {
      const db = await openDriver(`${store.directory}/gantry.db`, { read_only: true, busy_ms: 0 });
      const statements = statementsOf("sqlite");
      const faults = statements.flatMap(({ at, text, params }) => {
        try {
          db.all(`EXPLAIN ${text}`, Array(params).fill(null), 1_000);
          return [];
        } catch (error) {
          return [`${at}: ${(error as Error).message}`];
        }
      });
      const version = db.all("SELECT sqlite_version() AS version", [], 1)[0]?.["version"];
      db.close();
      console.log(`SQLite ${version}: ${statements.length} statements`);
      expect(faults).toEqual([]);
      expect(statements.length).toBeGreaterThan(40);
    });
  });

  describe("on PostgreSQL", () => {
    let server: PostgresServer | undefined;
    let store: PostgresStore | undefined;
    beforeAll(async () => {
      if (postgresMissing() !== undefined) return;
      server = await startPostgres();
      store = await openPostgresStore(server, migrations);
    });
    afterAll(async () => {
      await store?.remove();
      await server?.remove();
    });

    it("can be prepared", async (context) => {
      need(context, "postgres", postgresMissing());
      const statements = statementsOf("postgres");
      const faults: string[] = [];
      for (const { at, text } of statements) {
        await server!.sql(`PREPARE s AS ${text}`, store!.url).catch((error: Error) => {
          faults.push(`${at}: ${error.message}`);
        });
      }
      const [row] = await server!.sql("SELECT version() AS version");
      console.log(`${row?.["version"]}: ${statements.length} statements`);
      expect(faults).toEqual([]);
      expect(statements.length).toBeGreaterThan(40);
    });
  });
});
