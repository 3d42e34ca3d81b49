import { readdirSync, readFileSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { describe, expect, it } from "vitest";
import { builtinContracts } from "./builtin.ts";
import { ACTIONS, type Contract, PHASE_METRICS, policy_errors } from "./contract.ts";
import { Decider } from "./decide.ts";
import { CONTRACT_KEYS, parseContract } from "./document/document.ts";
import { EGRESS_KEYS } from "./document/egress.ts";
import { GATE_KEYS } from "./document/gates.ts";
import { renderContract } from "./document/render.ts";
import { cedarProblems } from "./engine/validate.ts";
import { parseTable, runTable } from "./explain/table.ts";
import { snapshotOf } from "./snapshot.ts";
import { freezeContract } from "./store.ts";

const directory = fileURLToPath(new URL("../../../examples/contracts/", import.meta.url));
const files = readdirSync(directory);
const worked = files.filter((name) => name.endsWith(".yaml") && !name.endsWith(".policy.yaml"));
const read = (name: string) => readFileSync(directory + name, "utf8");
const parsed = (name: string): Contract =>
  freezeContract(parseContract({ name, text: read(name) }, builtinContracts(), cedarProblems));

describe("the worked contracts", () => {
  it("are these, each with its table", () => {
    expect(worked.sort()).toEqual([
      "billing-action.yaml",
      "docs-reader.yaml",
      "issue-triage.yaml",
      "logs-and-metrics-reader.yaml",
      "production-change.yaml",
    ]);
    expect(files.filter((name) => name.endsWith(".policy.yaml"))).toHaveLength(worked.length);
  });

  it.each(worked)("%s is valid, is called as its file and can be written out and read again", (name) => {
    const contract = parsed(name);
    expect(`${contract.name}.yaml`).toBe(name);
    const again = parseContract({ name, text: renderContract(contract) }, builtinContracts(), cedarProblems);
    expect(again).toEqual(contract);
    expect(snapshotOf(again)).toEqual(snapshotOf(contract));
  });

  it.each(worked)("%s says what its table says, and for no other reason", (name) => {
    const file = name.replace(".yaml", ".policy.yaml");
    const table = parseTable({ name: file, text: read(file) });
    const contract = parsed(name);
    const found = { contract, snapshot: snapshotOf(contract).id };
    const report = runTable(new Decider(), table, (asked) => (asked === contract.name ? found : undefined));
    expect(report.cases.filter(({ ok }) => !ok)).toEqual([]);
    expect(report.passed).toBe(table.cases.length);
    expect(report.cases.map(({ codes }) => codes)).toEqual(table.cases.map(({ codes }) => codes));
    expect(report.cases.flatMap(({ codes }) => codes)).not.toContain(policy_errors.EVAL_ERROR.code);
    expect(new Set(table.cases.map((each) => each.name)).size).toBe(table.cases.length);
    expect(new Set(table.cases.map((each) => each.expect)).size).toBeGreaterThan(1);
  });
});

describe("docs/contracts.md", () => {
  const text = readFileSync(fileURLToPath(new URL("../../../docs/contracts.md", import.meta.url)), "utf8");
  const example = /```yaml\n(.*?)```/s.exec(text)?.[1] ?? "";

  it("has an example with every key, and it is valid", () => {
    const tracker = { environment: "staging", hosts: ["tracker.example.com"], protocol: "https" as const };
    const text_of = { name: "docs/contracts.md", text: example };
    const services = new Map([["tracker", tracker]]);
    const contract = parseContract(text_of, builtinContracts(), cedarProblems, services);
    expect([...example.matchAll(/^(\w+):/gm)].map(([, key]) => key)).toEqual([...CONTRACT_KEYS]);
    // What a service belongs to is the catalogue's to say, and no key of a document.
    const members = new Set(contract.egress.flatMap(Object.keys));
    expect(members.delete("environment")).toBe(true);
    expect([...members].sort()).toEqual([...EGRESS_KEYS].sort());
  });

  it("describes every key, every member of an egress rule and every action, and no other", () => {
    const rows = (title: string) => new RegExp(`## ${title}\n(.*?)(?:\n## |$)`, "s").exec(text)?.[1] ?? "";
    const first = (part: string) =>
      [...part.matchAll(/^\| (`[^|]*`) \|/gm)].flatMap((row) => (row[1] ?? "").match(/[\w-]+/g) ?? []);
    expect(first(rows("Keys"))).toEqual([...CONTRACT_KEYS]);
    expect(first(rows("Egress"))).toEqual([...EGRESS_KEYS]);
    expect(first(rows("Gates"))).toEqual([...GATE_KEYS]);
    expect(
      rows("Gates")
        .match(/`[a-z]+\.[a-z]+`/g)
        ?.map((each) => each.slice(1, -1)),
    ).toEqual([...ACTIONS]);
    expect(first(rows("What it extends"))).toEqual([...builtinContracts().keys()]);
    for (const metric of PHASE_METRICS) expect(rows("Phases")).toContain(`\`${metric}\``);
  });
});
