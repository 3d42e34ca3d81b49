import { canonicalJson } from "../../kernel/canonical.ts";
import type { Reason } from "../../kernel/errors.ts";
import { sha256Hex } from "../../kernel/hash.ts";
import {
  type Contract,
  type GateRule,
  type PolicyContext,
  type PolicyRequest,
  policy_errors,
  type Verdict,
} from "../contract.ts";
import { Cedar, type CedarAnswer } from "./cedar.ts";
import { type Compiled, compile, type Rule } from "./compile.ts";
import { type Judgement, judge } from "./judge.ts";
import { CEDAR_SCHEMA, type Facts, GANTRY, PRINCIPALS, RESOURCE } from "./schema.ts";
import { type PolicySet, Slots } from "./slots.ts";

/** A contract, ready to be asked. */
export interface Ready {
  contract: Contract;
  compiled: Compiled;
  set: PolicySet;
  /** Does no policy look at `context.path`? Ours never do: a path is judged beside Cedar. */
  is_path_blind: boolean;
  /** What Cedar said, by all that it was told; oldest first, at most `ANSWERS_KEPT_MAX`. */
  answers: Map<string, CedarAnswer>;
}

/** Programs call the same few places under ever new paths, which would otherwise be asked of Cedar one by one. */
const ANSWERS_KEPT_MAX = 32;
/** Where the word stands, or could stand behind an escape in a text. */
const MAY_SEE_PATHS = /path|\\/i;

export interface Outcome {
  verdict: Verdict;
  /** Neither sorted nor without repeats. */
  reasons: Reason[];
  /** What must be approved first; empty unless the verdict is `needs_human`. */
  gates: GateRule[];
  /** The policies that decided, by id, in the order of the contract. Nobody outside this room sees an id. */
  rules: { id: string; rule: Rule }[];
}

/** What a request may say, beside what is judged before Cedar is asked. Whatever else it says is refused. */
const MEMBERS: Record<keyof PolicyContext, "cedar" | "judged"> = {
  limits: "judged",
  args: "judged",
  target: "cedar",
  carries: "cedar",
  host: "cedar",
  port: "cedar",
  protocol: "cedar",
  method: "cedar",
  path: "cedar",
  secret: "cedar",
  tool: "cedar",
  repo: "cedar",
  app: "cedar",
  flag: "cedar",
  percent: "cedar",
  data_class: "cedar",
  read_class: "cedar",
};

/** The engine: one instance of Cedar, its slots, and the order in which a request is judged. Synchronous; no I/O. */
export class PolicyEngine {
  readonly #cedar: Cedar;
  readonly #slots: Slots;

  /** @param cedar  @param slots  of a test alone. */
  constructor(cedar: Cedar = new Cedar(CEDAR_SCHEMA), slots: Slots = new Slots(cedar)) {
    this.#cedar = cedar;
    this.#slots = slots;
  }

  prepare(contract: Contract): Ready {
    const compiled = compile(contract);
    const { policies } = compiled;
    return {
      contract,
      compiled,
      set: { key: sha256Hex(canonicalJson(policies)), policies },
      is_path_blind: !contract.cedar.some((text) => MAY_SEE_PATHS.test(text)),
      answers: new Map(),
    };
  }

  /**
   * With the gates that hold now; and when nothing but gates denies, once more as if all of them held, because a gate hides
   * that the permit is missing, too.
   * @param request  plain data that was read from its canonical JSON.
   * @throws TypeError when the request is not what its type says.
   */
  evaluate(ready: Ready, request: PolicyRequest): Outcome {
    const { contract, compiled, set } = ready;
    const judgement = judge(contract, request);
    const slot = this.#slots.hold(set);
    if (slot === undefined) return DOUBTED;
    const ask = (gates: readonly string[]) => this.#ask(ready, slot, request, judgement, gates);
    const now = ask(request.gates ?? []);
    if (!now.sure) return DOUBTED;
    if (now.allowed && judgement.denials.length === 0) return allowed(rulesOf(compiled, now));
    const held_back = rulesOf(compiled, now);
    const only_gates = !now.allowed && held_back.length > 0 && held_back.every(({ rule }) => rule.gate !== undefined);
    if (!only_gates) return denied(contract, request, judgement, now, held_back);
    const then = ask([...(request.gates ?? []), ...compiled.gates.map(({ name }) => name)]);
    if (!then.sure) return DOUBTED;
    if (!then.allowed || judgement.denials.length > 0) {
      return denied(contract, request, judgement, then, rulesOf(compiled, then));
    }
    const gates = held_back.flatMap(({ rule }) => rule.gate ?? []);
    return { verdict: "needs_human", reasons: [], gates, rules: held_back };
  }

