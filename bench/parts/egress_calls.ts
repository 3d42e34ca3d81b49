/** `egress-calls`: what a call costs through the door, against the same call by undici alone. Client, door and destination share one process. */
import { once } from "node:events";
import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import { Client } from "undici";
import { DlpThread } from "../../server/src/egress/adapters/dlp.ts";
import { createGuards } from "../../server/src/egress/guards/guards.ts";
import type { EgressRule } from "../../server/src/policy/contract.ts";
import { type DoorGround, openDoorGround } from "../../tests/fixtures/door_ground.ts";
import { closedLoop, median, summarise, table } from "./measure.ts";

const ROUNDS = 5;
const CALLS = 300;
const CALLERS = 16;
const LOOP_MS = 1_000;
const RULES = 200;
const BODY_BYTES = 64 * 1024;
const ANSWER = Buffer.from(JSON.stringify({ ok: true, text: "x".repeat(200) }));
const MANY = { budgets: { egress_calls_max: 1_000_000_000, egress_bytes_max: 1e15 } };

interface Way {
  name: string;
  /** One connection each. */
  clients: Client[];
  asked: { path: string; method: "GET" | "POST"; headers?: Record<string, string>; body?: Buffer };
  /** In the place of a call. */
  instead?: () => Promise<unknown>;
}

export async function calls(): Promise<void> {
  const dlp = new DlpThread();
  const ground = await openDoorGround();
  const upstream = createServer((call, answer) => {
    call.resume();
    call.on("end", () => {
      answer.writeHead(200, { "content-type": "application/json", "content-length": ANSWER.byteLength });
      answer.end(ANSWER);
    });
  });
  upstream.listen(0, "127.0.0.2");
  await once(upstream, "listening");
  const { port } = upstream.address() as AddressInfo;
  ground.dns.addresses("api.example", ["127.0.0.2"], 60);
  const reads = await readsOf(ground, port);
  await measure("A call that reads (ms)", reads);
  const writes = await writesOf(ground, port, dlp);
  await measure("A call that may change something (ms)", writes);
  for (const { clients } of [...reads, ...writes]) for (const each of clients) await each.destroy();
  upstream.closeAllConnections();
  upstream.close();
  await dlp.close();
  await ground.remove();
}

const ruleOf = (port: number): EgressRule => ({
  hosts: ["api.example"],
  protocol: "http",
  ports: [port],
  methods: ["GET", "POST"],
  private: true,
  addresses: ["127.0.0.2"],
});
const PATH = "/v1/things?page=2";
const urlOf = (port: number): string => `http://api.example:${port}${PATH}`;
const through = (port: number, socketPath: string): Client[] =>
  Array.from({ length: CALLERS }, () => new Client(`http://api.example:${port}`, { socketPath }));
const direct = (port: number): Client[] =>
  Array.from({ length: CALLERS }, () => new Client(`http://127.0.0.2:${port}`));

async function readsOf(ground: DoorGround, port: number): Promise<Way[]> {
  const rule = ruleOf(port);
  const others = Array.from({ length: RULES - 1 }, (_, n) => ({
    ...rule,
    hosts: [`h${n}.example`, `*.h${n}.example`],
  }));
  const plain = await ground.open([rule], { contract: MANY });
  const many = await ground.open([...others, rule], { contract: MANY });
  const secret = { name: "api-token", slot: "bearer" };
  await ground.secrets.set(ground.owner, secret.name, Buffer.from("a secret of the usual length, 40 characters"));
  const leased = await ground.open([{ ...rule, secret }], { contract: MANY });
  const prepared = await ground.leases.prepare(leased.who);
  await ground.storage.write((tx) => prepared.write(tx));
  const headers = { authorization: `Bearer ${prepared.vars["API_TOKEN"]}` };
  const asked = { path: urlOf(port), method: "GET" } as const;
  return [
    { name: "undici alone, GET", clients: direct(port), asked: { ...asked, path: PATH } },
    { name: "through the door, GET", clients: through(port, plain.socket), asked },
    { name: `under ${RULES} rules, the last fits`, clients: through(port, many.socket), asked },
    { name: "with a lease", clients: through(port, leased.socket), asked: { ...asked, headers } },
  ];
}

async function writesOf(ground: DoorGround, port: number, dlp: DlpThread): Promise<Way[]> {
  const deps = { guards: createGuards({ dlp }) };
  const contract = { ...MANY, dlp: { action: "deny" as const } };
  const { socket } = await ground.open([ruleOf(port)], { deps, contract });
  const line = "all work and no play makes a dull body. ";
  const text = Buffer.from(line.repeat(BODY_BYTES / line.length + 1)).subarray(0, BODY_BYTES);
  const small = Buffer.from('{"title":"one"}');
  const post = (path: string, body: Buffer) => ({ path, method: "POST" as const, body });
  const { tenant, actor } = ground.owner;
  let version = 0;
  const commit = () =>
    ground.storage.write((tx) => {
      version += 1;
      const data = { secret: "api-token", version };
      ground.ledger.append(tx, { kind: "secret.removed", tenant, actor: [{ actor, kind: "human" }], refs: [], data });
    });
  return [
    { name: "one commit of a ledger entry", clients: [], asked: post("", small), instead: commit },
    { name: "undici alone, POST", clients: direct(port), asked: post(PATH, small) },
    { name: "through the door, POST", clients: through(port, socket), asked: post(urlOf(port), small) },
    { name: "undici alone, POST of 64 KiB", clients: direct(port), asked: post(PATH, text) },
    { name: "through the door, 64 KiB searched", clients: through(port, socket), asked: post(urlOf(port), text) },
  ];
}

async function measure(title: string, ways: Way[]): Promise<void> {
  const results = ways.map(() => ({
    times: [] as number[],
    p50: [] as number[],
    over: [] as number[],
    rate: [] as number[],
  }));
  for (let round = 0; round < ROUNDS; round += 1) {
    const order = ways.map((_, n) => n);
    if (round % 2 === 1) order.reverse();
    for (const n of order) {
      const [way, result] = [ways[n], results[n]];
      if (way === undefined || result === undefined) continue;
      // The first calls open connections, and are compiled.
      for (let i = 0; i < 30; i += 1) await one(way, 0);
      const times: number[] = [];
      for (let i = 0; i < CALLS; i += 1) {
        const began = performance.now();
        await one(way, 0);
        times.push(performance.now() - began);
      }
      result.times.push(...times);
      result.p50.push(summarise(times).p50);
      result.rate.push(await closedLoop(CALLERS, LOOP_MS, (caller) => one(way, caller)));
    }
    for (const { p50, over } of results) over.push((p50[round] ?? 0) - (results[0]?.p50[round] ?? 0));
  }
  console.log(title);
  const rows = results.map(({ times, p50, over, rate }, n) => [
    ways[n]?.name ?? "",
    median(p50).toFixed(3),
    summarise(times).p99.toFixed(3),
    median(over).toFixed(3),
    median(rate).toFixed(0),
  ]);
  table(["", "p50", "p99", "over", `per second, ${CALLERS} at a time`], rows);
}

async function one({ clients, asked, instead }: Way, caller: number): Promise<void> {
  if (instead !== undefined) return void (await instead());
  const client = clients[caller];
  if (client === undefined) return;
  const answer = await client.request(asked);
  const body = await answer.body.arrayBuffer();
  if (answer.statusCode !== 200) throw new Error(`${answer.statusCode}: ${Buffer.from(body)}`);
}
