import type { IncomingMessage } from "node:http";
import { afterAll, beforeAll, beforeEach, describe, expect, it } from "vitest";
import { type DnsServer, openDnsServer } from "../../../tests/fixtures/dns_server.ts";
import { eventually } from "../../../tests/fixtures/eventually.ts";
import { agentOf, applyApproved, loginOf, vote } from "../../../tests/fixtures/people.ts";
import { ask, openRunsGround, type RunsGround } from "../../../tests/fixtures/runs_ground.ts";
import type { Script } from "../../../tests/fixtures/scripted_pool.ts";
import { openUpstreams, type Upstreams } from "../../../tests/fixtures/upstreams.ts";
import { askDoor, type InProcessAnswer } from "../egress/adapters/in_process.ts";
import type { EgressDoor } from "../egress/contract.ts";
import type { Job, RunDoor } from "../execution/contract.ts";
import { GantryError } from "../kernel/errors.ts";
import { sha256Hex } from "../kernel/hash.ts";
import { ROWS_MAX } from "../storage/contract.ts";
import { ALL_CONTRACTS, readDay } from "./budget_store.ts";
import type { RunRequest, RunView } from "./contract.ts";
import { dayOf } from "./days.ts";
import { run_counts } from "./history_store.ts";

/** The ways out of runs: real doors, a real name server and real upstreams; only the guest is a script. */

let house: RunsGround;
let names: DnsServer;
let upstreams: Upstreams;
let port: number;
let heard: { method: string; url: string; headers: IncomingMessage["headers"] }[];

const HOST = "tracker.test";
const rule = (more: object = {}) => ({
  id: "issues",
  hosts: [HOST],
  protocol: "http",
  ports: [port],
  methods: ["GET"],
  paths: ["/v1/*"],
  private: true,
  addresses: ["127.0.0.2"],
  ...more,
});
const secret = { name: "tracker-token", slot: "bearer" };

beforeAll(async () => {
  names = await openDnsServer();
  names.addresses(HOST, ["127.0.0.2"]);
  upstreams = openUpstreams();
  port = await upstreams.http(({ method = "", url = "", headers }, answer) => {
    heard.push({ method, url, headers });
    if (!url.startsWith("/v1/hang")) answer.end("seen");
  }, "127.0.0.2");
  house = await openRunsGround({ resolvers: [names.address] });
  await house.runs.recover();
  const writes = rule({ methods: ["GET", "POST"] });
  const mutation = { extends: "staging-mutation", data: { reads: ["public"], writes: ["public"] } };
  await contract("reader", { extends: "read-only", egress: [rule()] });
  await contract("leased", { extends: "read-only", egress: [rule({ secret })] });
  await contract("lacking", { extends: "read-only", egress: [rule({ secret: { name: "nowhere", slot: "bearer" } })] });
  await contract("writer", { ...mutation, egress: [writes], idempotent: true });
  await contract("changer", { ...mutation, egress: [rule({ secret, methods: ["GET", "POST"] })], idempotent: true });
  await contract("doubtful", { ...mutation, egress: [writes], budgets_day: { effects: 1 } });
  await contract("sparing", { ...mutation, egress: [writes], budgets_day: { effects: 1 } });
  await contract("frugal", { ...mutation, egress: [writes], budgets_day: { effects: 1 } });
  await house.egress.secrets.set(house.owner, secret.name, Buffer.from("s3cr3t-of-the-tracker"));
});
afterAll(async () => {
  await house.remove();
  await upstreams.close();
  await names.close();
});
beforeEach(() => {
  heard = [];
  house.pool.script = () => ({});
});

async function contract(name: string, more: object): Promise<void> {
  const text = JSON.stringify({ kind: "Contract", name, ...more }); // JSON is YAML
  await applyApproved(house, { name: `${name}.yaml`, text });
}

/** As a guest calls. */
function call(door: RunDoor, path: string, o: { method?: string; headers?: [string, string][] } = {}) {
  const { method = "GET", headers = [] } = o;
  const href = `http://${HOST}:${port}${path}`;
  return askDoor(door.egress as EgressDoor, { method, href, headers, body: Buffer.alloc(0) }, 65_536);
}
const codeOf = (answer: InProcessAnswer): string | undefined => answer.headers["gantry-egress"];

async function submit(script: Script, more: Partial<RunRequest> = {}): Promise<RunView> {
  house.pool.script = script;
  return house.runs.submit(house.owner, ask(more));
}
async function refusal(work: Promise<unknown>): Promise<GantryError> {
  const got: unknown = await work.catch((error: unknown) => error);
  if (got instanceof GantryError) return got;
  throw new Error(`expected a refusal, got ${JSON.stringify(got)}`);
}
const leasesOf = (run: string) => house.storage.all("SELECT revoked_at FROM egress_leases WHERE subject = ?", [run]);
const runsStored = async () => (await house.storage.all("SELECT id FROM runs LIMIT ?", [ROWS_MAX])).length;

