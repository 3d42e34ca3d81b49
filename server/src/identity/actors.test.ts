import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { type Ground, openGround } from "../../../tests/fixtures/ground.ts";
import { stateDigest } from "../evidence/entry.ts";
import type { ActorId, TenantId } from "../kernel/ids.ts";
import {
  ACTORS_PER_TENANT_MAX,
  type Actor,
  HUMAN_SCOPES,
  NAME_CHARS_MAX,
  type Principal,
  SCOPES,
  type Scope,
} from "./contract.ts";
import type { IdentityRegistry } from "./identity.ts";
import { audited_tables } from "./store.ts";

let ground: Ground;

beforeEach(async () => {
  ground = await openGround();
});
afterEach(() => ground.remove());

const code = (text: string) => ({ code: text });
const mint = (scopes: Scope[], actor?: ActorId, who: Principal = ground.owner) =>
  ground.identity.mintToken(who, actor === undefined ? { scopes } : { scopes, actor });
const principal = async (scopes: Scope[], actor?: ActorId): Promise<Principal> =>
  ground.identity.authenticate((await mint(scopes, actor)).secret);
const entriesOf = async (kind: string, ref: string) => (await ground.ledger.list({ kind, ref, limit: 200 })).items;

describe("actors", () => {
  const create = (request: Parameters<IdentityRegistry["createActor"]>[1], who = ground.owner): Promise<Actor> =>
    ground.identity.createActor(who, request);

  it("have an owner who can answer for them", async () => {
    const service = await create({ kind: "service", name: "ci" });
    expect(service.owner).toBe(ground.owned.owner);
    expect((await create({ kind: "agent", name: "bot", owner: service.id })).owner).toBe(service.id);
    const invalid = code("ACTOR_INVALID");
    const { agent } = ground.owned;
    await expect(create({ kind: "agent", name: "a", owner: agent })).rejects.toMatchObject(invalid);
    await expect(create({ kind: "service", name: "b", owner: service.id })).rejects.toMatchObject(invalid);
    const human = () => create({ kind: "human", name: "c", owner: ground.owned.owner });
    expect(human).toThrow("ACTOR_INVALID");
    await expect(create({ kind: "agent", name: "d", owner: ground.ids("act") })).rejects.toMatchObject(
      code("ACTOR_UNKNOWN"),
    );
  });

  it("are one for each subject of a kind", async () => {
    await create({ kind: "human", name: "Ada", subject: "ada@example.com" });
    await expect(create({ kind: "human", name: "A.", subject: "ada@example.com" })).rejects.toMatchObject(
      code("ACTOR_EXISTS"),
    );
    await create({ kind: "service", name: "Ada", subject: "ada@example.com" });
  });

  it("have names of 1 to 128 characters", async () => {
    await create({ kind: "human", name: "n".repeat(NAME_CHARS_MAX) });
    expect(() => create({ kind: "human", name: "n".repeat(NAME_CHARS_MAX + 1) })).toThrow("ACTOR_INVALID");
    expect(() => create({ kind: "human", name: "" })).toThrow("ACTOR_INVALID");
  });

  it("are 10,000 in a tenant and not one more", async () => {
    // Rows as a long life would leave them; one by one through the room they take minutes.
    const { tenant } = ground.owned;
    const row = (n: number) => [ground.ids("act"), tenant, `filler ${n}`, `filler ${n}`];
    for (let from = 3; from < ACTORS_PER_TENANT_MAX; from += 1_000) {
      await ground.storage.write((tx) => {
        for (let n = from; n < Math.min(from + 1_000, ACTORS_PER_TENANT_MAX); n++) {
          tx.run(
            `INSERT INTO actors (id, tenant_id, kind, name, subject, state, ceiling_json, created_at)
             VALUES (?, ?, 'human', ?, ?, 'active', 'null', 0)`,
            row(n),
          );
        }
      });
    }
    await create({ kind: "human", name: "the last" });
    await expect(create({ kind: "human", name: "one more" })).rejects.toMatchObject(code("ACTOR_LIMIT"));
  });

  it("need actor:manage", async () => {
    const who = await principal(["run:read"]);
    expect(() => create({ kind: "human", name: "x" }, who)).toThrow("SCOPE_MISSING");
  });

  it("have no live token while suspended, nor has anyone who acts through them", async () => {
    const robot = await create({ kind: "agent", name: "robot" });
    const { agent } = ground.owned;
    const middle = await mint(["token:mint", "actor:manage", "run:read"], agent);
    const low = await mint(["run:read"], robot.id, await ground.identity.authenticate(middle.secret));
    await ground.identity.authenticate(low.secret);
    await ground.identity.setActorState(ground.owner, agent, "suspended");
    for (const { secret } of [middle, low]) {
      await expect(ground.identity.authenticate(secret)).rejects.toMatchObject(code("ACTOR_SUSPENDED"));
    }
    await expect(mint([], agent)).rejects.toMatchObject(code("ACTOR_SUSPENDED"));
    await ground.identity.setActorState(ground.owner, agent, "active");
    await ground.identity.setActorState(ground.owner, agent, "active");
    await ground.identity.authenticate(low.secret);
    expect(await entriesOf("actor.suspended", agent)).toHaveLength(1);
    expect(await entriesOf("actor.resumed", agent)).toHaveLength(1);
  });

  it("cannot suspend what they act through", async () => {
    const agent = await principal(["actor:manage"], ground.owned.agent);
    for (const id of [ground.owned.agent, ground.owned.owner]) {
      await expect(ground.identity.setActorState(agent, id, "suspended")).rejects.toMatchObject(code("ACTOR_SELF"));
    }
  });
});

