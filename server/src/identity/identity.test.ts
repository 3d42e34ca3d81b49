import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { type Ground, openGround } from "../../../tests/fixtures/ground.ts";
import { VirtualClock } from "../../../tests/fixtures/virtual_clock.ts";
import { canonicalJson } from "../kernel/canonical.ts";
import { sha256Hex } from "../kernel/hash.ts";
import type { ActorId } from "../kernel/ids.ts";
import { agreementsOf } from "../storage/agreements.ts";
import type { Storage } from "../storage/contract.ts";
import { PrincipalCache } from "./cache.ts";
import {
  CHAIN_LINKS_MAX,
  HUMAN_SCOPES,
  type Principal,
  SCOPES,
  type Scope,
  TOKEN_CACHE_MAX,
  TOKEN_CACHE_MS,
  TOKEN_LIFE_MAX_MS,
  TOKEN_LIFE_MS,
  TOKENS_PER_ACTOR_MAX,
} from "./contract.ts";
import { IdentityRegistry } from "./identity.ts";
import { makeToken } from "./token.ts";

let ground: Ground;
let clock: VirtualClock;
let reads: number;

/** Counts what reaches the store. */
function counted(storage: Storage): Storage {
  return new Proxy(storage, {
    get(target, name) {
      const member: unknown = Reflect.get(target, name, target);
      if (typeof member !== "function") return member;
      return (...args: unknown[]) => {
        reads += 1;
        return member.apply(target, args);
      };
    },
  });
}

beforeEach(async () => {
  clock = new VirtualClock();
  ground = await openGround({ clock, wrap: counted });
  reads = 0;
});
afterEach(() => ground.remove());

const code = (text: string) => ({ code: text });
const mint = async (scopes: Scope[], actor?: ActorId, who: Principal = ground.owner) =>
  ground.identity.mintToken(who, actor === undefined ? { scopes } : { scopes, actor });
const principal = async (scopes: Scope[], actor?: ActorId, who?: Principal): Promise<Principal> =>
  ground.identity.authenticate((await mint(scopes, actor, who)).secret);
const entriesOf = async (kind: string, ref?: string) =>
  (await ground.ledger.list({ kind, limit: 200, ...(ref === undefined ? {} : { ref }) })).items;

