import { writeFile } from "node:fs/promises";
import { join } from "node:path";
import type {
  AppliedContract,
  ContractVersion,
  PolicyExplanation,
  PolicyTestReport,
  ProposedContract,
} from "@gantry/sdk";
import { afterEach, beforeEach, expect, test } from "vitest";
import { runProgram } from "../program.ts";
import { stubServer, tempDirectory, testTerminal } from "../testing.ts";

const closers: (() => Promise<void>)[] = [];
let cwd: string;
beforeEach(async () => {
  const directory = await tempDirectory();
  cwd = directory.path;
  closers.push(directory.remove);
});
afterEach(async () => {
  for (const close of closers.splice(0).reverse()) await close();
});

async function run(answer: Parameters<typeof stubServer>[0], ...words: string[]) {
  const server = await stubServer(answer);
  closers.push(server.close);
  const io = testTerminal({ cwd, env: { GANTRY_URL: server.url, GANTRY_TOKEN: "gtr_x" } });
  const exit = await runProgram(words, io, { server: "", examples: "", version: "0" });
  return { exit, out: io.out(), err: io.err(), seen: server.seen };
}

const version: ContractVersion = {
  name: "acme",
  version: 2,
  class: "read-only",
  built_in: false,
  state: "active",
  suspension: null,
  snapshot: "snp_1",
  contract: {},
  hash: "0",
  source: "",
  approval: null,
  created_by: "act_1",
  created_at: 0,
};
const line = { at: "/limits/cpu_ms", change: "narrowed" as const, loosens: false, text: "900 becomes 500" };
const applied: AppliedContract = { changed: true, contract: version, delta: { loosens: false, lines: [line] } };
const proposed: ProposedContract = {
  changed: true,
  contract: { ...version, state: "pending", approval: "apr_1" },
  delta: { loosens: true, lines: [{ ...line, loosens: true, text: "500 becomes 900\u001b[2J" }] },
  approval: "apr_1",
  statement_hash: "ab",
  next_steps: [{ kind: "command", text: "See what people are asked", command: "gantry approvals show apr_1" }],
};
const text = "# a comment\nkind: Contract\nname: acme # ours\nextends: scratch\n";
const file = (name: string, content: string) => writeFile(join(cwd, name), content);

test("contracts apply sends the document as it is, under its own name, and says that it is in force", async () => {
  await file("acme.yaml", text);
  const { exit, out, seen } = await run(() => [200, applied], "contracts", "apply", "acme.yaml", "--if-version", "1");
  expect({ exit, out }).toEqual({ exit: 0, out: "acme@2 is in force\n  - /limits/cpu_ms  900 becomes 500\n" });
  expect(seen[0]).toMatchObject({ method: "PUT", url: "/v1/contracts/acme", body: text });
  expect(seen[0]!.headers).toEqual({ type: "application/yaml", if_match: '"1"' });
});

test("contracts apply of what waits exits 3 and says what people are asked", async () => {
  await file("acme.json", '{"kind": "Contract", "name": "acme", "extends": "scratch"}');
  const { exit, out, seen } = await run(() => [202, proposed], "contracts", "apply", "acme.json");
  expect(exit).toBe(3);
  expect(seen[0]!.url).toBe("/v1/contracts/acme");
  expect(out).toContain("acme@2 waits for people: apr_1\n  ! /limits/cpu_ms  500 becomes 900");
  expect(out).toContain("gantry approvals show apr_1");
  expect(out).not.toContain("\u001b");
  const again = await run(() => [202, proposed], "contracts", "apply", "acme.json", "--json");
  expect(JSON.parse(again.out)).toEqual(proposed);
});

test("a document's problems are shown in its file", async () => {
  await file("acme.yaml", `${text}limts: {}\n`);
  const problem = {
    type: "",
    status: 422,
    code: "CONTRACT_INVALID",
    title: "The contract document is not valid.",
    detail: "contract acme: one problem. The key limts is not known; did you mean limits?",
    problems: [
      { at: "contract acme#/limts", line: 5, column: 1, text: "The key limts is not known; did you mean limits?" },
    ],
  };
  const { exit, err } = await run(() => [422, problem], "contracts", "apply", "acme.yaml");
  expect(exit).toBe(2);
  expect(err).toContain("acme.yaml:5:1");
  expect(err).toContain("limts: {}");
});

test("what cannot be sent is refused before", async () => {
  await file("nameless.yaml", "kind: Contract\n");
  const answer = () => [200, applied] as [number, unknown];
  for (const words of [["nameless.yaml"], ["absent.yaml"], ["nameless.yaml", "--if-version", "x", "--name", "a"]]) {
    const { exit, seen } = await run(answer, "contracts", "apply", ...words);
    expect({ exit, sent: seen.length }).toEqual({ exit: 2, sent: 0 });
  }
  expect((await run(answer, "contracts", "apply", "nameless.yaml", "--name", "a")).seen[0]!.url).toBe(
    "/v1/contracts/a",
  );
});