describe("a run's way out", () => {
  it("is not there under a contract without rules for what leaves", async () => {
    let door: RunDoor | undefined;
    const { egress } = await submit((_job, given) => {
      door = given;
      return {};
    });
    expect([door?.egress, egress]).toEqual([undefined, undefined]);
  });

  it("tells what was called in the run, in its last entry, and call by call beside the ledger", async () => {
    const run = await submit(
      async (_job, door) => {
        for (const page of [1, 2]) expect((await call(door, `/v1/issues?page=${page}`)).status).toBe(200);
        expect(codeOf(await call(door, "/v2/issues"))).toBe("denied; code=EGRESS_PATH");
        return {};
      },
      { contract: "reader" },
    );
    expect(heard.map(({ url }) => url)).toEqual(["/v1/issues?page=1", "/v1/issues?page=2"]);
    const allowed = { host: HOST, method: "GET", path: "/v1/*", rule: "issues", verdict: "allowed", count: 2 };
    expect(run.egress).toEqual([
      expect.objectContaining({ ...allowed, code: null, response_bytes: 8 }),
      expect.objectContaining({ host: HOST, method: "GET", verdict: "denied", code: "EGRESS_PATH", count: 1 }),
    ]);
    expect(run.blocked).toEqual([{ host: HOST, method: "GET", count: 1 }]);

    const ended = (await house.entriesOf(run.id)).at(-1);
    expect(ended).toMatchObject({ kind: "run.ended", data: { egress: [allowed, { verdict: "denied", count: 1 }] } });
    const { rows, lines, next } = await house.runs.calls(house.owner, run.id);
    expect([rows, lines.length, next]).toEqual([run.egress, 3, undefined]);
    const log = lines.map((line) => `${JSON.stringify(line)}\n`).join("");
    expect(ended?.data["egress_log_hash"]).toBe(sha256Hex(log));
    expect(log).not.toContain("page=1"); // values of queries are not kept
  });

  it("counts what was denied as drift of the contract", async () => {
    const of = { tenant: house.owner.tenant, contract: "writer", version: 1, since: 0 };
    const before = await run_counts.count(house.storage, of);
    for (const path of ["/v1/a", "/elsewhere"]) {
      const calls: Script = async (_job, door) => {
        await call(door, path);
        return {};
      };
      await submit(calls, { contract: "writer" });
    }
    const after = await run_counts.count(house.storage, of);
    expect([after.runs - before.runs, after.drifted - before.drifted]).toEqual([2, 1]);
  });

  it("is closed before the end is recorded: what is called afterwards goes nowhere", async () => {
    let late: RunDoor | undefined;
    const run = await submit(
      (_job, door) => {
        late = door;
        return {};
      },
      { contract: "reader" },
    );
    const answer = await call(late as RunDoor, "/v1/late").catch(() => undefined);
    expect(answer?.status).not.toBe(200);
    expect([run.termination, heard]).toEqual(["completed", []]);
  });

  it("of another tenant's run is nobody's to read", async () => {
    const run = await submit(() => ({}), { contract: "reader" });
    const stranger = { ...house.owner, tenant: "ten_00000000000000000000000000" as typeof house.owner.tenant };
    expect((await refusal(house.runs.calls(stranger, run.id))).code).toBe("RUN_NOT_FOUND");
    expect((await refusal(house.runs.calls(house.owner, run.id, "x"))).code).toBe("EGRESS_BAD_REQUEST");
  });
});

