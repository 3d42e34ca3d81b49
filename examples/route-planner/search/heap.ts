/** A binary min-heap: gives back the item with the smallest rank. */
export class Heap<T> {
  readonly #items: { item: T; rank: number }[] = [];

  push(item: T, rank: number): void {
    const items = this.#items;
    let at = items.push({ item, rank }) - 1;
    while (at > 0) {
      const parent = (at - 1) >> 1;
      if (this.#rank(parent) <= rank) break;
      this.#swap(at, parent);
      at = parent;
    }
  }

  pop(): T | undefined {
    const items = this.#items;
    if (items.length > 1) this.#swap(0, items.length - 1);
    const least = items.pop();
    let at = 0;
    for (;;) {
      const left = 2 * at + 1;
      const smaller = this.#rank(left + 1) < this.#rank(left) ? left + 1 : left;
      if (this.#rank(smaller) >= this.#rank(at)) return least?.item;
      this.#swap(at, smaller);
      at = smaller;
    }
  }

  /** A place past the end ranks last. */
  #rank(at: number): number {
    return this.#items[at]?.rank ?? Number.POSITIVE_INFINITY;
  }

  #swap(a: number, b: number): void {
    const items = this.#items;
    const [first, second] = [items[a], items[b]];
    if (first && second) [items[a], items[b]] = [second, first];
  }
}
