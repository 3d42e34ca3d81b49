import { cpSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import type { ServerResponse } from "node:http";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, expect, it } from "vitest";
import type { Entry, RunView } from "../../sdk/src/types.ts";
import { eventually } from "../fixtures/eventually.ts";
import { need } from "../fixtures/need.ts";
import { type PostgresServer, postgresMissing, startPostgres } from "../fixtures/postgres.ts";
import { peopleOf } from "../fixtures/served_people.ts";
import { startServer, type TestServer } from "../fixtures/server.ts";
import { openUpstreams, type Upstreams } from "../fixtures/upstreams.ts";

/**
 * Two control planes in one database, one of which is stopped for longer than it may be silent while a guest of its own is
 * about to change something.
 */

/** Past what a busy machine keeps a node from its heartbeat. */
const SILENT_MS = 4_000;
/** Silence, a look, and a busy machine. */
const TAKEN_MS = 20_000;

let postgres: PostgresServer | undefined;
let upstreams: Upstreams;
let shared: string;
const nodes: TestServer[] = [];
let port: number;
let heard: string[] = [];
const waiting: ServerResponse[] = [];

beforeAll(async () => {
  if (postgresMissing() !== undefined) return;
  postgres = await startPostgres();
  shared = mkdtempSync(join(tmpdir(), "gs-"));
  mkdirSync(join(shared, "keys"), { mode: 0o700 });
  writeFileSync(join(shared, "keys", "state.key"), Buffer.alloc(32, 7), { mode: 0o600 });
  upstreams = openUpstreams();
  port = await upstreams.http((request, response) => {
    heard.push(`${request.method} ${request.url}`);
    if (request.url === "/wait") waiting.push(response);
    else response.end("done");
  }, "127.0.0.2");
}, 60_000);
afterAll(async () => {
  for (const node of nodes) {
    if (!node.ended) process.kill(node.pid, "SIGCONT");
    await node.dispose();
  }
  await upstreams?.close();
  await postgres?.remove();
  if (shared !== undefined) rmSync(shared, { recursive: true, force: true });
});

async function open(url: string): Promise<TestServer> {
  const own = { warm_runners: 1, slots: 2, node_silent_ms: SILENT_MS, blobs: join(shared, "blobs"), store: url };
  const prepare = async (data: string) => cpSync(join(shared, "keys"), join(data, "keys"), { recursive: true });
  const node = await startServer({ config: own, prepare });
  nodes.push(node);
  return node;
}

const GUEST = `export default async (origin) => {
  const first = await fetch(origin + "/first", { method: "POST", body: "1" });
  const waited = await fetch(origin + "/wait").then((answer) => answer.text(), String);
  const second = await fetch(origin + "/second", { method: "POST", body: "2" });
  return [first.status, waited, second.status];
};`;

it("a run that was declared lost while its node slept changes nothing when the node wakes", async (context) => {
  need(context, "postgres", postgresMissing());
  const url = await postgres!.createDatabase();
  const asleep = await open(url);
  const people = await peopleOf(asleep);
  await people.apply("writer", {
    ...{ kind: "Contract", name: "writer", extends: "staging-mutation" },
    data: { reads: ["public"], writes: ["public"] },
    egress: [
      {
        ...{ hosts: ["127.0.0.2"], protocol: "http", ports: [port], methods: ["GET", "POST"] },
        ...{ private: true, addresses: ["127.0.0.2"] },
      },
    ],
  });
  const json = { code: { source: GUEST }, contract: "writer", input: `http://127.0.0.2:${port}`, wait_ms: 0 };

  // The canary: undisturbed, the guest gets to its second call.
  const quiet = await asleep.json<RunView>("/v1/runs", { json }, 202);
  await eventually(() => waiting.length > 0, "the first guest to wait", TAKEN_MS);
  waiting.pop()?.end("go on");
  const whole = await asleep.json<RunView>(`/v1/runs/${quiet.id}?wait_ms=30000`);
  expect(whole.result, JSON.stringify(whole)).toEqual([200, "go on", 200]);
  expect(heard).toEqual(["POST /first", "GET /wait", "POST /second"]);
  heard = [];

  const awake = await open(url);
  const { id } = await asleep.json<RunView>("/v1/runs", { json }, 202);
  await eventually(() => waiting.length > 0, "the guest to wait", TAKEN_MS);
  process.kill(asleep.pid, "SIGSTOP");
  const token = asleep.token;
  const lost = async () => (await awake.json<RunView>(`/v1/runs/${id}`, { token })).termination === "node_lost";
  await eventually(lost, "the run to be declared lost", TAKEN_MS);
  waiting.pop()?.end("go on");
  process.kill(asleep.pid, "SIGCONT");

  // It has noticed what happened meanwhile, and serves again: whatever the guest was about to do has been tried.
  const back = () => asleep.log.some((line) => line.includes("this node serves again"));
  await eventually(back, "the node to come back", TAKEN_MS);
  await eventually(async () => (await asleep.request("/readyz")).ok, "the node to be ready", TAKEN_MS);
  expect(heard).toEqual(["POST /first", "GET /wait"]);
  const { items } = await awake.json<{ items: Entry[] }>(`/v1/evidence/entries?ref=${id}&limit=200`, { token });
  const intended = items.filter(({ kind }) => kind === "effect.intended");
  expect(intended).toHaveLength(1);
  expect(await postgres!.sql(`SELECT epoch FROM egress_fences WHERE root = '${id}'`, url)).toEqual([
    { epoch: expect.toSatisfy((epoch) => Number(epoch) === 2) },
  ]);
}, 120_000);
