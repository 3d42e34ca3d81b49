import type { EgressProtocol, EgressQuestion, EgressVerdict } from "@gantry/sdk";
import { type Command, command, type Group } from "../arguments.ts";
import { connect, data_arg, json_arg } from "../connect.ts";
import { EXIT } from "../exit.ts";
import { usage } from "../failure.ts";
import { stepsText } from "../render.ts";
import { ruleLines } from "../rule_text.ts";
import type { Terminal } from "../terminal.ts";
import { oneLine, type Paint, paintFor, visible } from "../text.ts";
import { blockedGroup } from "./egress_blocked.ts";
import { servicesGroup } from "./egress_services.ts";

export const EGRESS_PROTOCOLS = ["http", "https", "ws", "wss", "tcp", "tls"] as const satisfies EgressProtocol[];

/** `gantry egress …` */
export function egressGroup(io: Terminal): Group {
  return {
    kind: "group",
    summary: "try rules, name services, let stopped calls go",
    commands: { test: testCommand(io), blocked: blockedGroup(io), services: servicesGroup(io) },
  };
}

function testCommand(io: Terminal): Command {
  return command({
    summary: "what a contract says of a call, and the rule for it",
    args: {
      url: { type: "positional", required: true, description: "where the call goes; for tcp and tls host:port" },
      contract: { type: "string", valueHint: "NAME", description: "whose rules are asked (needed)" },
      method: { type: "string", valueHint: "METHOD", description: "default GET" },
      protocol: { type: "enum", options: [...EGRESS_PROTOCOLS], description: "default: the URL's scheme" },
      ...data_arg,
      ...json_arg,
    },
    notes: [
      "Nothing is looked up and nothing is sent. An address that the name has can still be refused when the call is made: " +
        "private ones, and those of metadata services.",
      "A denial comes with the narrowest rule that would allow the call, alone on standard output: paste it under egress: of " +
        "the contract, and apply it. People decide about a rule that loosens.",
      "Exit 0 when it is allowed, 3 when it is not, or only by people.",
    ],
    examples: [
      ["gantry egress test --contract triage https://api.github.com/repos/a/b", "which rule lets it out"],
      ["gantry egress test --contract triage --method POST https://api.github.com/x >> rule.yaml", "the rule to add"],
      ["gantry egress test --contract report --protocol tls db.example.com:5432", "a tunnel"],
    ],
    async run(given) {
      if (given.contract === undefined) throw usage("--contract is missing: say whose rules are asked.");
      const question = questionOf({ ...given, contract: given.contract });
      const verdict = await (await connect(given.data, io)).egress.test(question);
      if (given.json === true) io.stdout.write(`${JSON.stringify(verdict)}\n`);
      else printVerdict(question, verdict, io);
      return verdict.verdict === "allow" ? EXIT.completed : EXIT.denied;
    },
  });
}

function questionOf(given: {
  url: string;
  contract: string;
  method?: string | undefined;
  protocol?: string | undefined;
}): EgressQuestion {
  const { url, contract, method, protocol } = given;
  return {
    contract,
    url,
    ...(method === undefined ? {} : { method: method.toUpperCase() }),
    // The argument parser has held it against its options already.
    ...(protocol === undefined ? {} : { protocol: protocol as EgressProtocol }),
  };
}

/** The verdict to standard error, so that a rule can be taken from standard output; a verdict without one to the latter. */
function printVerdict(question: EgressQuestion, verdict: EgressVerdict, io: Terminal): void {
  const step = verdict.next_steps?.find(({ rule }) => rule !== undefined);
  const rule = step?.rule;
  const about = rule === undefined ? io.stdout : io.stderr;
  const paint = paintFor(about, io.env);
  about.write(`${verdictLines(question, verdict, paint).join("\n")}\n`);
  // What is a rule stands below, once.
  const others = (verdict.next_steps ?? []).filter((step) => step.rule === undefined);
  const steps = stepsText(others, undefined, paint);
  if (steps !== "") about.write(`\n${steps}\n`);
  if (step === undefined || rule === undefined) return;
  about.write(`\n${oneLine(step.text)}:\n`);
  io.stdout.write(`${ruleLines(rule).join("\n")}\n`);
}

function verdictLines(question: EgressQuestion, verdict: EgressVerdict, paint: Paint): string[] {
  const { method = "GET", url, contract, protocol } = question;
  const tunnel = protocol === "tcp" || protocol === "tls";
  const call = `${tunnel ? `CONNECT (${protocol})` : method} ${oneLine(url)} under ${oneLine(contract)}`;
  const tone = verdict.verdict === "allow" ? "green" : verdict.verdict === "deny" ? "red" : "yellow";
  const lines = [`${paint(tone, verdict.verdict)}  ${call}`];
  const row = (name: string, text: string | undefined): void => {
    if (text !== undefined) lines.push(`  ${paint("dim", name.padEnd(11))}  ${visible(text)}`);
  };
  row("rule", verdict.rule);
  row("service", verdict.service);
  row("environment", verdict.environment);
  row("code", verdict.code);
  if (verdict.detail !== undefined) lines.push(`  ${oneLine(verdict.detail)}`);
  return lines;
}
