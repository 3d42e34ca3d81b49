import type { Egress } from "../egress/contract.ts";
import type { Ledger } from "../evidence/contract.ts";
import type { Principal } from "../identity/contract.ts";
import type { Clock } from "../kernel/clock.ts";
import type { GantryError } from "../kernel/errors.ts";
import type { Logger } from "../kernel/log.ts";
import type { PolicyView } from "../policy/contract.ts";
import type { Storage, Tx } from "../storage/contract.ts";
import { type Overrun, overrunOf } from "./budgets.ts";
import { REFUSED_BUDGETS_MAX, REFUSED_ENTRY_MS } from "./contract.ts";
import { chargeDay, chargeLost, type DayLimits, demandDay, type SettingsSource, TenantDays } from "./days.ts";
import { refusedEntry } from "./entries.ts";
import type { Passage } from "./passage.ts";
import type { Companion, Creation } from "./recorder.ts";
import type { RunRow } from "./store.ts";
import { chargeTree, demandTree, demandTreeCpu, growTree, placeInTree } from "./trees.ts";

export interface ChargesDeps {
  storage: Storage;
  ledger: Ledger;
  clock: Clock;
  log: Logger;
  identity: SettingsSource;
  egress: Pick<Egress, "effects">;
}

/** Refusals past one budget since the last entry about them. */
interface Refused {
  since: number;
  count: number;
}

/**
 * What a run is charged to besides its slot: the tree of runs that started each other, and the day of its contract and
 * its tenant. Asked before a run takes a slot, so that one past its budget costs none, and again in the unit of its first
 * row, which is what counts. Used up is only known when a run ends: the end's unit says it.
 */
export class Charges implements Companion {
  readonly #d: ChargesDeps;
  readonly #days: TenantDays;
  readonly #refused = new Map<string, Refused>();

  constructor(deps: ChargesDeps) {
    this.#d = deps;
    this.#days = new TenantDays(deps.identity, deps.clock);
  }

  /**
   * Where the run of this caller stands, and what of the day it may use.
   * @throws CHAIN_INVALID RUN_PARENT_ENDED RUN_SPAWN_DEPTH RUN_TREE_BUDGET RUN_TENANT_BUDGET
   */
  async demand(who: Principal, row: RunRow, view: PolicyView): Promise<{ row: RunRow; days: DayLimits }> {
    const { storage, clock } = this.#d;
    const place = await placeInTree(storage, who);
    const placed = place === undefined ? row : { ...row, ...place };
    const days = await this.#limitsOf(row, view);
    await demandTree(storage, placed);
    await demandDay(storage, placed, days, clock.now());
    return { row: placed, days };
  }

  /** Of a run that has waited: is there something left by now? @returns why it may not start. */
  async refusalOf(row: RunRow, view: PolicyView): Promise<GantryError | undefined> {
    const { storage, clock } = this.#d;
    try {
      await demandTreeCpu(storage, row);
      await demandDay(storage, row, await this.#limitsOf(row, view), clock.now());
    } catch (error) {
      if (overrunOf(error) !== undefined) return error as GantryError;
      throw error;
    }
    return undefined;
  }

  async created(tx: Tx, row: RunRow, { days = {} }: Creation): Promise<void> {
    if (row.state === "ended") return;
    await demandTree(tx, row);
    await demandDay(tx, row, days, this.#d.clock.now());
    growTree(tx, row);
  }

  ended(tx: Tx, row: RunRow, { departed }: Passage): void {
    chargeTree(tx, row);
    chargeDay(tx, row, departed?.summary?.effects ?? 0);
  }

  /** No door tells what a lost attempt called: the rows of its effects do, whatever is known of how they ended. */
  async lost(tx: Tx, row: RunRow, attempt: number): Promise<void> {
    const { egress, clock } = this.#d;
    chargeLost(tx, row, clock.now(), await egress.effects(tx, { root: row.id, epoch: attempt }));
  }

  /**
   * Records that a run was refused past a budget: the first at once, then at most one entry in `REFUSED_ENTRY_MS` for
   * each budget, with the number of those between. A program that starts itself in a loop is not to fill the ledger.
   */
  async refused(
    who: Principal,
    error: unknown,
    about: Pick<RunRow, "contract" | "contract_version" | "snapshot" | "code_hash">,
  ) {
    const of = overrunOf(error);
    if (of === undefined) return;
    const count = this.#countOf(of);
    if (count === undefined) return;
    const { storage, ledger, log } = this.#d;
    const entry = refusedEntry(who, about, (error as GantryError).code, of, count);
    try {
      await storage.write((tx) => void ledger.append(tx, entry));
    } catch (cause) {
      log.warn({ cause, budget: of.budget, key: of.key }, "a refusal could not be recorded");
    }
  }

  /** @returns how many refusals an entry speaks of; undefined when it is not time for one. */
  #countOf({ budget, key }: Overrun): number | undefined {
    const now = this.#d.clock.monotonic();
    const name = `${budget} ${key}`;
    const before = this.#refused.get(name);
    if (before !== undefined && now - before.since < REFUSED_ENTRY_MS) {
      before.count += 1;
      return undefined;
    }
    this.#refused.delete(name);
    this.#refused.set(name, { since: now, count: 0 });
    for (const oldest of this.#refused.keys()) {
      if (this.#refused.size <= REFUSED_BUDGETS_MAX) break;
      this.#refused.delete(oldest);
    }
    return (before?.count ?? 0) + 1;
  }

  async #limitsOf({ tenant }: RunRow, { contract }: PolicyView): Promise<DayLimits> {
    const { run_ms, effects } = contract.budgets_day;
    return { contract: run_ms, contract_effects: effects, tenant: await this.#days.limitOf(this.#d.storage, tenant) };
  }
}
