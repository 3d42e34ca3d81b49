import type { BlockedEgressCall, EgressService, EgressVerdict, Lease } from "@gantry/sdk";
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
  const asked = server.seen.map(({ method, url }) => `${method} ${url}`);
  return { exit, out: io.out(), err: io.err(), asked, bodies: server.seen.map(({ body }) => body) };
}
const gone: Parameters<typeof stubServer>[0] = (_request, response) => {
  response.writeHead(204).end();
  return undefined;
};

const denial: EgressVerdict = {
  verdict: "deny",
  code: "EGRESS_METHOD",
  detail: "POST to api.example.com is not in contract triage@4.",
  next_steps: [
    {
      kind: "contract.egress.rule",
      text: "The narrowest rule that allows this call",
      rule: {
        hosts: ["api.example.com"],
        protocol: "https",
        ports: [443],
        methods: ["POST"],
        paths: ["/v1/issues"],
        private: true,
      },
      needs: "contract-change",
    },
  ],
};
const URL_ASKED = "https://api.example.com/v1/issues";
const asking = ["egress", "test", "--contract", "triage", "--method", "post", URL_ASKED];

test("egress test explains a denial, and prints the narrowest rule alone on standard output", async () => {
  const { exit, out, err, asked, bodies } = await run(() => [200, denial], ...asking);
  expect(exit).toBe(3);
  expect(asked).toEqual(["POST /v1/egress/test"]);
  expect(JSON.parse(bodies[0] ?? "")).toEqual({ contract: "triage", url: URL_ASKED, method: "POST" });
  expect(out).toBe(
    [
      '- hosts: ["api.example.com"]',
      "  protocol: https",
      "  ports: [443]",
      '  methods: ["POST"]',
      '  paths: ["/v1/issues"]',
      "  private: true",
      "",
    ].join("\n"),
  );
  expect(err).toBe(
    [
      `deny  POST ${URL_ASKED} under triage`,
      "  code         EGRESS_METHOD",
      "  POST to api.example.com is not in contract triage@4.",
      "",
      "The narrowest rule that allows this call:",
      "",
    ].join("\n"),
  );
});

test("egress test names the rule that allows, with its service, and exits 0", async () => {
  const verdict: EgressVerdict = { verdict: "allow", rule: "github", service: "github-api", environment: "production" };
  const { exit, out, err } = await run(() => [200, verdict], "egress", "test", "--contract", "triage", URL_ASKED);
  expect({ exit, err }).toEqual({ exit: 0, err: "" });
  expect(out).toBe(
    [
      `allow  GET ${URL_ASKED} under triage`,
      "  rule         github",
      "  service      github-api",
      "  environment  production",
      "",
    ].join("\n"),
  );
});

test("egress test of what people decide exits 3, and of what no rule may allow prints no rule", async () => {
  const people = await run(() => [200, { verdict: "needs_human", rule: "pay" }], ...asking);
  expect(people).toMatchObject({ exit: 3, out: expect.stringContaining("needs_human") });
  const code = { verdict: "deny", code: "EGRESS_METADATA", detail: "That is a metadata service.", next_steps: [] };
  const metadata = await run(() => [200, code], ...asking);
  expect(metadata).toMatchObject({ exit: 3, err: "", out: expect.stringContaining("EGRESS_METADATA") });
});

test("egress test needs a contract, and in JSON is the server's answer", async () => {
  expect(await run(() => [200, denial], "egress", "test", URL_ASKED)).toMatchObject({ exit: 2, asked: [] });
  const { exit, out } = await run(() => [200, denial], ...asking, "--json");
  expect(exit).toBe(3);
  expect(JSON.parse(out)).toEqual(denial);
  const tunnel = ["egress", "test", "--contract", "r", "--protocol", "tls", "db.example.com:5432"];
  const asked = await run(() => [200, { verdict: "allow", rule: "0" }], ...tunnel);
  expect(asked.out).toContain("CONNECT (tls) db.example.com:5432 under r");
  expect(JSON.parse(asked.bodies[0] ?? "")).toEqual({ contract: "r", url: "db.example.com:5432", protocol: "tls" });
});

