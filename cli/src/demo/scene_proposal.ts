import { readFile } from "node:fs/promises";
import { join } from "node:path";
import { isApiError } from "@gantry/sdk";
import { type Cast, CONTRACT, lookAt, type Opening, SECRET } from "./cast.ts";
import { proposalOf, type Rule } from "./proposal.ts";
import { performTask } from "./scene_refusal.ts";
import type { Stage } from "./stage.ts";

/** What waits after the third scene. */
export interface Proposal {
  approval: string;
  version: number;
}

/** Scene 3: the agent proposes the rule and the use of a secret; it waits for a person, and changes nothing until then. */
export async function playProposal(stage: Stage, cast: Cast, opening: Opening, rules: Rule[]): Promise<Proposal> {
  const { house, secret, examples, tracker } = cast;
  const sealed = await house.owner.secrets.set(SECRET, secret, { signal: stage.signal });
  stage.claim(
    `the owner has sealed ${SECRET}, version ${sealed.version}; nothing gives its value back`,
    !JSON.stringify([sealed, await house.owner.secrets.list()]).includes(secret),
    "an answer held the value",
    "GET /v1/secrets",
  );
  const base = await readFile(join(examples, "first-hour/proposal.yaml"), "utf8");
  const document = proposalOf(base, rules, { name: SECRET, slot: "bearer" });
  const agent = house.as(opening.agent.token);
  const answer = await agent.contracts.apply(CONTRACT, document);
  const approval = "approval" in answer ? answer.approval : "";
  const { version, state } = answer.contract;
  stage.claim(
    `${CONTRACT}@${version}, as the agent proposes it, waits for a person`,
    approval !== "" && state === "pending" && answer.delta.loosens,
    `${state}, ${JSON.stringify(answer.delta)}`,
    "gantry contracts list",
  );
  stage.row("approval", approval);
  cast.names.set(approval, "of the proposal");
  const active = await house.owner.contracts.get(CONTRACT);
  const run = await performTask(cast, opening, stage.signal);
  stage.claim(
    `nothing of it holds: the same task under ${CONTRACT}@${run.contract.version} is refused as before`,
    active.version === run.contract.version && run.termination === "threw" && tracker.calls.length === 0,
    `${CONTRACT}@${run.contract.version}, ${run.termination}, ${tracker.calls.length} calls at the tracker`,
    lookAt(run),
  );
  const refusal = await ownVote(cast, opening, approval);
  stage.claim(
    `the agent's own yes does not count: ${refusal}`,
    refusal === "APPROVAL_NOT_HUMAN",
    refusal,
    `gantry approvals show ${approval}`,
  );
  stage.fact("approval", approval);
  stage.fact("version", version);
  stage.fact("active_version", active.version);
  stage.fact("run", run.id);
  stage.fact("termination", run.termination);
  stage.fact("own_vote", refusal);
  return { approval, version };
}

/** @returns the code by which the agent's vote on its own proposal is refused, or what became of it. */
async function ownVote({ house }: Cast, { agent }: Opening, approval: string): Promise<string> {
  const { statement_hash } = await house.owner.approvals.get(approval);
  try {
    const view = await house.as(agent.token).approvals.vote(approval, { vote: "approve", statement_hash });
    return `it was taken, and the approval is ${view.status}`;
  } catch (error) {
    if (isApiError(error)) return error.code;
    throw error;
  }
}
