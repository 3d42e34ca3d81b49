import { access } from "node:fs/promises";
import { resolve } from "node:path";
import type { Gantry, PolicyDocument, PolicyExplanation, PolicyQuestion, PolicyTestReport } from "@gantry/sdk";
import { type Command, command, type Group, type Repeated } from "../arguments.ts";
import { connect, data_arg, json_arg } from "../connect.ts";
import { inFiles, readDocument } from "../documents.ts";
import { EXIT } from "../exit.ts";
import { usage } from "../failure.ts";
import { parseJson } from "../input.ts";
import { type Column, table } from "../table.ts";
import type { Terminal } from "../terminal.ts";
import { count, oneLine, type Paint, paintFor } from "../text.ts";

const TABLE = ".policy.yaml";

/** `gantry policy …` */
export function policyGroup(io: Terminal): Group {
  return {
    kind: "group",
    summary: "ask why something is allowed or not, and test that",
    commands: { explain: explainCommand(io), test: testCommand(io) },
  };
}

function explainCommand(io: Terminal): Command {
  return command({
    summary: "the verdict, its rule, and what would allow it",
    args: {
      run: { type: "positional", required: false, description: "a run: what was decided of it, and what would be now" },
      as: { type: "string", valueHint: "ACTOR", description: "an actor's id; default: yourself" },
      contract: { type: "string", valueHint: "NAME", description: "default: scratch" },
      action: { type: "string", valueHint: "ACTION", description: "as egress.request or run.submit" },
      resource: { type: "string", valueHint: "KIND:NAME", description: "what it acts on, as repo:work/app" },
      context: {
        type: "string",
        valueHint: "NAME=VALUE ...",
        description: "what is known of it: host=, method=, target=, tool=; other JSON than text is read as such",
      },
      gate: { type: "string", valueHint: "NAME ...", description: "a gate that an approval would hold open" },
      ...data_arg,
      ...json_arg,
    },
    notes: ["Nothing is done and nothing is recorded. Exit 0 when it is allowed, 3 when it is not, or only by people."],
    examples: [
      ["gantry policy explain run_01h…", "by the snapshot that the run was decided against"],
      [
        "gantry policy explain --contract acme --action egress.request --resource host:api.example.com " +
          "--context host=api.example.com --context protocol=https --context port=443 --context method=POST",
        "which rule lets it out, or the narrowest that would",
      ],
      ["gantry policy explain --as act_01h… --action run.submit --resource code:any", "may that agent run something?"],
    ],
    async run(given, repeated) {
      const question = questionOf(given, repeated);
      const gantry = await connect(given.data, io);
      const explanation = await (typeof question === "string"
        ? gantry.policy.explainRun(question)
        : gantry.policy.explain(question));
      if (given.json === true) io.stdout.write(`${JSON.stringify(explanation)}\n`);
      else io.stdout.write(`${explanationText(explanation, paintFor(io.stdout, io.env)).join("\n")}\n`);
      return explanation.verdict === "allow" ? EXIT.completed : EXIT.denied;
    },
  });
}

/** A run's id, or a question. @throws Failure exit 2 */
function questionOf(
  given: Partial<Record<"run" | "as" | "contract" | "action" | "resource", string | undefined>>,
  repeated: Repeated,
): string | PolicyQuestion {
  const { run, as, contract, action, resource } = given;
  const gates = repeated("gate");
  const context = repeated("context");
  const asked =
    [as, contract, action, resource].some((each) => each !== undefined) || gates.length + context.length > 0;
  if (run !== undefined) {
    if (asked) throw usage("Name a run, or say --action and --resource, not both: a run has been asked about already.");
    return run;
  }
  if (action === undefined || resource === undefined) throw usage("Name a run, or say --action and --resource.");
  return {
    action,
    resource,
    ...(contract === undefined ? {} : { contract }),
    ...(as === undefined ? {} : { as }),
    ...(gates.length === 0 ? {} : { gates }),
    context: Object.fromEntries(context.map(memberOf)),
  };
}

