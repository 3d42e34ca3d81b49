import { isName } from "./host.ts";
import { nearest } from "./nearest.ts";
import type { Problems, Tree } from "./yaml_tree.ts";

const SHOWN_CHARS_MAX = 64;

/** What a text must look like, and how a message says so, after the key: "has 1 to 63 of a-z". */
export interface Form {
  is(text: string): boolean;
  right: string;
}

/** Of contracts, gates, rules, secrets, apps and targets. */
export const NAME: Form = {
  is: isName,
  right: "has 1 to 63 of a-z, 0-9 and -, and starts with a letter",
};

/**
 * The members of one map of a document, read one by one. Whatever is wrong is a problem at its place, the answer is
 * then `undefined`, as for a key that is absent, and the reading goes on. Whoever knows more keys serves whoever asks for
 * fewer, hence `in`.
 */
export class Fields<in K extends string> {
  readonly #owner: Tree;
  readonly #members: ReadonlyMap<string, Tree>;
  readonly #problems: Problems;

  private constructor(owner: Tree, members: ReadonlyMap<string, Tree>, problems: Problems) {
    this.#owner = owner;
    this.#members = members;
    this.#problems = problems;
  }

  /** @returns undefined when the value is no map; a repeated key counts once, and is the tree's problem already. */
  static of<K extends string>(tree: Tree, known: readonly K[], problems: Problems): Fields<K> | undefined {
    const members = membersOf(tree, problems);
    if (members === undefined) return undefined;
    const found = new Map<string, Tree>();
    for (const { key, value } of members) {
      const name = known.find((candidate) => candidate === key.value);
      if (name === undefined) {
        const meant = nearest(key.value, known);
        const hint = meant === undefined ? `known here: ${known.join(", ")}` : `did you mean ${meant}?`;
        problems.add(key, `The key ${shown(key.value)} is not known; ${hint}`);
      } else if (!found.has(name)) {
        found.set(name, value);
      }
    }
    return new Fields(tree, found, problems);
  }

  has(key: K): boolean {
    return this.#members.has(key);
  }

  /** Where a message about the key stands: at its value, or at the map that lacks it. */
  at(key: K): Tree {
    return this.#members.get(key) ?? this.#owner;
  }

  get(key: K): Tree | undefined {
    return this.#members.get(key);
  }

