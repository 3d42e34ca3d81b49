import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { createServer, type IncomingHttpHeaders, type Server } from "node:http";
import type { AddressInfo } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import type { Approval } from "../../sdk/src/approval_types.ts";
import type { BlockedEgressCall, RedteamRecord } from "../../sdk/src/egress_types.ts";
import type { Entry, RunView } from "../../sdk/src/types.ts";
import { type DnsServer, openDnsServer } from "../fixtures/dns_server.ts";
import { cli, type Finished } from "../fixtures/processes.ts";
import { startServer, type TestServer } from "../fixtures/server.ts";

/** What leaves a run, by the command line alone: a secret, a contract that people approve, calls, and hostile programs. */

const SECRET = "s3cret-of-the-destination";
const HOST = "api.door.example";
const ADDRESS = "127.0.0.2";

let dns: DnsServer;
let upstream: Server;
let port: number;
let server: TestServer;
let home: string;
const seen: { method: string; url: string; headers: IncomingHttpHeaders }[] = [];

const GUEST = `
export default async ({ url }, env) => {
  const lease = env.API_TOKEN;
  const headers = { authorization: "Bearer " + lease };
  const got = await (await fetch(url + "/v1/things?q=1", { headers })).text();
  const posted = await fetch(url + "/v1/things", { method: "POST", body: "a thing" });
  const other = await fetch("http://other.door.example/");
  return { lease, got, posted: [posted.status, (await posted.json()).code], other: (await other.json()).code };
};
`;
const contract = () => `
kind: Contract
name: things
extends: staging-mutation
class: controlled-mutation
egress:
  - id: read
    hosts: [${HOST}]
    protocol: http
    ports: [${port}]
    methods: [GET]
    paths: ["/v1/*"]
    private: true
    addresses: [${ADDRESS}]
    secret: {name: api-token, slot: bearer}
    on_blocked: dead-letter
`;

type Words = readonly string[];
const owner = (): Record<string, string | undefined> => ({
  GANTRY_URL: server.url,
  GANTRY_TOKEN: server.token,
  XDG_CONFIG_HOME: join(home, "owner"),
});
const human = () => ({ ...owner(), GANTRY_TOKEN: undefined, XDG_CONFIG_HOME: join(home, "human") });
const run = (words: Words, o: { env?: Record<string, string | undefined>; input?: string } = {}): Promise<Finished> =>
  cli(words, { cwd: home, env: owner(), ...o });
async function said<T>(words: Words, exit = 0, o: Parameters<typeof run>[1] = {}): Promise<T> {
  const out = await run([...words, "--json"], o);
  expect(out.code, out.stderr).toBe(exit);
  return JSON.parse(out.stdout) as T;
}

beforeAll(async () => {
  home = await mkdtemp(join(tmpdir(), "gantry-egress-"));
  dns = await openDnsServer();
  dns.addresses(HOST, [ADDRESS]);
  upstream = createServer((request, response) => {
    seen.push({ method: request.method ?? "", url: request.url ?? "", headers: request.headers });
    request.resume().on("end", () => response.end("it answered"));
  });
  await new Promise<void>((resolve) => upstream.listen(0, ADDRESS, resolve));
  port = (upstream.address() as AddressInfo).port;
  server = await startServer({ config: { egress: { resolvers: [dns.address] } } });
  const [link = ""] = /gtr_lnk_[0-9A-Za-z]{36}/.exec(server.printed) ?? [];
  expect((await run(["login", link], { env: human() })).code).toBe(0);
  await writeFile(join(home, "main.ts"), GUEST);
  await writeFile(join(home, "things.yaml"), contract());
});
afterAll(async () => {
  await server?.dispose();
  await new Promise((resolve) => upstream.close(resolve));
  await dns.close();
  await rm(home, { recursive: true, force: true });
});

/** An agent applies the contract, and a human approves it. */
async function approveContract(): Promise<void> {
  const scopes = ["contract:read", "contract:propose"].flatMap((scope) => ["--scope", scope]);
  const minted = await run(["tokens", "mint", "--actor", "local", ...scopes]);
  const agent = { ...owner(), GANTRY_TOKEN: minted.stdout.trim() };
  const { approval } = await said<{ approval: string }>(["contracts", "apply", "things.yaml"], 3, { env: agent });
  const { statement_hash } = await said<Approval>(["approvals", "show", approval], 0, { env: human() });
  const voted = await run(["approve", approval, "--statement-hash", statement_hash], { env: human() });
  expect(voted.code, voted.stderr).toBe(0);
}

