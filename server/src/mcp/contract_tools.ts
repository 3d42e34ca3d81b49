import type { ContractSummary, PolicyExplanation } from "@gantry/sdk";
import { z } from "zod";
import { GantryError } from "../kernel/errors.ts";
import { MCP_PAGE_MAX, mcp_errors } from "./contract.ts";
import { wordsOf } from "./contract_words.ts";
import { cutTo, partOf, present, quoted, yamlOf } from "./parts.ts";
import { stepLines, withYaml } from "./refusal.ts";
import { nextStep, textPart } from "./run_view.ts";
import { defineTool, type Tool } from "./tool.ts";

const count = z.int();
const reads = { readOnlyHint: true, destructiveHint: false, idempotentHint: true, openWorldHint: false } as const;
const contract_name = z.string().min(1).max(63).describe("The contract's name.");
const SENTENCE_CHARS = 300;

const listContracts = defineTool({
  name: "list_contracts",
  title: "Which contracts there are",
  description:
    "Lists the contracts that code may run under, each with what it allows in a few words. show_contract has all of one.",
  input: z.strictObject({ after: z.string().max(63).optional().describe("The `next` of the page before.") }),
  output: z.object({
    contracts: z.array(
      z.object({
        name: z.string(),
        version: count,
        class: z.string(),
        built_in: z.boolean(),
        state: z.string(),
        targets: z.array(z.string()),
        hosts: z.array(z.string()).describe("Where its runs may call."),
        pending_approval: z.string().optional().describe("A version of it that waits for people."),
      }),
    ),
    next: z.string().optional(),
  }),
  annotations: reads,
  scopes: ["contract:read"],
  async call({ after }, { gantry }) {
    const all = await gantry.contracts.list();
    const from = after === undefined ? 0 : all.findIndex(({ name }) => name === after) + 1;
    const shown = all.slice(from, from + MCP_PAGE_MAX);
    const next = from + shown.length < all.length ? shown.at(-1)?.name : undefined;
    const contracts = shown.map(rowOf);
    const lines = contracts.map(({ name, version, class: its_class, hosts, targets, state, built_in }) => {
      const network = hosts.length === 0 ? "calls nothing" : `calls ${hosts.join(", ")}`;
      const acts = targets.length === 0 ? "" : `, acts on ${targets.join(", ")}`;
      return `- ${name}@${version}: ${its_class}${built_in ? ", built in" : ""}, ${network}${acts}${state === "active" ? "" : `, ${state.toUpperCase()}`}`;
    });
    const more = next === undefined ? [] : [`There is more: list_contracts with after ${next}.`];
    return { structured: { contracts, next }, text: [...lines, ...more].join("\n") };
  },
});

function rowOf({ name, version, class: its_class, built_in, state, pending, contract }: ContractSummary) {
  const rules = Array.isArray(contract["egress"]) ? (contract["egress"] as { hosts?: string[] }[]) : [];
  const hosts = [...new Set(rules.flatMap((rule) => rule.hosts ?? []))];
  const targets = Array.isArray(contract["targets"]) ? contract["targets"].map(String) : [];
  return { name, version, class: its_class, built_in, state, targets, hosts, pending_approval: pending?.approval };
}

const showContract = defineTool({
  name: "show_contract",
  title: "What a contract allows",
  description:
    "Gives one contract: what it allows in sentences, and its document as it was applied, in YAML, which is where a change to it begins. Its `version` is what propose_contract takes as `if_version`.",
  input: z.strictObject({
    name: contract_name,
    offset: count.min(0).default(0).describe("Where in a long document to begin."),
  }),
  output: z.object({
    name: z.string(),
    version: count,
    class: z.string(),
    built_in: z.boolean(),
    state: z.string(),
    words: z.array(z.string()),
    document: textPart.describe("YAML."),
    pending: z.object({ version: count, approval: z.string() }).optional(),
  }),
  annotations: reads,
  scopes: ["contract:read"],
  async call({ name, offset }, { gantry }) {
    const summary = await gantry.contracts.get(name);
    const { version, class: its_class, built_in, state, pending } = summary;
    const { source } = await gantry.contracts.version(name, version);
    const document = partOf(source ?? yamlOf(summary.contract), offset);
    const words = wordsOf(summary);
    const told = [
      ...words,
      built_in ? "Complete, as every contract that extends it inherits it:" : "The document as it was applied:",
      quoted(document.text, "yaml"),
      ...(document.next_offset === undefined
        ? []
        : [`For the rest: show_contract with offset ${document.next_offset}.`]),
      built_in
        ? "It is built in and cannot be changed: propose a contract of another name that extends it."
        : `To change it: propose_contract with name ${name} and if_version ${version}.`,
    ];
    const waits = pending === null ? undefined : { version: pending.version, approval: pending.approval };
    const structured = { name, version, class: its_class, built_in, state, words, document, pending: waits };
    return { structured, text: told.join("\n") };
  },
});

