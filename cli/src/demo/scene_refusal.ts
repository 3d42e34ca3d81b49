import type { RunView } from "@gantry/sdk";
import { ruleLines } from "../rule_text.ts";
import { type Cast, CONTRACT, lookAt, type Opening, perform, sayRun, TARGET, TASK } from "./cast.ts";
import { mergeRules, type Rule } from "./proposal.ts";
import type { Stage } from "./stage.ts";

/** The calls of the agent's next task. */
const METHODS = ["GET", "POST"];

/** The agent's next task: see which of the rows the tracker knows, and open an issue for the others. */
export async function performTask(
  cast: Cast,
  { agent, rejected }: Opening,
  signal: AbortSignal,
  target?: string,
): Promise<RunView> {
  const { origin, project } = cast.tracker;
  return perform(
    cast.house.as(agent.token),
    cast,
    {
      file: TASK,
      input: { origin, project, rejected },
      contract: CONTRACT,
      ...(target === undefined ? {} : { target }),
    },
    signal,
  );
}

/** Scene 2: a call that nobody granted goes nowhere, and the server says what would have granted it. */
export async function playRefusal(stage: Stage, cast: Cast, opening: Opening): Promise<Rule[]> {
  const { house, tracker } = cast;
  stage.row("program", `examples/${TASK}: which of the ${opening.rejected.length} rows does the tracker know?`);
  stage.row("tracker", `${tracker.url}, a real one, on this machine`);
  const run = await performTask(cast, opening, stage.signal);
  const blocked = run.blocked ?? [];
  const said = run.error?.detail ?? "";
  sayRun(stage, run);
  stage.row("refused", said);
  stage.claim(
    "the call went nowhere, and is on record as blocked",
    run.termination === "threw" &&
      blocked.some(({ method, host }) => method === "GET" && tracker.origin.endsWith(host)),
    `${run.termination}, blocked ${JSON.stringify(blocked)}`,
    lookAt(run),
  );
  stage.claim("the tracker saw nothing", tracker.calls.length === 0, tracker.calls, lookAt(run));
  const rules = await narrowest(stage, cast, opening);
  const [rule] = rules;
  stage.say();
  stage.say("The agent asks what would allow it. The narrowest rule:");
  stage.block(rules.flatMap(ruleLines).map((line) => `  ${line}`));
  stage.claim(
    "that rule is for this address, this path and these methods alone",
    rules.length === 1 && rule !== undefined && isNarrow(rule, tracker.url),
    rules,
    `gantry egress test --contract ${CONTRACT} ${tracker.url}`,
  );
  stage.fact("run", run.id);
  stage.fact("termination", run.termination);
  stage.fact("refused", said);
  stage.fact("blocked", blocked);
  stage.fact("rule", rule);
  stage.fact("entries", run.evidence.entries);
  stage.fact("url", house.url);
  return rules;
}

/** The server's own answer for each call, as few rules. */
async function narrowest(stage: Stage, { house, tracker }: Cast, { agent }: Opening): Promise<Rule[]> {
  const rules: Rule[] = [];
  for (const method of METHODS) {
    const question = { contract: CONTRACT, url: tracker.url, method };
    const verdict = await house.as(agent.token).egress.test(question, { signal: stage.signal });
    const rule = verdict.next_steps?.find((step) => step.rule !== undefined)?.rule;
    stage.claim(
      `${method} is denied to the agent: ${verdict.code ?? "no code"}`,
      verdict.verdict === "deny" && rule !== undefined,
      verdict,
      `gantry egress test --contract ${CONTRACT} --method ${method} ${tracker.url}`,
    );
    if (rule !== undefined) rules.push(rule);
  }
  return mergeRules(rules);
}

function isNarrow(rule: Rule, url: string): boolean {
  const { hostname, port, pathname } = new URL(url);
  const is = (name: string, expected: unknown[]): boolean => JSON.stringify(rule[name]) === JSON.stringify(expected);
  return is("hosts", [hostname]) && is("ports", [Number(port)]) && is("paths", [pathname]) && is("methods", METHODS);
}

/** The same call under the contract that people approved. */
export function performApproved(cast: Cast, opening: Opening, signal: AbortSignal): Promise<RunView> {
  return performTask(cast, opening, signal, TARGET);
}