const blocked: BlockedEgressCall = {
  id: "blk_1",
  subject: "run_1",
  contract: { name: "triage", version: 4 },
  code: "EGRESS_METHOD",
  method: "POST",
  url: `${URL_ASKED}?a=\u001b`,
  body_bytes: 12,
  state: "waiting",
  status: null,
  created_at: 1_700_000_000_000,
  expires_at: 1_700_604_800_000,
};

test("stopped calls are listed, shown, retried and dropped", async () => {
  const list = await run(() => [200, { items: [blocked] }], "egress", "blocked", "list");
  expect(list.out).toBe(
    [
      "CALL   CREATED       STATE    CODE           METHOD  URL",
      "blk_1  11-14 22:13Z  waiting  EGRESS_METHOD  POST    https://api.example.com/v1/issues?a=\\x1b",
      "",
    ].join("\n"),
  );
  const show = await run(() => [200, blocked], "egress", "blocked", "show", "blk_1");
  expect(show.asked).toEqual(["GET /v1/egress/blocked/blk_1"]);
  expect(show.out).toContain("  stopped  EGRESS_METHOD, triage@4\n");
  const sent = { ...blocked, state: "sent", status: 201 };
  const retry = await run(() => [200, sent], "egress", "blocked", "retry", "blk_1");
  expect(retry).toMatchObject({ exit: 0, asked: ["POST /v1/egress/blocked/blk_1/retry"] });
  expect(retry.out).toMatch(/^sent 201 {2}blk_1\n/);
  const failed = { ...blocked, state: "failed" };
  expect((await run(() => [200, failed], "egress", "blocked", "retry", "blk_1")).exit).toBe(1);
  expect(await run(gone, "egress", "blocked", "drop", "blk_1")).toMatchObject({
    exit: 0,
    out: "blk_1 dropped\n",
    asked: ["DELETE /v1/egress/blocked/blk_1"],
  });
});

test("a retry that the contract still does not allow exits 3, with the rule to add", async () => {
  const problem = { type: "", status: 403, title: "x", ...denial };
  const { exit, err } = await run(() => [403, problem], "egress", "blocked", "retry", "blk_1");
  expect(exit).toBe(3);
  expect(err).toContain('    - hosts: ["api.example.com"]\n');
});

const service: EgressService = {
  name: "github-api",
  class: "source-control",
  environment: "production",
  hosts: ["api.github.com"],
  protocol: "https",
};

test("services are listed, set and removed", async () => {
  const list = await run(() => [200, { items: [service] }], "egress", "services", "list");
  expect(list.out).toMatch(/^github-api {2}source-control {2}production {3}https {6,}api\.github\.com$/m);
  const { exit, asked, bodies } = await run(
    () => [200, service],
    ...["egress", "services", "set", "github-api", "--class", "source-control", "--environment", "production"],
    ...[
      "--host",
      "api.github.com",
      "--host",
      "*.ghe.example",
      "--port",
      "443",
      "--method",
      "get",
      "--data-class",
      "internal",
    ],
  );
  expect({ exit, asked }).toEqual({ exit: 0, asked: ["PUT /v1/egress/services/github-api"] });
  expect(JSON.parse(bodies[0] ?? "")).toEqual({
    class: "source-control",
    environment: "production",
    hosts: ["api.github.com", "*.ghe.example"],
    protocol: "https",
    ports: [443],
    methods: ["GET"],
    data_class: "internal",
  });
  expect(await run(gone, "egress", "services", "rm", "a b")).toMatchObject({
    asked: ["DELETE /v1/egress/services/a%20b"],
    out: "a b removed\n",
  });
  const lacking = ["egress", "services", "set", "x", "--class", "c", "--environment", "e"];
  expect(await run(() => [200, service], ...lacking)).toMatchObject({ exit: 2, asked: [] });
});

