/**
 * Assertions stay on in production. A failed one is our fault, never a caller's:
 * it is not a `GantryError`, so it reaches the caller as a bare 500 and the log in full.
 */
export class InvariantError extends Error {
  constructor(message: string) {
    super(`Invariant broken: ${message}`);
    this.name = "InvariantError";
  }
}

/** @param sentence  what must hold, as one would say it aloud. */
export function assert(condition: unknown, sentence: string): asserts condition {
  if (!condition) throw new InvariantError(sentence);
}

/** Ends an exhaustive `switch`: a new member of the union is then a type error. */
export function unreachable(value: never): never {
  throw new InvariantError(`unreachable value ${JSON.stringify(value)}`);
}
