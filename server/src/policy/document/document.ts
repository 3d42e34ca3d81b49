import { GantryError, type Problem } from "../../kernel/errors.ts";
import {
  CONTRACT_CLASSES,
  CONTRACT_ITEMS_MAX,
  type Contract,
  type ContractDocument,
  contract_errors,
  EGRESS_RULES_MAX,
  GATES_MAX,
  ISOLATIONS,
  REQUIREMENTS,
  TOOL_RULES_MAX,
} from "../contract.ts";
import type { FoundServices } from "./catalogue.ts";
import { EGRESS_KEYS, readEgressRule } from "./egress.ts";
import { Fields, type Form, NAME, present } from "./fields.ts";
import { ATTENDED_KEYS, GATE_KEYS, PHASE_KEYS, readAttended, readGate, readPhase } from "./gates.ts";
import { judgeHeir } from "./heir.ts";
import {
  type CheckCedar,
  judgeBindings,
  readBindings,
  readBudgets,
  readCedar,
  readData,
  readDayBudgets,
  readLimits,
  readRedaction,
  readRetention,
  readTool,
  TOOL_KEYS,
} from "./parts.ts";
import { judgeSecrets } from "./variables.ts";
import { Problems, readTree, type Tree } from "./yaml_tree.ts";

/** Every key of a document, in the order in which documents are written. */
export const CONTRACT_KEYS = [
  "kind",
  "name",
  "extends",
  "class",
  "targets",
  "data",
  "require",
  "tools",
  "egress",
  "bindings",
  "isolation",
  "isolation_floor",
  "jail",
  "idempotent",
  "redaction",
  "retention",
  "budgets",
  "limits",
  "gates",
  "attended",
  "phase",
  "budgets_day",
  "dlp",
  "shadow_mcp",
  "cedar",
] as const;
type Key = (typeof CONTRACT_KEYS)[number];
/** The isolation of a contract that names none, whatever the one it extends has: sharing is asked for, not inherited. */
const STRONGEST = "process";
const ANSWERS = ["log", "deny"] as const;
const TARGET: Form = { is: (text) => text === "*" || NAME.is(text), right: `${NAME.right}; * is every target` };

/** Of a caller that has no engine: what nothing looks at is not let in. */
const refuseCedar: CheckCedar = (texts) =>
  texts.map((_, index) => ({ index, text: "Cedar policies cannot be checked here: leave cedar out." }));

/**
 * Reads a contract file.
 * @param bases  the contracts that it may extend, by name.
 * @param checkCedar  what the engine says of the texts of `cedar`; without it, none is accepted.
 * @param services  what its rules may name of the tenant's catalogue: they are stored with what it says of them.
 * @returns the complete contract: every key that the document does not set is inherited from the one it extends.
 *   `isolation` alone is not: a contract that does not say otherwise gets the strongest. Lists that are sets are sorted,
 *   so that one contract has one hash however it is written.
 * @throws CONTRACT_INVALID with every problem, at most `CONTRACT_PROBLEMS_MAX`, in the order of the text.
 */