test("leases are listed and revoked", async () => {
  const lease: Lease = {
    id: "lse_1",
    subject: "run_1",
    secret: "github-token",
    hosts: ["api.github.com"],
    methods: ["GET", "POST"],
    slot: "bearer",
    not_after_at: 1_700_000_000_000,
    revoked_at: null,
  };
  const good = { ...lease, id: "lse_2", not_after_at: 4_000_000_000_000 };
  const ended = { ...good, id: "lse_3", revoked_at: 1_700_000_000_000 };
  const list = await run(() => [200, { items: [lease, good, ended] }], "leases", "list");
  expect([...list.out.matchAll(/^(lse_\d).* (good|ended|expired) /gm)].map(([, id, state]) => [id, state])).toEqual([
    ["lse_1", "expired"],
    ["lse_2", "good"],
    ["lse_3", "ended"],
  ]);
  expect(list.out).toContain("lse_1  github-token  run_1  expired  11-14 22:13Z  bearer  GET POST  api.github.com\n");
  expect(await run(gone, "leases", "revoke", "lse_1")).toMatchObject({
    exit: 0,
    out: "lse_1 revoked\n",
    asked: ["DELETE /v1/leases/lse_1"],
  });
});

const called = { method: "GET", host: "a.example", path: "/v1/*", rule: "read", code: null, request_bytes: 0 };

test("a run tells what it called and what was blocked", async () => {
  const egress = [
    { ...called, verdict: "allowed", count: 2, response_bytes: 1_234 },
    { ...called, host: "b.example", verdict: "allowed", code: "EGRESS_TIME", count: 1, response_bytes: 0 },
    {
      ...called,
      host: "evil\u001b",
      path: null,
      rule: null,
      verdict: "denied",
      code: "EGRESS_HOST",
      count: 3,
      response_bytes: 0,
    },
  ];
  const { out } = await run(() => [200, runView({ egress } as Parameters<typeof runView>[0])], "runs", "show", "run_1");
  expect(out).toContain("called    GET a.example (2x, 1.2 kB), GET b.example (EGRESS_TIME, 0 B)\n");
  expect(out).toContain("blocked   GET evil\\x1b EGRESS_HOST (3x)\n");
});

test("runs calls of a run without a network shows what was blocked", async () => {
  const view = runView({ blocked: [{ host: "a.example", method: "GET", count: 2 }] });
  const { out } = await run(
    ({ url }) => [200, url.endsWith("/egress") ? { rows: [], lines: [] } : view],
    "runs",
    "calls",
    "run_1",
  );
  expect(out).toMatch(/^denied {3}GET {5}a.example +2 {3}0 B {7}0 B$/m);
  const none = await run(
    ({ url }) => [200, url.endsWith("/egress") ? { rows: [], lines: [] } : runView()],
    "runs",
    "calls",
    "run_1",
  );
  expect(none).toMatchObject({ exit: 0, out: "", err: "It called nothing.\n" });
});

test("runs calls shows sums, or call by call over all pages", async () => {
  const rows = [{ ...called, verdict: "allowed", count: 2, response_bytes: 1_234 }];
  const sums = await run(() => [200, { rows, lines: [] }], "runs", "calls", "run_1");
  expect(sums.out).toBe(
    [
      "VERDICT  METHOD  HOST       PATH   RULE  CODE  CALLS  SENT  RECEIVED",
      "allowed  GET     a.example  /v1/*  read            2   0 B    1.2 kB",
      "",
    ].join("\n"),
  );
  const each = await run(
    ({ url }) => [200, url.includes("cursor=1") ? { rows, lines: [{ n: 2 }] } : { rows, lines: [{ n: 1 }], next: "1" }],
    ...["runs", "calls", "run_1", "--each"],
  );
  expect(each.out).toBe('{"n":1}\n{"n":2}\n');
  expect(each.asked).toEqual(["GET /v1/runs/run_1/egress", "GET /v1/runs/run_1/egress?cursor=1"]);
});
