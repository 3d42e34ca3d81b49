import type { Clock } from "../kernel/clock.ts";
import type { TenantId } from "../kernel/ids.ts";
import type { Storage } from "../storage/contract.ts";
import { EGRESS_DENY_CACHE_MS } from "./contract.ts";
import { readTenant, settingsOf } from "./settings.ts";

/** Tenants whose denied hosts stay in memory. */
const TENANTS_MAX = 1_000;

interface Known {
  hosts: readonly string[];
  /** Of the monotonic clock. */
  stale_at: number;
}

/**
 * Hosts that tenants deny, cheap enough to be asked for each call: from memory for `EGRESS_DENY_CACHE_MS`. A change that this
 * process made is known here once it is durable; while the store cannot be read, nothing is known beyond that time.
 */
export class DeniedHosts {
  readonly #storage: Storage;
  readonly #clock: Clock;
  /** Oldest first. */
  readonly #known = new Map<TenantId, Known>();
  /** One read for all who ask meanwhile. */
  readonly #reading = new Map<TenantId, Promise<readonly string[]>>();
  /** Rises with each change: what was read before one must not enter after it. */
  #epoch = 0;
  readonly #listeners = new Set<(tenant: TenantId) => void>();

  constructor(storage: Storage, clock: Clock) {
    this.#storage = storage;
    this.#clock = clock;
  }

  /** @throws TENANT_UNKNOWN, and those of the store */
  async of(tenant: TenantId): Promise<readonly string[]> {
    const known = this.#known.get(tenant);
    if (known !== undefined && known.stale_at > this.#clock.monotonic()) return known.hosts;
    const under_way = this.#reading.get(tenant);
    if (under_way !== undefined) return under_way;
    const reading = this.#read(tenant);
    this.#reading.set(tenant, reading);
    try {
      return await reading;
    } finally {
      if (this.#reading.get(tenant) === reading) this.#reading.delete(tenant);
    }
  }

  /** The tenant's settings have changed, and that is durable. A read that began before it is not kept. */
  changed(tenant: TenantId): void {
    this.#epoch += 1;
    this.#known.delete(tenant);
    this.#reading.delete(tenant);
    for (const listener of this.#listeners) listener(tenant);
  }

  /** @param listener  does not throw. @returns what ends it. */
  watch(listener: (tenant: TenantId) => void): () => void {
    const own = (tenant: TenantId) => listener(tenant);
    this.#listeners.add(own);
    return () => void this.#listeners.delete(own);
  }

  async #read(tenant: TenantId): Promise<readonly string[]> {
    const epoch = this.#epoch;
    // Counted from before the read: what it tells is as old as that.
    const stale_at = this.#clock.monotonic() + EGRESS_DENY_CACHE_MS;
    const hosts = Object.freeze(settingsOf(await readTenant(this.#storage, tenant)).egress_deny);
    if (epoch === this.#epoch) {
      this.#known.delete(tenant);
      this.#forgetOldest();
      this.#known.set(tenant, { hosts, stale_at });
    }
    return hosts;
  }

  /** Maps iterate in the order of insertion, so the first is the oldest. */
  #forgetOldest(): void {
    if (this.#known.size < TENANTS_MAX) return;
    for (const oldest of this.#known.keys()) {
      this.#known.delete(oldest);
      return;
    }
  }
}
