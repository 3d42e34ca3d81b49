import type { TenantSettings } from "../identity/contract.ts";
import type { Clock } from "../kernel/clock.ts";
import type { TenantId } from "../kernel/ids.ts";
import type { Reader, Tx } from "../storage/contract.ts";
import { ALL_CONTRACTS, addToDay, readDay } from "./budget_store.ts";
import { overrun } from "./budgets.ts";
import { run_errors, SETTINGS_FRESH_MS, SETTINGS_TENANTS_MAX } from "./contract.ts";
import type { RunRow } from "./store.ts";

const DAY_MS = 86_400_000;

const UNITS = { run_ms: "ms of run time", effects: "calls that change something" } as const;

/** What a run may use of its day, by what bounds it; absent: nothing does. */
export interface DayLimits {
  contract?: number | undefined;
  /** Of the contract: calls that may have changed something. */
  contract_effects?: number | undefined;
  tenant?: number | undefined;
}

/** The UTC day, as `2026-11-24`. */
export function dayOf(at: number): string {
  return new Date(at).toISOString().slice(0, 10);
}

/**
 * Is there something left of the day? Only ended runs count, so what goes on at once may pass the budget.
 * @throws RUN_TENANT_BUDGET  to be tried again after midnight UTC.
 */
export async function demandDay(reader: Reader, row: RunRow, limits: DayLimits, now: number): Promise<void> {
  if (limits.contract === undefined && limits.contract_effects === undefined && limits.tenant === undefined) return;
  const day = dayOf(now);
  const whose = `The contract ${row.contract}`;
  const budgets = [
    { name: row.contract, of: "run_ms", budget: "contract_run_ms", whose, limit: limits.contract },
    { name: row.contract, of: "effects", budget: "contract_effects", whose, limit: limits.contract_effects },
    { name: ALL_CONTRACTS, of: "run_ms", budget: "tenant_run_ms", whose: "The tenant", limit: limits.tenant },
  ] as const;
  for (const { name, of, budget, whose, limit } of budgets) {
    if (limit === undefined) continue;
    const used = (await readDay(reader, row.tenant, name, day))[of];
    if (used < limit) continue;
    const midnight = (Math.floor(now / DAY_MS) + 1) * DAY_MS;
    throw overrun(run_errors.TENANT_BUDGET, {
      detail: `${whose} may use ${limit} ${UNITS[of]} a day and has used ${used}; the day ends at ${new Date(midnight).toISOString()}.`,
      retry_after_ms: midnight - now,
      of: { budget, used, limit, key: `${row.tenant} ${name}` },
    });
  }
}

/** In the unit of the run's end: the time that it had a slot. @param effects  calls that may have changed something. */
export function chargeDay(tx: Tx, row: RunRow, effects: number): void {
  const { tenant, contract, admitted_at, ended_at } = row;
  if (admitted_at === null || ended_at === null) return;
  const slot_ms = ended_at - admitted_at;
  // Of a run that was lost nobody knows how long it went on; not longer than it might.
  const run_ms = row.startup_us === null ? Math.min(slot_ms, row.limits.wall_ms) : slot_ms;
  addToDay(tx, tenant, contract, dayOf(ended_at), { runs: 1, run_ms, effects });
}

/** In the unit that takes an attempt from whoever had it: its calls that may have changed something. */
export function chargeLost(tx: Tx, { tenant, contract }: RunRow, now: number, effects: number): void {
  if (effects > 0) addToDay(tx, tenant, contract, dayOf(now), { runs: 0, run_ms: 0, effects });
}

/** Where the settings of tenants are; identity/ has them. */
export interface SettingsSource {
  settings(reader: Reader, tenant: TenantId): Promise<TenantSettings>;
}

/** The daily budgets of tenants, read again when they are older than `SETTINGS_FRESH_MS`: most runs need no read. */
export class TenantDays {
  readonly #source: SettingsSource;
  readonly #clock: Clock;
  readonly #read = new Map<TenantId, { run_ms: number | undefined; at: number }>();

  constructor(source: SettingsSource, clock: Clock) {
    this.#source = source;
    this.#clock = clock;
  }

  async limitOf(reader: Reader, tenant: TenantId): Promise<number | undefined> {
    const now = this.#clock.monotonic();
    const known = this.#read.get(tenant);
    if (known !== undefined && now - known.at < SETTINGS_FRESH_MS) return known.run_ms;
    const { run_ms_day } = await this.#source.settings(reader, tenant);
    const run_ms = run_ms_day ?? undefined;
    this.#read.delete(tenant);
    this.#read.set(tenant, { run_ms, at: now });
    for (const oldest of this.#read.keys()) {
      if (this.#read.size <= SETTINGS_TENANTS_MAX) break;
      this.#read.delete(oldest);
    }
    return run_ms;
  }
}
