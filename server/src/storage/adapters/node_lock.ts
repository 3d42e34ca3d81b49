import { GantryError } from "../../kernel/errors.ts";
import { errors } from "../contract.ts";
import { type Driver, openDriver } from "./driver.ts";

/**
 * Keeps a second process out of a data directory: an exclusive transaction on `lock.db` that lasts as long as the
 * process. The lock is the kernel's and goes with the process, however that ends.
 * @throws STORAGE_LOCKED
 */
export async function takeNodeLock(directory: string): Promise<{ release(): void }> {
  const db = await openDriver(`${directory}/lock.db`, { read_only: false, busy_ms: 0 });
  try {
    lock(db);
  } catch (error) {
    db.close();
    throw new GantryError(errors.LOCKED, {
      detail: `Another process uses the data directory ${directory}. Stop it first, or use another directory.`,
      cause: error,
    });
  }
  return { release: () => db.close() };
}

function lock(db: Driver): void {
  db.exec("BEGIN EXCLUSIVE");
}
