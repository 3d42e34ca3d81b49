import { mkdtemp, readdir, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { afterAll, beforeAll, expect, it } from "vitest";
import type { PolicyExplanation, ProposedContract } from "../../sdk/src/policy_types.ts";
import type { Entry, Page, ProblemDocument, RunView } from "../../sdk/src/types.ts";
import { cli, type Finished } from "../fixtures/processes.ts";
import { startServer, type TestServer } from "../fixtures/server.ts";

/** Contracts from outside: a start that leaves something waiting, people who decide about it, and why a run was refused. */

const EXAMPLES = fileURLToPath(new URL("../../examples/contracts/", import.meta.url));
const document = (name: string, cpu_ms: number, more = "") =>
  `kind: Contract\nname: ${name}\nextends: read-only\nlimits: {cpu_ms: ${cpu_ms}}\n${more}`;
const EGRESS = "egress: [{hosts: [api.example.com], protocol: https}]\n";

let server: TestServer;
let home: string;
let agent_token: string;
type Who = Record<string, string | undefined>;
const owner = (): Who => ({ GANTRY_URL: server.url, GANTRY_TOKEN: server.token });
const agent = (): Who => ({ GANTRY_URL: server.url, GANTRY_TOKEN: agent_token });
/** Logged in by a link, and by nothing else. */
let human_token: string | undefined;
const human = (): Who => ({ GANTRY_URL: server.url, GANTRY_TOKEN: human_token, XDG_CONFIG_HOME: home });
const run = (who: Who, ...words: string[]): Promise<Finished> => cli(words, { cwd: home, env: who });
async function approve(id: string): Promise<void> {
  const shown = await run(human(), "approvals", "show", id, "--json");
  const { statement_hash } = JSON.parse(shown.stdout) as { statement_hash: string };
  const voted = await run(human(), "approve", id, "--statement-hash", statement_hash);
  expect(voted.code, voted.stderr).toBe(0);
}

beforeAll(async () => {
  home = await mkdtemp(join(tmpdir(), "gantry-contracts-"));
  await writeFile(join(home, "tight.yaml"), document("tight", 500));
  await writeFile(join(home, "wide.yaml"), document("wide", 500, EGRESS));
  server = await startServer({ config: { contracts: ["tight.yaml", "wide.yaml"].map((name) => join(home, name)) } });
  const [link = ""] = /gtr_lnk_[0-9A-Za-z]{36}/.exec(server.printed) ?? [];
  const login = await run(human(), "login", link);
  expect(login.code, login.stderr).toBe(0);
  // A later start of the server has another URL, for which nobody has logged in.
  const logins = join(home, "gantry", "logins");
  const [kept = ""] = await readdir(logins);
  human_token = (JSON.parse(await readFile(join(logins, kept), "utf8")) as { token: string }).token;
  const scopes = ["run:submit", "run:read", "contract:read", "contract:propose"].flatMap((one) => ["--scope", one]);
  agent_token = (await run(owner(), "tokens", "mint", "--actor", "local", ...scopes)).stdout.trim();
});
afterAll(async () => {
  await server.dispose();
  await rm(home, { recursive: true, force: true });
});

const versionOf = async (name: string) => (await server.json<{ version: number }>(`/v1/contracts/${name}`)).version;

it("a start applies what tightens, says what waits, and does not ask twice", async () => {
  expect(server.printed).toContain("tight@1");
  const waits = /wide@1 waits for people: npx gantry approvals show (apr_[0-9a-z]{26})/;
  const [, approval = ""] = waits.exec(server.printed) ?? [];
  const unknown = await server.json<ProblemDocument>("/v1/contracts/wide", {}, 404);
  expect(unknown.detail).toContain(approval);
  await server.restart();
  expect(server.printed.split("wide@1 waits").length).toBe(3);
  const asked = await server.json<Page<Entry>>("/v1/evidence/entries?kind=contract.proposed");
  expect(asked.items.map(({ data }) => data["approval"])).toEqual([approval]);
  await approve(approval);
  expect(await versionOf("wide")).toBe(1);
});

it("an agent proposes, a human approves, and each step is in the ledger", async () => {
  await writeFile(join(home, "tight.yaml"), document("tight", 900));
  const diff = await run(agent(), "contracts", "diff", "tight.yaml");
  expect(diff).toMatchObject({
    code: 1,
    stdout: "tight: loosens, against tight@1\n  ! /limits/cpu_ms  500 becomes 900\n",
  });
  const proposed = await run(agent(), "contracts", "apply", "tight.yaml", "--if-version", "1", "--json");
  expect(proposed.code).toBe(3);
  const { approval } = JSON.parse(proposed.stdout) as ProposedContract;
  expect(await versionOf("tight")).toBe(1);
  expect((await run(agent(), "contracts", "list")).stdout).toMatch(/^tight +1 .*active, 2 waits/m);
  await approve(approval);
  expect(await versionOf("tight")).toBe(2);
  const entries = await server.json<Page<Entry>>(`/v1/evidence/entries?ref=${approval}&limit=50`);
  expect(entries.items.map(({ kind }) => kind)).toEqual([
    "approval.requested",
    "contract.proposed",
    "approval.voted",
    "approval.approved",
    "contract.applied",
    "approval.executed",
  ]);
  // The file of the configuration is the agent's own now: the next start finds it in force.
  const again = await run(agent(), "contracts", "apply", "tight.yaml");
  expect(again).toMatchObject({ code: 0, stdout: "tight@2 says the same already\n" });
});

it("curl applies a document as it stands in its file", async () => {
  const body = document("curled", 400);
  const put = (text: string, headers: Record<string, string>) =>
    server.request("/v1/contracts/curled", { method: "PUT", headers, body: text });
  const yaml = { "content-type": "application/yaml" };
  expect((await put(body, yaml)).headers.get("etag")).toBe('"1"');
  expect((await put(body, { "content-type": "text/plain" })).status).toBe(415);
  expect((await put(document("curled", 300), { ...yaml, "if-match": '"7"' })).status).toBe(412);
  // Other paths still take JSON alone.
  const elsewhere = await server.request("/v1/runs", { method: "POST", headers: yaml, body: "{}" });
  expect(elsewhere.status).toBe(415);
});

it("a refused run is explained by the line of its contract, also when the contract has moved on", async () => {
  const limits = { cpu_ms: 901 };
  const json = { code: { source: "export default () => 1" }, contract: "tight", limits };
  const problem = await server.json<ProblemDocument>("/v1/runs", { json, token: agent_token }, 403);
  const id = problem.run ?? "";
  const told = await run(agent(), "policy", "explain", id);
  expect(told.code).toBe(3);
  expect(told.stdout).toContain("CONTRACT_LIMIT");
  expect(told.stdout).toContain("line 4  limits: {cpu_ms: 900}");
  expect(told.stdout).toContain("Ask for cpu_ms 900 or less");
  await writeFile(join(home, "tighter.yaml"), document("tight", 100));
  expect((await run(agent(), "contracts", "apply", "tighter.yaml")).code).toBe(0);
  const later = await server.json<PolicyExplanation>(`/v1/runs/${id}/policy`);
  expect(later).toMatchObject({ contract: { version: 2 }, verdict: "deny", now: { contract: { version: 3 } } });
  const done = await server.json<RunView>("/v1/runs", { json: { ...json, limits: { cpu_ms: 100 } } });
  const allowed = await run(agent(), "policy", "explain", done.id);
  expect(allowed).toMatchObject({ code: 0, stdout: expect.stringMatching(/^allow {2}run\.submit code:/) });
});

it("the worked contracts hold what their tables promise, and a table that lies exits 1", async () => {
  for (const name of ["docs-reader", "production-change"]) {
    const held = await cli(["policy", "test", join(EXAMPLES, `${name}.policy.yaml`)], { cwd: home, env: agent() });
    expect(held.code, held.stdout + held.stderr).toBe(0);
  }
  const table = await readFile(join(EXAMPLES, "docs-reader.policy.yaml"), "utf8");
  await writeFile(join(home, "lie.yaml"), table.replace("expect: allow", "expect: deny"));
  const lied = await run(agent(), "policy", "test", "lie.yaml", "--contract", join(EXAMPLES, "docs-reader.yaml"));
  expect(lied.code).toBe(1);
  expect(lied.stdout).toContain("expected deny, got allow");
});
