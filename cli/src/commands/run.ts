import { join, relative } from "node:path";
import type { Gantry, Isolation, Lane, Limits, RunRequest, RunView } from "@gantry/sdk";
import type { ArgsDef, ParsedArgs } from "citty";
import { type Command, command, type Repeated } from "../arguments.ts";
import { type Collected, collect } from "../collect.ts";
import { connect, connectAsNobody, data_arg, json_arg } from "../connect.ts";
import { execute, exitOfExecuted, waitingText } from "../execute.ts";
import { EXIT, exitOfError } from "../exit.ts";
import { usage } from "../failure.ts";
import { readInput, readPrompt } from "../input.ts";
import { resultText, runErrorText, type Sources, summaryText } from "../render.ts";
import { reportError } from "../report.ts";
import type { Terminal } from "../terminal.ts";
import { duration, type Paint, paintFor, visible } from "../text.ts";
import { parsePairs, wholeNumber } from "../values.ts";

/** Names that `--limit` takes, with their units. */
const LIMITS = [
  "cpu_ms",
  "wall_ms",
  "memory_mb",
  "input_bytes_max",
  "output_bytes_max",
  "code_bytes_max",
  "modules_max",
  "log_bytes_max",
] as const satisfies (keyof Limits)[];

const args = {
  file: {
    type: "positional",
    required: true,
    description: "a .ts or .js file; what it imports by relative name goes with it",
  },
  input: { type: "string", valueHint: "JSON|@FILE|-", description: "what the code gets; default null" },
  contract: { type: "string", valueHint: "NAME", description: "what the code may do; default scratch" },
  lane: { type: "enum", options: ["interactive", "batch"], description: "batch yields to people who wait" },
  isolation: {
    type: "enum",
    options: ["pooled", "session", "process"],
    description: "whom it shares its process with (see below); default: what the contract says",
  },
  session: { type: "string", valueHint: "ID", description: "the session it belongs to; implies --isolation session" },
  limit: { type: "string", valueHint: "NAME=N ...", description: `${LIMITS.slice(0, 3).join(", ")}, … (repeatable)` },
  var: { type: "string", valueHint: "NAME=TEXT ...", description: "a plain value in env (repeatable)" },
  target: { type: "string", valueHint: "NAME", description: "the environment that it acts on" },
  why: { type: "string", valueHint: "TEXT", description: "why it runs; becomes part of the record" },
  task: { type: "string", valueHint: "FILE", description: "what gantry tasks sign made for this very run" },
  "code-signature": { type: "string", valueHint: "FILE", description: "what gantry tasks sign --code made" },
  prompt: {
    type: "string",
    valueHint: "TEXT|@FILE|-",
    description: "what the agent was told; recorded as the contract says",
  },
  async: { type: "boolean", description: "print the run's id and do not wait for its end" },
  timeout: { type: "string", valueHint: "MS", description: "cancel the run if it has not ended by then" },
  "on-busy": { type: "enum", options: ["reject", "delay", "downgrade"], description: "when there is no room" },
  "idempotency-key": { type: "string", valueHint: "KEY", description: "same key and request: the same run" },
  ...data_arg,
  ...json_arg,
} satisfies ArgsDef;

/** `gantry run FILE` */
export function runCommand(io: Terminal): Command {
  return command({
    summary: "run a file of code in a jail, and see what it did",
    args,
    notes: [
      "The result goes to standard output, the log and a summary to standard error.",
      "--input @x.json sends JSON; @x with any other ending sends the file's text as one string.",
      "In every isolation a run has an isolate of its own, in a jail, and is alone in its process while it runs.",
      "pooled: the process goes on to runs of the same tenant, actor, contract and snapshot. The quickest: it costs no process.",
      "session: the process goes on to such runs of the same --session only. As quick, and the runs of a session wait for each other.",
      "process: the process has served nobody and is killed afterwards. The strongest: each run costs the start of a process.",
      "Where the contract asks for people, the run waits, holds no slot, and goes on when they approve it (--async does not wait).",
      "Exit codes: 0 completed, 1 threw or did not load, 2 wrong usage or input, 3 denied or declined, 4 past a limit, " +
        "5 no room or expired, 6 lost, 130 cancelled.",
    ],
    examples: [
      ["gantry run main.ts", "run it with the input null"],
      ["gantry run main.ts --input '{\"a\": 1}'", "with an input"],
      ["gantry run report.ts --input @orders.csv", "with the text of a file"],
      ["gantry run main.ts --limit cpu_ms=200 --limit memory_mb=64", "with less than it would get"],
      ["gantry run main.ts --session s1", "in the process that earlier runs of the session used"],
      ["gantry run main.ts --isolation process", "in a process that nothing else has used or will use"],
      ["gantry run main.ts --contract prod --target eu --why 'fix 12'", "what people must approve: it waits for them"],
      ["gantry run main.ts --json | jq .termination", "for programs"],
    ],
    async run(given, repeated) {
      const paint = paintFor(io.stderr, io.env);
      const timeout_ms = given.timeout === undefined ? undefined : wholeNumber("--timeout", given.timeout);
      const asked = requestOf(given, repeated);
      if (given.input === "-" && given.prompt === "-")
        throw usage("--input and --prompt cannot both be standard input.");
      const input = await readInput(given.input, io);
      const prompt = given.prompt === undefined ? {} : { prompt: await readPrompt(given.prompt, io) };
      const collected = await collect(given.file, io.cwd);
      const code = { entry: collected.entry, modules: collected.modules };
      const signed = await signedParts(given, io);
      const request: RunRequest = { ...asked, ...prompt, ...signed, code, input };
      const gantry = await connect(given.data, io);
      const json = given.json === true;
      const sources = sourcesOf(collected, io.cwd);
      // A signed task stands for its issuer's token, which ours need not be.
      const submitter = signed.task === undefined ? gantry : await connectAsNobody(given.data, io);
      const options = { idempotency_key: given["idempotency-key"], timeout_ms, submitter };
      try {
        if (given.async === true) return await submitOnly(submitter, request, options.idempotency_key, json, io);
        const executed = await execute(gantry, request, io, paint, options);
        printEnded(executed.view, sources, json, io, paint);
        if (executed.stopped === "timeout" && executed.view.termination === "cancelled") {
          io.stderr.write(`It did not end within ${duration(timeout_ms ?? 0)} (--timeout), so it was cancelled.\n`);
        }
        return exitOfExecuted(executed);
      } catch (error) {
        // Here and not further up, because here the sources are known that a refusal may point into.
        reportError(error, json, io, sources);
        return exitOfError(error);
      }
    },
  });
}

