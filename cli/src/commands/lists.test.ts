import type { ContractSummary, Entry } from "@gantry/sdk";
import { afterEach, expect, test } from "vitest";
import { runProgram } from "../program.ts";
import { runView, stubServer, testTerminal } from "../testing.ts";

const closers: (() => Promise<void>)[] = [];
afterEach(async () => {
  for (const close of closers.splice(0)) await close();
});

async function run(answer: Parameters<typeof stubServer>[0], ...words: string[]) {
  const server = await stubServer(answer);
  closers.push(server.close);
  const io = testTerminal({ env: { GANTRY_URL: server.url, GANTRY_TOKEN: "gtr_x" } });
  const exit = await runProgram(words, io, { server: "", examples: "", version: "0" });
  return { exit, out: io.out(), err: io.err(), urls: server.seen.map(({ method, url }) => `${method} ${url}`) };
}

const entry: Entry = {
  id: "ent_1",
  kind: "run.ended",
  at: 1_700_000_000_000,
  tenant: "ten_1",
  actor: [
    { actor: "act_1", kind: "human" },
    { actor: "act_2", kind: "agent" },
  ],
  refs: ["run_1"],
  snapshot: "snp_1",
  contract: { name: "scratch", version: 2 },
  decision: { verdict: "deny", codes: ["CONTRACT_LIMIT"] },
  data: { termination: "denied\u001b" },
  leaf: "ab",
  sealed: false,
};
const contract: ContractSummary = {
  name: "scratch",
  version: 2,
  class: "read-only",
  built_in: true,
  state: "active",
  suspension: null,
  pending: { version: 3, approval: "apr_1", statement_hash: "0" },
  snapshot: "snp_1",
  contract: { isolation: "process", isolation_floor: "pooled", limits: { cpu_ms: 1 } },
};

test("runs list is an aligned table, newest first as the server gives them", async () => {
  const items = [
    runView(),
    runView({ id: "run_22", state: "running", termination: undefined as never, usage: undefined as never }),
  ];
  const { exit, out, err, urls } = await run(
    () => [200, { items, next: "c" }],
    "runs",
    "list",
    "--limit",
    "2",
    "--state",
    "ended",
  );
  expect(exit).toBe(0);
  expect(out).toBe(
    [
      "RUN     CREATED       STATE      CONTRACT      CPU",
      "run_1   11-14 22:13Z  completed  scratch@1  3.1 ms",
      "run_22  11-14 22:13Z  running    scratch@1",
      "",
    ].join("\n"),
  );
  expect(err).toBe("These are the first 2 runs; --limit shows more.\n");
  expect(urls).toEqual(["GET /v1/runs?limit=2&state=ended"]);
});

test("runs list narrows to a session, and runs show tells it", async () => {
  const { urls } = await run(() => [200, { items: [] }], "runs", "list", "--session", "s 1");
  expect(urls).toEqual(["GET /v1/runs?limit=20&session=s+1"]);
  const shown = await run(() => [200, runView({ isolation: "session", session: "s1" })], "runs", "show", "run_1");
  expect(shown.out).toContain("scratch@1, session s1");
});

test("an empty list says so on stderr, and is an empty list in JSON", async () => {
  expect(await run(() => [200, { items: [] }], "runs", "list")).toMatchObject({
    out: "",
    err: "There is no such run yet.\n",
  });
  const { out } = await run(() => [200, { items: [] }], "runs", "list", "--json");
  expect(JSON.parse(out)).toEqual({ items: [], more: false });
});

test("runs show prints ending, use and result; an unknown one exits 2", async () => {
  const { out } = await run(() => [200, runView({ result: [1] })], "runs", "show", "run_1");
  expect(out).toContain("completed  cpu 3.1 ms");
  expect(out).toContain("[\n  1\n]\n");
  const problem = { type: "", status: 404, code: "RUN_NOT_FOUND", title: "There is no such run.", detail: "No run_0." };
  expect(await run(() => [404, problem], "runs", "show", "run_0")).toMatchObject({ exit: 2, out: "" });
});

