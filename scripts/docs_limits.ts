// `npm run docs:limits`: writes docs/limits.md from the named limits of the kernel and the rooms; `--check` compares.
import { RUN_LIMITS, type RunLimit } from "../server/src/kernel/limits.ts";
import { type Contract, contracts, type Limit, limitsOf, memberComments, settle, sharedLimits } from "./contracts.ts";

const HEAD = `# Limits

Every loop, queue, body, history and retry has a limit, and every limit has a name. \`_MS\` are milliseconds, \`_BYTES\` bytes,
\`_CHARS\` UTF-16 code units; what has no unit counts things. None of these can be configured, except that a run may ask for its
own, and a contract may lower what runs may ask for.

This file is written by \`npm run docs:limits\` from \`server/src/kernel/limits.ts\` and the \`contract.ts\` of each room.

## Limits of a run

| limit | default | least | most | of what |
|---|---|---|---|---|
`;

function run(name: string, { default: usual, min, max }: RunLimit, comment: string): string {
  return `| \`${name}\` | ${number(usual)} | ${number(min)} | ${number(max)} | ${comment} |\n`;
}

/** With separators: a million is read at a glance. */
function number(value: unknown): string {
  return typeof value === "number" ? value.toLocaleString("en-US", { maximumFractionDigits: 6 }) : String(value);
}

function value(limit: Limit): string {
  if (typeof limit.value === "number") return number(limit.value);
  return Object.entries(limit.value as object)
    .map(([name, member]) => `${name} ${number(member)}`)
    .join(", ");
}

function section(contract: Contract): string {
  const limits = limitsOf(contract);
  if (limits.length === 0) return "";
  const rows = limits.map((limit) => `| \`${limit.name}\` | ${value(limit)} | ${limit.comment} |`);
  const title = contract.room === "kernel" ? "shared" : contract.room;
  return ["", `## ${title}`, "", "| limit | value | of what |", "|---|---|---|", ...rows, ""].join("\n");
}

const shared = await sharedLimits();
const comments = memberComments(shared, "RUN_LIMITS");
const runs = Object.entries(RUN_LIMITS).map(([name, limit]) => run(name, limit, comments[name] ?? ""));
const text = HEAD + runs.join("") + [shared, ...(await contracts())].map(section).join("");
process.exitCode = settle("docs/limits.md", text, process.argv);
