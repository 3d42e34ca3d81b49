import type { Gantry, RunRequest, RunView } from "@gantry/sdk";
import { usageText } from "../render.ts";
import type { House } from "./house.ts";
import { requestOf } from "./plan.ts";
import type { Stage } from "./stage.ts";
import type { Tracker } from "./tracker.ts";

/** The contract that the story is about, and the secret that it comes to name. */
export const CONTRACT = "first-hour";
export const SECRET = "tracker-token";
/** What the agent's program finds its lease under. */
export const SECRET_VARIABLE = "TRACKER_TOKEN";
export const TARGET = "staging";
/** What the agent may do: start runs and look at them, read contracts, propose changes. Not more. */
export const AGENT_SCOPES = ["run:submit", "run:read", "contract:read", "contract:propose"];
export const REPORT = "csv-report/main.ts";
export const ORDERS = "csv-report/orders.csv";
export const TASK = "first-hour/main.ts";

/** What is there before the first scene. */
export interface Cast {
  house: House;
  tracker: Tracker;
  /** The value of the secret, which the tracker knows, too. */
  secret: string;
  /** The directory of the examples. */
  examples: string;
  /** A directory for files that somebody takes away. */
  desk: string;
  /** What a reader calls a run or an actor, by its id. */
  names: Map<string, string>;
}

/** What the first scene leaves to the others. */
export interface Opening {
  agent: { id: string; token: string };
  report: RunView;
  /** The order rows that the report could not count. */
  rejected: { line: number; id: string; reason: string }[];
  /** Files of the auditor: the log's public key, and a checkpoint of the log as it was then. */
  key_file: string;
  checkpoint_file: string;
}

/** One run of a program of the examples, until its end. Its id gets the program's name. */
export async function perform(
  gantry: Gantry,
  { examples, names }: Pick<Cast, "examples" | "names">,
  part: { file: string; input?: unknown } & Omit<RunRequest, "code" | "input">,
  signal: AbortSignal,
): Promise<RunView> {
  const { file, input, ...rest } = part;
  const asked = await requestOf({ name: file, title: file, file, input }, examples);
  const run = await gantry.runs.submit({ ...asked, ...rest, why: `gantry demo: ${file}` }, { signal });
  names.set(run.id, nameOf(file));
  return run.state === "ended" ? run : gantry.runs.wait(run.id, { signal });
}

/** `csv-report/main.ts` is `csv-report`, and `first-hour/take.ts` is `first-hour/take`. */
function nameOf(file: string): string {
  return file.replace(/(\/main)?\.ts$/, "");
}

/** How a run ended and what it used, and where the ledger has it. */
export function sayRun(stage: Stage, run: RunView): void {
  const ending = run.termination ?? run.state;
  stage.row("run", run.id);
  stage.row(stage.paint(ending === "completed" ? "green" : "yellow", ending), usageText(run));
}

/** Where to look at a run after the story. */
export function lookAt(run: RunView): string {
  return `gantry demo --keep keeps the data; gantry up on it and gantry timeline ${run.id} say what happened`;
}
