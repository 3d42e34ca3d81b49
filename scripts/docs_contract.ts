// `npm run docs:reference`: writes docs/reference/contract.md from the shape of contracts, from the built-in ones, and from what the
// comparison of versions says of samples; `--check` compares.
import { readFileSync } from "node:fs";
import { fileURLToPath } from "node:url";
import ts from "typescript";
import { builtinContracts } from "../server/src/policy/builtin.ts";
import type { Contract } from "../server/src/policy/contract.ts";
import { contractDelta } from "../server/src/policy/delta/delta.ts";
import { CONTRACT_KEYS, parseContract } from "../server/src/policy/document/document.ts";
import { EGRESS_KEYS } from "../server/src/policy/document/egress.ts";
import { settle } from "./contracts.ts";

const HEAD = `# Keys of a contract

Every key that a contract may have, with its type, and what the built-in contracts say. How contracts are written, inherited and refused, in
sentences and with a whole example: [contracts](../contracts.md). Limits of their parts: [limits](../limits.md), under policy.

*Needs people*: a change that loosens waits for people, and what tightens holds at once. What stands here was found by comparing two versions that
differ in this key alone, in both directions.

This file is written by \`npm run docs:reference\` from \`server/src/policy\`.

`;

type Key = (typeof CONTRACT_KEYS)[number];
/** Two documents' values of a key, the tighter first; undefined is a key that is left out. Null: it cannot change alone. */
const SAMPLES: Record<Key, [tight: unknown, loose: unknown] | null> = {
  kind: null,
  name: null,
  extends: null,
  class: null,
  targets: [[], ["staging"]],
  data: [{ reads: ["public"] }, { reads: ["public", "internal"] }],
  require: [["why"], []],
  tools: [[], [{ name: "issues.*" }]],
  egress: [[], [{ hosts: ["api.example.com"], protocol: "https" }]],
  bindings: [undefined, { flags: { app: "web", mode: "read" } }],
  isolation: ["process", "pooled"],
  isolation_floor: ["process", "pooled"],
  jail: ["required", "optional"],
  idempotent: [false, true],
  redaction: [{ prompts: "drop" }, { prompts: "keep" }],
  retention: [
    { floor_days: 180, ceiling_days: 365 },
    { floor_days: 30, ceiling_days: 365 },
  ],
  budgets: [{ egress_calls_max: 10 }, { egress_calls_max: 100 }],
  limits: [{ cpu_ms: 200 }, { cpu_ms: 500 }],
  gates: [[{ on: "run.submit", name: "deploy", quorum: 2 }], [{ on: "run.submit", name: "deploy", quorum: 1 }]],
  attended: [
    { tz: "Europe/Berlin", days: [1, 2], from: "09:00", to: "17:00" },
    { tz: "Europe/Berlin", days: [1, 2, 3], from: "09:00", to: "17:00" },
  ],
  phase: [
    { n: 1, until: "2027-03-01", rollback_when: [] },
    { n: 2, until: "2027-03-01", rollback_when: [] },
  ],
  budgets_day: [{ effects: 10 }, { effects: 100 }],
  dlp: [{ action: "deny" }, { action: "log" }],
  shadow_mcp: ["deny", "log"],
  cedar: [['@code("NO_FRIDAY")\nforbid(principal, action == Action::"flag.raise", resource);'], []],
};

const bases = builtinContracts();

function contractWith(key: Key, value: unknown): Contract {
  // A floor needs an isolation that is not below it.
  const beside = key === "isolation_floor" || key === "isolation" ? { isolation: "process" } : {};
  const own = value === undefined ? {} : { [key]: value };
  const document = { kind: "Contract", name: "acme", extends: "staging-mutation", ...beside, ...own };
  return parseContract({ name: "acme.json", text: JSON.stringify(document) }, bases, () => []);
}

const code = (value: unknown) =>
  `\`${(typeof value === "string" ? value : JSON.stringify(value)).replaceAll("|", "\\|")}\``;

/** @throws when a sample does not show what it is for. */
function needsPeople(key: Key): string {
  const sample = SAMPLES[key];
  if (sample === null) return key === "class" ? "to anything but `read-only`" : "what follows from it";
  const [tight, loose] = sample.map((value) => contractWith(key, value)) as [Contract, Contract];
  const [widening, narrowing] = [contractDelta(tight, loose), contractDelta(loose, tight)];
  if (!widening.loosens || narrowing.loosens) throw new Error(`${key}: the samples do not differ as they should`);
  const said = widening.lines.find(({ loosens }) => loosens)?.text ?? "";
  return `e.g. ${said.replaceAll("\n", " ").replaceAll("|", "\\|")}`;
}

