import { isApiError, isConnectionError, isUntrusted, type NextStep } from "@gantry/sdk";
import { isFailure } from "./failure.ts";
import { no_sources, problemText, type Sources, stepsText } from "./render.ts";
import type { Terminal } from "./terminal.ts";
import { paintFor, visible } from "./text.ts";

const START_IT: NextStep = {
  kind: "command",
  text: "If the server has stopped, start it again",
  command: "npx gantry up",
};
const TRUST_IT: NextStep = {
  kind: "command",
  text: "Trust the authority that signed it, in this shell",
  command: "export NODE_EXTRA_CA_CERTS=/path/to/ca.pem",
};

/** Sentences on standard error; with `--json` the problem as JSON on standard output, too. */
export function reportError(error: unknown, json: boolean, io: Terminal, sources: Sources = no_sources): void {
  const paint = paintFor(io.stderr, io.env);
  if (isApiError(error)) {
    if (json) io.stdout.write(`${JSON.stringify(error.problem)}\n`);
    io.stderr.write(problemText(error.problem, sources, paint));
    return;
  }
  const detail = error instanceof Error ? error.message : String(error);
  if (json) io.stdout.write(`${JSON.stringify({ code: "CLI_FAILURE", detail })}\n`);
  if (isFailure(error)) {
    const { problems, next_steps, sources: own } = error.parts;
    const texts: Sources = { display: (at) => at, text: (at) => own?.get(at) };
    const parts = {
      ...(problems === undefined ? {} : { problems }),
      ...(next_steps === undefined ? {} : { next_steps }),
    };
    io.stderr.write(problemText({ detail, ...parts }, texts, paint));
    return;
  }
  const steps = isConnectionError(error)
    ? stepsText([isUntrusted(error) ? TRUST_IT : START_IT], undefined, paint)
    : visible((error instanceof Error ? error.stack : undefined) ?? "");
  io.stderr.write(`${paint("red", "error")} ${visible(detail)}\n${steps === "" ? "" : `\n${steps}\n`}`);
}
