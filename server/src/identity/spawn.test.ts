import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { type Ground, openGround } from "../../../tests/fixtures/ground.ts";
import { VirtualClock } from "../../../tests/fixtures/virtual_clock.ts";
import { agreementsOf } from "../storage/agreements.ts";
import { type ChainLink, type Principal, type Scope, SPAWN_SCOPES } from "./contract.ts";
import { IdentityRegistry } from "./identity.ts";

let ground: Ground;
let clock: VirtualClock;
/** The runs that are alive, as the room above says. */
let live: Map<string, { chain: ChainLink[]; deadline_at: number }>;
let identity: IdentityRegistry;

beforeEach(async () => {
  clock = new VirtualClock();
  ground = await openGround({ clock });
  live = new Map();
  identity = new IdentityRegistry({
    ...ground,
    agreements: agreementsOf(ground.storage),
    live_run: async (_reader, tenant, run) => (tenant === ground.owned.tenant ? live.get(run) : undefined),
  });
});
afterEach(() => ground.remove());

const code = (text: string) => ({ code: text });
const agentOf = async (scopes: Scope[]): Promise<Principal> => {
  const { secret } = await identity.mintToken(ground.owner, { actor: ground.owned.agent, scopes });
  return identity.authenticate(secret);
};
const start = (who: Principal, wall_ms = 30_000): string => {
  const run = ground.ids("run");
  live.set(run, { chain: [...who.chain], deadline_at: clock.now() + wall_ms });
  return run;
};

describe("a token for a live run", () => {
  it("has the run's own chain, its last link by spawn, and ends with the run's time", async () => {
    const agent = await agentOf(["token:mint", ...SPAWN_SCOPES]);
    const run = start(agent);
    const minted = await identity.mintToken(agent, { run, scopes: ["run:submit"], life_ms: 60_000 });
    expect(minted.expires_at).toBe(clock.now() + 30_000);
    const who = await identity.authenticate(minted.secret);
    expect(who.chain).toEqual([agent.chain[0], { actor: ground.owned.agent, kind: "agent", via: "spawn", ref: run }]);
    const shorter = await identity.mintToken(agent, { run, scopes: [], life_ms: 1_000 });
    expect(shorter.expires_at).toBe(clock.now() + 1_000);
    // Who the run acts for may mint for it: the chain is the run's all the same.
    const top = await identity.mintToken(ground.owner, { run, scopes: ["run:read"] });
    expect((await identity.authenticate(top.secret)).chain).toEqual(who.chain);
  });

  it("starts and looks after runs, and does nothing else", async () => {
    const run = start(ground.owner);
    await identity.mintToken(ground.owner, { run, scopes: [...SPAWN_SCOPES] });
    for (const scope of ["token:mint", "actor:manage", "contract:propose", "evidence:read"] as const) {
      await expect(identity.mintToken(ground.owner, { run, scopes: [scope] })).rejects.toMatchObject(
        code("SCOPE_NOT_GRANTABLE"),
      );
    }
    const poor = await agentOf(["token:mint", "run:read"]);
    await expect(identity.mintToken(poor, { run: start(poor), scopes: ["run:submit"] })).rejects.toMatchObject(
      code("SCOPE_NOT_GRANTABLE"),
    );
  });

  it("is not minted for a run that is not alive, or whose chain does not begin with the minter's", async () => {
    const agent = await agentOf(["token:mint", "run:submit"]);
    const mint = (who: Principal, run: string) => identity.mintToken(who, { run, scopes: ["run:submit"] });
    await expect(mint(agent, ground.ids("run"))).rejects.toMatchObject(code("CHAIN_INVALID"));
    await expect(mint(agent, start(ground.owner))).rejects.toMatchObject(code("CHAIN_INVALID"));
    const { token } = await identity.createTenant(ground.owner, "acme");
    const stranger = await identity.authenticate(token.secret);
    await expect(mint(stranger, start(ground.owner))).rejects.toMatchObject(code("CHAIN_INVALID"));
    const as = identity.mintToken(ground.owner, { run: start(agent), actor: ground.owned.owner, scopes: [] });
    await expect(as).rejects.toMatchObject(code("CHAIN_INVALID"));
  });

  it("is not minted while an actor of the run's chain is suspended", async () => {
    const agent = await agentOf(["token:mint", "run:submit"]);
    const run = start(agent);
    await identity.setActorState(ground.owner, ground.owned.agent, "suspended");
    await expect(identity.mintToken(ground.owner, { run, scopes: ["run:submit"] })).rejects.toMatchObject(
      code("ACTOR_SUSPENDED"),
    );
  });

  it("ends with the token that minted it", async () => {
    const agent = await agentOf(["token:mint", "run:submit"]);
    const minted = await identity.mintToken(agent, { run: start(agent), scopes: ["run:submit"] });
    await identity.authenticate(minted.secret);
    await identity.revokeToken(ground.owner, agent.token!);
    await expect(identity.authenticate(minted.secret)).rejects.toMatchObject(code("TOKEN_REVOKED"));
  });
});

describe("an early end", () => {
  const overrides = async () =>
    (await ground.ledger.list({ kind: "token.revoked", limit: 10 })).items.map(({ data }) => data["override"]);

  it("of an agent's token by a human is an override, once for a whole tree", async () => {
    const counted: unknown[] = [];
    const metrics = { add: (...said: unknown[]) => void counted.push(said), observe() {}, set() {} };
    const watched = new IdentityRegistry({ ...ground, agreements: agreementsOf(ground.storage), metrics });
    const agent = await agentOf(["token:mint", "run:read"]);
    await identity.mintToken(agent, { scopes: ["run:read"] });
    await watched.revokeToken(ground.owner, agent.token!);
    expect(await overrides()).toEqual(["early_revoke", undefined]);
    expect(counted).toEqual([["gantry_override_total", { kind: "early_revoke", class: "none" }]]);
    await watched.revokeToken(ground.owner, agent.token!);
    expect(counted).toHaveLength(1);
  });

  it("of a human's token, by an agent, or after its time is none", async () => {
    const own = await identity.mintToken(ground.owner, { scopes: ["run:read"] });
    await identity.revokeToken(ground.owner, own.id);
    const agent = await agentOf(["run:read"]);
    await identity.revokeToken(agent, agent.token!);
    const { id } = await identity.mintToken(ground.owner, { actor: ground.owned.agent, scopes: [], life_ms: 1 });
    clock.advance(1);
    await identity.revokeToken(ground.owner, id);
    expect(await overrides()).toEqual([undefined, undefined, undefined]);
  });
});
