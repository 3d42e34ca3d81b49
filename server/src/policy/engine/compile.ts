import {
  type Action,
  type Contract,
  type ContractClass,
  DATA_CLASSES,
  type DataClass,
  type GateRule,
  type PolicyContext,
  policy_errors,
} from "../contract.ts";
import { actionScope, codeOf, quote, quotePattern } from "./schema.ts";

/** What a policy of ours stands for; Cedar knows nothing of it but the policy's id. */
export interface Rule {
  /** JSON pointer into the contract. */
  at: string;
  text: string;
  /** What its denial is called; of a permit, what its absence is called. */
  code: string;
  /** Of a gate policy. */
  gate?: GateRule;
  /** Of a policy that the contract's author wrote. */
  own?: true;
  /** Why it denies, as a sentence. */
  detail(asked: PolicyContext): string;
}

export interface Compiled {
  /** Texts by id, as Cedar takes them. */
  policies: Record<string, string>;
  rules: ReadonlyMap<string, Rule>;
  gates: readonly GateRule[];
}

const RUNS_OUT: Action[] = ["egress.request", "egress.retry"];
const TOOLS: Action[] = ["tool.list", "tool.call"];
const FLAGS: Action[] = ["flag.raise", "flag.reduce", "flag.kill"];
const ARTIFACT_WRITES: Action[] = ["artifact.write", "artifact.land", "artifact.release"];
/** Stop or lessen what is going on: no gate on everything holds them. */
const TAKING_BACK: Action[] = ["flag.reduce", "flag.kill"];
/** Act on an environment, so that one has to be named. To kill or reduce a flag is never held up by that. */
const ON_TARGET: Action[] = ["app.deploy", "flag.raise"];
/** What rules Gantry itself. */
const ADMINISTRATION: Action[] = ["contract.apply", "tenant.set", "secret.set", "evidence.erase", "evidence.succeed"];
const MUTATIONS: Action[] = [...ARTIFACT_WRITES, "app.deploy", ...FLAGS, "workflow.start", "egress.retry"];
const FORBIDDEN_BY_CLASS: Record<ContractClass, Action[]> = {
  "read-only": [...MUTATIONS, ...ADMINISTRATION],
  "controlled-mutation": ADMINISTRATION,
  privileged: [],
};

/**
 * A contract as Cedar policies. What it grants are permits, everything else is denied for want of one; what holds for
 * all of it, its class, targets, data classes and gates, are forbids, which no permit outweighs.
 * Pure: equal contracts give equal texts under equal ids.
 */
export function compile(contract: Contract): Compiled {
  const rules = new Map<string, Rule>();
  const add = (id: string, rule: Rule) => rules.set(id, rule);
  permits(contract, add);
  byClass(contract, add);
  byTarget(contract, add);
  byDataClass(contract, add);
  contract.gates.forEach((gate, i) => {
    const detail = () => `The gate ${gate.name} must be approved first.`;
    // What takes back must not wait for people; a gate that names it is the author's own will.
    const free = gate.on === "*" ? ` || ${actionScope(TAKING_BACK)}` : "";
    const held = `context.gates.contains(${quote(gate.name)})${free}`;
    const text = `@gate(${quote(gate.name)})\nforbid(principal, ${actionScope(gate.on)}, resource) unless { ${held} };`;
    add(`gate.${i}`, { at: `/gates/${i}`, text, code: policy_errors.FORBIDDEN.code, gate, detail });
  });
  contract.cedar.forEach((text, i) => {
    const code = codeOf(text) ?? policy_errors.FORBIDDEN.code;
    const detail = () => `The contract's own rule ${code} forbids it.`;
    add(`cedar.${i}`, { at: `/cedar/${i}`, text, code, own: true, detail });
  });
  const policies = Object.fromEntries([...rules].map(([id, { text }]) => [id, text]));
  return { policies, rules, gates: contract.gates };
}

type Add = (id: string, rule: Rule) => void;

