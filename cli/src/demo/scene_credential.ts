import type { RunView } from "@gantry/sdk";
import { briefLines } from "../brief.ts";
import { type Cast, CONTRACT, lookAt, type Opening, perform, SECRET, SECRET_VARIABLE, sayRun, TARGET } from "./cast.ts";
import { masked } from "./proposal.ts";
import { performApproved } from "./scene_refusal.ts";
import { ROOM, type Stage } from "./stage.ts";

const RESULT_LINES = 6;

/** What the task gives back. */
interface Outcome {
  issues_read?: number;
  known?: string[];
  opened?: { number: number; rows: number } | null;
}

/** Scene 5: the same program reads and writes at the real tracker; the credential is put in where the call leaves. */
export async function playCredential(stage: Stage, cast: Cast, opening: Opening): Promise<void> {
  const { tracker, secret, house } = cast;
  const before = tracker.issues.length;
  const run = await performApproved(cast, opening, stage.signal);
  if (run.termination === "completed") stage.block(briefLines(run.result, ROOM, RESULT_LINES));
  sayRun(stage, run);
  const outcome = (run.result ?? {}) as Outcome;
  stage.claim(
    `it read the ${before} issues: ${outcome.known?.length ?? 0} of ${opening.rejected.length} rows are known`,
    run.termination === "completed" && outcome.issues_read === before,
    run.error?.detail ?? outcome,
    lookAt(run),
  );
  const opened = tracker.issues.find(({ number }) => number === outcome.opened?.number);
  stage.claim(
    `the tracker has a new issue: #${opened?.number}, "${opened?.title}"`,
    tracker.issues.length === before + 1 && opened?.body.split("\n").length === outcome.opened?.rows,
    { opened, outcome },
    lookAt(run),
  );
  const calls = tracker.calls.map(({ method, status }) => `${method} ${status}`);
  stage.claim(
    `the tracker saw ${calls.join(", ")}, each with the secret itself`,
    calls.join() === "GET 200,POST 201" && tracker.calls.every((call) => call.authorization === `Bearer ${secret}`),
    calls,
    lookAt(run),
  );
  const lease = await demandLease(stage, cast, opening, run);
  const outside = await fetch(tracker.url, { headers: { authorization: `Bearer ${lease}` }, signal: stage.signal });
  await outside.text();
  stage.claim("outside of its run, the lease opens nothing: 401", outside.status === 401, outside.status, tracker.url);
  const kinds = await kindsOf(cast, run);
  stage.claim(
    "the POST was on record before it left: effect.intended, then effect.ended",
    kinds.indexOf("effect.intended") >= 0 && kinds.indexOf("effect.ended") > kinds.indexOf("effect.intended"),
    kinds,
    lookAt(run),
  );
  stage.fact("run", run.id);
  stage.fact("termination", run.termination);
  stage.fact("result", run.result);
  stage.fact("egress", run.egress);
  stage.fact("tracker_calls", calls);
  stage.fact("lease", masked(lease));
  stage.fact("entries", run.evidence.entries);
  stage.fact("contract", `${run.contract.name}@${run.contract.version}`);
  stage.fact("url", house.url);
}

/** A program that takes along what it holds gets a lease, and nowhere is there the secret. */
async function demandLease(stage: Stage, cast: Cast, { agent }: Opening, task: RunView): Promise<string> {
  const { house, secret } = cast;
  const part = { file: "first-hour/take.ts", contract: CONTRACT, target: TARGET };
  const taken = await perform(house.as(agent.token), cast, part, stage.signal);
  const env = (taken.result ?? {}) as Record<string, unknown>;
  const lease = typeof env[SECRET_VARIABLE] === "string" ? env[SECRET_VARIABLE] : "";
  stage.row("env", `${SECRET_VARIABLE} = ${masked(lease)}`);
  stage.claim(
    "the agent's environment holds a lease, and not the secret",
    lease.startsWith("gl_") && !JSON.stringify(env).includes(secret),
    Object.keys(env),
    lookAt(taken),
  );
  const told = [JSON.stringify(task), JSON.stringify(taken)];
  for (const { id } of [task, taken]) {
    for await (const line of house.owner.runs.logs(id)) told.push(line.text);
    told.push(await house.owner.timelines.markdown({ ref: id }));
  }
  stage.claim(
    `${SECRET} is in no result, log or ledger entry of these runs`,
    !told.join("\n").includes(secret),
    "the secret was found",
    lookAt(task),
  );
  return lease;
}

/** The kinds of the entries that name a run, oldest first. */
async function kindsOf({ house }: Cast, run: RunView): Promise<string[]> {
  const kinds: string[] = [];
  for await (const { items } of house.owner.evidence.pages({ ref: run.id }))
    kinds.push(...items.map(({ kind }) => kind));
  return kinds;
}
