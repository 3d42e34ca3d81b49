import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join, relative } from "node:path";
import { type Gantry, isApiError, isConnectionError, type RunRequest, type RunView } from "@gantry/sdk";
import { briefLines } from "../brief.ts";
import { EXIT } from "../exit.ts";
import { Failure } from "../failure.ts";
import { demandServer, type Installation } from "../installation.ts";
import { blockedText, no_sources, problemText, usageText } from "../render.ts";
import type { Terminal } from "../terminal.ts";
import { count, cut, duration, type Paint, paintFor, wrap } from "../text.ts";
import { type DemoItem, findDifference, readPlan, requestOf } from "./plan.ts";
import { startServer } from "./server.ts";

const WIDTH = 80;
const RESULT_LINES = 8;
const INDENT = "     ";
/** Once the server says this, no other program will fare better. */
const HOPELESS = ["RUNNER_NO_JAIL", "EVIDENCE_UNAVAILABLE"];

/** What became of one program. */
interface DemoOutcome {
  name: string;
  title: string;
  /** Absent when the run was refused. */
  run?: RunView;
  /** A sentence; absent when all is as promised. */
  difference?: string;
}

/** The flags of `gantry demo --programs`. */
export interface ProgramsOptions {
  keep: boolean;
  json: boolean;
}

/**
 * Starts a server on a fresh directory, runs every program of `examples/demo.json`, shows what each did and where
 * the ledger says so, and takes the server and the directory away again.
 * @returns the exit code: 0 if every outcome is as promised, else 1.
 */
export async function runPrograms(io: Terminal, installation: Installation, options: ProgramsOptions): Promise<number> {
  const program = demandServer(installation);
  const plan = await readPlan(installation.examples);
  const paint = paintFor(io.stdout, io.env);
  const print = options.json ? () => undefined : (text: string) => io.stdout.write(`${text}\n`);
  const data = await mkdtemp(join(tmpdir(), "gantry-demo-"));
  const stop = new AbortController();
  const release = io.onInterrupt(() => stop.abort(new Failure(EXIT.cancelled, "The demo was stopped.")));
  const began = performance.now();
  try {
    const server = await startServer(program, data, { ...io.env });
    try {
      print(`${paint("bold", "Gantry demo")}: ${count(plan.length, "program")}, each in a jailed process of its own`);
      print(paint("dim", `${server.url}, data in ${data}`));
      const outcomes = await runAll(plan, server.gantry, installation.examples, stop.signal, print, paint);
      if (options.json) io.stdout.write(`${JSON.stringify(outcomes)}\n`);
      print(recapText(outcomes, plan.length, performance.now() - began, paint));
      print(nextText(plan, relative(io.cwd, installation.examples) || ".", paint));
      return outcomes.length === plan.length && outcomes.every((one) => one.difference === undefined)
        ? EXIT.completed
        : EXIT.threw;
    } finally {
      await server.stop();
    }
  } finally {
    release();
    if (options.keep) io.stderr.write(`The data stays in ${data}.\n`);
    else await rm(data, { recursive: true, force: true });
  }
}

async function runAll(
  plan: readonly DemoItem[],
  gantry: Gantry,
  examples: string,
  signal: AbortSignal,
  print: (text: string) => void,
  paint: Paint,
): Promise<DemoOutcome[]> {
  const outcomes: DemoOutcome[] = [];
  for (const [i, item] of plan.entries()) {
    signal.throwIfAborted();
    print(
      `\n${paint("bold", `${String(i + 1).padStart(2)}/${plan.length}`)}  ${paint("bold", cut(item.title, WIDTH - 7))}`,
    );
    print(paint("dim", `${INDENT}examples/${item.file}`));
    try {
      const run = await runOne(item, gantry, examples, signal);
      const difference = await findDifference(item, run, examples);
      outcomes.push({ name: item.name, title: item.title, run, ...(difference === undefined ? {} : { difference }) });
      print(await outcomeText(run, gantry, paint));
      if (difference !== undefined) print(`${INDENT}${paint("red", difference)}`);
    } catch (error) {
      if (!isApiError(error) || signal.aborted || isConnectionError(error)) throw error;
      outcomes.push({ name: item.name, title: item.title, difference: `${item.name} was refused: ${error.message}` });
      print(problemText(error.problem, no_sources, paint).trimEnd());
      if (HOPELESS.includes(error.code)) break;
    }
  }
  return outcomes;
}

