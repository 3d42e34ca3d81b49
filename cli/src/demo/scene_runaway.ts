import { isDeepStrictEqual } from "node:util";
import type { Entry, RunView } from "@gantry/sdk";
import { count, duration } from "../text.ts";
import { type Cast, lookAt, type Opening, ORDERS, perform, REPORT, sayRun } from "./cast.ts";
import { requestOf } from "./plan.ts";
import type { Stage } from "./stage.ts";

const INNOCENTS = 8;
/** Of CPU time: long enough for others to come and go beside it. */
const CPU_MS = 1_500;
const STARTED_MS = 20_000;
const RUNAWAY = { name: "runaway", title: "", file: "runaway/main.ts", input: "@runaway/input.json" };

/** From a run's slot to its end, by the ledger. */
interface Span {
  from: number;
  to: number;
}

/** Scene 6: a program that never ends is ended from outside; the runs beside it do not notice. @returns their ids. */
export async function playRunaway(stage: Stage, cast: Cast, opening: Opening): Promise<string[]> {
  const { house, examples, names } = cast;
  const agent = house.as(opening.agent.token);
  const request = { ...(await requestOf(RUNAWAY, examples)), limits: { cpu_ms: CPU_MS }, wait_ms: 0 };
  const { id } = await agent.runs.submit({ ...request, why: "gantry demo: runaway" }, { signal: stage.signal });
  names.set(id, "runaway");
  const started = await stage.until(async () => {
    const { state } = await agent.runs.get(id, { signal: stage.signal });
    return state === "running" || state === "ended";
  }, STARTED_MS);
  if (!started) stage.claim("the runaway starts", false, `it has not within ${STARTED_MS} ms`, "gantry doctor");
  const part = { file: REPORT, input: `@${ORDERS}`, on_busy: "delay" } as const;
  const innocents = await Promise.all(
    Array.from({ length: INNOCENTS }, () => perform(agent, cast, part, stage.signal)),
  );
  const runaway = await agent.runs.wait(id, { signal: stage.signal });
  stage.row("program", `examples/${RUNAWAY.file}: an endless loop that never yields`);
  sayRun(stage, runaway);
  stage.row("stopped", runaway.error?.detail ?? "");
  stage.claim(
    `the runaway is convicted by its CPU time: ${runaway.termination}`,
    runaway.termination === "cpu_exceeded" && (runaway.usage?.cpu_ms ?? 0) >= CPU_MS,
    runaway.termination,
    lookAt(runaway),
  );
  const endings = innocents.map(({ termination }) => termination ?? "unknown");
  const good = innocents.filter(({ result }) => isDeepStrictEqual(result, opening.report.result));
  stage.claim(
    `${good.length} innocent runs beside it completed, each with the result of scene 1`,
    good.length === INNOCENTS && endings.every((ending) => ending === "completed"),
    endings,
    lookAt(innocents.find(({ termination }) => termination !== "completed") ?? runaway),
  );
  const beside = await besideOf(cast, runaway, innocents);
  stage.claim(
    `${beside.length === INNOCENTS ? "all" : beside.length} of them ran while it looped, by the ledger's times`,
    beside.length > 0,
    "none did",
    lookAt(runaway),
  );
  const walls = innocents.map(({ timing }) => (timing?.startup_ms ?? 0) + (timing?.completion_ms ?? 0));
  stage.row("they took", `${duration(Math.min(...walls))} to ${duration(Math.max(...walls))} each`);
  stage.fact("runaway", { run: runaway.id, termination: runaway.termination, usage: runaway.usage });
  stage.fact(
    "innocents",
    innocents.map(({ id, termination }) => ({ run: id, termination })),
  );
  stage.fact("beside", beside.length);
  stage.fact("said", `${count(INNOCENTS, "run")} beside it`);
  return innocents.map((one) => one.id);
}

/** Those whose time has a moment in common with the runaway's. */
async function besideOf({ house }: Cast, runaway: RunView, innocents: readonly RunView[]): Promise<RunView[]> {
  const spanOf = async ({ evidence }: RunView): Promise<Span> => {
    const entries = await Promise.all(evidence.entries.map((entry) => house.owner.evidence.get(entry)));
    return { from: atOf(entries, "run.admitted"), to: atOf(entries, "run.ended") };
  };
  const loop = await spanOf(runaway);
  const spans = await Promise.all(innocents.map(spanOf));
  return innocents.filter((_, at) => overlap(loop, spans[at]));
}

function atOf(entries: readonly Entry[], kind: string): number {
  return entries.find((entry) => entry.kind === kind)?.at ?? Number.NaN;
}

/** Unknown times overlap with nothing. */
export function overlap(one: Span, other: Span | undefined): boolean {
  return other !== undefined && one.from < other.to && other.from < one.to;
}