function permits(contract: Contract, add: Add): void {
  const permit = (id: string, at: string, actions: Action | Action[], when?: string) => {
    const { code } = policy_errors.NO_PERMIT;
    const condition = when === undefined ? "" : ` when { ${when} }`;
    const text = `@code(${quote(code)})\npermit(principal, ${actionScope(actions)}, resource)${condition};`;
    add(`permit.${id}`, { at, text, code, detail: () => "The contract does not permit it." });
  };
  permit("run", "", "run.submit");
  if (contract.egress.length > 0) {
    permit("egress", "/egress", [...RUNS_OUT, "lease.use"], "context has rule");
  }
  if (contract.tools.length > 0) permit("tools", "/tools", TOOLS, "context has rule");
  if (contract.class !== "read-only" && contract.targets.length > 0) {
    permit("deploy", "/targets", "app.deploy", "context has target");
  }
  if (contract.class === "privileged") permit("administration", "/class", ADMINISTRATION);
  const { artifacts, flags, workflows } = contract.bindings;
  artifacts?.repos.forEach((repo, i) => {
    const actions: Action[] = artifacts.mode === "write" ? ["artifact.read", ...ARTIFACT_WRITES] : ["artifact.read"];
    const when = `context has repo && context.repo like ${quotePattern(repo)}`;
    permit(`artifacts.${i}`, `/bindings/artifacts/repos/${i}`, actions, when);
  });
  if (flags?.mode === "write") {
    permit("flags", "/bindings/flags", FLAGS, `context has app && context.app == ${quote(flags.app)}`);
  }
  if (workflows?.mode !== "write") return;
  workflows.names.forEach((name, i) => {
    const when = `context.resource like ${quotePattern(`workflow:${name}`)}`;
    permit(`workflows.${i}`, `/bindings/workflows/names/${i}`, "workflow.start", when);
  });
}

function byClass(contract: Contract, add: Add): void {
  const { code } = policy_errors.CLASS;
  const detail = () => `The contract ${contract.name} is of the class ${contract.class}, which may not do this.`;
  const forbid = (id: string, actions: Action[], when = "") => {
    const text = `@code(${quote(code)})\nforbid(principal, ${actionScope(actions)}, resource)${when};`;
    add(`class.${id}`, { at: "/class", text, code, detail });
  };
  const forbidden = FORBIDDEN_BY_CLASS[contract.class];
  if (forbidden.length > 0) forbid("actions", forbidden);
  if (contract.class !== "read-only") return;
  forbid("calls", ["egress.request", "lease.use"], " when { context has mutating && context.mutating }");
}

function byTarget(contract: Contract, add: Add): void {
  const { code } = policy_errors.TARGET;
  const listed = contract.targets.join(", ") || "none";
  const detail = ({ target }: PolicyContext) => {
    if (target === undefined) return `No target is named; those of the contract ${contract.name} are: ${listed}.`;
    return `${shown(target)} is not a target of the contract ${contract.name}; those are: ${listed}.`;
  };
  const forbid = (id: string, scope: Action[] | "*", condition: string) => {
    const text = `@code(${quote(code)})\nforbid(principal, ${actionScope(scope)}, resource) ${condition};`;
    add(`target.${id}`, { at: "/targets", text, code, detail });
  };
  forbid("named", ON_TARGET, "unless { context has target }");
  if (contract.targets.includes("*")) return;
  // An empty set literal has no type, so strict validation refuses it.
  const [first] = contract.targets;
  const within = `![${contract.targets.map(quote).join(", ")}].contains(context.target)`;
  forbid("listed", "*", `when { context has target${first === undefined ? "" : ` && ${within}`} }`);
}

function byDataClass(contract: Contract, add: Add): void {
  const { code } = policy_errors.DATA_CLASS;
  const forbid = (id: string, at: string, when: string, detail: Rule["detail"]) => {
    const text = `@code(${quote(code)})\nforbid(principal, action, resource) when { context has data_rank && ${when} };`;
    add(`data.${id}`, { at, text, code, detail });
  };
  forbid(
    "flow",
    "/data",
    "context has read_rank && context.read_rank > context.data_rank",
    ({ data_class, read_class }) =>
      `What was read is ${read_class ?? "of a class"}, which may not go to a destination that is ${data_class ?? DATA_CLASSES[0]}.`,
  );
  const over = (verb: string, classes: readonly DataClass[]): Rule["detail"] => {
    const ceiling = DATA_CLASSES[ceilingOf(classes)];
    const up_to = ceiling === undefined ? "nothing" : `at most ${ceiling}`;
    return ({ data_class }) =>
      `It ${verb} ${data_class ?? DATA_CLASSES[0]}; the contract ${contract.name} ${verb} ${up_to}.`;
  };
  const { reads, writes } = contract.data;
  const above = (classes: readonly DataClass[]) => `context.data_rank > ${ceilingOf(classes)}`;
  forbid("reads", "/data/reads", `context has mutating && !context.mutating && ${above(reads)}`, over("reads", reads));
  forbid(
    "writes",
    "/data/writes",
    `context has mutating && context.mutating && ${above(writes)}`,
    over("writes", writes),
  );
}

/** The place of the highest class, -1 for none: whoever may read a class may read those below it. */
function ceilingOf(classes: readonly DataClass[]): number {
  return Math.max(-1, ...classes.map((each) => DATA_CLASSES.indexOf(each)));
}

const SHOWN_MAX = 64;
/** What a caller named, bounded and in quotes. */
export function shown(text: string): string {
  return JSON.stringify(text.length > SHOWN_MAX ? `${text.slice(0, SHOWN_MAX)}…` : text);
}