describe("authenticating", () => {
  it("asks for a token when there is none", async () => {
    await expect(ground.identity.authenticate(undefined)).rejects.toMatchObject(code("AUTH_REQUIRED"));
    await expect(ground.identity.authenticate("")).rejects.toMatchObject(code("AUTH_REQUIRED"));
  });

  it("refuses a malformed token without touching the store", async () => {
    const good = ground.secret;
    const last = good.at(-1) === "0" ? "1" : "0";
    for (const bad of ["x", good.slice(0, -1), good.slice(0, -1) + last, `${good}0`, `gtr_hum_${"0".repeat(36)}`]) {
      await expect(ground.identity.authenticate(bad)).rejects.toMatchObject(code("TOKEN_MALFORMED"));
    }
    expect(reads).toBe(0);
  });

  it("refuses a well-formed token that nobody minted", async () => {
    const unknown = makeToken("hum", ground.random);
    await expect(ground.identity.authenticate(unknown)).rejects.toMatchObject(code("TOKEN_UNKNOWN"));
  });

  it("gives the owner's file a chain of one human and every scope but those of a human's own login", () => {
    const { owner, owned } = ground;
    expect(owner).toMatchObject({ tenant: owned.tenant, actor: owned.owner });
    expect(owner.chain).toEqual([{ actor: owned.owner, kind: "human", via: "token", ref: owner.token }]);
    expect(owner.chain_hash).toBe(sha256Hex(canonicalJson(owner.chain)));
    expect([...owner.scopes]).toEqual(SCOPES.filter((scope) => !HUMAN_SCOPES.includes(scope)));
  });

  it("remembers a token for five seconds, and then reads again", async () => {
    const { secret } = await mint(["run:read"]);
    await ground.identity.authenticate(secret);
    reads = 0;
    clock.advance(TOKEN_CACHE_MS - 1);
    await ground.identity.authenticate(secret);
    expect(reads).toBe(0);
    clock.advance(1);
    await ground.identity.authenticate(secret);
    expect(reads).toBeGreaterThan(0);
  });

  it("ends a token at its expiry, although it is remembered", async () => {
    const { secret, expires_at } = await ground.identity.mintToken(ground.owner, { scopes: [], life_ms: 1_000 });
    expect(expires_at).toBe(clock.now() + 1_000);
    clock.advance(999);
    await ground.identity.authenticate(secret);
    clock.advance(1);
    await expect(ground.identity.authenticate(secret)).rejects.toMatchObject(code("TOKEN_EXPIRED"));
    clock.advance(TOKEN_CACHE_MS);
    await expect(ground.identity.authenticate(secret)).rejects.toMatchObject(code("TOKEN_EXPIRED"));
  });

  it("recognises without a read what it remembers, and nothing that has to be looked up or refused", async () => {
    const { secret, id } = await mint(["run:read"]);
    const brief = await ground.identity.mintToken(ground.owner, { scopes: [], life_ms: 1_000 });
    const recognise = (bearer: string) => ground.identity.recognise(bearer);
    expect(recognise(secret)).toBeUndefined();
    const who = await ground.identity.authenticate(secret);
    await ground.identity.authenticate(brief.secret);
    reads = 0;
    expect(recognise(secret)).toBe(who);
    for (const bearer of ["", "nonsense", `${secret} `, secret.slice(0, -1)]) expect(recognise(bearer)).toBeUndefined();
    clock.advance(999);
    expect(recognise(brief.secret)).toBeDefined();
    clock.advance(1);
    expect(recognise(brief.secret)).toBeUndefined();
    clock.advance(TOKEN_CACHE_MS - 1_001);
    expect(recognise(secret)).toBe(who);
    clock.advance(1);
    expect(recognise(secret)).toBeUndefined();
    expect(reads).toBe(0);
    expect(await ground.identity.authenticate(secret)).toEqual(who);
    await ground.identity.revokeToken(ground.owner, id);
    expect(recognise(secret)).toBeUndefined();
  });

  it("never lets what was read before a revocation be remembered after it", async () => {
    const { secret, id } = await mint(["run:read"]);
    // A read that waits between the row and the answer, as with a store that is far away.
    let go: () => void = () => {};
    const gate = new Promise<void>((resolve) => {
      go = resolve;
    });
    let seen: () => void = () => {};
    const read = new Promise<void>((resolve) => {
      seen = resolve;
    });
    const slow = new Proxy(ground.storage, {
      get(target, name) {
        if (name !== "get") return Reflect.get(target, name, target);
        return async (...args: Parameters<Storage["get"]>) => {
          const row = await target.get(...args);
          if (args[0].includes("FROM tokens")) {
            seen();
            await gate;
          }
          return row;
        };
      },
    });
    const { ledger, random, ids } = ground;
    const identity = new IdentityRegistry({
      storage: slow,
      ledger,
      clock,
      random,
      ids,
      agreements: agreementsOf(slow),
    });
    const asked = identity.authenticate(secret);
    await read; // Else the revocation may overtake the read, as each has a connection of its own.
    await identity.revokeToken(ground.owner, id);
    go();
    await asked; // It was read before the revocation was acknowledged.
    await expect(identity.authenticate(secret)).rejects.toMatchObject(code("TOKEN_REVOKED"));
  });

  it("honours a revocation by another process after five seconds at the latest", async () => {
    const { secret, id } = await mint(["run:read"]);
    await ground.identity.authenticate(secret);
    const { storage, ledger, random, ids } = ground;
    await new IdentityRegistry({ storage, ledger, clock, random, ids, agreements: agreementsOf(storage) }).revokeToken(
      ground.owner,
      id,
    );
    clock.advance(TOKEN_CACHE_MS);
    await expect(ground.identity.authenticate(secret)).rejects.toMatchObject(code("TOKEN_REVOKED"));
  });
});

describe("a scope", () => {
  it("is demanded by name, and none implies another", async () => {
    const who = await principal(["run:submit"]);
    expect(() => ground.identity.demand(who, "run:submit")).not.toThrow();
    for (const scope of SCOPES.filter((each) => each !== "run:submit")) {
      expect(() => ground.identity.demand(who, scope)).toThrow("SCOPE_MISSING");
    }
  });
});

