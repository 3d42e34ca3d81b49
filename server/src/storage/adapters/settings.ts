import { GantryError } from "../../kernel/errors.ts";
import { errors } from "../contract.ts";
import type { Driver } from "./driver.ts";

/**
 * `synchronous = FULL` syncs the WAL at each commit; NORMAL does not, so that acknowledged units could be lost
 * (https://www.sqlite.org/pragma.html#pragma_synchronous). `secure_delete` overwrites what was erased.
 */
const WRITER = { journal_mode: "wal", synchronous: 2, foreign_keys: 1, secure_delete: 1, wal_autocheckpoint: 0 };
const READER = { journal_mode: "wal", query_only: 1 };

/** @throws STORAGE_SETTINGS when the engine does not keep what it was told. */
export function configureWriter(db: Driver): void {
  configure(db, WRITER);
}

/** @throws STORAGE_SETTINGS when the engine does not keep what it was told. */
export function configureReader(db: Driver): void {
  configure(db, READER);
}

function configure(db: Driver, settings: Record<string, string | number>): void {
  for (const [name, value] of Object.entries(settings)) {
    db.pragma(`${name} = ${value}`);
    const kept = db.pragma(name);
    if (kept !== value) {
      throw new GantryError(errors.SETTINGS, {
        detail: `The database has ${name} = ${kept} and needs ${value}. Is the data directory on a local disk?`,
      });
    }
  }
}
