import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { lastApproved, run_counts } from "../../server/src/intent/history_store.ts";
import { auditedRow, insertRun } from "../../server/src/intent/row_store.ts";
import { findRun, listRuns, migrations } from "../../server/src/intent/store.ts";
import { canonicalJson } from "../../server/src/kernel/canonical.ts";
import type { Migration, Storage, Value } from "../../server/src/storage/contract.ts";
import { need } from "../fixtures/need.ts";
import { openPostgresStore, type PostgresServer, postgresMissing, startPostgres } from "../fixtures/postgres.ts";
import { openSqliteStore } from "../fixtures/sqlite_store.ts";

/** Runs and their sessions over each engine, also over rows that are older than sessions. */

interface Store {
  storage: Storage;
  reopen(migrations: Migration[]): Promise<Storage>;
  remove(): Promise<void>;
}

/** A run's row as the first migration knew it. */
const OLD: Record<string, Value> = {
  ...{ id: "run_1", tenant: "ten_1", actor: "act_1", chain: "[]", chain_hash: "c", contract: "scratch" },
  ...{ contract_version: 1, snapshot: "snp_1", code_hash: "h", input_hash: "i", vars: "{}", lane: "batch" },
  ...{ isolation: "process", limits: "{}", retry: "never", state: "queued", attempt: 1, created_at: 1, entries: "[]" },
};

describe("SQLite", () => {
  sessionsOver(() => openSqliteStore(migrations.slice(0, 1)));
});

describe("PostgreSQL", () => {
  let server: PostgresServer | undefined;
  beforeAll(async () => {
    if (postgresMissing() === undefined) server = await startPostgres();
  });
  afterAll(() => server?.remove());

  sessionsOver(async () => (server === undefined ? undefined : openPostgresStore(server, migrations.slice(0, 1))));
});

/** @param open  a store of its own with the first migration; undefined where the engine is missing. */
function sessionsOver(open: () => Promise<Store | undefined>): void {
  let store: Store | undefined;
  const storage = (): Storage => store!.storage;

  beforeAll(async () => {
    store = await open();
    if (store === undefined) return;
    const names = Object.keys(OLD);
    const sql = `INSERT INTO runs (${names.join(", ")}) VALUES (${names.map(() => "?").join(", ")})`;
    await store.storage.write((tx) => tx.run(sql, Object.values(OLD), 1));
    await store.reopen(migrations);
  });
  afterAll(() => store?.remove());

  it("a run that is older than sessions has none, and the audited columns that its entries have the digest of", async (context) => {
    need(context, "postgres", store === undefined ? postgresMissing() : undefined);
    const row = (await findRun(storage(), "run_1"))!;
    expect(row).toMatchObject({ session: null, isolation: "process" });
    const audited = auditedRow(row);
    expect(audited).toMatchObject({ isolation: "process" });
    const text = canonicalJson(audited);
    expect(text).not.toContain("session");
    expect(canonicalJson(auditedRow({ ...row, session: "s" }))).toBe(
      text.replace('"snapshot"', '"session":"s","snapshot"'),
    );
  });

  it("a run keeps its session, and a list of the session has that run alone", async (context) => {
    need(context, "postgres", store === undefined ? postgresMissing() : undefined);
    const old = (await findRun(storage(), "run_1"))!;
    const row = { ...old, id: "run_2" as typeof old.id, session: "s", isolation: "session" as const };
    await storage().write((tx) => insertRun(tx, row));
    expect(await findRun(storage(), "run_2")).toEqual(row);
    const listed = async (session?: string) => {
      const rows = await listRuns(storage(), "ten_1", session === undefined ? {} : { session }, 10);
      return rows.map(({ id }) => id);
    };
    expect(await listed("s")).toEqual(["run_2"]);
    expect(await listed("S")).toEqual([]);
    expect((await listed()).filter((id) => id === "run_1")).toEqual(["run_1"]);
    await storage().write((tx) => tx.run("DELETE FROM runs WHERE id = 'run_2'", [], 1));
  });

  it("what watches a contract counts its version's ended runs, and people see what they approved last", async (context) => {
    need(context, "postgres", store === undefined ? postgresMissing() : undefined);
    const old = (await findRun(storage(), "run_1"))!;
    const of = {
      ...old,
      state: "ended" as const,
      contract: "watched",
      contract_version: 2,
      termination: "completed" as const,
    };
    const blocked = [{ host: "a.example", method: "GET", count: 1 }];
    const rows = [
      { ...of, id: "run_3", ended_at: 10, approval: "apr_1", snapshot: "snp_3" },
      {
        ...of,
        id: "run_4",
        ended_at: 20,
        approval: "apr_2",
        termination: "approval_declined" as const,
        override: "decline" as const,
      },
      { ...of, id: "run_5", ended_at: 20, termination: "denied" as const },
      { ...of, id: "run_6", ended_at: 20, termination: "cpu_exceeded" as const, blocked },
      { ...of, id: "run_7", ended_at: 20, contract_version: 1, termination: "denied" as const },
      { ...of, id: "run_8", ended_at: null, state: "queued" as const, termination: null },
    ] as (typeof old)[];
    await storage().write((tx) => {
      for (const row of rows) insertRun(tx, row);
    });
    for (const row of rows) expect(await findRun(storage(), row.id)).toEqual(row);
    const asked = { tenant: old.tenant, contract: "watched", version: 2 };
    const none = { runs: 0, denied: 0, failed: 0, overridden: 0, drifted: 0 };
    const all = { runs: 4, denied: 1, failed: 1, overridden: 1, drifted: 1 };
    expect(await run_counts.count(storage(), { ...asked, since: 0 })).toEqual(all);
    expect(await run_counts.count(storage(), { ...asked, since: 20 })).toEqual({ ...all, runs: 3 });
    expect(await run_counts.count(storage(), { ...asked, since: 21 })).toEqual(none);
    expect(await lastApproved(storage(), "ten_1", "watched")).toMatchObject({ id: "run_3", snapshot: "snp_3" });
    expect(await lastApproved(storage(), "ten_2", "watched")).toBeUndefined();
    await storage().write((tx) => tx.run("DELETE FROM runs WHERE contract = 'watched'", [], rows.length));
  });
}
