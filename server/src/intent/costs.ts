import { COST_CODES_MAX, COST_CONTRACTS_MAX, COST_MS_DEFAULT, COST_WEIGHT } from "./contract.ts";

/** By what a run's cost is guessed. */
export interface Costed {
  tenant: string;
  /** Hash of the code. */
  code: string;
  contract: string;
}

/**
 * What a run will cost: the moving average of the slot time of its tenant's runs of the same code, else of the same
 * contract, else `COST_MS_DEFAULT`. One tenant's runs say nothing about another's.
 */
export class Costs {
  readonly #by_code = new Averages(COST_CODES_MAX);
  readonly #by_contract = new Averages(COST_CONTRACTS_MAX);

  /** Milliseconds of a slot, above 0. */
  of(run: Costed): number {
    return this.#by_code.of(codeKey(run)) ?? this.#by_contract.of(contractKey(run)) ?? COST_MS_DEFAULT;
  }

  /** A run has had a slot for so long. */
  settle(run: Costed, slot_ms: number): void {
    const ms = Math.max(1, slot_ms);
    this.#by_code.add(codeKey(run), ms);
    this.#by_contract.add(contractKey(run), ms);
  }
}

const codeKey = ({ tenant, code }: Costed) => `${tenant} ${code}`;
const contractKey = ({ tenant, contract }: Costed) => `${tenant} ${contract}`;

interface Average {
  ms: number;
  seen: number;
}

/** Moving averages by name; the name longest unheard of is forgotten first. */
class Averages {
  readonly #averages = new Map<string, Average>();
  readonly #max: number;

  constructor(max: number) {
    this.#max = max;
  }

  of(name: string): number | undefined {
    return this.#averages.get(name)?.ms;
  }

  /** The first few values weigh alike: an average that began at a guess would be wrong for longer than a burst lasts. */
  add(name: string, ms: number): void {
    const before = this.#averages.get(name) ?? { ms, seen: 0 };
    const seen = before.seen + 1;
    const weight = Math.max(COST_WEIGHT, 1 / seen);
    this.#averages.delete(name);
    this.#averages.set(name, { ms: before.ms + weight * (ms - before.ms), seen });
    if (this.#averages.size <= this.#max) return;
    for (const oldest of this.#averages.keys()) {
      this.#averages.delete(oldest);
      return;
    }
  }
}
