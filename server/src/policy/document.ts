import { REDACTIONS } from "../evidence/contract.ts";
import { GantryError, type Problem } from "../kernel/errors.ts";
import { LIMIT_NAMES, type LimitName, type LimitTable, RUN_LIMITS } from "../kernel/limits.ts";
import {
  type Contract,
  type ContractDocument,
  contract_errors,
  ISOLATIONS,
  isWeaker,
  REDACTED_CLASSES,
  REDACTION_DEFAULT,
  type RedactionTable,
} from "./contract.ts";
import { nearest } from "./nearest.ts";
import { Problems, readTree, type Tree } from "./yaml_tree.ts";

const NAME = /^[a-z][a-z0-9-]{0,62}$/;
const KEYS = [
  "kind",
  "name",
  "extends",
  "class",
  "isolation",
  "isolation_floor",
  "jail",
  "idempotent",
  "limits",
  "redaction",
] as const;
const REQUIRED = ["kind", "name", "extends"] as const;
/** The isolation of a contract that names none, whatever the one it extends has: sharing is asked for, not inherited. */
const STRONGEST = "process";

/**
 * Reads a contract file.
 * @param bases  the contracts that it may extend, by name.
 * @returns the complete contract: every key that the document does not set is inherited from the one it extends.
 *   `isolation` alone is not: a contract that does not say otherwise gets the strongest.
 * @throws CONTRACT_INVALID with every problem, at most `CONTRACT_PROBLEMS_MAX`, in the order of the text.
 */
export function parseContract(document: ContractDocument, bases: ReadonlyMap<string, Contract>): Contract {
  const problems = new Problems();
  const tree = readTree(document.text, problems);
  const contract = tree === undefined ? undefined : read(tree, bases, problems);
  if (contract === undefined || problems.list.length > 0) {
    const placed = sorted(problems.list).map((problem) => ({ ...problem, at: `${document.name}#${problem.at}` }));
    throw invalid([document.name], placed);
  }
  return contract;
}

/** One refusal for one or several documents; each problem says where as `<document>#<JSON pointer>`. */
export function invalid(documents: string[], all: Problem[]): GantryError {
  const names = documents.join(", ");
  return new GantryError(contract_errors.INVALID, {
    detail: `${names}: ${all.length === 1 ? "one problem" : `${all.length} problems`}. ${all[0]?.text ?? ""}`.trim(),
    problems: all,
  });
}

function sorted(problems: Problem[]): Problem[] {
  return [...problems].sort((a, b) => (a.line ?? 0) - (b.line ?? 0) || (a.column ?? 0) - (b.column ?? 0));
}

/** Looks at every member, also after the first mistake; what it gives back counts only when no problem was found. */
function read(tree: Tree, bases: ReadonlyMap<string, Contract>, problems: Problems): Contract | undefined {
  const members = membersOf(tree, KEYS, problems);
  if (members === undefined) return undefined;
  for (const key of REQUIRED) {
    if (!members.has(key)) problems.add(tree, `The key ${key} is missing.`);
  }
  const { text, choice, flag } = new Fields(members, problems);
  choice("kind", ["Contract"] as const);
  const name = text("name");
  if (name !== undefined && !NAME.test(name)) {
    problems.add(members.get("name") ?? tree, "A name has 1 to 63 of a-z, 0-9 and -, and starts with a letter.");
  }
  const base = bases.get(choice("extends", [...bases.keys()]) ?? "");
  const limits = readLimits(members.get("limits"), base, problems);
  const redaction = readRedaction(members.get("redaction"), base, problems);
  const own = {
    isolation: choice("isolation", ISOLATIONS),
    isolation_floor: choice("isolation_floor", ISOLATIONS),
    class: choice("class", ["read-only"] as const),
    jail: choice("jail", ["required", "optional"] as const),
    idempotent: flag("idempotent"),
  };
  if (base === undefined || name === undefined) return undefined;
  if (base.jail === "required" && own.jail === "optional") {
    problems.add(members.get("jail") ?? tree, `${base.name} requires a jail, which an heir cannot make optional.`);
  }
  const isolation = own.isolation ?? STRONGEST;
  const isolation_floor = own.isolation_floor ?? base.isolation_floor;
  if (isWeaker(isolation_floor, base.isolation_floor)) {
    const text = `isolation_floor is ${isolation_floor}; ${base.name} asks for at least ${base.isolation_floor}, and an heir cannot ask for less.`;
    problems.add(members.get("isolation_floor") ?? tree, text);
  } else if (isWeaker(isolation, isolation_floor)) {
    const right = ISOLATIONS.filter((each) => !isWeaker(each, isolation_floor)).join(" or ");
    const text = `isolation is ${isolation}, which is weaker than the contract's own isolation_floor ${isolation_floor}; say ${right}, or lower the floor.`;
    problems.add(members.get("isolation") ?? tree, text);
  }
  return {
    kind: "Contract",
    name,
    extends: base.name,
    class: own.class ?? base.class,
    isolation,
    isolation_floor,
    jail: own.jail ?? base.jail,
    idempotent: own.idempotent ?? base.idempotent,
    limits: { ...base.limits, ...limits },
    ...(redaction === undefined ? {} : { redaction }),
  };
}

