/** What was looked at when something was wrong. */
export type Check =
  /** The bytes are not the format that they claim to be. */
  | "format"
  /** The bytes end before the format does. */
  | "truncated"
  /** More bytes, lines or entries than are read. */
  | "size"
  /** A public key that cannot be used. */
  | "key"
  | "signature"
  /** Who the log says that it is. */
  | "origin"
  | "root"
  | "consistency"
  /** The entries of a bundle rise by index and lie inside the log. */
  | "index"
  /** The entry stands where the bundle says, in the tree that was signed. */
  | "inclusion"
  /** The bytes of an entry are one entry's canonical JSON. */
  | "body"
  /** An opened value is the one that the entry committed to. */
  | "commitment"
  | "count"
  /** The bytes of a bundle are those that were exported. */
  | "sha256"
  | "statement";

/** Where; every member that is known. */
export interface Place {
  /** Of the file, from 1. */
  line?: number;
  /** Of the entry, in the log, from 0. */
  index?: number;
  /** The entry's id, as its bytes have it: with `inclusion`, these are not in the log. */
  entry?: string;
  /** The private field. */
  field?: string;
}

/**
 * The end of a verification. `bad`: something that the material claims is not so. `unusable`: it cannot be judged,
 * which is not a yes either. The message is a sentence and quotes nothing that is longer than a name.
 */
export class Problem extends Error {
  readonly verdict: "bad" | "unusable";
  readonly check: Check;
  readonly place: Place;

  constructor(verdict: "bad" | "unusable", check: Check, message: string, place: Place = {}) {
    super(message);
    this.name = "Problem";
    this.verdict = verdict;
    this.check = check;
    this.place = place;
  }
}

export function bad(check: Check, message: string, place?: Place): Problem {
  return new Problem("bad", check, message, place);
}

export function unusable(check: Check, message: string, place?: Place): Problem {
  return new Problem("unusable", check, message, place);
}

/** By name and not by class, so that it holds for two copies of this module. */
export function isProblem(error: unknown): error is Problem {
  return error instanceof Error && error.name === "Problem" && "verdict" in error;
}

/** The same problem with what else is known of its place. */
export function placed(error: unknown, place: Place): unknown {
  if (!isProblem(error)) return error;
  return new Problem(error.verdict, error.check, error.message, { ...place, ...error.place });
}