test("runs logs prints lines, or NDJSON", async () => {
  const line = '{"seq":3,"at":0,"level":"error","text":"bad"}\n';
  const answer: Parameters<typeof stubServer>[0] = (_request, response) => {
    response.end(line);
    return undefined;
  };
  const plain = await run(answer, "runs", "logs", "run_1", "--follow", "--after", "2");
  expect(plain).toMatchObject({ out: "error bad\n", urls: ["GET /v1/runs/run_1/logs?after=2&follow=1"] });
  expect((await run(answer, "runs", "logs", "run_1", "--json")).out).toBe(line);
});

test("runs cancel tells how the run ended", async () => {
  const { out, urls } = await run(() => [200, runView({ termination: "cancelled" })], "runs", "cancel", "run_1");
  expect(out).toBe("run_1 cancelled\n");
  expect(urls).toEqual(["POST /v1/runs/run_1/cancel"]);
});

test("evidence show names private fields, and shows one that is asked for, escaped", async () => {
  const commitments = { why: "00", prompt: "01" };
  const sealed = await run(() => [200, { ...entry, commitments }], "evidence", "show", "ent_1");
  expect(sealed.out).toContain("private   why prompt\n");
  expect(sealed.urls).toEqual(["GET /v1/evidence/entries/ent_1"]);
  const opened = { why: { key: "AA==", value: Buffer.from("because\u001b[2J").toString("base64") } };
  const words = ["evidence", "show", "ent_1", "--open", "why"];
  const shown = await run(() => [200, { ...entry, commitments, opened }], ...words);
  expect(shown.urls).toEqual(["GET /v1/evidence/entries/ent_1?open=why"]);
  expect(shown.out).toMatch(/\nwhy\nbecause\\/);
  expect(shown.out).not.toContain("\u001b");
  const problem = { type: "", status: 410, code: "EVIDENCE_ERASED", title: "Erased.", detail: "It was erased." };
  expect(await run(() => [410, problem], ...words)).toMatchObject({ exit: 2, out: "" });
});

test("evidence list and show tell who did what, and escape what guests wrote", async () => {
  const words = ["evidence", "list", "--ref", "run_1", "--kind", "run.ended", "--since", "2026-01-31"];
  const list = await run(
    () => [
      200,
      {
        items: [
          { ...entry, sealed: true, index: 7 },
          { ...entry, id: "ent_2" },
        ],
      },
    ],
    ...words,
  );
  expect(list.out).toBe(
    [
      "INDEX  ENTRY  AT            KIND       VERDICT  REFS",
      "    7  ent_1  11-14 22:13Z  run.ended  deny     run_1",
      "       ent_2  11-14 22:13Z  run.ended  deny     run_1",
      "",
    ].join("\n"),
  );
  expect(list.urls).toEqual(["GET /v1/evidence/entries?limit=20&ref=run_1&kind=run.ended&since=1769817600000"]);
  const newest = await run(() => [200, { items: [] }], "evidence", "list", "--newest");
  expect(newest.urls).toEqual(["GET /v1/evidence/entries?limit=20&order=newest"]);
  const { out } = await run(() => [200, entry], "evidence", "show", "ent_1");
  expect(out).toContain("actor     agent act_2 for human act_1");
  expect(out).toContain("decision  deny CONTRACT_LIMIT");
  expect(out).toContain("not sealed yet");
  expect(out).not.toContain("\u001b");
});

test("contracts list and show", async () => {
  expect((await run(() => [200, { items: [contract] }], "contracts", "list")).out).toBe(
    [
      "CONTRACT  VERSION  CLASS      ORIGIN    STATE            SNAPSHOT",
      "scratch         2  read-only  built in  active, 3 waits  snp_1",
      "",
    ].join("\n"),
  );
  const { out } = await run(() => [200, contract], "contracts", "show", "scratch");
  expect(out).toContain("scratch@2: read-only, built in");
  expect(out).toContain("waits      version 3: apr_1");
  const suspension = { metric: "drift_ratio", counted: 2, runs: 20, entry: "ent_1", at: 0 };
  const suspended = await run(
    () => [200, { ...contract, state: "suspended", suspension }],
    "contracts",
    "show",
    "acme",
  );
  expect(suspended.out).toContain("suspended  drift_ratio: 2 of 20 runs, by ent_1");
  expect(out).toContain("isolation  process by default, pooled at least\n");
  expect(out).toContain('"cpu_ms": 1');
  expect(JSON.parse((await run(() => [200, contract], "contracts", "show", "scratch", "--json")).out)).toEqual(
    contract,
  );
});
