import { isApiError, isConnectionError, type NextStep, type ProblemDocument } from "@gantry/sdk";
import type { CallToolResult } from "@modelcontextprotocol/server";
import { GantryError, isGantryError, problemOf } from "../kernel/errors.ts";
import type { Logger } from "../kernel/log.ts";
import { mcp_errors } from "./contract.ts";
import { cutTo, quoted, ruleYaml } from "./parts.ts";

/** Characters of a refusal's detail. */
const DETAIL_CHARS = 2_000;

/**
 * What a model reads when something was not done: a tool result, not a broken protocol, so that it can act on it.
 * What went wrong inside stays inside; the log has it.
 */
export function refused(error: unknown, tool: string, log: Logger): CallToolResult {
  if (isApiError(error)) return told(error.problem);
  if (isGantryError(error)) return told(problemOf(error));
  log.error({ tool, error }, isConnectionError(error) ? "an MCP tool could not ask the API" : "an MCP tool failed");
  const unknown = new GantryError(mcp_errors.INTERNAL, {
    detail: `Something went wrong inside Gantry while ${tool} was at work. Nothing is known of how far it came.`,
    next_steps: [
      {
        kind: "read",
        text: "Look at the state before you repeat anything that changes something: get_run, get_approval.",
      },
      {
        kind: "wait",
        text: "If it happens again, tell the person who operates Gantry: the server's log has the cause.",
      },
    ],
  });
  return told(problemOf(unknown));
}

type Told = Pick<ProblemDocument, "code" | "detail"> & Partial<ProblemDocument>;

function told(problem: Told): CallToolResult {
  const { code, detail, reasons = [], problems = [], next_steps = [], retry_after_ms, run, request } = problem;
  const refusal = {
    code,
    detail: cutTo(detail, DETAIL_CHARS),
    ...(reasons.length === 0 ? {} : { reasons }),
    ...(problems.length === 0 ? {} : { problems }),
    next_steps: next_steps.map(withYaml),
    ...(retry_after_ms === undefined ? {} : { retry_after_ms }),
    ...(run === undefined ? {} : { run }),
    ...(request === undefined ? {} : { request }),
  };
  return { content: [{ type: "text", text: refusalText(refusal) }], structuredContent: { refusal }, isError: true };
}

/** A step, and its rule as text that `propose_contract` takes. */
export type ToldStep = NextStep & { rule_yaml?: string };

export function withYaml(step: NextStep): ToldStep {
  return step.rule === undefined ? step : { ...step, rule_yaml: ruleYaml(step.rule) };
}

/** In the order in which one acts: what it is, why, where, what next. */
function refusalText(refusal: Told & { next_steps: ToldStep[] }): string {
  const { code, detail, reasons = [], problems = [], next_steps, retry_after_ms, run } = refusal;
  const lines = [`Refused: ${code}. ${detail}`];
  for (const reason of reasons) lines.push(`- ${reason.code}: ${cutTo(reason.detail, DETAIL_CHARS)}`);
  for (const { at, line, column, text } of problems) {
    const place = line === undefined ? at : `${at}:${line}${column === undefined ? "" : `:${column}`}`;
    lines.push(`- ${place === "" ? "the whole" : place}: ${cutTo(text, DETAIL_CHARS)}`);
  }
  if (run !== undefined) lines.push(`It is on record as ${run}.`);
  if (retry_after_ms !== undefined) lines.push(`The same request may be made again in ${retry_after_ms} ms.`);
  return [...lines, ...stepLines(next_steps)].join("\n");
}

/** Next steps as a list, with commands and rules to copy. Commands are for a terminal: people have one. */
export function stepLines(steps: readonly ToldStep[]): string[] {
  if (steps.length === 0) return [];
  return [
    "",
    "What to do next:",
    ...steps.flatMap(({ text, command, rule_yaml }, at) => [
      `${at + 1}. ${text}${command === undefined ? "" : `: \`${command}\` (in a terminal)`}`,
      ...(rule_yaml === undefined ? [] : [quoted(rule_yaml, "yaml"), RULE_HINT]),
    ]),
  ];
}

const RULE_HINT =
  "Give that to propose_contract as `add_egress`. It widens what the contract allows, so a person decides. Propose it only if the call is meant.";
