import { z } from "@hono/zod-openapi";
import { GantryError, type Problem } from "../../kernel/errors.ts";
import type { SnapshotId } from "../../kernel/ids.ts";
import {
  CONTRACT_PROBLEMS_MAX,
  type Contract,
  type ContractDocument,
  type Decision,
  POLICY_CASES_MAX,
  type PolicyRequest,
  policy_errors,
  REASONS_MAX,
  type Verdict,
} from "../contract.ts";
import type { Decider } from "../decide.ts";
import { Problems, readTree, type Tree } from "../document/yaml_tree.ts";
import { askedSchema, contextOf, principalSchema } from "./request_schema.ts";

const NAME_CHARS_MAX = 200;
const CODE_CHARS_MAX = 128;

const caseSchema = askedSchema.extend({
  name: z.string().min(1).max(NAME_CHARS_MAX),
  contract: z.string().max(NAME_CHARS_MAX),
  /** Who asks: a kind, for somebody who stands for all of them, or an actor. Default: an agent. */
  actor: z.union([principalSchema.shape.kind, principalSchema]).default("agent"),
  expect: z.enum(["allow", "deny", "needs_human"]),
  /** Codes that the answer must have; others may be there. */
  codes: z.array(z.string().max(CODE_CHARS_MAX)).max(REASONS_MAX).optional(),
});
const tableSchema = z.strictObject({
  cases: z.array(caseSchema).min(1).max(POLICY_CASES_MAX, `has at most ${POLICY_CASES_MAX} cases`),
});

export type PolicyCase = z.infer<typeof caseSchema>;
export type PolicyTable = z.infer<typeof tableSchema>;

/** What became of one case. */
export interface CaseReport {
  name: string;
  contract: string;
  action: string;
  resource: string;
  expect: Verdict;
  got: Verdict;
  /** Of the answer, in its order. */
  codes: string[];
  ok: boolean;
  /** Why it is not ok, or how the answer was given reason. */
  detail: string;
}
export interface TestReport {
  cases: CaseReport[];
  passed: number;
  failed: number;
}

/**
 * Reads a policy table: YAML or JSON, as contracts are read.
 * @throws POLICY_TABLE with every problem, at most `CONTRACT_PROBLEMS_MAX`, and its line.
 */
export function parseTable({ name, text }: ContractDocument): PolicyTable {
  const problems = new Problems();
  const tree = readTree(text, problems);
  if (tree === undefined || problems.list.length > 0) throw refused(name, problems.list);
  const parsed = tableSchema.safeParse(plain(tree));
  if (parsed.success) return parsed.data;
  const found = parsed.error.issues.map((issue): Problem => {
    const { at, line, column } = nodeAt(tree, issue.path.map(String));
    return { at, line, column, text: issue.message };
  });
  throw refused(name, found.slice(0, CONTRACT_PROBLEMS_MAX));
}

/** Asks each case of its contract. @param find  the contract of a name; undefined: there is none, and the case fails. */
export function runTable(
  decider: Decider,
  table: PolicyTable,
  find: (contract: string) => { contract: Contract; snapshot: SnapshotId } | undefined,
): TestReport {
  const cases = table.cases.map((each) => {
    const found = find(each.contract);
    return found === undefined
      ? unknown(each)
      : judged(each, decider.decide(found.contract, found.snapshot, requestOf(each)));
  });
  const passed = cases.filter(({ ok }) => ok).length;
  return { cases, passed, failed: cases.length - passed };
}

function requestOf({ action, resource, actor, gates, context }: PolicyCase): PolicyRequest {
  const principal = typeof actor === "string" ? { actor: `any-${actor}`, kind: actor, for: "any-human" } : actor;
  return { action, resource, principal, ...(gates === undefined ? {} : { gates }), context: contextOf(context) };
}

function judged(each: PolicyCase, { verdict, reasons, gates }: Decision): CaseReport {
  const codes = [...new Set(reasons.map(({ code }) => code))];
  const lacking = (each.codes ?? []).filter((code) => !codes.includes(code));
  const why = reasons.map(({ detail }) => detail).join(" ") || gates.map(({ name }) => `gate ${name}`).join(", ");
  const wrong = [
    ...(verdict === each.expect ? [] : [`expected ${each.expect}, got ${verdict}`]),
    ...(lacking.length === 0 ? [] : [`without ${lacking.join(", ")}`]),
  ];
  const detail = wrong.length === 0 ? why : `${wrong.join("; ")}${why === "" ? "" : `: ${why}`}`;
  return { ...about(each), got: verdict, codes, ok: wrong.length === 0, detail };
}

/** Doubt is denied, and no test of a contract that is not there is one that holds. */
function unknown(each: PolicyCase): CaseReport {
  const detail = `there is no contract ${each.contract}, neither beside the table nor active`;
  return { ...about(each), got: "deny", codes: [], ok: false, detail };
}

function about({ name, contract, action, resource, expect }: PolicyCase) {
  return { name, contract, action, resource, expect };
}

function plain({ value }: Tree): unknown {
  if (value === null || typeof value !== "object") return value;
  if (value.type === "list") return value.items.map(plain);
  // No member can reach a prototype: `__proto__` is defined as any other.
  return Object.fromEntries(value.members.map(({ key, value }) => [key.value, plain(value)]));
}

/** The node that a path leads to, or the last one on the way that is there. */
function nodeAt(tree: Tree, [key, ...rest]: string[]): Tree {
  const { value } = tree;
  if (key === undefined || value === null || typeof value !== "object") return tree;
  const next =
    value.type === "list" ? value.items[Number(key)] : value.members.find((member) => member.key.value === key)?.value;
  return next === undefined ? tree : nodeAt(next, rest);
}

function refused(name: string, problems: Problem[]): GantryError {
  return new GantryError(policy_errors.TABLE, {
    detail: `${name}: ${problems.length === 1 ? "one problem" : `${problems.length} problems`}. ${problems[0]?.text ?? ""}`,
    problems: problems.map((problem) => ({ ...problem, at: `${name}#${problem.at}` })),
  });
}
