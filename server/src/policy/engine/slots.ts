import { POLICY_SLOTS } from "../contract.ts";
import type { Cedar } from "./cedar.ts";

/** Policies that are to be asked, and what names them: equal keys are equal texts. */
export interface PolicySet {
  key: string;
  policies: Readonly<Record<string, string>>;
}

/**
 * Cedar parses a set of policies under an id and never forgets an id, so ids are reused, the one first that was asked
 * the longest ago (1,000 sets of 50 policies under ids of their own cost 102 MB; 10,000 contracts through 256, 19 MB).
 */
export class Slots {
  readonly #cedar: Cedar;
  readonly #size: number;
  /** Ids by the key of what they hold, longest unused first. Only what was parsed is in here. */
  #held = new Map<string, string>();
  #generation: number;

  constructor(cedar: Cedar, size: number = POLICY_SLOTS) {
    this.#cedar = cedar;
    this.#size = size;
    this.#generation = cedar.generation;
  }

  /**
   * The id under which the engine holds exactly these policies now. It is true until the caller next awaits something.
   * @returns undefined when they cannot be parsed.
   */
  hold({ key, policies }: PolicySet): string | undefined {
    if (this.#generation !== this.#cedar.generation) {
      this.#held = new Map();
      this.#generation = this.#cedar.generation;
    }
    const known = this.#held.get(key);
    const id = known ?? this.#free();
    this.#held.delete(key);
    // A set that does not parse leaves the id with what stood there before: such an id belongs to nobody from here on.
    if (known === undefined && !this.#cedar.parse(id, policies)) return undefined;
    this.#held.set(key, id);
    return id;
  }

  /** An id that nobody holds; when all are held, that of the set that was asked the longest ago. */
  #free(): string {
    const [oldest] = this.#held;
    if (oldest !== undefined && this.#held.size >= this.#size) {
      this.#held.delete(oldest[0]);
      return oldest[1];
    }
    const held = new Set(this.#held.values());
    let place = 0;
    while (held.has(`slot${place}`)) place += 1;
    return `slot${place}`;
  }
}
