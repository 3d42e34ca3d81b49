import { assert } from "../kernel/assert.ts";

/** What a heap holds: it knows its own place, so that it can be moved or taken out without a search. */
export interface Heaped {
  /** Place in the heap, -1 when it is in none. Only the heap writes it. */
  index: number;
}

/** A binary heap whose items may change and leave; the least by `less` is on top. Each operation costs O(log n). */
export class Heap<T extends Heaped> {
  readonly #items: T[] = [];
  readonly #less: (a: T, b: T) => boolean;

  constructor(less: (a: T, b: T) => boolean) {
    this.#less = less;
  }

  get top(): T | undefined {
    return this.#items[0];
  }

  /** Puts the item in, or to its new place when what it is ordered by has changed. */
  put(item: T): void {
    if (item.index < 0) {
      item.index = this.#items.length;
      this.#items.push(item);
    }
    this.#rise(item);
    this.#sink(item);
  }

  /** Takes the item out, if it is in. */
  drop(item: T): void {
    if (item.index < 0) return;
    const { index } = item;
    const last = this.#items.pop();
    item.index = -1;
    if (last === undefined || last === item) return;
    this.#set(index, last);
    this.#rise(last);
    this.#sink(last);
  }

  #rise(item: T): void {
    while (item.index > 0) {
      const above = this.#at((item.index - 1) >> 1);
      if (!this.#less(item, above)) return;
      this.#swap(item, above);
    }
  }

  #sink(item: T): void {
    for (;;) {
      const left = 2 * item.index + 1;
      if (left >= this.#items.length) return;
      let least = this.#at(left);
      const right = this.#items[left + 1];
      if (right !== undefined && this.#less(right, least)) least = right;
      if (!this.#less(least, item)) return;
      this.#swap(item, least);
    }
  }

  #swap(a: T, b: T): void {
    const { index } = a;
    this.#set(b.index, a);
    this.#set(index, b);
  }

  #set(index: number, item: T): void {
    this.#items[index] = item;
    item.index = index;
  }

  #at(index: number): T {
    const item = this.#items[index];
    assert(item !== undefined, "a place in the heap is taken");
    return item;
  }
}
