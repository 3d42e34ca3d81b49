import { existsSync } from "node:fs";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { type Config, UsageError } from "../config.ts";
import { createLogger } from "../http/logging.ts";
import { readNodes } from "../intent/node_store.ts";
import { MIGRATIONS } from "../schema.ts";
import { takeNodeLock } from "../storage/adapters/node_lock.ts";
import { openPostgres } from "../storage/adapters/postgres.ts";
import { openSqlite, type SqliteOptions } from "../storage/adapters/sqlite.ts";
import type { Storage } from "../storage/contract.ts";

/** Of the embedded store, in the data directory. */
export const DATABASE_FILE = "gantry.db";

/** A store that a command works on by itself. */
export interface OfflineStore {
  storage: Storage;
  close(): Promise<void>;
}

/**
 * Opens the store of a configuration, for a command of who has it in their hands. SQLite has one process at a time;
 * PostgreSQL is opened beside the servers that run on it.
 * @throws UsageError  there is none. STORAGE_LOCKED  a server runs on it.
 */
export async function openOffline(
  { store, data, blobs }: Pick<Config, "store" | "data" | "blobs">,
  parts: Pick<SqliteOptions, "clock" | "random" | "metrics">,
): Promise<OfflineStore> {
  const ground = { ...parts, blobs, logger: createLogger({ level: "error" }), migrations: MIGRATIONS };
  if (store.engine === "sqlite") {
    if (!existsSync(join(data, DATABASE_FILE))) {
      throw new UsageError(
        `There is no store in ${data}. Say --data DIR, or start it once: the first start prints a link.`,
      );
    }
    const storage = await openSqlite({ ...ground, directory: data });
    return { storage, close: () => storage.close() };
  }
  // The lock of the data directory is the server's; what this process keeps in files is nothing.
  const directory = await mkdtemp(join(tmpdir(), "gantry-offline-"));
  const remove = (): Promise<void> => rm(directory, { recursive: true, force: true });
  try {
    const storage = await openPostgres({ ...ground, directory, url: store.url });
    return { storage, close: () => storage.close().finally(remove) };
  } catch (error) {
    await remove();
    throw error;
  }
}

/** No server of this data directory runs meanwhile, with PostgreSQL neither. */
export async function openAlone(
  config: Parameters<typeof openOffline>[0],
  common: Parameters<typeof openOffline>[1],
): Promise<OfflineStore> {
  if (config.store.engine === "sqlite") return openOffline(config, common);
  const lock = await takeNodeLock(config.data);
  try {
    const opened = await openOffline(config, common);
    return { storage: opened.storage, close: () => opened.close().finally(() => lock.release()) };
  } catch (error) {
    lock.release();
    throw error;
  }
}

/** Other nodes would go on with what they know of the log. @throws UsageError */
export async function demandNobody(storage: Storage, now: number): Promise<void> {
  const alive = (await readNodes(storage)).find(({ heartbeat_at, silent_ms }) => now - heartbeat_at < silent_ms);
  if (alive === undefined) return;
  throw new UsageError(
    `The server ${alive.id} uses the database, or did ${Math.ceil((now - alive.heartbeat_at) / 1_000)} s ago. Stop all servers of it; one that was killed counts as gone after ${alive.silent_ms / 1_000} s.`,
  );
}

/** What a command says of an error of the store. */
export function offlineSentence(error: { code?: string; message: string }): string {
  if (error.code !== "STORAGE_LOCKED") return error.message;
  return "A server runs on this data directory. Stop it, repeat this, and start it again.";
}
