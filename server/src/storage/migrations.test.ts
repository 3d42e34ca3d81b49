import { describe, expect, it } from "vitest";
import { sha256Hex } from "../kernel/hash.ts";
import type { Migration } from "./contract.ts";
import { planMigrations } from "./migrations.ts";

const first: Migration = { id: "a/0001", sql: "CREATE TABLE a (x {int})", tables: { a: "derived" } };
const second: Migration = { id: "b/0001", sql: "CREATE TABLE b (x {int})", tables: { b: "audited" } };
const applied = (migration: Migration) => ({ id: migration.id, sha256: sha256Hex(migration.sql) });

describe("the plan of migrations", () => {
  it("holds those that are not applied, in their order", () => {
    const plan = planMigrations([first, second], [], "sqlite");
    expect(plan.map(({ id }) => id)).toEqual(["a/0001", "b/0001"]);
    expect(plan[0]?.statements).toEqual(["CREATE TABLE a (x INTEGER) STRICT"]);
    expect(planMigrations([first, second], [applied(second)], "sqlite").map(({ id }) => id)).toEqual(["a/0001"]);
    expect(planMigrations([first], [applied(first)], "sqlite")).toEqual([]);
  });

  it("names a text in the same way on both engines", () => {
    const [sqlite, postgres] = (["sqlite", "postgres"] as const).map(
      (engine) => planMigrations([first], [], engine)[0],
    );
    expect(sqlite?.sha256).toBe(postgres?.sha256);
    expect(sqlite?.statements).not.toEqual(postgres?.statements);
  });

  it("refuses a changed text and an unknown id", () => {
    const changed = { ...first, sql: `${first.sql} ` };
    expect(() => planMigrations([changed], [applied(first)], "sqlite")).toThrow("STORAGE_MIGRATION_CHANGED");
    expect(() => planMigrations([first], [applied(second)], "sqlite")).toThrow("STORAGE_SCHEMA_NEWER");
  });

  it("asks for unique ids, and for a declaration of each table", () => {
    expect(() => planMigrations([first, first], [], "sqlite")).toThrow("unique");
    expect(() => planMigrations([{ ...first, tables: {} }], [], "sqlite")).toThrow("declares what table a is");
  });
});