const testCall = defineTool({
  name: "test_call",
  title: "Would this call be let out?",
  description:
    "Says whether a contract lets a call out, without looking anything up or sending anything, and for a denial gives the narrowest rule that would allow it. Use it before you write code that calls something. Addresses are judged only when a run really calls.",
  input: z.strictObject({
    contract: contract_name,
    url: z.string().min(1).max(4_096).describe("As the code would call it."),
    method: z.string().max(32).default("GET"),
  }),
  output: z.object({
    verdict: z.enum(["allow", "deny", "needs_human"]),
    rule: z.string().optional().describe("The rule that decides."),
    code: z.string().optional(),
    detail: z.string().optional(),
    next_steps: z.array(nextStep),
  }),
  annotations: reads,
  scopes: ["contract:read"],
  async call({ contract, url, method }, { gantry, signal }) {
    const said = await gantry.egress.test({ contract, url, method }, { signal });
    const steps = (said.next_steps ?? []).map(withYaml);
    const by = said.rule === undefined ? "" : ` by the rule ${said.rule}`;
    const why = said.detail === undefined ? "" : ` ${said.code ?? ""}: ${said.detail}`;
    const text = [`${said.verdict}: ${method} ${url} under ${contract}${by}.${why}`, ...stepLines(steps)].join("\n");
    const { verdict, rule, code, detail } = said;
    return { structured: { verdict, rule, code, detail, next_steps: steps }, text };
  },
});

const explainDecision = defineTool({
  name: "explain_decision",
  title: "Why is this allowed, or not?",
  description:
    "Explains a decision: of a run that was decided, by its id; or of an action that you think of, by contract, action and resource. Says the verdict, the reasons, the rules that count with their lines in the document, what people must approve, and what would allow it. Nothing is done. For calls that leave a run use test_call.",
  input: z.strictObject({
    run: z.string().max(64).optional().describe("A run's id; then nothing else is needed."),
    contract: z.string().max(63).optional().describe("Default `scratch`."),
    action: z.string().max(64).optional().describe("As `run.submit`, `tool.call`, `flag.raise`, `app.deploy`."),
    resource: z.string().max(2_048).optional().describe("`<kind>:<name>`, as `code:any` or `repo:work/app`."),
    context: z
      .record(z.string(), z.unknown())
      .optional()
      .describe("What is known: target, tool, args, limits, percent and so on."),
  }),
  output: z.object({
    verdict: z.enum(["allow", "deny", "needs_human"]),
    contract: z.object({ name: z.string(), version: count }),
    reasons: z.array(z.object({ code: z.string(), detail: z.string() })),
    gates: z.array(z.object({ on: z.string(), name: z.string(), quorum: count })),
    rules: z.array(z.object({ at: z.string(), code: z.string().nullable(), line: count.nullable(), text: z.string() })),
    allowed_by: z.array(z.string()),
  }),
  annotations: reads,
  scopes: ["contract:read", "run:read"],
  async call({ run, contract, action, resource, context }, { gantry }) {
    if (run !== undefined) return explained(await gantry.policy.explainRun(run));
    if (action === undefined || resource === undefined) {
      throw new GantryError(mcp_errors.ARGUMENTS, {
        detail: "explain_decision needs a `run`, or an `action` and a `resource`.",
        next_steps: [
          { kind: "change", text: 'For a run under a contract ask: action "run.submit", resource "code:any".' },
        ],
      });
    }
    return explained(await gantry.policy.explain({ ...present({ contract, context }), action, resource }));
  },
});

function explained({ verdict, contract, reasons, gates, rules, allowed_by }: PolicyExplanation) {
  const text = [
    `${verdict} under ${contract.name}@${contract.version}.`,
    ...reasons.map(({ code, detail }) => `- ${code}: ${detail}`),
    ...gates.map(({ on, name, quorum }) => `- gate ${name} on ${on}: ${quorum} must approve`),
    ...rules.map(
      ({ at, line, text: said }) => `- ${at}${line === null ? "" : `, line ${line}`}: ${cutTo(said, SENTENCE_CHARS)}`,
    ),
    ...(allowed_by.length === 0 ? [] : ["What would allow it:", ...allowed_by.map((each) => `- ${each}`)]),
  ].join("\n");
  const asked = gates.map(({ on, name, quorum }) => ({ on, name, quorum }));
  return { structured: { verdict, contract, reasons, gates: asked, rules, allowed_by }, text };
}

/** Looking at what code may do. */
export const contract_tools: readonly Tool[] = [listContracts, showContract, testCall, explainDecision];
