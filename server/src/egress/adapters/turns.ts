/**
 * What waits, in turns: each tenant's in the order in which it came, and among tenants one after the other, however much
 * one of them has waiting.
 */
export class Turns<T> {
  /** In the order of their turns; a tenant is here while something of its waits. */
  readonly #lines = new Map<string, T[]>();
  #size = 0;

  get size(): number {
    return this.#size;
  }

  of(tenant: string): number {
    return this.#lines.get(tenant)?.length ?? 0;
  }

  push(tenant: string, item: T): void {
    const line = this.#lines.get(tenant);
    if (line === undefined) this.#lines.set(tenant, [item]);
    else line.push(item);
    this.#size += 1;
  }

  /** What is next, without taking it. */
  peek(): T | undefined {
    for (const line of this.#lines.values()) return line[0];
    return undefined;
  }

  take(): T | undefined {
    for (const [tenant, line] of this.#lines) {
      const item = line.shift();
      // Behind all others that wait.
      this.#lines.delete(tenant);
      if (line.length > 0) this.#lines.set(tenant, line);
      this.#size -= 1;
      return item;
    }
    return undefined;
  }

  /** Takes the newest of the tenant that has most waiting, if that is more than one more than `than`. */
  takeFromLongest(than: number): T | undefined {
    let longest: T[] = [];
    for (const line of this.#lines.values()) if (line.length > longest.length) longest = line;
    if (longest.length <= than + 1) return undefined;
    this.#size -= 1;
    return longest.pop();
  }

  /** Takes all. */
  drain(): T[] {
    const all = [...this.#lines.values()].flat();
    this.#lines.clear();
    this.#size = 0;
    return all;
  }
}
