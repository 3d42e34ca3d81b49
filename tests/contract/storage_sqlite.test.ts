import { openSqliteStore } from "../fixtures/sqlite_store.ts";
import { StallingStorage } from "../fixtures/stalling_storage.ts";
import type { StoreUnderTest } from "./storage_notes.ts";
import { storageContract } from "./storage_suite.ts";

storageContract("SQLite", (migrations) => openSqliteStore(migrations));

// What stands in for the store in the tests of other rooms keeps the same promises while it holds nothing.
storageContract("SQLite, behind a storage that can stall", async (migrations) => {
  const store = await openSqliteStore(migrations);
  const stalling: StoreUnderTest = {
    storage: new StallingStorage(store.storage),
    clock: store.clock,
    async reopen(next) {
      stalling.storage = new StallingStorage(await store.reopen(next));
      return stalling.storage;
    },
    remove: () => store.remove(),
  };
  return stalling;
});