  #ask(
    { is_path_blind, answers }: Ready,
    slot: string,
    request: PolicyRequest,
    { context, facts }: Judgement,
    gates: readonly string[],
  ): CedarAnswer {
    const { principal } = request;
    const told = cedarContext(request, context, facts, gates);
    // A path that is no text is for Cedar to refuse.
    if (is_path_blind && typeof told["path"] === "string") delete told["path"];
    const question = {
      principal: principal === undefined ? GANTRY : { type: PRINCIPALS[principal.kind], id: principal.actor },
      action: { type: "Action", id: request.action },
      resource: { type: RESOURCE, id: request.resource },
      context: told,
    };
    const key = canonicalJson(question);
    const known = answers.get(key);
    if (known !== undefined) return known;
    const answer = this.#cedar.authorize({ ...question, preparsedPolicySetId: slot, entities: [] });
    if (answer.sure) remember(answers, key, answer);
    return answer;
  }
}

/** Maps iterate in the order of insertion, so the first is the oldest. */
function remember(answers: Map<string, CedarAnswer>, key: string, answer: CedarAnswer): void {
  for (const oldest of answers.keys()) {
    if (answers.size < ANSWERS_KEPT_MAX) break;
    answers.delete(oldest);
  }
  answers.set(key, answer);
}

type Told = Record<string, string | number | boolean | string[]>;

function cedarContext(request: PolicyRequest, asked: PolicyContext, facts: Facts, gates: readonly string[]): Told {
  const context: Told = {};
  for (const [name, value] of Object.entries(asked)) {
    const kind = Object.hasOwn(MEMBERS, name) ? MEMBERS[name as keyof PolicyContext] : undefined;
    if (kind === undefined) throw new TypeError("a member of the context that no action has");
    if (kind === "cedar") context[name] = value as string | number | string[];
  }
  if (request.principal !== undefined) context["acts_for"] = request.principal.for;
  return { ...context, ...facts, resource: request.resource, gates: [...gates] };
}

/** No answer, and so the answer no. */
export const DOUBTED: Outcome = Object.freeze({
  verdict: "deny",
  reasons: [{ code: policy_errors.EVAL_ERROR.code, detail: "The request could not be evaluated." }],
  gates: [],
  rules: [],
});

function allowed(rules: Outcome["rules"]): Outcome {
  return { verdict: "allow", reasons: [], gates: [], rules };
}

function denied(
  contract: Contract,
  { action }: PolicyRequest,
  { denials, context }: Judgement,
  answer: { allowed: boolean },
  matched: Outcome["rules"],
): Outcome {
  // When Cedar allows, what matched are permits: they explain nothing of a denial.
  const rules = answer.allowed ? [] : matched.filter(({ rule }) => rule.gate === undefined);
  const reasons = [...denials, ...rules.flatMap(({ rule }) => reasonsOf(rule, context))];
  if (reasons.length === 0) {
    const detail = `The contract ${contract.name} does not permit ${action}.`;
    reasons.push({ code: policy_errors.NO_PERMIT.code, detail });
  }
  return { verdict: "deny", reasons, gates: [], rules };
}

/** A rule of the author's own is named by its code, under the code that callers know. */
function reasonsOf(rule: Rule, context: PolicyContext): Reason[] {
  const detail = rule.detail(context);
  const own = { code: rule.code, detail };
  return rule.own === true ? [{ code: policy_errors.FORBIDDEN.code, detail }, own] : [own];
}

/** Cedar names what decided in no order: here it is the contract's. */
function rulesOf({ rules }: Compiled, answer: { matched: string[] }): Outcome["rules"] {
  const matched = new Set(answer.matched);
  return [...rules].filter(([id]) => matched.has(id)).map(([id, rule]) => ({ id, rule }));
}