async function runOne(item: DemoItem, gantry: Gantry, examples: string, signal: AbortSignal): Promise<RunView> {
  const asked = await requestOf(item, examples);
  const request: RunRequest = { ...asked, isolation: "process", why: `gantry demo: ${item.name}` };
  const run = await gantry.runs.submit(request, { signal });
  return run.state === "ended" ? run : gantry.runs.wait(run.id, { signal });
}

/** Result, ending and use, blocked calls, and the ledger's entries, each looked up in the ledger itself. */
async function outcomeText(run: RunView, gantry: Gantry, paint: Paint): Promise<string> {
  const lines = run.termination === "completed" ? briefLines(run.result, WIDTH - INDENT.length, RESULT_LINES) : [];
  const ended = run.termination ?? run.state;
  const tone = ended === "completed" ? "green" : "yellow";
  lines.push(`${paint(tone, ended.padEnd(9))}  ${usageText(run)}`);
  if (run.error !== undefined && ended !== "completed") lines.push(...labelled("stopped", run.error.detail));
  const blocked = run.blocked ?? [];
  if (blocked.length > 0) lines.push(...labelled("blocked", blockedText(blocked)));
  for (const id of run.evidence.entries) {
    const entry = await gantry.evidence.get(id);
    lines.push(`${paint("dim", "ledger   ")}  ${entry.id}  ${entry.kind}`);
  }
  return lines.map((line) => INDENT + line).join("\n");
}

function labelled(label: string, text: string): string[] {
  const indent = " ".repeat(11);
  const [first = "", ...rest] = wrap(text, WIDTH - INDENT.length, indent).split("\n");
  return [label.padEnd(9) + first.slice(9), ...rest];
}

/** Counts over all outcomes, and each that differs. */
function recapText(outcomes: readonly DemoOutcome[], planned: number, took_ms: number, paint: Paint): string {
  const endings = new Map<string, number>();
  let entries = 0;
  let blocked = 0;
  for (const { run } of outcomes) {
    const ending = run?.termination ?? "refused";
    endings.set(ending, (endings.get(ending) ?? 0) + 1);
    entries += run?.evidence.entries.length ?? 0;
    blocked += (run?.blocked ?? []).reduce((sum, call) => sum + call.count, 0);
  }
  const ended = [...endings].map(([ending, n]) => `${n} ${ending}`).join(", ");
  const rows = [
    `${count(outcomes.length, "program")} of ${planned}: ${ended}`,
    `${count(blocked, "call")} blocked, ${count(entries, "ledger entry", "ledger entries")}, ${duration(took_ms)} in all`,
  ];
  const differing = outcomes.flatMap(({ difference }) => (difference === undefined ? [] : [difference]));
  if (differing.length === 0 && outcomes.length === planned) {
    rows.push(paint("green", "Every outcome is as expected."));
  } else {
    rows.push(...differing.map((difference) => paint("red", difference)));
    if (outcomes.length < planned) rows.push(paint("red", `${planned - outcomes.length} were not run.`));
  }
  return `\n${paint("bold", "Recap")}\n${rows.map((row) => wrap(row, WIDTH, "  ")).join("\n")}`;
}

function nextText(plan: readonly DemoItem[], examples: string, paint: Paint): string {
  const item = plan.find((one) => typeof one.input === "string" && one.input.startsWith("@")) ?? plan[0];
  const input = typeof item?.input === "string" ? ` \\\n      --input @${examples}/${item.input.slice(1)}` : "";
  return [
    `\n${paint("bold", "Next")}`,
    `  ${paint("cyan", "npx gantry up")}`,
    "      a server that stays, on ./.gantry; then, in another terminal:",
    `  ${paint("cyan", `npx gantry run ${examples}/${item?.file}${input}`)}`,
    `  ${paint("cyan", "npx gantry evidence list")}`,
  ].join("\n");
}