describe("what leaves a run, by the command line", () => {
  it("a secret reaches the destination and nobody else, and what was stopped waits for a person", async () => {
    const argv = await run(["secrets", "set", "api-token", SECRET]);
    expect(argv).toMatchObject({ code: 2, stdout: "" });
    expect(argv.stderr).not.toContain(SECRET);
    const set = await run(["secrets", "set", "api-token"], { input: `${SECRET}\n` });
    expect(set, set.stderr).toMatchObject({ code: 0, stdout: "api-token is sealed, version 1\n" });
    expect((await run(["secrets", "list"])).stdout).toMatch(/^api-token +1 /m);
    await approveContract();

    const url = `http://${HOST}:${port}`;
    const asking = ["egress", "test", "--contract", "things"];
    const allowed = await run([...asking, `${url}/v1/things`]);
    expect(allowed.code, allowed.stderr).toBe(0);
    expect(allowed.stdout).toMatch(/rule +read/);
    const denied = await run([...asking, "--method", "POST", `${url}/v1/things`]);
    expect(denied.code, denied.stderr).toBe(3);
    expect(denied.stderr).toContain("EGRESS_METHOD");
    expect(denied.stdout).toContain(`- hosts: ["${HOST}"]`);
    expect(denied.stdout).toContain('methods: ["POST"]');

    const out = await run([
      "run",
      "main.ts",
      "--contract",
      "things",
      "--target",
      "staging",
      "--input",
      JSON.stringify({ url }),
    ]);
    expect(out.code, out.stderr).toBe(0);
    const result = JSON.parse(out.stdout);
    expect(result).toEqual({
      lease: expect.stringMatching(/^gl_/),
      got: "it answered",
      posted: [403, "EGRESS_METHOD"],
      other: "EGRESS_HOST",
    });
    expect(seen).toMatchObject([
      { method: "GET", url: "/v1/things?q=1", headers: { authorization: `Bearer ${SECRET}` } },
    ]);
    expect(out.stderr).toMatch(new RegExp(`called +GET ${HOST}`));
    expect(out.stderr).toMatch(/blocked +.*EGRESS_METHOD/);
    expect(out.stdout + out.stderr).not.toContain(SECRET);

    const [{ id } = { id: "" }] = (await said<{ items: RunView[] }>(["runs", "list", "--limit", "1"])).items;
    expect((await run(["runs", "calls", id])).stdout).toMatch(new RegExp(`^allowed +GET +${HOST}.*read`, "m"));
    const told = await run(["timeline", id]);
    expect(told.stdout).toContain("lease of the secret");
    expect(told.stdout).toContain("let out by the rule");
    expect(told.stdout).not.toContain(SECRET);
    expect((await run(["leases", "list"])).stdout).toMatch(new RegExp(`^lse_\\w+ +api-token +${id} +ended `, "m"));

    const { items } = await said<{ items: BlockedEgressCall[] }>(["egress", "blocked", "list"]);
    expect(items).toMatchObject([
      { subject: id, method: "POST", code: "EGRESS_METHOD", state: "waiting", body_bytes: 7 },
    ]);
    const blocked = items[0]?.id ?? "";
    expect((await run(["egress", "blocked", "show", blocked])).stdout).toContain(`POST ${url}/v1/things`);
    const retried = await run(["egress", "blocked", "retry", blocked]);
    expect(retried.code, retried.stderr).toBe(3);
    expect((await run(["egress", "blocked", "drop", blocked])).code).toBe(0);
    expect(seen).toHaveLength(1);
    expect((await run(["secrets", "rm", "api-token"])).code).toBe(0);
  });

  it("a secret is what it was after it was wrapped with a new key, by somebody who stopped the server for it", async () => {
    expect((await run(["secrets", "set", "api-token"], { input: SECRET })).code).toBe(0);
    const rewrap = ["secrets", "rewrap", "--data", server.data];
    const refused = await run(rewrap);
    expect(refused).toMatchObject({ code: 2, stdout: "" });
    expect(refused.stderr).toContain("A server runs on this data directory");
    await server.stop();
    const done = await said<{ key: string; before: string[] }>(rewrap);
    expect(done).toMatchObject({ secrets: 1, tenants: 1, resumed: false, by: "owner" });
    expect(done.before).not.toContain(done.key);
    const again = await run(rewrap);
    expect(again.code, again.stderr).toBe(0);
    expect(again.stdout).toMatch(/^1 secret of 1 tenant is wrapped with the key [0-9a-f]{16}, by owner/);
    expect(again.stdout).toContain("keys/secrets.key");
    const audit = await run(["evidence", "audit", "--store", server.data]);
    expect(audit.code, audit.stdout + audit.stderr).toBe(0);
    await server.restart();

    const url = `http://${HOST}:${port}`;
    const words = ["run", "main.ts", "--contract", "things", "--target", "staging", "--input", JSON.stringify({ url })];
    const out = await run(words);
    expect(out.code, out.stderr).toBe(0);
    expect(seen.at(-1)?.headers).toMatchObject({ authorization: `Bearer ${SECRET}` });
    const { items } = await said<{ items: Entry[] }>(["evidence", "list", "--kind", "secrets.rewrapped"]);
    expect(items).toHaveLength(2);
    expect(items.map(({ data }) => data?.["key"])).toContain(done.key);
    const copy = join(home, "copy");
    expect((await run(["backup", copy, "--data", server.data])).code).toBe(0);
    const verified = await run(["backup", "verify", copy]);
    expect(verified.stdout + verified.stderr).toContain("agrees with its ledger");
    expect((await run(["secrets", "rm", "api-token"])).code).toBe(0);
  });

  it("services are named, listed and taken out", async () => {
    const fields = ["--class", "source-control", "--environment", "production", "--host", "api.github.com"];
    expect((await run(["egress", "services", "set", "github-api", ...fields])).code).toBe(0);
    expect((await run(["egress", "services", "list"])).stdout).toMatch(/^github-api +source-control +production/m);
    expect((await run(["egress", "services", "rm", "github-api"])).code).toBe(0);
  });
});

describe("gantry redteam", () => {
  it("runs every class of attacks here, finds nothing, and enters that", async () => {
    const { record, classes } = await said<{ record: RedteamRecord; classes: { class: string; tried: number }[] }>([
      "redteam",
    ]);
    expect(classes.length).toBeGreaterThanOrEqual(12);
    expect(classes.filter(({ tried }) => !(tried > 0))).toEqual([]);
    expect(record).toMatchObject({ verdict: "held", completed: 0, hits: 0, runs: classes.length });
    expect(record.attempts).toBeGreaterThan(100);
    const entry = await said<Entry>(["evidence", "show", record.entry]);
    expect(entry).toMatchObject({ kind: "redteam.recorded", data: { verdict: "held", attempts: record.attempts } });
  });
});
