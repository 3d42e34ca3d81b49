import { type RunRequest, type RunView, type SigningKey, signCode, signTask } from "@gantry/sdk";
import type { ArgsDef, ParsedArgs } from "citty";
import { type Command, command, type Group } from "../arguments.ts";
import { collect } from "../collect.ts";
import { connectAsNobody, data_arg, json_arg } from "../connect.ts";
import { EXIT, exitOfTermination } from "../exit.ts";
import { usage } from "../failure.ts";
import { readInput } from "../input.ts";
import { key_arg, readKey } from "../key_file.ts";
import { out_arg, putText } from "../out_file.ts";
import { no_sources, resultText, runErrorText, stepsText, summaryText } from "../render.ts";
import type { Terminal } from "../terminal.ts";
import { paintFor, visible } from "../text.ts";
import { parseSpan } from "../values.ts";

const LIFE_MAX_MS = 300_000;
/** The longest that one request waits for the end. */
const WAIT_MS = 60_000;

const what = {
  file: {
    type: "positional",
    required: true,
    description: "a .ts or .js file; what it imports by relative name goes with it",
  },
  ...key_arg,
  input: { type: "string", valueHint: "JSON|@FILE|-", description: "what the code gets; default null" },
  contract: { type: "string", valueHint: "NAME", description: "what the code may do; default scratch" },
  snapshot: { type: "string", valueHint: "SNP", description: "the policy that you have seen; another is refused" },
  life: { type: "string", valueHint: "SPAN", description: "how long it can be submitted, at most 5m (default 5m)" },
} satisfies ArgsDef;

/** `gantry tasks …` */
export function tasksGroup(io: Terminal): Group {
  return {
    kind: "group",
    summary: "runs that are signed by a key, and need no token",
    commands: { sign: signCommand(io), submit: submitCommand(io) },
  };
}

function signCommand(io: Terminal): Command {
  return command({
    summary: "sign one run: this code, this input, this contract, once",
    args: {
      ...what,
      code: { type: "boolean", description: "sign the code alone, whatever it is run with: the member code_signature" },
      ...out_arg,
      ...json_arg,
    },
    notes: [
      "Nothing is sent: the result is a compact JWS, the member task of POST /v1/runs beside the same code and input.",
    ],
    examples: [
      ["gantry tasks sign main.ts --key deployer.key --input '{\"a\": 1}' -o task.jws", "for whoever submits it"],
      ["gantry tasks sign main.ts --key mine.key --code", "as its author"],
    ],
    async run(given) {
      const { request, key } = await signedOf(given, io);
      const signing = given.code === true ? signCode(key, request.code) : signTask(key, request, lifeOf(given.life));
      const jws = await signing;
      const text =
        given.json === true
          ? `${JSON.stringify(given.code === true ? { code_signature: jws } : { task: jws })}\n`
          : `${jws}\n`;
      await putText(given.output, text, io);
      return EXIT.completed;
    },
  });
}

function submitCommand(io: Terminal): Command {
  return command({
    summary: "sign a run and submit it, without a token",
    args: {
      ...what,
      "code-key": { type: "string", valueHint: "FILE", description: "sign the code as well, with this key" },
      target: { type: "string", valueHint: "NAME", description: "the environment that it acts on" },
      why: { type: "string", valueHint: "TEXT", description: "why it runs; becomes part of the record" },
      ...data_arg,
      ...json_arg,
    },
    notes: [
      "It waits for the end, up to a minute. Looking at it later takes a token.",
      "Exit codes are those of gantry run; 0 when it goes on or waits for people.",
    ],
    examples: [["gantry tasks submit main.ts --key bot.key --contract deploy --why 'fix 12'", "as the key's actor"]],
    async run(given) {
      const { request, key } = await signedOf(given, io);
      const author = given["code-key"] === undefined ? undefined : await readKey(given["code-key"], io);
      const ask: RunRequest = {
        ...request,
        task: await signTask(key, request, lifeOf(given.life)),
        ...(author === undefined ? {} : { code_signature: await signCode(author, request.code) }),
        ...(given.target === undefined ? {} : { target: given.target }),
        ...(given.why === undefined ? {} : { why: given.why }),
        wait_ms: WAIT_MS,
        on_busy: "delay",
      };
      const view = await (await connectAsNobody(given.data, io)).runs.submit(ask);
      print(view, given.json === true, io);
      return view.state === "ended" ? exitOfTermination(view.termination) : EXIT.completed;
    },
  });
}

/** What is signed and by whom. */
async function signedOf(
  given: Pick<ParsedArgs<typeof what>, "file" | "key" | "input" | "contract" | "snapshot">,
  io: Terminal,
): Promise<{ request: RunRequest; key: SigningKey }> {
  const key = await readKey(given.key, io);
  const input = await readInput(given.input, io);
  const { entry, modules } = await collect(given.file, io.cwd);
  const request: RunRequest = {
    code: { entry, modules },
    input,
    ...(given.contract === undefined ? {} : { contract: given.contract }),
    ...(given.snapshot === undefined ? {} : { snapshot: given.snapshot }),
  };
  return { request, key };
}

/** @throws Failure exit 2 */
function lifeOf(text: string | undefined): { life_s?: number } {
  if (text === undefined) return {};
  const life_ms = parseSpan("--life", text);
  if (life_ms > LIFE_MAX_MS) throw usage(`--life is 5m at most, not ${text}.`);
  return { life_s: life_ms / 1_000 };
}

function print(view: RunView, json: boolean, io: Terminal): void {
  const paint = paintFor(io.stderr, io.env);
  if (json) io.stdout.write(`${JSON.stringify(view)}\n`);
  else if (view.state !== "ended") io.stdout.write(`${view.id}\n`);
  else if (view.termination === "completed") {
    const text = resultText(view.result);
    io.stdout.write(`${io.stdout.tty ? visible(text) : text}\n`);
  }
  if (view.state === "ended") io.stderr.write(runErrorText(view, no_sources, paint) + summaryText(view, paint));
  else io.stderr.write(`${view.id} ${view.state}\n${stepsText(view.next_steps ?? [], undefined, paint)}`);
}