  demand(keys: readonly K[]): void {
    for (const key of keys) {
      if (!this.#members.has(key)) this.#problems.add(this.#owner, `The key ${key} is missing.`);
    }
  }

  problem(key: K, text: string): void {
    this.#problems.add(this.at(key), text);
  }

  text(key: K, form?: Form): string | undefined {
    const field = this.#members.get(key);
    return field === undefined ? undefined : textOf(field, key, form, this.#problems);
  }

  choice<T extends string>(key: K, allowed: readonly T[]): T | undefined {
    const field = this.#members.get(key);
    return field === undefined ? undefined : choiceOf(field, key, allowed, this.#problems);
  }

  flag(key: K): boolean | undefined {
    const field = this.#members.get(key);
    if (field === undefined) return undefined;
    if (typeof field.value === "boolean") return field.value;
    this.#problems.add(field, `${key} is true or false.`);
    return undefined;
  }

  /** For keys that only switch something on. */
  on(key: K): true | undefined {
    const value = this.flag(key);
    if (value === false) this.problem(key, `${key} is true, or left out.`);
    return value === true ? true : undefined;
  }

  /** @param why  added to the message about a number outside, e.g. whose ceiling it is. */
  integer(key: K, range: { min: number; max: number }, why = ""): number | undefined {
    const field = this.#members.get(key);
    return field === undefined ? undefined : integerOf(field, key, range, why, this.#problems);
  }

  /** The items of a list of `min` to `max`. */
  list(key: K, max: number, min = 0): readonly Tree[] | undefined {
    const field = this.#members.get(key);
    if (field === undefined) return undefined;
    const { value } = field;
    if (typeof value !== "object" || value?.type !== "list") {
      this.#problems.add(field, `${key} is a list.`);
      return undefined;
    }
    if (value.items.length >= min && value.items.length <= max) return value.items;
    const least = min === 0 ? "at most" : `${min} to`;
    this.#problems.add(field, `${key} has ${value.items.length} items; it takes ${least} ${max}.`);
    return undefined;
  }

  /** A set of texts, sorted, so that the order in which they are written changes nothing. */
  texts(key: K, form: Form, max: number, min = 0): string[] | undefined {
    return this.#set(key, max, min, (item) => textOf(item, `An item of ${key}`, form, this.#problems))?.sort();
  }

  integers(key: K, range: { min: number; max: number }, max: number, min = 0): number[] | undefined {
    const read = (item: Tree) => integerOf(item, `An item of ${key}`, range, "", this.#problems);
    return this.#set(key, max, min, read)?.sort((a, b) => a - b);
  }

  /** A set of words, in the order in which they are known. */
  choices<T extends string>(key: K, allowed: readonly T[]): T[] | undefined {
    const read = (item: Tree) => choiceOf(item, `An item of ${key}`, allowed, this.#problems);
    return this.#set(key, allowed.length, 0, read)?.sort((a, b) => allowed.indexOf(a) - allowed.indexOf(b));
  }

  map<N extends string>(key: K, known: readonly N[]): Fields<N> | undefined {
    const field = this.#members.get(key);
    return field === undefined ? undefined : Fields.of(field, known, this.#problems);
  }

  /** Each item of a list as a map of its own. */
  maps<N extends string>(key: K, known: readonly N[], max: number): Fields<N>[] | undefined {
    return this.list(key, max)
      ?.map((item) => Fields.of(item, known, this.#problems))
      .filter((fields) => fields !== undefined);
  }

  #set<T extends string | number>(
    key: K,
    max: number,
    min: number,
    read: (item: Tree) => T | undefined,
  ): T[] | undefined {
    const items = this.list(key, max, min);
    if (items === undefined) return undefined;
    const found = new Set<T>();
    for (const item of items) {
      const value = read(item);
      if (value === undefined) continue;
      if (found.has(value)) this.#problems.add(item, `${shown(String(value))} stands twice in ${key}.`);
      found.add(value);
    }
    return [...found];
  }
}

/** The members of a map whatever their keys are; a repeated key comes twice. */
export function membersOf(
  tree: Tree,
  problems: Problems,
): readonly { key: Tree & { value: string }; value: Tree }[] | undefined {
  if (typeof tree.value === "object" && tree.value?.type === "map") return tree.value.members;
  const what = tree.at === "" ? "A contract is a map of keys and values." : "A map of keys and values is expected.";
  problems.add(tree, what);
  return undefined;
}

export function textOf(field: Tree, key: string, form: Form | undefined, problems: Problems): string | undefined {
  if (typeof field.value !== "string") {
    problems.add(field, `${key} is text.`);
    return undefined;
  }
  if (form === undefined || form.is(field.value)) return field.value;
  problems.add(field, `${key} ${form.right}.`);
  return undefined;
}

function choiceOf<T extends string>(
  field: Tree,
  key: string,
  allowed: readonly T[],
  problems: Problems,
): T | undefined {
  const found = allowed.find((candidate) => candidate === field.value);
  if (found !== undefined) return found;
  const meant = typeof field.value === "string" ? nearest(field.value, allowed) : undefined;
  const hint = meant === undefined || allowed.length === 1 ? "" : ` Did you mean ${meant}?`;
  problems.add(field, `${key} is ${allowed.join(" or ")}.${hint}`);
  return undefined;
}

function integerOf(
  { value, ...where }: Tree,
  key: string,
  { min, max }: { min: number; max: number },
  why: string,
  problems: Problems,
): number | undefined {
  if (typeof value !== "number" || !Number.isSafeInteger(value)) {
    problems.add(where, `${key} is a whole number from ${min} to ${max}.`);
    return undefined;
  }
  // `-0` is a number of its own to canonical JSON and to nobody else.
  if (value >= min && value <= max) return value + 0;
  problems.add(where, `${key} is ${value}; it must lie between ${min} and ${max}${why}.`);
  return undefined;
}

/** What a document says, as a part of a sentence: cut, and in quotes where its bounds could not be seen. */
export function shown(text: string): string {
  const cut = text.length <= SHOWN_CHARS_MAX ? text : `${text.slice(0, SHOWN_CHARS_MAX - 1)}…`;
  return cut !== "" && cut === cut.trim() ? cut : JSON.stringify(cut);
}

/** The same object without the members that are undefined: what a document does not say is absent. */
export function present<T extends object>(value: { [N in keyof T]: T[N] | undefined }): T {
  return Object.fromEntries(Object.entries(value).filter(([, member]) => member !== undefined)) as T;
}