/** Text needs no quotes: `host=a.example`, `port=443`, `limits={"cpu_ms":5}`. */
function memberOf(text: string): [string, unknown] {
  const at = text.indexOf("=");
  if (at < 1) throw usage(`--context takes NAME=VALUE, not ${oneLine(text)}.`);
  const [name, value] = [text.slice(0, at), text.slice(at + 1)];
  return [name, /^(?:[[{]|-?\d+$)/.test(value) ? parseJson(value, `--context ${name}`) : value];
}

function explanationText(explanation: PolicyExplanation, paint: Paint): string[] {
  const { contract, verdict, request, reasons, gates, rules, allowed_by, now } = explanation;
  const tone = verdict === "allow" ? "green" : verdict === "deny" ? "red" : "yellow";
  const what = `${String(request["action"])} ${String(request["resource"])} under ${contract.name}@${contract.version}`;
  const lines = [`${paint(tone, verdict)}  ${oneLine(what)}`];
  for (const { code, detail } of reasons) lines.push(`  ${oneLine(detail)} ${paint("dim", `(${oneLine(code)})`)}`);
  for (const { name, quorum, on } of gates) lines.push(`  ${oneLine(`gate ${name} on ${on}, quorum ${quorum}`)}`);
  if (rules.length > 0) lines.push("", "Rules:");
  for (const { at, line, text } of rules) {
    lines.push(`  ${line === null ? oneLine(at) : `line ${line}`}  ${oneLine(text)}`);
  }
  if (allowed_by.length > 0) lines.push("", "What would allow it:", ...allowed_by.map((each) => `  ${oneLine(each)}`));
  if (now !== null) {
    lines.push("", oneLine(`Now, by ${now.contract.name}@${now.contract.version}: ${now.verdict}`));
  }
  return lines;
}

function testCommand(io: Terminal): Command {
  return command({
    summary: "ask a table of cases; exit 1 when one fails",
    args: {
      file: { type: "positional", required: true, description: "the table, YAML or JSON" },
      contract: {
        type: "string",
        valueHint: "FILE ...",
        description: "a contract document that stands in for the active one",
      },
      ...data_arg,
      ...json_arg,
    },
    notes: [
      `For NAME${TABLE}, the document NAME.yaml beside it is asked when it is there; otherwise, and for every other ` +
        "contract, the active version. Nothing is applied.",
      "A table is cases: [{name, contract, actor, action, resource, gates, context, expect, codes}], where expect is " +
        "allow, deny or needs_human, and codes must be among those of the answer.",
    ],
    examples: [
      ["gantry policy test examples/contracts/docs-reader.policy.yaml", "with docs-reader.yaml beside it"],
      ["gantry policy test rules.yaml --contract acme.yaml --contract ops.yaml", "with these documents"],
    ],
    async run(given, repeated) {
      const asked = await readDocument(given.file, io);
      const contracts = await Promise.all(
        (await documentsOf(given.file, repeated, io)).map((file) => readDocument(file, io)),
      );
      const gantry: Gantry = await connect(given.data, io);
      const called = new Map<string, PolicyDocument>([asked, ...contracts].map((each) => [each.name, each]));
      const report = await inFiles(called, gantry.policy.test(asked, contracts));
      if (given.json === true) io.stdout.write(`${JSON.stringify(report)}\n`);
      else io.stdout.write(reportText(report, paintFor(io.stdout, io.env), io.stdout.columns));
      return report.failed === 0 ? EXIT.completed : EXIT.threw;
    },
  });
}

async function documentsOf(file: string, repeated: Repeated, io: Terminal): Promise<string[]> {
  const said = repeated("contract");
  if (said.length > 0 || !file.endsWith(TABLE)) return said;
  const beside = `${file.slice(0, -TABLE.length)}.yaml`;
  const is_there = await access(resolve(io.cwd, beside)).then(
    () => true,
    () => false,
  );
  return is_there ? [beside] : [];
}

const columns: Column<PolicyTestReport["cases"][number]>[] = [
  { title: "", cell: ({ ok }) => (ok ? "ok" : "FAILED") },
  { title: "CASE", cell: ({ name }) => oneLine(name) },
  { title: "CONTRACT", cell: ({ contract }) => oneLine(contract) },
  { title: "ACTION", cell: ({ action }) => oneLine(action) },
  { title: "VERDICT", cell: ({ got }) => got },
  { title: "CODES", cell: ({ codes }) => oneLine(codes.join(" ")), shrink: true },
];

function reportText({ cases, passed, failed }: PolicyTestReport, paint: Paint, width: number | undefined): string {
  const wrong = cases.filter(({ ok }) => !ok).map(({ name, detail }) => `  ${oneLine(name)}: ${oneLine(detail)}`);
  const sum =
    failed === 0 ? `${count(passed, "case holds", "cases hold")}` : `${failed} of ${passed + failed} cases do not hold`;
  const end = [paint(failed === 0 ? "green" : "red", sum), ...wrong].join("\n");
  return `${table(cases, columns, paint, width)}\n${end}\n`;
}
