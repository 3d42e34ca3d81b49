/**
 * Who waits for the same scarce thing, in the order in which they get it: parties take turns, each party's own are
 * served in the order in which they came. A party that asks often waits behind itself, not before the others.
 */
export class Turns<T> {
  /** Parties in the order of their turns; none is empty. */
  readonly #parties = new Map<string, T[]>();
  #size = 0;

  get size(): number {
    return this.#size;
  }

  /** How many of one party wait. */
  of(party: string): number {
    return this.#parties.get(party)?.length ?? 0;
  }

  add(party: string, item: T): void {
    const own = this.#parties.get(party);
    if (own === undefined) this.#parties.set(party, [item]);
    else own.push(item);
    this.#size += 1;
  }

  /** The next in turn, which goes on waiting. */
  peek(): T | undefined {
    for (const own of this.#parties.values()) return own[0];
    return undefined;
  }

  /** The next in turn. */
  shift(): T | undefined {
    for (const [party, own] of this.#parties) {
      const item = own.shift();
      this.#parties.delete(party);
      if (own.length > 0) this.#parties.set(party, own);
      this.#size -= 1;
      return item;
    }
    return undefined;
  }

  /** Takes one out that waits no more. @returns whether it was waiting. */
  remove(party: string, item: T): boolean {
    const own = this.#parties.get(party);
    const at = own?.indexOf(item) ?? -1;
    if (own === undefined || at < 0) return false;
    own.splice(at, 1);
    if (own.length === 0) this.#parties.delete(party);
    this.#size -= 1;
    return true;
  }

  /** Takes the newest of the party that has most waiting, if that is more than one more than `than`. */
  takeFromLongest(than: number): T | undefined {
    let longest: T[] = [];
    for (const own of this.#parties.values()) if (own.length > longest.length) longest = own;
    if (longest.length <= than + 1) return undefined;
    this.#size -= 1;
    return longest.pop();
  }

  /** All that wait, in turn; nobody waits afterwards. */
  drain(): T[] {
    const all: T[] = [];
    for (let item = this.shift(); item !== undefined; item = this.shift()) all.push(item);
    return all;
  }
}
