import type { BlockedCall, EgressRow, LogLine, NextStep, Problem, ProblemDocument, RunView } from "@gantry/sdk";
import { codeFrame } from "./frame.ts";
import { ruleLines } from "./rule_text.ts";
import { bytesText, count, duration, oneLine, type Paint, visible } from "./text.ts";

/** What frames need to know about the files that a problem names. */
export interface Sources {
  /** The name that a person finds the file by. */
  display(at: string): string;
  text(at: string): string | undefined;
}

/** For answers that speak of code which is not at hand. */
export const no_sources: Sources = { display: (at) => at, text: () => undefined };

/** The value as a person reads it: a string as it is, anything else as indented JSON. */
export function resultText(result: unknown): string {
  return typeof result === "string" ? result : (JSON.stringify(result ?? null, null, 2) ?? "null");
}

/** One line of a run's log, without a newline. Ordinary lines stand alone; others say their level. */
export function logText(line: LogLine, paint: Paint): string {
  const text = visible(line.text);
  if (line.level === "error") return `${paint("red", "error")} ${text}`;
  if (line.level === "warn") return `${paint("yellow", "warn")} ${text}`;
  return line.level === "log" ? text : `${paint("dim", line.level)} ${text}`;
}

/** A refusal in sentences: what, where, why, and what to do next. Ends with a newline. */
export function problemText(problem: Partial<ProblemDocument>, sources: Sources, paint: Paint): string {
  const { title, detail, code, request, run } = problem;
  const said = detail ?? title ?? "The server gave no reason.";
  // A detail of several lines draws a frame of its own, which ours replace where the source is at hand.
  const places = problem.problems ?? [];
  const framed = places.some(({ at, line }) => line !== undefined && sources.text(at) !== undefined);
  const lines = [`${paint("red", "error")} ${visible(framed ? (said.split("\n")[0] ?? said) : said)}`];
  if (title !== undefined && detail !== undefined && title !== detail) lines.push(`  ${visible(title)}`);
  const ids = [code, run, request].filter((one) => one !== undefined).map(oneLine);
  if (ids.length > 0) lines.push(`  ${paint("dim", ids.join("  "))}`);
  if (framed || !said.includes("\n")) {
    for (const one of places) {
      // What the detail says already is not said twice.
      const known = said.includes(one.text);
      if (!known || one.line !== undefined) lines.push("", placeText(one, sources, paint, known));
    }
  }
  const reasons = (problem.reasons ?? []).filter((reason) => reason.detail !== detail);
  if (reasons.length > 0) lines.push("", "Because:");
  for (const reason of reasons) lines.push(`  ${oneLine(reason.detail)} ${paint("dim", `(${oneLine(reason.code)})`)}`);
  const steps = stepsText(problem.next_steps ?? [], problem.retry_after_ms, paint);
  return `${[...lines, ...(steps === "" ? [] : ["", steps])].join("\n")}\n`;
}

function placeText(problem: Problem, sources: Sources, paint: Paint, known = false): string {
  const file = sources.display(problem.at);
  if (problem.line === undefined) return `${paint("bold", visible(file))}\n  ${visible(problem.text)}`;
  const { line, column, text } = problem;
  return codeFrame({ file, line, column, ...(known ? {} : { text }) }, sources.text(problem.at), paint);
}

/** `Next:` and one line for each step; empty for none. */
export function stepsText(steps: readonly NextStep[], retry_after_ms: number | undefined, paint: Paint): string {
  const lines = steps.flatMap(({ text, command, rule }) => [
    `  ${visible(text)}${command === undefined ? (rule === undefined ? "" : ":") : `: ${paint("cyan", visible(command))}`}`,
    ...(rule === undefined ? [] : ruleLines(rule).map((line) => `    ${line}`)),
  ]);
  if (retry_after_ms !== undefined) lines.push(`  Try again in ${duration(retry_after_ms)}`);
  return lines.length === 0 ? "" : ["Next:", ...lines].join("\n");
}

/** What a run that did not complete says about itself: message, place in the source, stack. Empty if completed. */
export function runErrorText(view: RunView, sources: Sources, paint: Paint): string {
  const { error } = view;
  if (error === undefined) return "";
  if (error.name === undefined && error.stack === undefined) return `${problemText(error, sources, paint)}\n`;
  const name = error.name ?? "Error";
  const head = error.detail.startsWith(name) ? error.detail : `${name}: ${error.detail}`;
  const lines = [`${paint("red", "error")} ${visible(head)}`];
  const place = placeOfStack(error.stack ?? "", sources);
  if (place !== undefined && (error.problems ?? []).length === 0) {
    const { at, line, column } = place;
    lines.push("", codeFrame({ file: sources.display(at), line, column }, sources.text(at), paint));
  }
  for (const one of error.problems ?? []) lines.push("", placeText(one, sources, paint));
  const frames = (error.stack ?? "").split("\n").filter((line) => /^\s*at /.test(line));
  if (frames.length > 0) lines.push("", paint("dim", visible(frames.join("\n"))));
  return `${lines.join("\n")}\n\n`;
}

