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
  /** Tokens that have worked here, whatever became of them since. */
  readonly #met = new Set<string>();
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
    this.#met.delete(hash);
    dropOldest(this.#met);
    this.#met.add(hash);
    if (epoch !== this.#epoch) return;
    this.#known.delete(hash);
    dropOldest(this.#known);
    this.#known.set(hash, { principal, expires_at, stale_at: now + TOKEN_CACHE_MS });
  }

  /** Has this token ever worked here? It may have ended since. */
  met(hash: string): boolean {
    return this.#met.has(hash);
  }

  clear(): void {
    this.#known.clear();
    this.#epoch += 1;
  }

  get size(): number {
    return this.#known.size;
  }
}

/** Maps and sets iterate in the order of insertion, so the first is the one nearest to going stale. */
function dropOldest(kept: { size: number; keys(): Iterable<string>; delete(key: string): boolean }): void {
  if (kept.size < TOKEN_CACHE_MAX) return;
  for (const oldest of kept.keys()) {
    kept.delete(oldest);
    return;
  }
}
