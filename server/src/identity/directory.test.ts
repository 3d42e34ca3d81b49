import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { type Ground, openGround } from "../../../tests/fixtures/ground.ts";
import type { Principal, Scope } from "./contract.ts";
import { Directory } from "./directory.ts";

let ground: Ground;
let directory: Directory;

beforeEach(async () => {
  ground = await openGround();
  const { storage, clock, identity } = ground;
  directory = new Directory({ storage, clock, instance: () => identity.instance() });
});
afterEach(() => ground.remove());

const code = (text: string) => ({ code: text });
const all = { after: "", limit: 100 };
const agentOf = async (scopes: Scope[]): Promise<Principal> => {
  const { secret } = await ground.identity.mintToken(ground.owner, { actor: ground.owned.agent, scopes });
  return ground.identity.authenticate(secret);
};

describe("what an actor sees", () => {
  it("is itself, by name, with everybody it acts for", async () => {
    const agent = await agentOf(["run:read"]);
    expect(await directory.me(agent)).toMatchObject({
      tenant: { id: ground.owned.tenant, slug: "default" },
      actor: { id: ground.owned.agent, kind: "agent", name: "local", team: null },
      chain: [{ name: "owner" }, { name: "local" }],
      scopes: ["run:read"],
      token: { id: agent.token, kind: "agt" },
      instance: expect.stringMatching(/^ins_[0-9a-f]{32}$/),
    });
  });

  it("are its own tokens and keys; others' take actor:manage", async () => {
    const agent = await agentOf(["run:read"]);
    expect((await directory.tokens(agent, all)).map(({ id }) => id)).toEqual([agent.token]);
    expect((await directory.tokens(ground.owner, all)).map(({ kind }) => kind)).toEqual(["hum", "agt"]);
    await expect(directory.tokens(agent, { ...all, actor: ground.owned.owner })).rejects.toMatchObject(
      code("SCOPE_MISSING"),
    );
    await expect(directory.keys(agent, { ...all, actor: ground.owned.owner })).rejects.toMatchObject(
      code("SCOPE_MISSING"),
    );
    expect(await directory.keys(agent, all)).toEqual([]);
    await expect(directory.actors(agent, all)).rejects.toMatchObject(code("SCOPE_MISSING"));
    expect(await directory.actor(agent, ground.owned.agent)).toMatchObject({ subject: "local", ceiling: null });
    await expect(directory.actor(agent, ground.owned.owner)).rejects.toMatchObject(code("SCOPE_MISSING"));
    await expect(directory.tenants(agent, all)).rejects.toMatchObject(code("SCOPE_MISSING"));
  });

  it("is never another tenant's", async () => {
    const { owner, token } = await ground.identity.createTenant(ground.owner, "acme");
    await expect(directory.actor(ground.owner, owner.id)).rejects.toMatchObject(code("ACTOR_UNKNOWN"));
    await expect(directory.token(ground.owner, token.id)).rejects.toMatchObject(code("TOKEN_ABSENT"));
    expect(await directory.tokens(ground.owner, { ...all, actor: owner.id })).toEqual([]);
    expect((await directory.tenants(ground.owner, all)).map(({ slug }) => slug)).toEqual(["default", "acme"]);
  });

  it("are no secrets", async () => {
    const text = JSON.stringify([await directory.tokens(ground.owner, all), await directory.me(ground.owner)]);
    expect(text).not.toContain("gtr_");
    expect(text).toContain(ground.secret.slice(-4));
  });
});

describe("a token in a list", () => {
  it("is live, expired or revoked", async () => {
    const { id } = await ground.identity.mintToken(ground.owner, { scopes: [] });
    expect(await directory.token(ground.owner, id)).toMatchObject({ state: "live", revoked_at: null });
    await ground.identity.revokeToken(ground.owner, id);
    expect((await directory.token(ground.owner, id)).state).toBe("revoked");
    const far = new Directory({ ...ground, clock: { now: () => 2 ** 50 }, instance: async () => "" });
    expect((await far.token(ground.owner, ground.owner.token!)).state).toBe("expired");
  });
});

describe("voters", () => {
  it("are active humans whose ceiling lets them approve, by id", async () => {
    const { identity, owned, owner, storage } = ground;
    const human = (name: string, ceiling?: Scope[]) =>
      identity.createActor(owner, ceiling === undefined ? { kind: "human", name } : { kind: "human", name, ceiling });
    const ada = await human("Ada");
    const bob = await human("Bob", ["gate:approve"]);
    await human("Carol", ["run:read"]);
    const dan = await human("Dan");
    await identity.setActorState(owner, dan.id, "suspended");
    expect(await identity.voters(storage, owned.tenant)).toEqual([
      { actor: owned.owner, name: "owner" },
      { actor: ada.id, name: "Ada" },
      { actor: bob.id, name: "Bob" },
    ]);
    expect(await identity.voters(storage, ground.ids("ten"))).toEqual([]);
  });

  it("are all found where there are more than one read gives", async () => {
    const { identity, owned, storage } = ground;
    await storage.write(async (tx) => {
      for (let i = 0; i < 1_100; i++) {
        tx.run(
          `INSERT INTO actors (id, tenant_id, kind, name, subject, owner_actor_id, parent_actor_id, state, ceiling_json, created_at)
           VALUES (?, ?, 'human', 'h', ?, NULL, NULL, 'active', 'null', 0)`,
          [`act_h${String(i).padStart(5, "0")}`, owned.tenant, `h${i}`],
        );
      }
    });
    expect(await identity.voters(storage, owned.tenant)).toHaveLength(1_101);
  });
});

it("what an actor owns is found at any depth, and itself with it", async () => {
  const { identity, owned, owner, storage } = ground;
  const service = await identity.createActor(owner, { kind: "service", name: "s" });
  const deep = await identity.createActor(owner, { kind: "agent", name: "a", owner: service.id });
  const ada = await identity.createActor(owner, { kind: "human", name: "Ada" });
  await identity.createActor(owner, { kind: "agent", name: "hers", owner: ada.id });
  const mine = [owned.owner, owned.agent, service.id, deep.id].sort();
  expect(await identity.ownedBy(storage, owned.tenant, owned.owner)).toEqual(mine);
  expect(await identity.ownedBy(storage, owned.tenant, service.id)).toEqual([service.id, deep.id]);
  expect(await identity.ownedBy(storage, ground.ids("ten"), owned.owner)).toEqual([]);
});