describe("tenants", () => {
  it("come with an owner and a token that reaches no other tenant", async () => {
    const { tenant, owner, token } = await ground.identity.createTenant(ground.owner, "acme");
    const who = await ground.identity.authenticate(token.secret);
    expect(who).toMatchObject({ tenant: tenant.id, actor: owner.id });
    expect(who.chain).toHaveLength(1);
    const operator = ["evidence:audit", "evidence:rotate", "tenant:manage", "ops:read"];
    expect([...who.scopes]).toEqual(
      SCOPES.filter((scope) => !operator.includes(scope) && !HUMAN_SCOPES.includes(scope)),
    );
    await expect(mint([], ground.owned.agent, who)).rejects.toMatchObject(code("ACTOR_UNKNOWN"));
    expect((await entriesOf("tenant.created", tenant.id))[0]).toMatchObject({
      tenant: tenant.id,
      actor: [{ actor: ground.owned.owner, kind: "human" }],
    });
  });

  it("are one for each slug, which is a DNS label", async () => {
    const create = (slug: string) => ground.identity.createTenant(ground.owner, slug);
    await create(`a${"-".repeat(61)}b`);
    await expect(create("default")).rejects.toMatchObject(code("TENANT_EXISTS"));
    for (const slug of ["", "A", "1a", "a-", "-a", "a_b", "a.b", "é", "a".repeat(64)]) {
      expect(() => create(slug)).toThrow("TENANT_SLUG");
    }
  });

  it("are served again when they are resumed", async () => {
    const { tenant, token } = await ground.identity.createTenant(ground.owner, "acme");
    await ground.identity.authenticate(token.secret);
    await ground.identity.setTenantState(ground.owner, tenant.id, "suspended");
    await expect(ground.identity.authenticate(token.secret)).rejects.toMatchObject(code("TENANT_SUSPENDED"));
    await ground.identity.setTenantState(ground.owner, tenant.id, "active");
    await ground.identity.authenticate(token.secret);
    expect(await entriesOf("tenant.suspended", tenant.id)).toHaveLength(1);
    expect(await entriesOf("tenant.resumed", tenant.id)).toHaveLength(1);
  });

  it("cannot be suspended from inside, nor when absent, nor without tenant:manage", async () => {
    const set = (who: Principal, id: TenantId) => ground.identity.setTenantState(who, id, "suspended");
    await expect(set(ground.owner, ground.owned.tenant)).rejects.toMatchObject(code("TENANT_SELF"));
    await expect(set(ground.owner, ground.ids("ten"))).rejects.toMatchObject(code("TENANT_UNKNOWN"));
    await expect(set(await principal(["run:read"]), ground.ids("ten"))).rejects.toMatchObject(code("SCOPE_MISSING"));
  });
});

it("every audited row is as its newest ledger subject says", async () => {
  const { tenant } = await ground.identity.createTenant(ground.owner, "acme");
  const token = await mint(["run:read"], ground.owned.agent);
  await ground.identity.revokeToken(ground.owner, token.id);
  await ground.identity.createActor(ground.owner, { kind: "service", name: "builder", team: "platform" });
  const key = { public_jwk: { kty: "OKP", crv: "Ed25519", x: "A".repeat(43) }, uses: ["task" as const] };
  await ground.identity.revokeKey(ground.owner, (await ground.identity.registerKey(ground.owner, key)).kid);
  await ground.identity.setTenantState(ground.owner, tenant.id, "suspended");
  await ground.identity.setActorState(ground.owner, ground.owned.agent, "suspended");
  const state_key = await ground.files.read("keys/state.key");
  let compared = 0;
  for (const { table, id, columnsOf } of audited_tables) {
    for (const row of await ground.storage.all(`SELECT * FROM ${table}`, [])) {
      const subject = `${table}/${row[id]}`;
      const newest = await ground.storage.get(
        "SELECT e.body FROM evidence_subjects s JOIN evidence_entries e ON e.arrival = s.arrival WHERE s.subject = ?",
        [subject],
      );
      const body = JSON.parse(Buffer.from(newest?.["body"] as Uint8Array).toString("utf8"));
      expect(body.state[subject]).toBe(stateDigest(state_key!, table, String(row[id]), columnsOf(row)));
      compared += 1;
    }
  }
  expect(compared).toBe(2 + 4 + 3 + 1);
});
