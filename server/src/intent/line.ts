interface Place<T> {
  item: T;
  before: Place<T> | undefined;
  after: Place<T> | undefined;
}

/**
 * First come, first served, and anybody may leave. Adding, taking and leaving cost the same however many wait: an array
 * moves all behind the one that leaves, and a `Set` walks over the holes that its first ones have left (V8 of Node 20).
 */
export class Line<T> {
  readonly #places = new Map<T, Place<T>>();
  #first: Place<T> | undefined;
  #last: Place<T> | undefined;

  get size(): number {
    return this.#places.size;
  }

  get head(): T | undefined {
    return this.#first?.item;
  }

  has(item: T): boolean {
    return this.#places.has(item);
  }

  /** Puts it behind all others; one that is there already stays where it is. */
  push(item: T): void {
    if (this.#places.has(item)) return;
    const place: Place<T> = { item, before: this.#last, after: undefined };
    if (this.#last === undefined) this.#first = place;
    else this.#last.after = place;
    this.#last = place;
    this.#places.set(item, place);
  }

  /** @returns whether it was there. */
  remove(item: T): boolean {
    const place = this.#places.get(item);
    if (place === undefined) return false;
    this.#places.delete(item);
    if (place.before === undefined) this.#first = place.after;
    else place.before.after = place.after;
    if (place.after === undefined) this.#last = place.before;
    else place.after.before = place.before;
    return true;
  }

  /** In their order. */
  *[Symbol.iterator](): IterableIterator<T> {
    for (let place = this.#first; place !== undefined; place = place.after) yield place.item;
  }
}
