import { afterAll, beforeAll, beforeEach, describe, expect, it } from "vitest";
import { type DnsServer, openDnsServer } from "../../../tests/fixtures/dns_server.ts";
import { applyApproved, loginOf, type Person } from "../../../tests/fixtures/people.ts";
import { ask, openRunsGround, type RunsGround } from "../../../tests/fixtures/runs_ground.ts";
import { openUpstreams, type Upstreams } from "../../../tests/fixtures/upstreams.ts";
import { GantryError } from "../kernel/errors.ts";
import { askDoor } from "./adapters/in_process.ts";
import type { BlockedCallView, EgressDoor } from "./contract.ts";

/** Calls that were stopped, and that people let go: through a door of their own, with real everything behind it. */

const HOST = "tracker.test";
const BODY = '{"title":"it is broken"}';

let house: RunsGround;
let names: DnsServer;
let upstreams: Upstreams;
let port: number;
let human: Person;
let status: number;
let heard: { line: string; headers: NodeJS.Dict<string | string[]>; body: string }[];

const rule = (more: object = {}) => ({
  id: "issues",
  hosts: [HOST],
  protocol: "http",
  ports: [port],
  methods: ["GET"],
  private: true,
  addresses: ["127.0.0.2"],
  on_blocked: "dead-letter",
  secret: { name: "tracker-token", slot: "bearer" },
  ...more,
});

beforeAll(async () => {
  names = await openDnsServer();
  names.addresses(HOST, ["127.0.0.2"]);
  upstreams = openUpstreams();
  port = await upstreams.http((request, response) => {
    let body = "";
    request.on("data", (chunk) => {
      body += chunk;
    });
    request.on("end", () => {
      heard.push({ line: `${request.method} ${request.url}`, headers: request.headers, body });
      if (status === 0) response.destroy();
      else response.writeHead(status).end("made");
    });
  }, "127.0.0.2");
  house = await openRunsGround({ resolvers: [names.address] });
  await house.runs.recover();
  await house.egress.secrets.set(house.owner, "tracker-token", Buffer.from("s3cr3t-of-the-tracker"));
  human = await loginOf(house);
});
afterAll(async () => {
  await house.remove();
  await upstreams.close();
  await names.close();
});
beforeEach(async () => {
  heard = [];
  status = 200;
});

async function contract(name: string, more: object = {}): Promise<void> {
  const base = { extends: "staging-mutation", data: { reads: ["public"], writes: ["public"] }, egress: [rule(more)] };
  const text = JSON.stringify({ kind: "Contract", name, ...base }); // JSON is YAML
  await applyApproved(house, { name: `${name}.yaml`, text });
}

/** A run whose POST its contract stops. @returns the call that was kept */
async function stopped(name: string): Promise<BlockedCallView> {
  await contract(name);
  house.pool.script = async (job, door) => {
    const lease = job.vars["TRACKER_TOKEN"] ?? "";
    const headers: [string, string][] = [
      ["authorization", `Bearer ${lease}`],
      ["content-type", "application/json"],
    ];
    const href = `http://${HOST}:${port}/v1/issues`;
    const asked = { method: "POST", href, headers, body: Buffer.from(BODY) };
    const answer = await askDoor(door.egress as EgressDoor, asked, 65_536);
    expect(answer.headers["gantry-egress"]).toBe("denied; code=EGRESS_METHOD");
    return {};
  };
  const { id } = await house.runs.submit(house.owner, ask({ contract: name }));
  const kept = (await house.egress.blocked.list(house.owner)).find(({ subject }) => subject === id);
  if (kept === undefined) throw new Error("nothing was kept");
  return kept;
}
const retry = (id: string) => house.egress.blocked.retry(human.who, id);
const codeOf = (work: Promise<unknown>) =>
  work.then(
    () => undefined,
    (error: unknown) => (error instanceof GantryError ? error.code : error),
  );

describe("a blocked call that a person lets go", () => {
  it("is refused by the contract that stopped it, and waits on", async () => {
    const { id, state } = await stopped("narrow");
    expect(state).toBe("waiting");
    expect(await codeOf(retry(id))).toMatch(/^(EGRESS_METHOD|POLICY_NO_PERMIT)$/);
    expect((await house.egress.blocked.show(human.who, id)).state).toBe("waiting");
    expect(heard).toEqual([]);
  });

  it("is sent under the contract as it is now, whole and with a lease of its own, once", async () => {
    const { id } = await stopped("widened");
    await contract("widened", { methods: ["GET", "POST"] });
    expect(await retry(id)).toMatchObject({ state: "sent", status: 200 });
    expect(heard).toMatchObject([
      {
        line: "POST /v1/issues",
        body: BODY,
        headers: { authorization: "Bearer s3cr3t-of-the-tracker", "content-type": "application/json" },
      },
    ]);
    expect(await codeOf(retry(id))).toBe("EGRESS_BLOCKED_SETTLED");
    expect(heard).toHaveLength(1);
    const leases = await house.storage.all("SELECT revoked_at FROM egress_leases WHERE subject = ?", [id]);
    expect(leases.map(({ revoked_at }) => typeof revoked_at)).toEqual(["number"]);
    const kinds = (await house.entriesOf(id)).map(({ kind }) => kind);
    for (const kind of ["call.blocked", "lease.issued", "effect.intended", "call.retried"])
      expect(kinds).toContain(kind);
  });

  it("may be tried again when the destination has not done it", async () => {
    const { id } = await stopped("tried");
    await contract("tried", { methods: ["GET", "POST"] });
    status = 503;
    expect(await retry(id)).toMatchObject({ state: "failed", status: 503 });
    status = 201;
    expect(await retry(id)).toMatchObject({ state: "sent", status: 201 });
    const [first, second] = heard.map(({ headers }) => headers["gantry-idempotency-key"]);
    expect([heard.length, first === second, typeof first]).toEqual([2, true, "string"]);
  });

  it("has failed when the destination breaks off, and nobody knows whether it was done", async () => {
    const { id } = await stopped("cut");
    await contract("cut", { methods: ["GET", "POST"] });
    status = 0;
    expect(await retry(id)).toMatchObject({ state: "failed", status: null });
    expect(heard).toHaveLength(1);
    status = 200;
    // Sent again it might be done twice: this destination does not say that it honours keys.
    const again = await retry(id);
    expect([again.state, heard.length]).toEqual(["failed", 1]);
  });
});
