import type { Clock } from "../../kernel/clock.ts";
import { hasCode } from "../../kernel/errors.ts";
import type { Logger } from "../../kernel/log.ts";
import type { Metrics } from "../../kernel/telemetry.ts";
import { type Lock, errors as storage_errors } from "../../storage/contract.ts";
import { type Checkpoint, type CheckpointSink, errors, SEAL_BATCH_MAX } from "../contract.ts";
import type { LogGuard } from "./guard.ts";
import { type OpenedLog, type OpeningParts, openLog, witnessed } from "./opening.ts";
import { SealLock, type SealLockParts } from "./seal_lock.ts";
import { demandTrue, type LogState, readBatch, readState, type Seen, signBatch } from "./sealing.ts";
import { countPending, glance, type KeyRows, type SealedRows, sealRows, selectKeys, storedTiles } from "./store.ts";
import { Thinning } from "./thinning.ts";

/** At a start, how long the answers of witnesses are waited for before the first sealing. */
const WITNESS_MS = 5_000;
/** How often a process without the log's key looks for it. */
const KEY_LOOK_MS = 5_000;

export interface SealRoundParts extends OpeningParts, SealLockParts {
  clock: Clock;
  metrics: Metrics;
  log: Logger;
  guard: LogGuard;
  /** Whose copies are looked at before the first sealing. */
  witnesses?: readonly Pick<CheckpointSink, "name" | "newest">[];
  /** A checkpoint is durable, and may be shown. */
  release(checkpoint: Checkpoint): void;
}

/** What came of one look: there is more to seal at once; there is not; something went wrong. */
export type Outcome = "more" | "done" | "failed";

/**
 * One look at the ledger after the other, never two at once: reads a state, proves that it goes on from what was
 * released, signs what waits, and commits all of it guarded by that state. Only what is committed is released.
 */
export class SealRound {
  readonly #parts: SealRoundParts;
  readonly #lock: SealLock;
  readonly #thinning: Thinning;
  #opened: OpenedLog | undefined;
  /** The log must hold these: what others remember, and what was released last. */
  #seen: Seen[] = [];
  #witnessed: Promise<Seen[]> | undefined;
  /** The last sealing may have been committed or not. */
  #is_unsure = false;
  /** For which keys the files were looked through last, and when, monotonic. */
  #looked = { for: "", at: Number.NEGATIVE_INFINITY };
  #is_foreign = false;

  constructor(parts: SealRoundParts) {
    this.#parts = parts;
    this.#lock = new SealLock(parts);
    this.#thinning = new Thinning(parts.storage, parts.clock);
  }

