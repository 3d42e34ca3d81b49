import { type Principal, TOKEN_CACHE_MAX, TOKEN_CACHE_MS } from "./contract.ts";

interface Known {
  principal: Principal;
  expires_at: number;
  /** Milliseconds UTC. */
  stale_at: number;
}

/**
 * Principals by token hash, for `TOKEN_CACHE_MS`. The epoch rises with each `clear`: what was read from the store
 * before a revocation must not enter after it.
 */
export class PrincipalCache {
  readonly #known = new Map<string, Known>();
  #epoch = 0;

  get epoch(): number {
    return this.#epoch;
  }

  get(hash: string, now: number): Known | undefined {
    const known = this.#known.get(hash);
    if (known === undefined || known.stale_at > now) return known;
    this.#known.delete(hash);
    return undefined;
  }

  /** @param epoch  as it was before the store was read. */
  put(hash: string, principal: Principal, expires_at: number, now: number, epoch: number): void {
    if (epoch !== this.#epoch) return;
    this.#known.delete(hash);
    if (this.#known.size >= TOKEN_CACHE_MAX) {
      // A map iterates in the order of insertion, so the first is the one nearest to going stale.
      for (const oldest of this.#known.keys()) {
        this.#known.delete(oldest);
        break;
      }
    }
    this.#known.set(hash, { principal, expires_at, stale_at: now + TOKEN_CACHE_MS });
  }

  clear(): void {
    this.#known.clear();
    this.#epoch += 1;
  }

  get size(): number {
    return this.#known.size;
  }
}