function builtIn(key: Key): string {
  const [plain, production] = [bases.get("scratch"), bases.get("production")];
  if (plain === undefined || production === undefined) throw new Error("a built-in contract is missing");
  const values = [plain, production].map((contract) => JSON.stringify(contract[key]));
  if (key === "limits") return "the most of [each](../limits.md#limits-of-a-run)";
  if (["kind", "name", "extends"].includes(key)) return "";
  return values[0] === values[1] ? code(plain[key]) : `${code(plain[key])}; \`production\`: ${code(production[key])}`;
}

const path = "server/src/policy/shape.ts";
const shape = ts.createSourceFile(
  path,
  readFileSync(fileURLToPath(new URL(`../${path}`, import.meta.url)), "utf8"),
  ts.ScriptTarget.ES2023,
  true,
);

/** The lists of words that a type is made from, as a reader knows them. */
function typeText(text: string): string {
  return text
    .replaceAll(/\(typeof (\w+)\)\[number\]/g, (_all, name: string) => wordsOf(name))
    .replaceAll(/\b(ContractClass|DataClass|Requirement|Isolation|PhaseMetric|Action)\b/g, (_all, name: string) =>
      wordsOf(name),
    )
    .replaceAll(/\s+/g, " ")
    .replaceAll("|", "\\|");
}

const LISTS: Record<string, string> = {
  ContractClass: "CONTRACT_CLASSES",
  DataClass: "DATA_CLASSES",
  Requirement: "REQUIREMENTS",
  Isolation: "ISOLATIONS",
  PhaseMetric: "PHASE_METRICS",
};

function wordsOf(name: string): string {
  if (name === "Action") return "an action";
  const list = LISTS[name] ?? name;
  for (const statement of shape.statements.filter(ts.isVariableStatement)) {
    const found = statement.declarationList.declarations.find((one) => one.name.getText() === list);
    const words = found?.initializer?.getText().match(/"[^"]+"/g);
    if (words) return `(${words.join(" | ")})`;
  }
  return name;
}

function membersOf(name: string): { name: string; type: string; what: string }[] {
  const found = shape.statements.filter(ts.isInterfaceDeclaration).find((one) => one.name.text === name);
  if (found === undefined) throw new Error(`${path} has no ${name}`);
  return found.members.filter(ts.isPropertySignature).map((member) => ({
    name: `${member.name.getText()}${member.questionToken === undefined ? "" : "?"}`,
    type: typeText(member.type?.getText() ?? ""),
    what: docOf(member),
  }));
}

function docOf(node: ts.Node): string {
  const docs = ts.getJSDocCommentsAndTags(node).filter(ts.isJSDoc);
  return (ts.getTextOfJSDocComment(docs.at(-1)?.comment) ?? "").replaceAll(/\s+/g, " ").replaceAll("|", "\\|").trim();
}

function keyRow(key: Key): string {
  const member = membersOf("Contract").find(({ name }) => name === key);
  if (member === undefined) throw new Error(`a contract has no ${key}`);
  return `| \`${key}\` | ${member.type} | ${builtIn(key)} | ${needsPeople(key)} | ${member.what} |`;
}

function partSection([name, title]: [string, string]): string {
  // What the catalogue fills in is no key of a document.
  const written: readonly string[] = EGRESS_KEYS;
  const isWritten = (one: { name: string }) => name !== "EgressRule" || written.includes(one.name.replace("?", ""));
  const rows = membersOf(name)
    .filter(isWritten)
    .map((one) => `| \`${one.name}\` | ${one.type} | ${one.what} |`);
  return ["", `## ${title}`, "", "| member | type | what |", "|---|---|---|", ...rows, ""].join("\n");
}

const PARTS: [string, string][] = [
  ["EgressRule", "A rule of egress"],
  ["ToolRule", "A tool"],
  ["GateRule", "A gate"],
  ["Attended", "Attended hours"],
  ["Phase", "A phase"],
  ["Bindings", "Bindings"],
  ["DayBudgets", "Budgets of a day"],
];
const head = ["| key | type | built in | needs people | what |", "|---|---|---|---|---|"];
const text = `${HEAD}${[...head, ...CONTRACT_KEYS.map(keyRow)].join("\n")}\n${PARTS.map(partSection).join("")}`;
process.exitCode = settle("docs/reference/contract.md", text, process.argv);
