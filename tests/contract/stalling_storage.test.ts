import { afterEach, beforeEach, expect, it } from "vitest";
import { eventually } from "../fixtures/eventually.ts";
import { openSqliteStore, type SqliteStore } from "../fixtures/sqlite_store.ts";
import { StallingStorage } from "../fixtures/stalling_storage.ts";
import { INSERT, notes } from "./storage_notes.ts";

let store: SqliteStore;
let storage: StallingStorage;
beforeEach(async () => {
  store = await openSqliteStore([notes]);
  storage = new StallingStorage(store.storage);
});
afterEach(() => store.remove());

const insert = (key: string) => storage.write((tx) => tx.run(INSERT, [key, 1]));
const count = async () => (await storage.get("SELECT COUNT(*) AS n FROM notes", []))?.["n"];

it("a held write has not begun, and goes on when it is let go", async () => {
  const release = storage.hold("before");
  const writes = [insert("a"), insert("b")];
  await eventually(() => storage.held === 2);
  expect(await count()).toBe(0);
  release();
  await Promise.all(writes);
  expect(await count()).toBe(2);
  await insert("c");
});

it("a write that is held after its commit is durable, and its caller does not know", async () => {
  const release = storage.hold("after");
  let known = false;
  const write = insert("a").then(() => {
    known = true;
  });
  await eventually(() => storage.held === 1);
  expect(await count()).toBe(1);
  expect(known).toBe(false);
  release();
  await write;
});

it("failures come in their order, each for one write", async () => {
  storage.failNext(new Error("one"));
  storage.failNext(new Error("two"));
  await expect(insert("a")).rejects.toThrow("one");
  await expect(insert("a")).rejects.toThrow("two");
  await insert("a");
});