/** The members of a map by key, the known ones only; undefined when it is no map. */
function membersOf<K extends string>(tree: Tree, known: readonly K[], problems: Problems): Map<K, Tree> | undefined {
  if (tree.value === null || typeof tree.value !== "object" || tree.value.type !== "map") {
    problems.add(
      tree,
      tree.at === "" ? "A contract is a map of keys and values." : "A map of keys and values is expected.",
    );
    return undefined;
  }
  const members = new Map<K, Tree>();
  for (const { key, value } of tree.value.members) {
    const name = known.find((candidate) => candidate === key.value);
    if (name === undefined) {
      const meant = nearest(key.value, known);
      const hint = meant === undefined ? `known here: ${known.join(", ")}` : `did you mean ${meant}?`;
      problems.add(key, `The key ${shown(key.value)} is not known; ${hint}`);
    } else if (!members.has(name)) {
      members.set(name, value);
    }
  }
  return members;
}

class Fields<K extends string> {
  readonly #members: Map<K, Tree>;
  readonly #problems: Problems;

  constructor(members: Map<K, Tree>, problems: Problems) {
    this.#members = members;
    this.#problems = problems;
  }

  text = (key: K): string | undefined => {
    const field = this.#members.get(key);
    if (field === undefined) return undefined;
    if (typeof field.value === "string") return field.value;
    this.#problems.add(field, `${key} is text.`);
    return undefined;
  };

  choice = <T extends string>(key: K, allowed: readonly T[]): T | undefined => {
    const field = this.#members.get(key);
    if (field === undefined) return undefined;
    const found = allowed.find((candidate) => candidate === field.value);
    if (found !== undefined) return found;
    const meant = typeof field.value === "string" ? nearest(field.value, allowed) : undefined;
    const hint = meant === undefined || allowed.length === 1 ? "" : ` Did you mean ${meant}?`;
    this.#problems.add(field, `${key} is ${allowed.join(" or ")}.${hint}`);
    return undefined;
  };

  flag = (key: K): boolean | undefined => {
    const field = this.#members.get(key);
    if (field === undefined) return undefined;
    if (typeof field.value === "boolean") return field.value;
    this.#problems.add(field, `${key} is true or false.`);
    return undefined;
  };
}

/** A contract only lowers: each value lies between the limit's minimum and the ceiling of the contract it extends. */
function readLimits(tree: Tree | undefined, base: Contract | undefined, problems: Problems): Partial<LimitTable> {
  const members = tree === undefined ? undefined : membersOf(tree, LIMIT_NAMES, problems);
  const limits: Partial<LimitTable> = {};
  for (const [name, field] of members ?? []) {
    const value = readLimit(name, field, base, problems);
    if (value !== undefined) limits[name] = value;
  }
  return limits;
}

function readLimit(name: LimitName, field: Tree, base: Contract | undefined, problems: Problems): number | undefined {
  const { min, max } = RUN_LIMITS[name];
  const ceiling = base?.limits[name] ?? max;
  const { value } = field;
  if (typeof value !== "number" || !Number.isSafeInteger(value)) {
    problems.add(field, `${name} is a whole number from ${min} to ${ceiling}.`);
    return undefined;
  }
  if (value >= min && value <= ceiling) return value;
  const whose = base === undefined ? "" : ` (${base.name} allows ${ceiling}, and a contract only lowers)`;
  problems.add(field, `${name} is ${value}; it must lie between ${min} and ${ceiling}${whose}.`);
  return undefined;
}

/** Complete as soon as it says anything, so that the snapshot tells of every class; absent when nobody says anything. */
function readRedaction(
  tree: Tree | undefined,
  base: Contract | undefined,
  problems: Problems,
): RedactionTable | undefined {
  const members = tree === undefined ? undefined : membersOf(tree, REDACTED_CLASSES, problems);
  if (members === undefined) return base?.redaction;
  const { choice } = new Fields(members, problems);
  const redaction = { ...(base?.redaction ?? REDACTION_DEFAULT) };
  for (const name of REDACTED_CLASSES) redaction[name] = choice(name, REDACTIONS) ?? redaction[name];
  return redaction;
}

function shown(key: string): string {
  return key.length <= 64 ? key : `${key.slice(0, 63)}…`;
}
