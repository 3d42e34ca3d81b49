import type { Approval, Gantry } from "@gantry/sdk";
import { approvalPage } from "../approval_page.ts";
import type { Terminal } from "../terminal.ts";
import type { Cast, Opening } from "./cast.ts";
import { decideAtTerminal } from "./person.ts";
import type { Proposal } from "./scene_proposal.ts";
import { ROOM, type Stage } from "./stage.ts";
import { sayWays } from "./ways.ts";

const ADA = { kind: "human", name: "Ada", subject: "ada@example.com" } as const;

/** Scene 4: what a person sees before deciding, and the decision. @param unattended  nobody can be asked: Ada decides. */
export async function playDecision(
  stage: Stage,
  cast: Cast,
  opening: Opening,
  { approval, version }: Proposal,
  { io, unattended }: { io: Terminal; unattended: boolean },
): Promise<void> {
  const { house } = cast;
  const view = await house.owner.approvals.get(approval);
  const hash = await house.owner.approvals.check(view);
  stage.say("What a person reads first (gantry approvals show):");
  stage.say();
  const page = approvalPage(view, { paint: stage.paint, width: ROOM, now: Date.now() });
  stage.block(page.trimEnd().split("\n"));
  stage.say();
  const decided = unattended ? await playAda(stage, cast, approval) : await decideAtTerminal(stage, cast, approval, io);
  const votes = decided.votes.map(({ actor, vote }) => `${actor} ${vote}`);
  const voter = decided.votes.find(({ vote }) => vote === "approve")?.actor ?? "";
  stage.claim(
    "what was approved is exactly what was shown, and not by the one who asked",
    decided.statement_hash === hash && voter !== "" && voter !== opening.agent.id,
    { status: decided.status, votes },
    `gantry approvals show ${approval}`,
  );
  const { state, version: active } = await house.owner.contracts.get(view.statement.contract?.name ?? "");
  stage.claim(
    `version ${version} of the contract holds now`,
    state === "active" && active === version,
    `version ${active} is ${state}`,
    "gantry contracts list",
  );
  stage.fact("approval", approval);
  stage.fact("status", decided.status);
  stage.fact("statement_hash", hash);
  stage.fact("requester", view.statement.requester);
  stage.fact("voter", voter);
  stage.fact("unattended", unattended);
}

/** A second human, who comes in by a link as people do. */
async function playAda(stage: Stage, { house, names }: Cast, approval: string): Promise<Approval> {
  const ada = await house.owner.actors.create(ADA);
  names.set(ada.id, ADA.name);
  const link = await house.linkFor(ADA.subject);
  stage.say(
    "Nobody is asked here: a second human, Ada, decides. Only who has the store makes a login link, so the server was " +
      "stopped and started again for it.",
  );
  const waits = await house.owner.approvals.get(approval);
  stage.claim(
    "what waited has waited on, over the restart",
    waits.status === "pending",
    waits.status,
    `gantry approvals show ${approval}`,
  );
  await sayWays(stage, house, link, approval);
  const login = await house.as(undefined).session.login(link);
  stage.claim(
    "Ada has logged in by that link, once",
    login.actor === ada.id && !(await worksAgain(house.as(undefined), link)),
    login.actor,
    "gantry actors show ada@example.com",
  );
  const human = house.as(login.token.secret);
  const statement_hash = await human.approvals.check(await human.approvals.get(approval));
  const note = "one address, one path, and the secret stays at the door";
  const decided = await human.approvals.vote(approval, { vote: "approve", statement_hash, note });
  stage.fact("ada", ada.id);
  return decided;
}

async function worksAgain(nobody: Gantry, link: string): Promise<boolean> {
  return nobody.session.login(link).then(
    () => true,
    () => false,
  );
}
