import { LANES, type Lane } from "./contract.ts";

/** A run that has a slot, and since when by the monotonic clock. */
interface Holding {
  lane: Lane;
  tenant: string;
  since: number;
}

/** Jain's index: 1 when all get the same, 1/n when one gets all (Jain, Chiu and Hawe, 1984). 1 for nobody. */
export function jain(values: readonly number[]): number {
  const sum = values.reduce((a, b) => a + b, 0);
  const squares = values.reduce((a, b) => a + b * b, 0);
  return squares === 0 ? 1 : (sum * sum) / (values.length * squares);
}

/**
 * How evenly slot time was given, period by period, to the tenants of a lane that waited from the period's start to its
 * end. Who wanted less than its share says nothing about fairness.
 */
export class Fairness {
  readonly #given: Record<Lane, Map<string, number>> = { interactive: new Map(), batch: new Map() };
  readonly #waited: Record<Lane, ReadonlySet<string>> = { interactive: new Set(), batch: new Set() };
  #since: number;

  constructor(now: number) {
    this.#since = now;
  }

  /** A run has given its slot back. */
  ended(run: Holding, now: number): void {
    const given = this.#given[run.lane];
    const ms = now - Math.max(run.since, this.#since);
    given.set(run.tenant, (given.get(run.tenant) ?? 0) + ms);
  }

  /**
   * Ends a period and begins the next.
   * @param holding  runs that have slots now.
   * @param waiting  tenants that wait now.
   * @returns the index of each lane; undefined where fewer than two tenants waited throughout.
   */
  close(
    now: number,
    holding: Iterable<Holding>,
    waiting: Record<Lane, ReadonlySet<string>>,
  ): Record<Lane, number | undefined> {
    for (const run of holding) this.ended(run, now);
    const index: Record<Lane, number | undefined> = { interactive: undefined, batch: undefined };
    for (const lane of LANES) {
      const throughout = [...waiting[lane]].filter((tenant) => this.#waited[lane].has(tenant));
      if (throughout.length > 1) index[lane] = jain(throughout.map((tenant) => this.#given[lane].get(tenant) ?? 0));
      this.#given[lane].clear();
      this.#waited[lane] = waiting[lane];
    }
    this.#since = now;
    return index;
  }
}