describe("a run whose contract names secrets", () => {
  it("finds a lease in its environment, which is the secret for the destination and ends with the run", async () => {
    let lease = "";
    let job: Job | undefined;
    const run = await submit(
      async (given, door) => {
        job = given;
        lease = given.vars["TRACKER_TOKEN"] ?? "";
        const headers: [string, string][] = [["authorization", `Bearer ${lease}`]];
        return { result: JSON.stringify((await call(door, "/v1/issues", { headers })).status) };
      },
      { contract: "leased", vars: { OTHER: "1" } },
    );
    expect(run.result).toBe(200);
    expect(lease).toMatch(/^gl_[0-9a-z]{38}$/);
    expect(job?.vars).toEqual({ OTHER: "1", TRACKER_TOKEN: lease });
    expect(heard.map(({ headers }) => headers.authorization)).toEqual(["Bearer s3cr3t-of-the-tracker"]);
    const rows = await house.storage.all("SELECT * FROM runs WHERE id = ?", [run.id]);
    expect(JSON.stringify([rows, await house.entriesOf(run.id)])).not.toMatch(/s3cr3t|gl_[0-9a-z]{38}/);
    const leases = await leasesOf(run.id);
    expect(leases.map(({ revoked_at }) => typeof revoked_at)).toEqual(["number"]);
    expect(await house.kindsOf(run.id)).toContain("lease.issued");
  });

  it("is refused when its request gives the lease's variable a value of its own", async () => {
    const before = await runsStored();
    const error = await refusal(submit(() => ({}), { contract: "leased", vars: { TRACKER_TOKEN: "mine" } }));
    expect([error.code, error.parts.problems]).toEqual([
      "RUN_VAR_TAKEN",
      [{ at: "/vars/TRACKER_TOKEN", text: "is the name of a lease" }],
    ]);
    expect(await runsStored()).toBe(before);
    expect((await submit(() => ({}), { contract: "reader", vars: { TRACKER_TOKEN: "mine" } })).termination).toBe(
      "completed",
    );
  });

  it("is refused when one is not there, and leaves no row", async () => {
    const before = await runsStored();
    const error = await refusal(submit(() => ({}), { contract: "lacking" }));
    expect([error.code, error.parts.next_steps?.[0]?.command]).toEqual([
      "SECRETS_UNKNOWN",
      "gantry secrets set nowhere",
    ]);
    expect(await runsStored()).toBe(before);
  });

  it("has leases of its own: another run's is worth nothing in it", async () => {
    let first = "";
    await submit(
      (job) => {
        first = job.vars["TRACKER_TOKEN"] ?? "";
        return {};
      },
      { contract: "leased" },
    );
    await submit(
      async (_job, door) => {
        const answer = await call(door, "/v1/issues", { headers: [["authorization", `Bearer ${first}`]] });
        expect(codeOf(answer)).toBe("denied; code=LEASE_SCOPE");
        return {};
      },
      { contract: "leased" },
    );
    expect(heard).toEqual([]);
  });
});

describe("a gate on what leaves", () => {
  it.each([
    ["calls", "egress.request", { egress: true }],
    ["secrets", "lease.use", { egress: true, leased: true }],
  ])("asks people before the run starts, since nobody waits in the middle of a call: %s", async (name, on, o) => {
    const gates = [{ on, name, quorum: 1 }];
    const egress = [rule("leased" in o ? { secret } : {})];
    await contract(`gated-${name}`, { extends: "read-only", egress, gates });
    house.pool.script = async (job, door) => {
      const lease = job.vars["TRACKER_TOKEN"];
      const headers: [string, string][] = lease === undefined ? [] : [["authorization", `Bearer ${lease}`]];
      return { result: JSON.stringify((await call(door, "/v1/issues", { headers })).status) };
    };
    const [agent, human] = [await agentOf(house), await loginOf(house)];
    const waiting = await house.runs.submit(agent.who, ask({ contract: `gated-${name}` }));
    expect(waiting).toMatchObject({ state: "waiting_approval" });
    expect(heard).toEqual([]);
    await vote(house.gates, human, waiting.approval ?? "");
    expect(await house.runs.get(agent.who, waiting.id, 10_000)).toMatchObject({
      termination: "completed",
      result: 200,
    });
    expect(heard).toHaveLength(1);
  });

  it("holds no run that could not call anybody, nor one without secrets", async () => {
    await contract("gated-nothing", {
      extends: "scratch",
      gates: [{ on: "egress.request", name: "calls", quorum: 1 }],
    });
    await contract("gated-bare", {
      extends: "read-only",
      egress: [rule()],
      gates: [{ on: "lease.use", name: "secrets", quorum: 1 }],
    });
    for (const name of ["gated-nothing", "gated-bare"]) {
      expect((await submit(() => ({}), { contract: name })).termination).toBe("completed");
    }
  });
});

describe("calls that may change something", () => {
  it("count against the contract's day once their runs have ended", async () => {
    const post: Script = async (_job, door) => {
      expect((await call(door, "/v1/issues", { method: "POST" })).status).toBe(200);
      return {};
    };
    expect((await submit(post, { contract: "frugal" })).termination).toBe("completed");
    const error = await refusal(submit(post, { contract: "frugal" }));
    expect([error.code, error.parts.detail]).toEqual([
      "RUN_TENANT_BUDGET",
      expect.stringContaining("may use 1 calls that change something a day and has used 1"),
    ]);
    expect(heard.map(({ method }) => method)).toEqual(["POST"]);
  });
});

describe("a call of which nobody knows how it ended", () => {
  it("counts against the contract's day as one that was done", async () => {
    const cut: Script = async (_job, door) => {
      call(door, "/v1/hang", { method: "POST" }).catch(() => undefined);
      await eventually(() => heard.length === 1, "the call to arrive");
      return {};
    };
    const run = await submit(cut, { contract: "doubtful" });
    const ended = (await house.entriesOf(run.id)).filter(({ kind }) => kind === "effect.ended");
    expect(ended.map(({ data }) => data["state"])).toEqual(["unknown"]);
    expect((await refusal(submit(() => ({}), { contract: "doubtful" }))).code).toBe("RUN_TENANT_BUDGET");
  });
});

