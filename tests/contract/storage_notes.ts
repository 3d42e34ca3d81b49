import type { Migration, Row, Storage } from "../../server/src/storage/contract.ts";
import type { VirtualClock } from "../fixtures/virtual_clock.ts";

export interface StoreUnderTest {
  storage: Storage;
  clock: VirtualClock;
  /** Closes the store and opens it again over the same data. */
  reopen(migrations: Migration[]): Promise<Storage>;
  /** Closes the store and removes its data. */
  remove(): Promise<void>;
}

export type OpenStore = (migrations: Migration[]) => Promise<StoreUnderTest>;

export const notes: Migration = {
  id: "notes/0001",
  sql: `CREATE TABLE notes (id {id} PRIMARY KEY, key {text} NOT NULL UNIQUE, n {int}, body {blob});
    CREATE TABLE tags (note {int} NOT NULL REFERENCES notes (id), tag {text} NOT NULL, PRIMARY KEY (note, tag));`,
  tables: { notes: "operational", tags: "operational" },
};

export const INSERT = "INSERT INTO notes (key, n) VALUES (?, ?)";
export const SELECT = "SELECT n FROM notes WHERE key = ?";
export const KEYS = "SELECT key FROM notes ORDER BY key";

export async function keys(storage: Storage): Promise<unknown[]> {
  return (await storage.all(KEYS, [])).map((row) => row["key"]);
}

export async function pages(iterable: AsyncIterable<Row[]>): Promise<Row[][]> {
  const all: Row[][] = [];
  for await (const page of iterable) all.push(page);
  return all;
}

export async function insertMany(storage: Storage, count: number, from = 0): Promise<void> {
  await storage.write((tx) => {
    for (let i = from; i < from + count; i++) tx.run(INSERT, [`k${String(i).padStart(6, "0")}`, i]);
  });
}