/** The topmost stack line that lies in a module whose text we have. */
export function placeOfStack(
  stack: string,
  sources: Sources,
): { at: string; line: number; column: number } | undefined {
  for (const [, at = "", line, column] of stack.matchAll(/(?:\(|at |async )([^\s()]+):(\d+):(\d+)\)?/g)) {
    if (sources.text(at) !== undefined) return { at, line: Number(line), column: Number(column) };
  }
  return undefined;
}

/** `cpu 3.1 ms · wall 12 ms · peak 14 MB · startup 4 ms`: what a run used. Empty before it ran. */
export function usageText(view: RunView): string {
  const { usage, timing } = view;
  const parts: string[] = [];
  if (usage !== undefined) parts.push(`cpu ${duration(usage.cpu_ms)}`);
  if (timing !== undefined) parts.push(`wall ${duration(timing.startup_ms + timing.completion_ms)}`);
  if (usage !== undefined) parts.push(`peak ${Math.round(usage.rss_peak_mb * 10) / 10} MB`);
  if (timing !== undefined) parts.push(`startup ${duration(timing.startup_ms)}${view.cold === true ? " (cold)" : ""}`);
  return parts.join(" · ");
}

/** `GET example.com (2x), POST other.test`: calls that went nowhere. */
export function blockedText(blocked: readonly BlockedCall[]): string {
  return blocked
    .map(({ method, host, count: times }) => `${oneLine(method)} ${oneLine(host)}${times === 1 ? "" : ` (${times}x)`}`)
    .join(", ");
}

/** `GET api.example.com (2x, 1.2 kB)`: calls that were let out, and how those failed that did. */
export function calledText(rows: readonly EgressRow[]): string {
  return rows
    .map(({ method, host, count: times, code, request_bytes, response_bytes }) => {
      const facts = [
        ...(times === 1 ? [] : [`${times}x`]),
        ...(code === null ? [] : [oneLine(code)]),
        bytesText(request_bytes + response_bytes),
      ];
      return `${oneLine(method)} ${oneLine(host)} (${facts.join(", ")})`;
    })
    .join(", ");
}

/** `POST api.example.com EGRESS_METHOD (2x)`: calls that were not let out, and why. */
export function deniedText(rows: readonly EgressRow[]): string {
  return rows
    .map(({ method, host, count: times, code }) => {
      return [method, host, ...(code === null ? [] : [code]), ...(times === 1 ? [] : [`(${times}x)`])]
        .map(oneLine)
        .join(" ");
    })
    .join(", ");
}

/** What left, and what did not; of a run that is told without its calls, what did not. */
function egressRows({ egress, blocked = [] }: RunView, paint: Paint): (readonly [string, string])[] {
  if (egress === undefined) return blocked.length === 0 ? [] : [["blocked", paint("yellow", blockedText(blocked))]];
  const allowed = egress.filter(({ verdict }) => verdict === "allowed");
  const denied = egress.filter(({ verdict }) => verdict === "denied");
  return [
    ...(allowed.length === 0 ? [] : [["called", calledText(allowed)] as const]),
    ...(denied.length === 0 ? [] : [["blocked", paint("yellow", deniedText(denied))] as const]),
  ];
}

/** The lines that end every run: how it ended, what it used, what was blocked, where the record is. */
export function summaryText(view: RunView, paint: Paint): string {
  const ending = view.termination ?? view.state;
  const rows: (readonly [string, string])[] = [];
  const usage = usageText(view);
  const head = paint(ending === "completed" ? "green" : "red", ending) + (usage === "" ? "" : `  ${usage}`);
  const { contract, isolation, session } = view;
  const shared = session === undefined ? isolation : `${isolation} ${oneLine(session)}`;
  rows.push(["run", `${view.id}  ${paint("dim", `${contract.name}@${contract.version}, ${shared}`)}`]);
  if (view.jail !== undefined) {
    rows.push(["jail", view.jail === "none" ? paint("yellow", "none: nothing held this run in") : view.jail]);
  }
  rows.push(["snapshot", view.snapshot]);
  rows.push(...egressRows(view, paint));
  if ((view.usage?.log_dropped ?? 0) > 0) {
    rows.push(["log", `${count(view.usage?.log_dropped ?? 0, "byte")} past log_bytes_max were dropped`]);
  }
  if (view.evidence.entries.length > 0) rows.push(["evidence", view.evidence.entries.join(" ")]);
  return `${[head, ...rows.map(([name, text]) => `${paint("dim", name.padEnd(8))}  ${text}`)].join("\n")}\n`;
}