describe("minting", () => {
  it("needs token:mint and grants only what the minter holds", async () => {
    const who = await principal(["token:mint", "run:read"]);
    await expect(mint(["run:submit"], undefined, who)).rejects.toMatchObject(code("SCOPE_NOT_GRANTABLE"));
    const child = await principal(["run:read", "run:read"], undefined, who);
    expect([...child.scopes]).toEqual(["run:read"]);
    await expect(mint(["run:read"], undefined, child)).rejects.toMatchObject(code("SCOPE_MISSING"));
  });

  it("never gives more life than the minter has left, nor more than a year", async () => {
    const parent = await ground.identity.mintToken(ground.owner, { scopes: ["token:mint"], life_ms: 10_000 });
    const who = await ground.identity.authenticate(parent.secret);
    const child = await ground.identity.mintToken(who, { scopes: [], life_ms: 60_000 });
    expect(child.expires_at).toBe(parent.expires_at);
    const long = await ground.identity.mintToken(ground.owner, { scopes: [], life_ms: TOKEN_LIFE_MAX_MS + 1 });
    expect(long.expires_at).toBe(clock.now() + TOKEN_LIFE_MAX_MS);
    expect((await mint([])).expires_at).toBe(clock.now() + TOKEN_LIFE_MS);
  });

  it("puts the agent behind the principal it acts for, and knows its kind", async () => {
    const { secret, id } = await mint(["run:submit", "token:mint"], ground.owned.agent);
    expect(secret).toMatch(/^gtr_agt_/);
    const agent = await ground.identity.authenticate(secret);
    expect(agent.chain).toEqual([
      ground.owner.chain[0],
      { actor: ground.owned.agent, kind: "agent", via: "token", ref: id },
    ]);
    const again = await principal(["run:submit"], undefined, agent);
    expect(again.chain.map((link) => link.actor)).toEqual([ground.owned.owner, ground.owned.agent]);
  });

  it("never lets an agent shed the principal that it acts for", async () => {
    const agent = await principal(["token:mint", "actor:manage"], ground.owned.agent);
    await expect(mint([], ground.owned.owner, agent)).rejects.toMatchObject(code("CHAIN_INVALID"));
  });

  it("for an actor of somebody else needs actor:manage", async () => {
    const robot = await ground.identity.createActor(ground.owner, { kind: "agent", name: "robot" });
    const agent = await principal(["token:mint"], ground.owned.agent);
    await expect(mint([], robot.id, agent)).rejects.toMatchObject(code("SCOPE_MISSING"));
    const manager = await principal(["token:mint", "actor:manage"], ground.owned.agent);
    expect((await principal([], robot.id, manager)).chain.map((link) => link.actor)).toEqual([
      ground.owned.owner,
      ground.owned.agent,
      robot.id,
    ]);
  });

  it("allows a chain of 8 links and not one more", async () => {
    let who = ground.owner;
    for (let links = 2; links <= CHAIN_LINKS_MAX; links++) {
      const { id } = await ground.identity.createActor(ground.owner, { kind: "agent", name: `agent ${links}` });
      who = await principal(["token:mint", "actor:manage"], id, who);
    }
    expect(who.chain).toHaveLength(CHAIN_LINKS_MAX);
    const { id } = await ground.identity.createActor(ground.owner, { kind: "agent", name: "one more" });
    await expect(mint([], id, who)).rejects.toMatchObject(code("CHAIN_INVALID"));
  });

  it("stays under the actor's ceiling", async () => {
    const { id } = await ground.identity.createActor(ground.owner, {
      kind: "agent",
      name: "reader",
      ceiling: ["run:read"],
    });
    await mint(["run:read"], id);
    await expect(mint(["run:submit"], id)).rejects.toMatchObject(code("SCOPE_NOT_GRANTABLE"));
  });

  it("gives an actor 100 live tokens and not one more, and revoking makes room", async () => {
    const { agent } = ground.owned;
    const tokens = [];
    for (let i = 0; i < TOKENS_PER_ACTOR_MAX; i++) tokens.push(await mint([], agent));
    await expect(mint([], agent)).rejects.toMatchObject(code("TOKEN_LIMIT"));
    await ground.identity.revokeToken(ground.owner, tokens[0]!.id);
    await mint([], agent);
  });

  it("is refused to a token that has ended since it was authenticated", async () => {
    const { secret, id } = await mint(["token:mint"]);
    const who = await ground.identity.authenticate(secret);
    await ground.identity.revokeToken(ground.owner, id);
    await expect(mint([], undefined, who)).rejects.toMatchObject(code("TOKEN_REVOKED"));
  });

  it("enters who, for whom and what, and no secret", async () => {
    const { id, secret } = await mint(["run:submit"], ground.owned.agent);
    const [entry] = await entriesOf("token.minted", id);
    expect(entry).toMatchObject({
      actor: [{ actor: ground.owned.owner, kind: "human" }],
      data: { token: id, actor: ground.owned.agent, scopes: ["run:submit"], parent: ground.owner.token },
    });
    const bodies = await ground.storage.all("SELECT body FROM evidence_entries", []);
    const text = bodies.map((row) => Buffer.from(row["body"] as Uint8Array).toString("utf8")).join("\n");
    for (const each of [secret, ground.secret]) {
      expect(text).not.toContain(each);
      expect(text).not.toContain(each.slice(8));
      expect(text).not.toContain(sha256Hex(each));
    }
  });
});