test("contracts diff exits 1 when the document loosens", async () => {
  await file("acme.yaml", text);
  const diff = { name: "acme", version: 1, delta: proposed.delta };
  const { exit, out, seen } = await run(() => [200, diff], "contracts", "diff", "acme.yaml");
  expect(exit).toBe(1);
  expect(out).toMatch(/^acme: loosens, against acme@1\n {2}! /);
  expect(seen[0]).toMatchObject({ method: "POST", url: "/v1/contracts/acme/diff" });
  const fresh = { name: "acme", version: null, delta: { loosens: false, lines: [] } };
  expect(await run(() => [200, fresh], "contracts", "diff", "acme.yaml")).toMatchObject({
    exit: 0,
    out: "acme: changes nothing, a new contract\n",
  });
});

const explanation: PolicyExplanation = {
  contract: { name: "acme", version: 2 },
  snapshot: "snp_1",
  request: { action: "run.submit", resource: "code:1", context: {} },
  verdict: "deny",
  reasons: [{ code: "CONTRACT_LIMIT", detail: "cpu_ms 2 is past the ceiling 1." }],
  gates: [],
  rules: [
    { at: "/limits/cpu_ms", code: null, line: 4, text: "limits: {cpu_ms: 1}" },
    { at: "/targets", code: "POLICY_TARGET", line: null, text: "as scratch has it" },
  ],
  allowed_by: ["Ask for cpu_ms 1 or less."],
  now: { contract: { name: "acme", version: 3 }, snapshot: "snp_2", verdict: "allow" },
};

test("policy explain of a run prints verdict, reasons, rules and what would allow it, and exits 3", async () => {
  const { exit, out, seen } = await run(() => [200, explanation], "policy", "explain", "run_1");
  expect(seen[0]).toMatchObject({ method: "GET", url: "/v1/runs/run_1/policy" });
  expect(exit).toBe(3);
  expect(out).toBe(
    [
      "deny  run.submit code:1 under acme@2",
      "  cpu_ms 2 is past the ceiling 1. (CONTRACT_LIMIT)",
      "",
      "Rules:",
      "  line 4  limits: {cpu_ms: 1}",
      "  /targets  as scratch has it",
      "",
      "What would allow it:",
      "  Ask for cpu_ms 1 or less.",
      "",
      "Now, by acme@3: allow",
      "",
    ].join("\n"),
  );
});

test("policy explain of an action sends what is known of it", async () => {
  const words = ["--as", "act_1", "--contract", "acme", "--action", "egress.request", "--resource", "host:a"];
  const context = [
    "--context",
    "host=a=b",
    "--context",
    "port=443",
    "--context",
    'limits={"cpu_ms":5}',
    "--gate",
    "deploy",
  ];
  const allowed = { ...explanation, verdict: "allow" as const, reasons: [], rules: [], allowed_by: [], now: null };
  const { exit, out, seen } = await run(() => [200, allowed], "policy", "explain", ...words, ...context);
  expect(exit).toBe(0);
  expect(out).toBe("allow  run.submit code:1 under acme@2\n");
  expect(JSON.parse(seen[0]!.body)).toEqual({
    as: "act_1",
    contract: "acme",
    action: "egress.request",
    resource: "host:a",
    gates: ["deploy"],
    context: { host: "a=b", port: 443, limits: { cpu_ms: 5 } },
  });
  for (const wrong of [
    [],
    ["run_1", "--action", "x"],
    ["--action", "x"],
    ["--action", "x", "--resource", "y", "--context", "z"],
  ]) {
    expect((await run(() => [200, allowed], "policy", "explain", ...wrong)).exit).toBe(2);
  }
});

const held = {
  contract: "acme",
  action: "run.submit",
  resource: "code:1",
  expect: "allow" as const,
  codes: [],
  detail: "",
};
const report: PolicyTestReport = {
  cases: [
    { ...held, name: "one", got: "allow", ok: true },
    { ...held, name: "two", got: "deny", codes: ["POLICY_TARGET"], ok: false, detail: "expected allow, got deny: No." },
  ],
  passed: 1,
  failed: 1,
};

test("policy test sends the document beside the table, prints a table and exits 1 when a case does not hold", async () => {
  await file("acme.policy.yaml", "cases: []\n");
  await file("acme.yaml", text);
  const { exit, out, seen } = await run(() => [200, report], "policy", "test", "acme.policy.yaml");
  expect(JSON.parse(seen[0]!.body)).toEqual({
    table: { name: "acme.policy.yaml", text: "cases: []\n" },
    contracts: [{ name: "acme.yaml", text }],
  });
  expect(exit).toBe(1);
  expect(out).toBe(
    [
      "        CASE  CONTRACT  ACTION      VERDICT  CODES",
      "ok      one   acme      run.submit  allow",
      "FAILED  two   acme      run.submit  deny     POLICY_TARGET",
      "",
      "1 of 2 cases do not hold",
      "  two: expected allow, got deny: No.",
      "",
    ].join("\n"),
  );
});

test("policy test with documents that are named, and with none", async () => {
  await file("t.yaml", "cases: []\n");
  await file("acme.yaml", text);
  const good = { cases: [report.cases[0]], passed: 1, failed: 0 };
  const named = await run(() => [200, good], "policy", "test", "t.yaml", "--contract", "acme.yaml", "--json");
  expect({ exit: named.exit, out: JSON.parse(named.out) }).toEqual({ exit: 0, out: good });
  expect(JSON.parse(named.seen[0]!.body).contracts).toHaveLength(1);
  const none = await run(() => [200, good], "policy", "test", "t.yaml");
  expect(JSON.parse(none.seen[0]!.body).contracts).toEqual([]);
  expect(none.out).toContain("1 case holds\n");
});
