import type { GuestFault, HostOutcome } from "../../../isolate/src/protocol.ts";
import { unreachable } from "../kernel/assert.ts";
import type { CompiledCode, Outcome } from "./contract.ts";
import { readableStack, translatePlaces } from "./stack.ts";

/** What the host worker answered, read to its end. */
export interface HostAnswer {
  status: number;
  outcome: HostOutcome | undefined;
  /** When the host began with the call, milliseconds UTC. */
  begun: number;
  /** When the guest's modules had been evaluated, as its isolate says; undefined when the call did not come to its own end. */
  started: number | undefined;
  /** Nothing has been printed, and no line says that the log has ended. */
  is_silent: boolean;
  head: { status: number; headers: [string, string][] } | undefined;
  body: Buffer;
}

type Verdict = Pick<Outcome, "ending" | "result" | "http" | "error">;

/**
 * Turns an answer into an ending: the kind is the host's, the texts are the guest's.
 * @throws Error when the answer is not the host's.
 */
export function judgeAnswer(answer: HostAnswer, code: CompiledCode): Verdict {
  switch (answer.outcome) {
    case "value":
      return judgeValue(answer.body);
    case "http":
      return { ending: "completed", result: bodyAsJson(answer), ...(answer.head ? { http: answer.head } : {}) };
    case "output_exceeded":
      return { ending: "output_exceeded" };
    case "load_failed":
      return { ending: "load_failed", error: loadError(faultOf(answer.body), code) };
    case "no_entry":
      return {
        ending: "load_failed",
        error: {
          code: "CODE_NO_ENTRY",
          detail: `The default export of ${code.entry} is neither a function, nor an object with \`run\` or \`fetch\`, nor a WorkerEntrypoint class with \`run\`.`,
        },
      };
    case "never_settles":
      return {
        ending: "threw",
        error: {
          code: "RUN_NEVER_SETTLES",
          detail: "The program awaits something that nothing can settle any more: no timer, call or promise is left.",
        },
      };
    case "not_json":
      return { ending: "threw", error: notJson(faultOf(answer.body).message) };
    case "threw":
    case "stopped":
      return { ending: "threw", error: thrown(faultOf(answer.body), code) };
    case undefined:
      throw new Error(`the host answered ${answer.status} without an outcome`);
    default:
      return unreachable(answer.outcome);
  }
}

function notJson(why: string): NonNullable<Outcome["error"]> {
  return { code: "RUN_RESULT_NOT_JSON", detail: `The result cannot be written as JSON: ${why}` };
}

/** The wrapper shares the guest's isolate, so its JSON is checked and not believed. */
function judgeValue(body: Buffer): Verdict {
  const result = body.toString("utf8");
  try {
    JSON.parse(result);
    return { ending: "completed", result };
  } catch (error) {
    return { ending: "threw", error: notJson((error as Error).message) };
  }
}

function faultOf(body: Buffer): GuestFault {
  const { name, message, stack } = JSON.parse(body.toString("utf8")) as Partial<GuestFault>;
  return { name: String(name), message: String(message), ...(stack === undefined ? {} : { stack: String(stack) }) };
}

const TEXT_MAX = 4_096;

function thrown(fault: GuestFault, code: CompiledCode): NonNullable<Outcome["error"]> {
  const name = fault.name.slice(0, 128);
  const message = fault.message.slice(0, TEXT_MAX);
  return {
    code: "RUN_THREW",
    detail: `${name}: ${message}`,
    name,
    ...(fault.stack === undefined ? {} : { stack: readableStack(fault.stack, code).slice(0, TEXT_MAX) }),
  };
}

/** workerd's message for a top level that failed: "Failed to start Worker:\nUncaught TypeError: …\n  at main.ts:1:7". */
function loadError(fault: GuestFault, code: CompiledCode): NonNullable<Outcome["error"]> {
  const said = fault.message.replace(/^Failed to start Worker:\n/, "").replace(/^Uncaught /, "");
  const detail = translatePlaces(said, code)
    .replace(/\s*\n\s*/g, " ")
    .slice(0, TEXT_MAX);
  return { code: "RUN_LOAD_FAILED", detail: `The code did not load: ${detail}` };
}

/** The body of a `Response` as JSON text: JSON itself, text as a string, anything else as base64. */
function bodyAsJson(answer: HostAnswer): string {
  const type = answer.head?.headers.find(([name]) => name.toLowerCase() === "content-type")?.[1] ?? "";
  const text = utf8(answer.body);
  if (text === undefined) return JSON.stringify({ base64: answer.body.toString("base64") });
  if (/\bjson\b/i.test(type)) {
    try {
      JSON.parse(text);
      return text;
    } catch {
      // It only says that it is JSON.
    }
  }
  return JSON.stringify(text);
}

function utf8(bytes: Buffer): string | undefined {
  try {
    return new TextDecoder("utf-8", { fatal: true, ignoreBOM: true }).decode(bytes);
  } catch {
    return undefined;
  }
}
