import type { Clock } from "../kernel/clock.ts";
import { hasCode } from "../kernel/errors.ts";
import { errors, type Lock, type Locks, type Storage, type Tx } from "./contract.ts";
import { lock_sql } from "./store.ts";

/**
 * Locks over any store. An owner whose time is over keeps what it has until another takes it: renewing late is not
 * a loss, and what fences a zombie is the epoch and not the time.
 */
export class StoredLocks implements Locks {
  readonly #storage: Pick<Storage, "write">;
  readonly #clock: Clock;

  constructor(storage: Pick<Storage, "write">, clock: Clock) {
    this.#storage = storage;
    this.#clock = clock;
  }

  async take(name: string, owner: string, hold_ms: number): Promise<Lock | undefined> {
    const now = this.#clock.now();
    const row = await this.#storage.write((tx) => tx.get(lock_sql.take, [name, owner, now + hold_ms, now]));
    return row === undefined ? undefined : { name, owner, epoch: Number(row["epoch"]) };
  }

  async renew(lock: Lock, hold_ms: number): Promise<boolean> {
    try {
      await this.#storage.write((tx) =>
        tx.run(lock_sql.renew, [this.#clock.now() + hold_ms, lock.name, lock.owner, lock.epoch], 1),
      );
      return true;
    } catch (error) {
      if (hasCode(error, errors.CONFLICT)) return false;
      throw error;
    }
  }

  async release(lock: Lock): Promise<void> {
    await this.#storage.write((tx) => tx.run(lock_sql.release, [lock.name, lock.owner, lock.epoch]));
  }

  fence(tx: Tx, lock: Lock): void {
    tx.run(lock_sql.fence, [lock.name, lock.owner, lock.epoch], 1);
  }
}
