import { REDACTIONS } from "../../evidence/contract.ts";
import { LIMIT_NAMES, type LimitTable, RUN_LIMITS } from "../../kernel/limits.ts";
import {
  type Bindings,
  CEDAR_BYTES_MAX,
  CEDAR_POLICIES_MAX,
  CONTRACT_ITEMS_MAX,
  CONTRACT_NUMBERS_MAX,
  type Contract,
  DATA_CLASSES,
  PATTERN_CHARS_MAX,
  REDACTED_CLASSES,
  REDACTION_DEFAULT,
  type RedactionTable,
  type ToolRule,
} from "../contract.ts";
import { Fields, type Form, membersOf, NAME, present, shown, textOf } from "./fields.ts";
import type { Problems, Tree } from "./yaml_tree.ts";

export const TOOL_KEYS = ["name", "args"] as const;
export const BINDING_KEYS = ["artifacts", "flags", "workflows"] as const;
const BUDGET_KEYS = ["egress_calls_max", "egress_bytes_max"] as const;
const DAY_KEYS = ["run_ms", "effects", "cost_micros"] as const;
const MODES = ["read", "write"] as const;

/**
 * Looks at the Cedar policies of a contract: each one statement, with an `@code`, valid under the product's schema.
 * @returns what is wrong and what would be right, as sentences; `index` is the policy's place.
 */
export type CheckCedar = (texts: readonly string[]) => readonly { index: number; text: string }[];

