import { afterEach, beforeEach, expect, it } from "vitest";
import { openSqliteStore, type SqliteStore } from "../../../tests/fixtures/sqlite_store.ts";
import { agreedOn, agreeOn } from "./agreements.ts";

let store: SqliteStore;
beforeEach(async () => {
  store = await openSqliteStore([]);
});
afterEach(() => store.remove());

it("holds what was said first, for everybody and after a restart", async () => {
  expect(await agreedOn(store.storage, "a.b")).toBeUndefined();
  expect(await agreeOn(store.storage, "a.b", "one")).toBe("one");
  expect(await agreeOn(store.storage, "a.b", "two")).toBe("one");
  const storage = await store.reopen([]);
  expect(await agreedOn(storage, "a.b")).toBe("one");
  expect(await agreeOn(storage, "other", "two")).toBe("two");
});

it("is one value when many say theirs at once", async () => {
  const said = await Promise.all(["x", "y", "z"].map((value) => agreeOn(store.storage, "a.b", value)));
  expect(new Set(said).size).toBe(1);
});