describe("an attempt that was lost", () => {
  it("is fenced, its intents are unknown, its leases are ended, and the next attempt has a door of its own", async () => {
    const directory = house.directory;
    let old: RunDoor | undefined;
    const reached = new Promise<void>((resolve) => {
      house.pool.script = (_job, door) => {
        old = door;
        resolve();
        return new Promise(() => {});
      };
    });
    const asked = ask({ contract: "changer", retry: "if_lost", wait_ms: 0 });
    const { id } = await house.runs.submit(house.owner, asked);
    await reached;
    expect((await call(old as RunDoor, "/v1/first", { method: "POST" })).status).toBe(200);
    // Ends are written together, a little later.
    const done = () => house.storage.get("SELECT key FROM egress_effects WHERE root = ? AND state = 'done'", [id]);
    await eventually(async () => (await done()) !== undefined, "the first end to be recorded");
    const hanging = call(old as RunDoor, "/v1/hang", { method: "POST" }).catch(() => undefined);
    await eventually(() => heard.length === 2, "the call that hangs");
    await house.crash();

    house = await openRunsGround({ directory, boot: "boot-2", resolvers: [names.address] });
    const statuses: (string | undefined)[] = [];
    house.pool.script = async (_job, door) => {
      statuses.push(codeOf(await call(door, "/v1/second", { method: "POST" })));
      return {};
    };
    await house.runs.recover();
    const run = await house.runs.get(house.owner, id, 30_000);
    expect([run.termination, run.attempt, statuses]).toEqual(["completed", 2, [undefined]]);
    const fence = await house.storage.get("SELECT epoch FROM egress_fences WHERE root = ?", [id]);
    expect(fence).toEqual({ epoch: 2 });
    expect(heard.map(({ url }) => url)).toEqual(["/v1/first", "/v1/hang", "/v1/second"]);
    const effects = "SELECT epoch, state FROM egress_effects WHERE root = ? ORDER BY intended_at LIMIT 10";
    expect(await house.storage.all(effects, [id])).toEqual([
      { epoch: 1, state: "done" },
      { epoch: 1, state: "unknown" },
      { epoch: 2, state: "done" },
    ]);
    const ended = (await house.entriesOf(id)).filter(({ kind }) => kind === "effect.ended");
    expect(ended.map(({ data }) => data["state"])).toEqual(["done", "unknown", "done"]);
    const day = await readDay(house.storage, house.owner.tenant, "changer", dayOf(Date.now()));
    // By the door of the attempt that ended, and by the rows of the one that was lost, whatever became of its calls.
    expect(day.effects).toBe(3);
    const leases = await leasesOf(id);
    expect([leases.length, leases.every(({ revoked_at }) => revoked_at !== null)]).toEqual([2, true]);
    expect((await hanging)?.status).not.toBe(200);
    // The old process is gone; its door, had it only slept, would not have been.
    expect((await call(old as RunDoor, "/v1/zombie", { method: "POST" }).catch(() => undefined))?.status).not.toBe(200);
    expect(heard).toHaveLength(3);
  });

  it("has used what it called of the contract's day, known or not, also when nobody takes the run up again", async () => {
    const directory = house.directory;
    let old: RunDoor | undefined;
    const reached = new Promise<void>((resolve) => {
      house.pool.script = (_job, door) => {
        old = door;
        resolve();
        return new Promise(() => {});
      };
    });
    const { id } = await house.runs.submit(house.owner, ask({ contract: "sparing", wait_ms: 0 }));
    await reached;
    const hanging = call(old as RunDoor, "/v1/hang", { method: "POST" }).catch(() => undefined);
    await eventually(() => heard.length === 1, "the call that hangs");
    const before = await readDay(house.storage, house.owner.tenant, ALL_CONTRACTS, dayOf(Date.now()));
    await house.crash();
    await hanging;

    house = await openRunsGround({ directory, boot: "boot-3", resolvers: [names.address] });
    await house.runs.recover();
    expect((await house.runs.get(house.owner, id)).termination).toBe("node_lost");
    const after = await readDay(house.storage, house.owner.tenant, ALL_CONTRACTS, dayOf(Date.now()));
    expect(after.effects - before.effects).toBe(1);
    const error = await refusal(submit(() => ({}), { contract: "sparing" }));
    expect([error.code, error.parts.detail]).toEqual([
      "RUN_TENANT_BUDGET",
      expect.stringContaining("may use 1 calls that change something a day and has used 1"),
    ]);
  });
});