const TOOL_NAME: Form = {
  is: (text) => text.length <= PATTERN_CHARS_MAX && /^[A-Za-z0-9_*][A-Za-z0-9_.:/*-]*$/.test(text),
  right: `is a tool's name of at most ${PATTERN_CHARS_MAX} characters, e.g. issues.comment; * is any characters`,
};
/** `__proto__` would not be a member like others. */
const ARGUMENT: Form = {
  is: (text) => /^[A-Za-z_][A-Za-z0-9_.-]{0,63}$/.test(text) && text !== "__proto__",
  right: "is an argument's name of 1 to 64 of a-z, A-Z, 0-9, _, . and -",
};
const PATTERN: Form = {
  is: (text) => text.length >= 1 && text.length <= PATTERN_CHARS_MAX && printable(text),
  right: `is a pattern of 1 to ${PATTERN_CHARS_MAX} printable characters; * is any of them`,
};
const REPO: Form = {
  is: (text) => text.length <= PATTERN_CHARS_MAX && /^[A-Za-z0-9_*][\w.*-]*(?:\/[A-Za-z0-9_*][\w.*-]*)*$/.test(text),
  right: `is a repository's name of at most ${PATTERN_CHARS_MAX} characters, e.g. work/site; * is any characters`,
};
const ENV_NAME: Form = {
  is: (text) => /^[A-Z][A-Z0-9_]{0,62}$/.test(text),
  right: "is the name of a member of env, e.g. ARTIFACTS: 1 to 63 of A-Z, 0-9 and _, a letter first",
};
function printable(text: string): boolean {
  return !/[\p{Cc}\p{Cs}\p{Zl}\p{Zp}]/u.test(text);
}

/** A contract only lowers: each value lies between the limit's minimum and the ceiling of the contract it extends. */
export function readLimits(
  tree: Tree | undefined,
  base: Contract | undefined,
  problems: Problems,
): Partial<LimitTable> {
  const fields = tree === undefined ? undefined : Fields.of(tree, LIMIT_NAMES, problems);
  const limits: Partial<LimitTable> = {};
  for (const name of LIMIT_NAMES) {
    const { min, max } = RUN_LIMITS[name];
    const ceiling = base?.limits[name] ?? max;
    const whose = base === undefined ? "" : ` (${base.name} allows ${ceiling}, and a contract only lowers)`;
    const value = fields?.integer(name, { min, max: ceiling }, whose);
    if (value !== undefined) limits[name] = value;
  }
  return limits;
}

export function readRedaction(fields: Fields<"redaction">, base: Contract | undefined): RedactionTable {
  const redaction = { ...(base?.redaction ?? REDACTION_DEFAULT) };
  const members = fields.map("redaction", REDACTED_CLASSES);
  for (const name of REDACTED_CLASSES) redaction[name] = members?.choice(name, REDACTIONS) ?? redaction[name];
  return redaction;
}

export function readRetention(fields: Fields<"retention">): Contract["retention"] | undefined {
  const members = fields.map("retention", ["floor_days", "ceiling_days"]);
  members?.demand(["floor_days", "ceiling_days"]);
  const floor_days = members?.integer("floor_days", { min: 0, max: CONTRACT_NUMBERS_MAX.floor_days });
  const ceiling_days = members?.integer("ceiling_days", { min: 1, max: CONTRACT_NUMBERS_MAX.ceiling_days });
  if (floor_days === undefined || ceiling_days === undefined) return undefined;
  if (floor_days > ceiling_days) {
    const text = `ceiling_days is ${ceiling_days}, below floor_days, ${floor_days}: values cannot be erased before they may be.`;
    members?.problem("ceiling_days", text);
  }
  return { floor_days, ceiling_days };
}

export function readBudgets(fields: Fields<"budgets">): Partial<Contract["budgets"]> {
  const members = fields.map("budgets", BUDGET_KEYS);
  return present({
    egress_calls_max: members?.integer("egress_calls_max", { min: 0, max: CONTRACT_NUMBERS_MAX.egress_calls_max }),
    egress_bytes_max: members?.integer("egress_bytes_max", { min: 0, max: CONTRACT_NUMBERS_MAX.egress_bytes_max }),
  });
}

export function readDayBudgets(fields: Fields<"budgets_day">): Contract["budgets_day"] {
  const members = fields.map("budgets_day", DAY_KEYS);
  return present({
    run_ms: members?.integer("run_ms", { min: 0, max: CONTRACT_NUMBERS_MAX.run_ms }),
    effects: members?.integer("effects", { min: 0, max: CONTRACT_NUMBERS_MAX.effects }),
    cost_micros: members?.integer("cost_micros", { min: 0, max: CONTRACT_NUMBERS_MAX.cost_micros }),
  });
}

export function readData(fields: Fields<"data">): Partial<Contract["data"]> {
  const members = fields.map("data", ["reads", "writes"]);
  return present({
    reads: members?.choices("reads", DATA_CLASSES),
    writes: members?.choices("writes", DATA_CLASSES),
  });
}

/** @returns undefined when the rule has no name; its problems are said already. */
export function readTool(fields: Fields<(typeof TOOL_KEYS)[number]>, problems: Problems): ToolRule | undefined {
  fields.demand(["name"]);
  const name = fields.text("name", TOOL_NAME);
  const args = fields.get("args");
  const read = args === undefined ? {} : readArguments(args, problems);
  return name === undefined ? undefined : { name, args: read };
}

function readArguments(tree: Tree, problems: Problems): Record<string, string[]> {
  const members = membersOf(tree, problems) ?? [];
  const { arguments: names_max, patterns: patterns_max } = CONTRACT_ITEMS_MAX;
  if (members.length > names_max) {
    problems.add(tree, `args has ${members.length} arguments; it takes at most ${names_max}.`);
    return {};
  }
  const args: Record<string, string[]> = {};
  for (const { key } of members) {
    const name = textOf(key, shown(key.value), ARGUMENT, problems);
    if (name === undefined) continue;
    // The names are the tool's own, so each is the one that is known of its map.
    const patterns = Fields.of({ ...tree, value: onlyMember(tree, name) }, [name], problems);
    const list = patterns?.texts(name, PATTERN, patterns_max, 1);
    if (list !== undefined) args[name] = list;
  }
  return args;
}

function onlyMember(tree: Tree, name: string): Tree["value"] {
  if (typeof tree.value !== "object" || tree.value?.type !== "map") return null;
  return { type: "map", members: tree.value.members.filter(({ key }) => key.value === name) };
}

/** Each binding as a whole: one that is set replaces the one that would be inherited. */
export function readBindings(fields: Fields<"bindings">): Bindings {
  const bindings = fields.map("bindings", BINDING_KEYS);
  const artifacts = bindings?.map("artifacts", ["repos", "mode", "as"]);
  const flags = bindings?.map("flags", ["app", "mode", "as"]);
  const workflows = bindings?.map("workflows", ["names", "mode", "as"]);
  artifacts?.demand(["repos"]);
  flags?.demand(["app"]);
  workflows?.demand(["names"]);
  const repos = artifacts?.texts("repos", REPO, CONTRACT_ITEMS_MAX.repos, 1);
  const app = flags?.text("app", NAME);
  const names = workflows?.texts("names", REPO, CONTRACT_ITEMS_MAX.workflows, 1);
  const shared = (of: Fields<"mode" | "as"> | undefined, as: string) => ({
    mode: of?.choice("mode", MODES) ?? ("read" as const),
    as: of?.text("as", ENV_NAME) ?? as,
  });
  const [of_artifacts, of_flags] = [shared(artifacts, "ARTIFACTS"), shared(flags, "FLAGS")];
  const of_workflows = shared(workflows, "WORKFLOWS");
  return present({
    artifacts: repos === undefined ? undefined : { repos, ...of_artifacts },
    flags: app === undefined ? undefined : { app, ...of_flags },
    workflows: names === undefined ? undefined : { names, ...of_workflows },
  });
}

/** Two bindings under one name would hide each other. */
export function judgeBindings(bindings: Bindings, fields: Fields<"bindings">): void {
  const seen = new Set<string>();
  for (const binding of BINDING_KEYS) {
    const as = bindings[binding]?.as;
    if (as === undefined) continue;
    if (seen.has(as))
      fields.problem("bindings", `Two bindings are called ${as} in env; give one another name with as.`);
    seen.add(as);
  }
}

/** Only texts of a size that is allowed reach the engine. */
export function readCedar(fields: Fields<"cedar">, check: CheckCedar, problems: Problems): string[] | undefined {
  const texts: { item: Tree; text: string }[] = [];
  for (const item of fields.list("cedar", CEDAR_POLICIES_MAX) ?? []) {
    const text = textOf(item, "A policy", undefined, problems);
    const bytes = Buffer.byteLength(text ?? "");
    if (bytes > CEDAR_BYTES_MAX) {
      problems.add(item, `A policy has at most ${CEDAR_BYTES_MAX} bytes; this one has ${bytes}.`);
    } else if (text !== undefined) {
      texts.push({ item, text });
    }
  }
  const wrong = texts.length === 0 ? [] : check(texts.map(({ text }) => text));
  for (const { index, text } of wrong) problems.add(texts[index]?.item ?? fields.at("cedar"), text);
  return fields.has("cedar") ? texts.map(({ text }) => text) : undefined;
}
