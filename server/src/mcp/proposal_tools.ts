import type { AppliedContract, ContractDelta, Gantry, NextStep, ProposedContract } from "@gantry/sdk";
import { z } from "zod";
import { GantryError } from "../kernel/errors.ts";
import { MCP_DELTA_LINES_MAX, MCP_DOCUMENT_CHARS_MAX, MCP_RULES_MAX, mcp_errors } from "./contract.ts";
import { withRules } from "./document_rules.ts";
import { stepLines } from "./refusal.ts";
import { nextStep, step } from "./run_view.ts";
import { defineTool, type Tool } from "./tool.ts";

const count = z.int();
const deltaLine = z.object({ at: z.string(), change: z.string(), loosens: z.boolean(), text: z.string() });

const EXAMPLE = `kind: Contract
name: tickets
extends: read-only        # or staging-mutation, production, temporary, scratch
egress:
  - id: read
    hosts: [tickets.example.com]
    protocol: https
    methods: [GET]
    paths: ["/v1/*"]`;

const proposeContract = defineTool({
  name: "propose_contract",
  title: "Propose what code may do",
  description: `Proposes a contract, or a change of one. What only tightens is in force at once. What loosens anything waits for people: the answer then has an approval, which await_approval waits for; until they approve, what is active stays so. Nobody can approve their own proposal.

Give either \`add_egress\`, rules to add in front of those that the contract has (the rules that a refusal offers, as YAML text or as objects), or \`document\`, the whole contract in YAML or JSON:

${EXAMPLE}

Ask for the least that the task needs: one host, one method, one path; people see every line that widens. With \`preview\` nothing is proposed and the answer says what would change. \`if_version\` is the version that you read with show_contract (0: there was none yet); if another one is active by now, the proposal is refused with CONTRACT_CONFLICT and loses nothing: read again, and propose anew. With \`add_egress\` the version is known without you. A proposal takes the place of one of the same contract that still waits.`,
  input: z.strictObject({
    name: z.string().min(1).max(63).describe("The contract's name: letters, digits and -."),
    document: z.string().max(MCP_DOCUMENT_CHARS_MAX).optional().describe("The whole contract, YAML or JSON."),
    add_egress: z
      .union([z.string().max(MCP_DOCUMENT_CHARS_MAX), z.array(z.record(z.string(), z.unknown())).max(MCP_RULES_MAX)])
      .optional()
      .describe("Rules to add to the contract as it is: YAML text, or objects."),
    if_version: count.min(0).optional().describe("The version that you have read; 0: there is none."),
    preview: z.boolean().default(false).describe("Only say what would change."),
  }),
  output: z.object({
    name: z.string(),
    outcome: z.enum(["in_force", "pending", "unchanged", "preview"]),
    version: count.optional(),
    loosens: z.boolean(),
    changes: z.array(deltaLine),
    changes_left_out: count.describe("How many lines of the change are not shown."),
    approval: z.string().optional().describe("For await_approval."),
    approval_page: z.string().optional().describe("Where a person decides, in a browser."),
    next_steps: z.array(nextStep),
  }),
  annotations: { readOnlyHint: false, destructiveHint: false, idempotentHint: true, openWorldHint: false },
  scopes: ["contract:propose", "contract:read"],
  async call({ name, document, add_egress, if_version, preview }, { gantry, caller }) {
    const proposed = await documentOf(gantry, name, { document, add_egress, if_version });
    if (preview) {
      const { delta } = await gantry.contracts.diff(name, proposed.text);
      return answer(name, "preview", delta, { steps: [step("change", "Leave `preview` out to propose it.")] });
    }
    const options = proposed.if_version === undefined ? {} : { if_version: proposed.if_version };
    const applied = await gantry.contracts.apply(name, proposed.text, options);
    return appliedAnswer(name, applied, caller.origin);
  },
});

interface Asked {
  document: string | undefined;
  add_egress: string | Record<string, unknown>[] | undefined;
  if_version: number | undefined;
}

/** @throws MCP_ARGUMENTS for both, neither, or rules for a contract that cannot have them. */
async function documentOf(
  gantry: Gantry,
  name: string,
  { document, add_egress, if_version }: Asked,
): Promise<{ text: string; if_version: number | undefined }> {
  if ((document === undefined) === (add_egress === undefined)) {
    throw new GantryError(mcp_errors.ARGUMENTS, {
      detail: "propose_contract takes either `document` or `add_egress`.",
      next_steps: [
        step("change", "For one more rule give `add_egress` alone; for anything else the whole `document`."),
      ],
    });
  }
  if (document !== undefined) return { text: document, if_version };
  const { version, built_in } = await gantry.contracts.get(name);
  const { source } = await gantry.contracts.version(name, version);
  if (built_in || source === null) {
    throw new GantryError(mcp_errors.ARGUMENTS, {
      detail: `${name} is built in and is what it is: rules go into a contract of your own that extends it.`,
      next_steps: [
        step(
          "change",
          `Propose a \`document\` of another name that extends read-only (to read) or staging-mutation (to change), with the rule under egress, and run under that:\n${EXAMPLE}`,
        ),
      ],
    });
  }
  return { text: withRules(source, add_egress ?? []), if_version: if_version ?? version };
}

function appliedAnswer(name: string, applied: AppliedContract | ProposedContract, origin: string) {
  const { delta, contract, changed } = applied;
  const { version } = contract;
  if ("approval" in applied) {
    const page = `${origin}/approvals/${applied.approval}`;
    const steps = [
      step(
        "wait",
        `Call await_approval with ${applied.approval}. It is active when enough people have approved; then run again under ${name}.`,
      ),
      step(
        "command",
        `Tell the person you work for that it waits for them. They decide at ${page}, or`,
        `gantry approve ${applied.approval}`,
      ),
    ];
    return answer(name, "pending", delta, { version, approval: applied.approval, page, steps });
  }
  return answer(name, changed ? "in_force" : "unchanged", delta, { version, steps: [] });
}

type Outcome = "in_force" | "pending" | "unchanged" | "preview";
const OUTCOMES: Record<Outcome, string> = {
  in_force: "is in force now: it loosens nothing",
  pending: "waits for people, because it loosens what holds",
  unchanged: "says what the active version says already; nothing was done",
  preview: "was not proposed; this is what it would change",
};

function answer(
  name: string,
  outcome: Outcome,
  delta: ContractDelta,
  o: { version?: number; approval?: string; page?: string; steps: NextStep[] },
) {
  const changes = delta.lines.slice(0, MCP_DELTA_LINES_MAX);
  const left_out = delta.lines.length - changes.length;
  const text = [
    `${name}${o.version === undefined ? "" : `@${o.version}`} ${OUTCOMES[outcome]}.`,
    ...(o.approval === undefined ? [] : [`Approval: ${o.approval}`]),
    ...changes.map(({ loosens, text: said, at }) => `${loosens ? "+ loosens" : "- tightens"} ${at}: ${said}`),
    ...(left_out === 0 ? [] : [`… and ${left_out} lines more.`]),
    ...stepLines(o.steps),
  ].join("\n");
  const structured = {
    name,
    outcome,
    version: o.version,
    loosens: delta.loosens,
    changes,
    changes_left_out: left_out,
    approval: o.approval,
    approval_page: o.page,
    next_steps: o.steps,
  };
  return { structured, text };
}

export const proposal_tools: readonly Tool[] = [proposeContract];