  /**
   * Opens the log, or makes it, and proves that it holds what the data directory has seen released.
   * @throws EVIDENCE_FORKED EVIDENCE_ROLLBACK EVIDENCE_KEY EVIDENCE_KEY_MODE, or of the store
   */
  async open(): Promise<OpenedLog> {
    if (this.#opened !== undefined) return this.#opened;
    const opened = await openLog(this.#parts);
    const { guard, witnesses = [] } = this.#parts;
    if (guard.fault?.code === errors.KEY_MODE.code) guard.clear();
    this.#seen.push(...opened.seen);
    await this.#prove();
    this.#opened = opened;
    this.#witnessed ??= witnessed(witnesses, WITNESS_MS, opened, this.#parts);
    return opened;
  }

  /** @throws as `open` */
  async look(): Promise<Outcome> {
    const { guard, storage } = this.#parts;
    const opened = await this.open();
    if (this.#witnessed !== undefined) await this.#hearWitnesses(this.#witnessed);
    const mark = guard.mark();
    const { size, is_waiting } = await glance(storage);
    if (this.#is_unsure) await this.#settleDoubt();
    if (!is_waiting) {
      guard.counted(0, mark);
      return "done";
    }
    const lock = (await this.#hasKeys(opened)) ? await this.#lock.holds(opened.origin, size) : undefined;
    if (lock === undefined) {
      guard.counted(await countPending(storage), mark);
      return "done";
    }
    return this.#seal(opened, lock, mark);
  }

  release(): Promise<void> {
    return this.#lock.release();
  }

  /** A key that others can read is looked at again before anything is signed. */
  forgetKeys(): void {
    this.#opened = undefined;
  }

  async #hearWitnesses(asked: Promise<Seen[]>): Promise<void> {
    this.#seen.push(...(await asked));
    await this.#prove();
    this.#witnessed = undefined;
  }

  /** @throws EVIDENCE_FORKED EVIDENCE_ROLLBACK */
  #prove(): Promise<LogState | undefined> {
    return this.#parts.storage.snapshot(async (reader) => {
      const state = await readState(reader);
      if (state !== undefined) await demandTrue(storedTiles(reader), state, this.#seen);
      return state;
    });
  }

  /** A unit whose outcome was unknown may have been committed: then its checkpoint is there, and is released. */
  async #settleDoubt(): Promise<void> {
    const state = await this.#prove();
    this.#is_unsure = false;
    const known = this.#seen.at(-1)?.size ?? 0;
    if (state?.newest !== undefined && state.newest.size > known) {
      this.#release({ ...state.newest, origin: state.log.origin });
      await this.#promote(); // it may have ended a rotation
    }
  }

  /** Can this process sign whatever comes next? It looks for a key that it lacks now and then, and says so once. */
  async #hasKeys({ keyring }: OpenedLog): Promise<boolean> {
    const { storage, clock, log } = this.#parts;
    const rows = await selectKeys(storage);
    const has = ({ active, announced }: KeyRows): boolean =>
      keyring.signer(active) !== undefined && (announced === undefined || keyring.signer(announced) !== undefined);
    const wanted = `${rows.active} ${rows.announced ?? ""}`;
    const now = clock.monotonic();
    if (!has(rows) && (this.#looked.for !== wanted || now - this.#looked.at >= KEY_LOOK_MS)) {
      this.#looked = { for: wanted, at: now };
      await keyring.settle(rows);
    }
    const is_foreign = !has(rows);
    if (is_foreign && !this.#is_foreign) {
      log.error({ active: rows.active }, "this process does not have the log's key and does not seal");
      await this.#lock.release();
    }
    this.#is_foreign = is_foreign;
    return !is_foreign;
  }

  async #seal({ keyring }: OpenedLog, lock: Lock, mark: number): Promise<Outcome> {
    const { clock, guard, storage } = this.#parts;
    const read = await storage.snapshot(async (reader) => {
      const state = await readState(reader);
      if (state === undefined) return undefined;
      const tiles = storedTiles(reader);
      await demandTrue(tiles, state, this.#seen);
      const batch = await readBatch(reader, tiles, state);
      return batch === undefined ? undefined : { state, batch };
    });
    if (read === undefined) return "done";
    const { state, batch } = read;
    guard.counted(batch.waiting, mark);
    const { active, announced } = state.keys;
    const signers = [active, batch.rotates ? announced : undefined].flatMap((vkey) =>
      vkey === undefined ? [] : (keyring.signer(vkey) ?? []),
    );
    // A rotation that came since the keys were looked at: the next look sees it.
    if (signers.length !== (batch.rotates ? 2 : 1)) return "more";
    const sealed = signBatch(state, batch, signers, { epoch: lock.epoch, now: clock.now() });
    if (!(await this.#commit(sealed, lock))) return "failed";
    const { origin, checkpoint } = sealed;
    guard.sealed(batch.pending.length);
    this.#measure(checkpoint.at, batch.oldest_at, batch.pending.length);
    this.#release({ ...checkpoint, origin });
    if (sealed.rotated !== undefined) await this.#promote();
    await this.#thinning.step();
    return batch.pending.length === SEAL_BATCH_MAX ? "more" : "done";
  }

  /** @returns false when the state had changed: another process seals, or the next look finds out. */
  async #commit(sealed: SealedRows, lock: Lock): Promise<boolean> {
    const { storage, log } = this.#parts;
    this.#is_unsure = true;
    try {
      await storage.write((tx) => {
        storage.locks.fence(tx, lock);
        sealRows(tx, sealed);
      });
      this.#is_unsure = false;
      return true;
    } catch (error) {
      if (!hasCode(error, storage_errors.CONFLICT)) throw error;
      const is_ours = await this.#lock.confirm();
      log.warn({ size: sealed.old_size, is_ours }, "a sealing met another state than it was made from");
      return false;
    }
  }

  #measure(sealed_at: number, oldest_at: number | undefined, count: number): void {
    const { metrics } = this.#parts;
    metrics.add("gantry_evidence_sealed_total", {}, count);
    if (oldest_at !== undefined) {
      metrics.observe("gantry_evidence_seal_lag_seconds", Math.max(0, sealed_at - oldest_at) / 1_000);
    }
  }

  #release(checkpoint: Checkpoint): void {
    const { size, root } = checkpoint;
    this.#seen = [{ where: "The checkpoint that was released last", size, root }];
    this.#parts.release(checkpoint);
  }

  /** The new key signs: the old one's file ends. A crash before that is made good at the next start. */
  async #promote(): Promise<void> {
    await this.#opened?.keyring.settle(await selectKeys(this.#parts.storage));
  }
}
