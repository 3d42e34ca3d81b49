import type { TenantId } from "../../kernel/ids.ts";
import type { Reader, Tx } from "../../storage/contract.ts";
import type { EgressIdentity } from "../contract.ts";
import type { DoorEffects } from "../parts.ts";
import { AttemptEffects, lostEnd } from "./door_effects.ts";
import { selectStanding, upsertFence } from "./fence_store.ts";
import type { EffectParts, Fence } from "./parts.ts";
import { recordEnd, Settlements } from "./settlements.ts";
import { countAttempt, countEffects, deleteResponses, type EffectRow, selectOrphans, selectOutdated } from "./store.ts";

/** Effects that one unit of the recovery ends. */
const RECOVERED_PER_UNIT = 100;
/** How often it is looked whether a fence is durable, and how long: a unit that takes longer has been rolled back. */
const FENCE_LOOK_MS = 20;
const FENCE_LOOKS = 100;

/**
 * Calls that may change something: none leaves before its intent is durable, none that is recorded as done is repeated,
 * and an attempt that a newer one has replaced changes nothing any more, whatever machine it is on.
 */
export class EffectBook {
  readonly #parts: EffectParts;
  readonly #settlements: Settlements;
  readonly #listeners = new Set<(of: Fence) => void>();
  readonly #looks = new Set<() => void>();

  constructor(parts: EffectParts) {
    this.#parts = parts;
    this.#settlements = new Settlements(parts);
  }

  /**
   * The effects of one attempt; its epoch is 1 or more.
   * @param o.key  every call is this effect: of a call that was blocked and goes on.
   */
  open(who: EgressIdentity, o: { key?: string } = {}): DoorEffects {
    const met = (of: Fence): void => this.#tell(of);
    return new AttemptEffects(this.#parts, who, { met, settlements: this.#settlements, key: o.key });
  }

  /**
   * In the unit that starts an attempt: older ones intend nothing any more. Epoch 1 has no older one, and costs nothing.
   * Doors of older epochs on this machine are told as soon as the unit is durable.
   */
  fence(tx: Tx, of: { tenant: TenantId; root: string; epoch: number }): void {
    if (of.epoch <= 1) return;
    upsertFence(tx, { ...of, moved_at: this.#parts.clock.now() });
    if (this.#listeners.size > 0) this.#watch(of);
  }

  /**
   * In the unit that starts a newer attempt, or that declares the last one lost (`epoch` is then the one after it): a
   * fence, and whatever older epochs have intended and not ended is `unknown` from now on.
   * @returns how many effects that are.
   */
  async abandon(tx: Tx, of: { tenant: TenantId; root: string; epoch: number }): Promise<number> {
    this.fence(tx, of);
    const rows = await selectOutdated(tx, of.root, of.epoch);
    this.#lose(tx, rows);
    return rows.length;
  }

  /** In the unit that ends all of it: no attempt will come that could be given an answer again. */
  forget(tx: Tx, of: { root: string }): void {
    deleteResponses(tx, of.root);
  }

  /** Calls under a root that may have changed something. @param of.epoch  of this attempt alone. */
  count(reader: Reader, { root, epoch }: { root: string; epoch?: number }): Promise<number> {
    return epoch === undefined ? countEffects(reader, root) : countAttempt(reader, root, epoch);
  }

  /**
   * Before anything is started: what earlier boots of this node intended and did not end is `unknown`.
   * @returns how many effects that are.
   */
  async recover(): Promise<number> {
    const { storage, node } = this.#parts;
    for (let all = 0; ; ) {
      const lost = await storage.write(async (tx) => {
        const rows = await selectOrphans(tx, node, RECOVERED_PER_UNIT);
        this.#lose(tx, rows);
        return rows.length;
      });
      all += lost;
      if (lost < RECOVERED_PER_UNIT) return all;
    }
  }

  /** Tells of each fence, here or met here, once it is durable. @returns what ends it. */
  onFenced(listener: (of: Fence) => void): () => void {
    // Not the function itself: the same one may be given twice.
    const entry = (of: Fence): void => listener(of);
    this.#listeners.add(entry);
    return () => this.#listeners.delete(entry);
  }

  /** Writes what waits. */
  async close(): Promise<void> {
    for (const stop of this.#looks) stop();
    this.#looks.clear();
    await this.#settlements.close();
  }

  #lose(tx: Tx, rows: readonly EffectRow[]): void {
    const now = this.#parts.clock.now();
    for (const row of rows) recordEnd(tx, this.#parts.ledger, lostEnd(row, now));
  }

  #tell(of: Fence): void {
    for (const listener of [...this.#listeners]) listener(of);
  }

  /** A unit has no hook for its commit, and may be rolled back: the row says what came of it. */
  #watch({ root, epoch }: Fence): void {
    const { clock, storage, log } = this.#parts;
    let looks = 0;
    const end = (): void => {
      stop();
      this.#looks.delete(end);
    };
    const look = async (): Promise<void> => {
      looks += 1;
      const { fence: newest } = await selectStanding(storage, root);
      if (!this.#looks.has(end)) return;
      if (newest !== undefined && newest >= epoch) {
        end();
        this.#tell({ root, epoch: newest });
      } else if (looks >= FENCE_LOOKS) end();
    };
    const stop = clock.every(FENCE_LOOK_MS, () => {
      look().catch((error: unknown) => log.debug({ error, root }, "the fence could not be read"));
    });
    this.#looks.add(end);
  }
}
