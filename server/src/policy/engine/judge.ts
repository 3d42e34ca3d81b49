import type { Reason } from "../../kernel/errors.ts";
import { LIMIT_NAMES } from "../../kernel/limits.ts";
import {
  type Action,
  type Contract,
  contract_errors,
  DATA_CLASSES,
  type DataClass,
  type PolicyContext,
  type PolicyRequest,
  policy_errors,
} from "../contract.ts";
import { shown } from "./compile.ts";
import { type EgressDimension, matchEgress, mayMutate } from "./egress_match.ts";
import type { Facts } from "./schema.ts";
import { matchTool } from "./tool_match.ts";

/** What was found in the contract by looking, for Cedar to decide with; and what is denied whatever Cedar says. */
export interface Judgement {
  facts: Facts;
  /** The context as it is judged: a destination without a class of its own has that of its rule. */
  context: PolicyContext;
  denials: Reason[];
}

/** Move data, so that a class that nobody named is the lowest: nothing above it may go there. */
const FLOWS: readonly Action[] = [
  "egress.request",
  "egress.retry",
  "lease.use",
  "artifact.read",
  "artifact.write",
  "artifact.land",
  "artifact.release",
];
const TEXT_OF: Record<EgressDimension, (context: PolicyContext) => string> = {
  host: ({ host }) => `no rule has the host ${host === undefined ? "(none is named)" : shown(host)}`,
  protocol: ({ protocol }) => `no rule that has this host has the protocol ${shown(protocol ?? "")}`,
  port: ({ port }) => `no rule that has this host and protocol has the port ${port ?? "(none is named)"}`,
  method: ({ method }) => `no rule that has this address has the method ${shown(method ?? "")}`,
  path: () => "no rule that has this address and method has the path",
};

/**
 * What Cedar does not do well: patterns of hosts and paths, arguments of tools, ceilings that each have their own sentence.
 * @throws TypeError when the request is not what its type says.
 */
export function judge(contract: Contract, { action, context }: PolicyRequest): Judgement {
  const judgement: Judgement = { facts: {}, context, denials: limitDenials(contract, context) };
  switch (action) {
    case "egress.request":
    case "egress.retry":
    case "lease.use":
      judgeCall(contract, action, judgement);
      break;
    case "tool.list":
    case "tool.call":
      judgeTool(contract, action, judgement);
      break;
    case "artifact.read":
      judgement.facts.mutating = false;
      break;
    case "artifact.write":
    case "artifact.land":
    case "artifact.release":
      judgement.facts.mutating = true;
      break;
    default:
      break;
  }
  const { data_class, read_class } = judgement.context;
  if (data_class !== undefined) judgement.facts.data_rank = rankOf(data_class);
  else if (FLOWS.includes(action)) judgement.facts.data_rank = 0;
  if (read_class !== undefined) judgement.facts.read_rank = rankOf(read_class);
  return judgement;
}

function limitDenials(contract: Contract, { limits }: PolicyContext): Reason[] {
  const asked = new Map<string, unknown>(Object.entries(limits ?? {}));
  const denials: Reason[] = [];
  for (const name of LIMIT_NAMES) {
    const value = asked.get(name);
    asked.delete(name);
    if (value === undefined) continue;
    if (typeof value !== "number") throw new TypeError(`${name} is not a number`);
    const ceiling = contract.limits[name];
    // Written so that a ceiling that is not a number denies, too.
    if (value <= ceiling) continue;
    denials.push({
      code: contract_errors.LIMIT.code,
      detail: `${name} ${value} is past the ceiling ${ceiling} of the contract ${contract.name}.`,
    });
  }
  if (asked.size > 0) throw new TypeError("a limit that no contract knows");
  return denials;
}

function judgeCall(contract: Contract, action: Action, judgement: Judgement): void {
  const { context, denials, facts } = judgement;
  const { code } = policy_errors.NO_PERMIT;
  const found = matchEgress(contract.egress, context);
  if ("stopped" in found) {
    const why = TEXT_OF[found.stopped](context);
    denials.push({ code, detail: `The contract ${contract.name} does not let this call out: ${why}.` });
    return;
  }
  const { rule, id } = found;
  facts.rule = id;
  facts.mutating = mayMutate(rule, context);
  if (context.data_class === undefined && rule.data_class !== undefined) {
    judgement.context = { ...context, data_class: rule.data_class };
  }
  if (action !== "lease.use" || (context.secret !== undefined && context.secret === rule.secret?.name)) return;
  const secret = context.secret === undefined ? "without a name" : shown(context.secret);
  denials.push({ code, detail: `The egress rule ${id} of the contract ${contract.name} gives no secret ${secret}.` });
}

function judgeTool(contract: Contract, action: Action, { context, denials, facts }: Judgement): void {
  const { tool } = context;
  const args = action === "tool.list" ? undefined : textsOf(context.args);
  const found = tool === undefined ? ({ stopped: "name" } as const) : matchTool(contract.tools, tool, args);
  if ("place" in found) {
    facts.rule = String(found.place);
  } else if (found.stopped === "name") {
    const named = tool === undefined ? "tool without a name" : `tool ${shown(tool)}`;
    denials.push({ code: policy_errors.TOOL.code, detail: `The contract ${contract.name} grants no ${named}.` });
  } else {
    // Which argument it was may be a secret of the caller's, and what the patterns are is the contract's to show.
    const detail = `The contract ${contract.name} grants the tool ${shown(tool ?? "")}, but not with these arguments.`;
    denials.push({ code: policy_errors.ARGS.code, detail });
  }
}

function textsOf(args: Readonly<Record<string, string>> | undefined): Readonly<Record<string, string>> {
  if (args === undefined) return {};
  if (typeof args !== "object" || args === null) throw new TypeError("arguments are not a table");
  for (const value of Object.values(args))
    if (typeof value !== "string") throw new TypeError("an argument is not a text");
  return args;
}

function rankOf(name: DataClass): number {
  const rank = DATA_CLASSES.indexOf(name);
  if (rank < 0) throw new TypeError("there is no such data class");
  return rank;
}