describe("revoking", () => {
  it("ends the token and all below it, at once, with an entry each", async () => {
    const top = await mint(["token:mint", "run:read"]);
    const who = await ground.identity.authenticate(top.secret);
    const middle = await mint(["token:mint"], undefined, who);
    const low = await mint([], undefined, await ground.identity.authenticate(middle.secret));
    const beside = await mint(["run:read"]);
    expect(await ground.identity.revokeToken(ground.owner, top.id)).toBe(3);
    for (const { secret } of [top, middle, low]) {
      await expect(ground.identity.authenticate(secret)).rejects.toMatchObject(code("TOKEN_REVOKED"));
    }
    await ground.identity.authenticate(beside.secret);
    const causes = (await entriesOf("token.revoked")).map((entry) => entry.data["cause"]);
    expect(causes).toEqual(["asked", "parent", "parent"]);
    expect(await ground.identity.revokeToken(ground.owner, top.id)).toBe(0);
  });

  it("ends trees that are larger than one unit", async () => {
    let who = await principal(["token:mint", "actor:manage"]);
    const root = who.token;
    for (let i = 0; i < 3; i++) {
      const { id } = await ground.identity.createActor(ground.owner, { kind: "agent", name: `agent ${i}` });
      for (let n = 0; n < 80; n++) await mint([], id, who);
      who = await principal(["token:mint", "actor:manage"], id, who);
    }
    expect(await ground.identity.revokeToken(ground.owner, root!)).toBe(1 + 3 * 81);
  });

  it("is for whoever is in the token's chain, or manages actors", async () => {
    const token = await mint(["run:read"]);
    const agent = await principal(["run:read"], ground.owned.agent);
    await expect(ground.identity.revokeToken(agent, token.id)).rejects.toMatchObject(code("SCOPE_MISSING"));
    expect(await ground.identity.revokeToken(agent, agent.token!)).toBe(1);
  });

  it("of an absent or a foreign token looks alike", async () => {
    const other = await ground.identity.createTenant(ground.owner, "other");
    const absent = ground.ids("tok");
    for (const id of [other.token.id, absent]) {
      await expect(ground.identity.revokeToken(ground.owner, id)).rejects.toMatchObject(code("TOKEN_ABSENT"));
    }
  });
});

it("the cache holds 10,000 tokens and forgets the oldest", async () => {
  const cache = new PrincipalCache();
  for (let i = 0; i < TOKEN_CACHE_MAX; i++) cache.put(`h${i}`, ground.owner, 1, 0, 0);
  expect(cache.size).toBe(TOKEN_CACHE_MAX);
  expect(cache.get("h0", 0)).toBeDefined();
  cache.put("one more", ground.owner, 1, 0, 0);
  expect(cache.size).toBe(TOKEN_CACHE_MAX);
  expect(cache.get("h0", 0)).toBeUndefined();
  expect(cache.get("one more", 0)).toBeDefined();
});