export function parseContract(
  document: ContractDocument,
  bases: ReadonlyMap<string, Contract>,
  checkCedar: CheckCedar = refuseCedar,
  services: FoundServices = new Map(),
): Contract {
  const problems = new Problems();
  const tree = readTree(document.text, problems);
  const contract = tree === undefined ? undefined : read(tree, { bases, checkCedar, services, problems });
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

interface Reading {
  bases: ReadonlyMap<string, Contract>;
  checkCedar: CheckCedar;
  services: FoundServices;
  problems: Problems;
}

/** Looks at every member, also after the first mistake; what it gives back counts only when no problem was found. */
function read(tree: Tree, { bases, checkCedar, services, problems }: Reading): Contract | undefined {
  const fields = Fields.of(tree, CONTRACT_KEYS, problems);
  if (fields === undefined) return undefined;
  fields.demand(["kind", "name", "extends"]);
  fields.choice("kind", ["Contract"] as const);
  const name = fields.text("name", NAME);
  const base = bases.get(fields.choice("extends", [...bases.keys()]) ?? "");
  const limits = readLimits(fields.get("limits"), base, problems);
  const redaction = readRedaction(fields, base);
  const [data, budgets, budgets_day] = [readData(fields), readBudgets(fields), readDayBudgets(fields)];
  const bindings = readBindings(fields);
  const lists = readLists(fields, services, problems);
  const own = { ...readPlain(fields), ...lists, cedar: readCedar(fields, checkCedar, problems) };
  if (base === undefined || name === undefined) return undefined;
  const contract: Contract = {
    ...base,
    ...forced(own.class ?? base.class, base),
    ...present<Partial<Contract>>(own),
    name,
    extends: base.name,
    data: { ...base.data, ...data },
    bindings: { ...base.bindings, ...bindings },
    redaction,
    budgets: { ...base.budgets, ...budgets },
    limits: { ...base.limits, ...limits },
    budgets_day: { ...base.budgets_day, ...budgets_day },
  };
  judgeBindings(contract.bindings, fields);
  judgeSecrets(contract.egress, contract.bindings, fields);
  judgeHeir(contract, base, fields);
  return contract;
}

/** What is not inherited as it stands: sharing is asked for, and what a class brings with it comes with the class. */
function forced(of: Contract["class"], base: Contract): Partial<Contract> {
  if (of !== "privileged") return { isolation: STRONGEST };
  const require = base.class === "privileged" ? base.require : [...REQUIREMENTS];
  return { isolation: STRONGEST, isolation_floor: STRONGEST, jail: "required", require };
}

/** The keys of one value each; undefined is absent, or wrong and said. */
function readPlain(fields: Fields<Key>) {
  const action = fields.map("dlp", ["action"]);
  action?.demand(["action"]);
  const dlp = action?.choice("action", ANSWERS);
  const attended = fields.map("attended", ATTENDED_KEYS);
  const phase = fields.map("phase", PHASE_KEYS);
  return {
    class: fields.choice("class", CONTRACT_CLASSES),
    isolation: fields.choice("isolation", ISOLATIONS),
    isolation_floor: fields.choice("isolation_floor", ISOLATIONS),
    jail: fields.choice("jail", ["required", "optional"] as const),
    idempotent: fields.flag("idempotent"),
    retention: readRetention(fields),
    attended: attended && readAttended(attended),
    phase: phase && readPhase(phase),
    dlp: dlp && { action: dlp },
    shadow_mcp: fields.choice("shadow_mcp", ANSWERS),
  };
}

/** The keys that are lists; each replaces the inherited one as a whole. */
function readLists(fields: Fields<Key>, services: FoundServices, problems: Problems) {
  const gates = fields.maps("gates", GATE_KEYS, GATES_MAX)?.map(readGate);
  const tools = fields.maps("tools", TOOL_KEYS, TOOL_RULES_MAX)?.map((tool) => readTool(tool, problems));
  return {
    targets: fields.texts("targets", TARGET, CONTRACT_ITEMS_MAX.targets),
    require: fields.choices("require", REQUIREMENTS),
    tools: tools?.filter((tool) => tool !== undefined),
    egress: readEgress(fields, services),
    gates: gates?.filter((gate) => gate !== undefined),
  };
}

function readEgress(fields: Fields<Key>, services: FoundServices): Contract["egress"] | undefined {
  const seen = new Set<string>();
  const rules = fields.maps("egress", EGRESS_KEYS, EGRESS_RULES_MAX)?.map((rule) => {
    const read = readEgressRule(rule, services);
    if (read?.id !== undefined && seen.has(read.id)) rule.problem("id", `Two rules are called ${read.id}.`);
    if (read?.id !== undefined) seen.add(read.id);
    return read;
  });
  return rules?.filter((rule) => rule !== undefined);
}
