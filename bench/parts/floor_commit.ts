/** The floors of a store: one sync of the disk per 4 KiB, and one commit per row on the same driver, settings and table. */
import { closeSync, fdatasyncSync, openSync, rmSync, writeSync } from "node:fs";
import { join } from "node:path";
import { Client } from "pg";
import { openDriver } from "../../server/src/storage/adapters/driver.ts";

/** A table of its own, and what every bench of a store adds to one: a row as small as a state's usually is. */
export const TABLE = "CREATE TABLE marks (id {id} PRIMARY KEY, body {text} NOT NULL)";
export const INSERT = "INSERT INTO marks (body) VALUES (?)";
export const BODY = "x".repeat(256);

/** One durable step, without anything of ours around it. */
export interface Raw {
  step(): Promise<void>;
  close(): Promise<void>;
}

export function rawSync(directory: string): Raw {
  const path = join(directory, "appended");
  const fd = openSync(path, "a");
  const page = Buffer.alloc(4096, 1);
  return {
    step: async () => {
      writeSync(fd, page);
      fdatasyncSync(fd);
    },
    close: async () => {
      closeSync(fd);
      rmSync(path);
    },
  };
}

export async function rawSqlite(directory: string): Promise<Raw> {
  const db = await openDriver(join(directory, "raw.db"), { read_only: false, busy_ms: 0 });
  for (const setting of ["journal_mode = wal", "synchronous = full", "secure_delete = on"]) db.pragma(setting);
  db.exec(TABLE.replace("{id}", "INTEGER").replace("{text}", "TEXT"));
  return { step: async () => void db.run(INSERT, [BODY]), close: async () => db.close() };
}

/** A database of its own, one connection, one row per commit. */
export async function rawPostgres(url: string): Promise<Raw> {
  const client = new Client({ connectionString: url });
  await client.connect();
  await client.query(TABLE.replace("{id}", "bigint GENERATED ALWAYS AS IDENTITY").replace("{text}", "text"));
  const insert = { name: "mark", text: INSERT.replace("?", "$1"), values: [BODY] };
  return { step: async () => void (await client.query(insert)), close: () => client.end() };
}
