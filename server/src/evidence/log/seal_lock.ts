import type { Clock } from "../../kernel/clock.ts";
import type { Logger } from "../../kernel/log.ts";
import type { Lock, Storage } from "../../storage/contract.ts";
import { SEAL_LOCK_MS } from "../contract.ts";
import { claimLog } from "./store.ts";

const SEAL_LOCK = "evidence-seal";
/** The lock is renewed when so much of its time is over. */
const RENEW_MS = SEAL_LOCK_MS / 3;
/** Who does not hold the lock tries to take it when entries have waited for so long and the log has not grown. */
const STALLED_MS = 1_000;
const ANY_SIZE = -1;

export interface SealLockParts {
  storage: Storage;
  clock: Clock;
  log: Logger;
  /** This process, among those of one database: no two have the same. One that starts anew has that of the one before. */
  owner: string;
}

/**
 * Which of the processes over one database seals. Who seals goes on as long as it can; the lock costs an idle process
 * nothing, because one whose time is over keeps it until another takes it.
 */
export class SealLock {
  readonly #parts: SealLockParts;
  #held: { lock: Lock; renewed_at: number } | undefined;
  /** Since when, monotonic, the log has had this size although entries wait. A start tries at once. */
  #stalled = { size: ANY_SIZE, since: Number.NEGATIVE_INFINITY };

  constructor(parts: SealLockParts) {
    this.#parts = parts;
  }

  /**
   * The lock, if this process holds it or can take it: call when entries wait.
   * @param size  of the log as it was just seen.
   */
  async holds(origin: string, size: number): Promise<Lock | undefined> {
    const { storage, clock, log } = this.#parts;
    const now = clock.monotonic();
    if (this.#held !== undefined) {
      if (now - this.#held.renewed_at < RENEW_MS || (await this.#renew(this.#held.lock, now))) return this.#held?.lock;
      log.info({}, "another process seals");
    }
    if (!this.#isStalled(size, now)) return undefined;
    const lock = await storage.locks.take(SEAL_LOCK, this.#parts.owner, SEAL_LOCK_MS);
    if (lock === undefined) return undefined;
    await storage.write((tx) => {
      storage.locks.fence(tx, lock);
      claimLog(tx, origin, lock.epoch);
    });
    log.debug({ epoch: lock.epoch }, "this process seals");
    this.#held = { lock, renewed_at: now };
    return lock;
  }

  /** After a conflict: is the lock still ours? If not, another process seals. */
  async confirm(): Promise<boolean> {
    return this.#held !== undefined && (await this.#renew(this.#held.lock, this.#parts.clock.monotonic()));
  }

  /** Lets another process seal. */
  async release(): Promise<void> {
    if (this.#held === undefined) return;
    const { lock } = this.#held;
    this.#held = undefined;
    await this.#parts.storage.locks.release(lock);
  }

  async #renew(lock: Lock, now: number): Promise<boolean> {
    const is_ours = await this.#parts.storage.locks.renew(lock, SEAL_LOCK_MS);
    this.#held = is_ours ? { lock, renewed_at: now } : undefined;
    return is_ours;
  }

  /** Looks and resets: a try that fails is repeated when the log has stood still once more. */
  #isStalled(size: number, now: number): boolean {
    const { since, size: before } = this.#stalled;
    const has_waited = now - since >= STALLED_MS;
    const is_same = before === size || before === ANY_SIZE;
    if (has_waited || !is_same) this.#stalled = { size, since: now };
    return has_waited && is_same;
  }
}