async function submitOnly(
  gantry: Gantry,
  request: RunRequest,
  key: string | undefined,
  json: boolean,
  io: Terminal,
): Promise<number> {
  const options = key === undefined ? {} : { idempotency_key: key };
  const view = await gantry.runs.submit({ ...request, wait_ms: 0 }, options);
  io.stdout.write(json ? `${JSON.stringify(view)}\n` : `${view.id}\n`);
  if (view.state === "waiting_approval") io.stderr.write(waitingText(view, paintFor(io.stderr, io.env)));
  else io.stderr.write(`${view.state}. See it: npx gantry runs show ${view.id}\n`);
  return EXIT.completed;
}

/** The members of the request that flags give, checked. */
function requestOf(given: ParsedArgs<typeof args>, repeated: Repeated): Omit<RunRequest, "code" | "input"> {
  const limits = parseLimits(repeated("limit"));
  const vars = parsePairs("--var", repeated("var"));
  // The argument parser has held the enums against their options already.
  const on_busy = given["on-busy"] as RunRequest["on_busy"];
  return {
    ...(given.contract === undefined ? {} : { contract: given.contract }),
    ...(given.lane === undefined ? {} : { lane: given.lane as Lane }),
    ...isolationOf(given.isolation as Isolation | undefined, given.session),
    ...(Object.keys(limits).length === 0 ? {} : { limits }),
    ...(Object.keys(vars).length === 0 ? {} : { vars }),
    ...(given.target === undefined ? {} : { target: given.target }),
    ...(given.why === undefined ? {} : { why: given.why }),
    ...(on_busy === undefined ? {} : { on_busy }),
  };
}

/** What was signed before, as `gantry tasks sign` writes it. @throws Failure exit 2 */
async function signedParts(
  given: Pick<ParsedArgs<typeof args>, "task" | "code-signature">,
  io: Terminal,
): Promise<Pick<RunRequest, "task" | "code_signature">> {
  const read = async (file: string): Promise<string> => String(await readInput(`@${file}`, io)).trim();
  const { task, "code-signature": code } = given;
  return {
    ...(task === undefined ? {} : { task: await read(task) }),
    ...(code === undefined ? {} : { code_signature: await read(code) }),
  };
}

/** @throws Failure exit 2 where the two flags do not go together. */
function isolationOf(isolation: Isolation | undefined, session: string | undefined): Partial<RunRequest> {
  if (session === undefined) {
    if (isolation === "session") throw usage("--isolation session needs the name of the session: --session ID.");
    return isolation === undefined ? {} : { isolation };
  }
  if (isolation === undefined || isolation === "session") return { isolation: "session", session };
  throw usage(`--session implies --isolation session: leave --session out, or --isolation ${isolation}.`);
}

/** The result, if there is one, to standard output; everything about it to standard error. */
function printEnded(view: RunView, sources: Sources, json: boolean, io: Terminal, paint: Paint): void {
  if (json) {
    io.stdout.write(`${JSON.stringify(view)}\n`);
  } else if (view.termination === "completed") {
    const text = resultText(view.result);
    // A pipe gets the very text; a terminal must not obey what a guest wrote.
    io.stdout.write(`${io.stdout.tty ? visible(text) : text}\n`);
  }
  io.stderr.write(runErrorText(view, sources, paint) + summaryText(view, paint));
}

/** The collected files, under the names that a person knows them by. */
function sourcesOf(collected: Collected, cwd: string): Sources {
  return {
    display(at) {
      return at in collected.modules ? relative(cwd, join(collected.root, at)) : at;
    },
    text(at) {
      const source = collected.modules[at];
      return typeof source === "string" ? source : undefined;
    },
  };
}

/** What `--limit name=number` asks for. @throws Failure exit 2 */
export function parseLimits(pairs: readonly string[]): Partial<Limits> {
  const limits: Partial<Limits> = {};
  for (const [name, value] of Object.entries(parsePairs("--limit", pairs))) {
    const known = LIMITS.find((one) => one === name);
    if (known === undefined) throw usage(`There is no limit "${name}": there are ${LIMITS.join(", ")}.`);
    limits[known] = wholeNumber(`--limit ${name}`, value);
  }
  return limits;
}
