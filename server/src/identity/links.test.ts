import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { type Ground, openGround } from "../../../tests/fixtures/ground.ts";
import { VirtualClock } from "../../../tests/fixtures/virtual_clock.ts";
import { TOKEN_PATTERN } from "../kernel/log.ts";
import { linkFor } from "./admin_link.ts";
import {
  HUMAN_SCOPES,
  LINK_LIFE_MS,
  LINKS_OPEN_MAX,
  LOGIN_LIFE_MS,
  OPERATOR_SCOPES,
  SCOPES,
  type Scope,
  TOKENS_PER_ACTOR_MAX,
} from "./contract.ts";
import { makeToken } from "./token.ts";

let ground: Ground;
let clock: VirtualClock;

beforeEach(async () => {
  clock = new VirtualClock();
  ground = await openGround({ clock });
});
afterEach(() => ground.remove());

const first = () => ground.owned.link!.secret;
const code = (text: string) => ({ code: text });
const link = (o: { actor?: string; tenant?: string; scopes?: Scope[] } = {}) =>
  linkFor(ground, { actor: o.actor, tenant: o.tenant, scopes: o.scopes });
const kinds = async (kind: string) => (await ground.ledger.list({ kind, limit: 200 })).items;

describe("the first start", () => {
  it("hands out one link, which makes its user the owner, with every scope", async () => {
    const { who, token } = await ground.identity.login(first());
    expect(token.secret).toMatch(/^gtr_hum_/);
    expect(token.expires_at).toBe(clock.now() + LOGIN_LIFE_MS);
    expect(who).toMatchObject({ tenant: ground.owned.tenant, actor: ground.owned.owner, token: token.id });
    const again = await ground.identity.authenticate(token.secret);
    expect([...again.scopes]).toEqual(SCOPES);
    expect(again).toEqual(who);
    expect(await kinds("link.used")).toMatchObject([{ data: { actor: ground.owned.owner, token: token.id } }]);
  });

  it("hands out none when there was one, used or not", async () => {
    await ground.stop();
    ground = await openGround({ clock, directory: ground.directory });
    expect(ground.owned.link).toBeUndefined();
  });

  it("of a version that knows links hands one to an installation that never had one", async () => {
    await ground.storage.write((tx) => tx.run("DELETE FROM login_links", []));
    await ground.stop();
    ground = await openGround({ clock, directory: ground.directory });
    await ground.identity.login(first());
  });
});

describe("a login link", () => {
  it("works once: of two at once one gets the token", async () => {
    const both = await Promise.allSettled([ground.identity.login(first()), ground.identity.login(first())]);
    expect(both.filter(({ status }) => status === "fulfilled")).toHaveLength(1);
    expect(both.find((each) => each.status === "rejected")?.reason).toMatchObject(code("LOGIN_LINK_SPENT"));
    await expect(ground.identity.login(first())).rejects.toMatchObject(code("LOGIN_LINK_SPENT"));
  });

  it("works for LINK_LIFE_MS, and stays expired when the clock is set back", async () => {
    const { link: second } = await link();
    const at = clock.now();
    clock.advance(LINK_LIFE_MS - 1);
    await ground.identity.login(second);
    clock.advance(1);
    await expect(ground.identity.login(first())).rejects.toMatchObject(code("LOGIN_LINK_SPENT"));
    const secret = first();
    await ground.stop();
    ground = await openGround({ directory: ground.directory, clock: new VirtualClock(at) });
    await expect(ground.identity.login(secret)).rejects.toMatchObject(code("LOGIN_LINK_SPENT"));
  });

  it("that nobody made looks like one that is spent, and a broken one costs no look", async () => {
    await expect(ground.identity.login(makeToken("lnk", ground.random))).rejects.toMatchObject(
      code("LOGIN_LINK_SPENT"),
    );
    const bad = ["", "x", ground.secret, `${first()}0`, first().slice(0, -1), first().replace("lnk", "hum")];
    for (const each of bad) await expect(ground.identity.login(each)).rejects.toMatchObject(code("TOKEN_MALFORMED"));
  });

  it("is no bearer token", async () => {
    await expect(ground.identity.authenticate(first())).rejects.toMatchObject(code("TOKEN_MALFORMED"));
  });

  it("is for active humans, of whom LINKS_OPEN_MAX links are open at most", async () => {
    await expect(link({ actor: ground.owned.agent })).rejects.toMatchObject(code("ACTOR_INVALID"));
    const ada = await ground.identity.createActor(ground.owner, { kind: "human", name: "Ada", subject: "ada@x" });
    for (let i = 0; i < LINKS_OPEN_MAX; i++) await link({ actor: "ada@x" });
    await expect(link({ actor: ada.id })).rejects.toMatchObject(code("LOGIN_LINKS_LIMIT"));
    clock.advance(LINK_LIFE_MS);
    const { link: fresh } = await link({ actor: "ada@x" });
    await ground.identity.setActorState(ground.owner, ada.id, "suspended");
    await expect(ground.identity.login(fresh)).rejects.toMatchObject(code("ACTOR_SUSPENDED"));
    await expect(link({ actor: "ada@x" })).rejects.toMatchObject(code("ACTOR_INVALID"));
    await expect(link({ actor: "bob" })).rejects.toMatchObject(code("ACTOR_UNKNOWN"));
    await expect(link({ tenant: "nobody" })).rejects.toMatchObject(code("TENANT_UNKNOWN"));
  });

  it("gives others than the owner of the installation nothing past their tenant and their ceiling", async () => {
    await ground.identity.createActor(ground.owner, { kind: "human", name: "Ada" });
    const ada = await ground.identity.login((await link({ actor: "Ada" })).link);
    expect([...ada.who.scopes]).toEqual(SCOPES.filter((scope) => !OPERATOR_SCOPES.includes(scope)));
    await ground.identity.createActor(ground.owner, {
      kind: "human",
      name: "Bob",
      ceiling: ["run:read", "gate:approve"],
    });
    const bob = await ground.identity.login((await link({ actor: "Bob" })).link);
    expect([...bob.who.scopes].sort()).toEqual(["gate:approve", "run:read"]);
    await expect(link({ actor: "Bob", scopes: ["run:submit"] })).rejects.toMatchObject(code("SCOPE_NOT_GRANTABLE"));
    await ground.identity.createTenant(ground.owner, "acme");
    const acme = await ground.identity.login((await link({ tenant: "acme" })).link);
    expect(acme.who.scopes.has("gate:approve")).toBe(true);
    expect(acme.who.scopes.has("tenant:manage")).toBe(false);
    const less = await link({ scopes: ["gate:approve"] });
    expect([...(await ground.identity.login(less.link)).who.scopes]).toEqual(["gate:approve"]);
  });

  it("makes no token past those that an actor may have", async () => {
    for (let i = 1; i < TOKENS_PER_ACTOR_MAX; i++) await ground.identity.mintToken(ground.owner, { scopes: [] });
    await expect(ground.identity.login(first())).rejects.toMatchObject(code("TOKEN_LIMIT"));
  });

  it("is in no entry and in no row", async () => {
    const { token } = await ground.identity.login(first());
    const bodies = await ground.storage.all("SELECT body FROM evidence_entries", []);
    const links = await ground.storage.all("SELECT * FROM login_links", []);
    const text = bodies.map((row) => Buffer.from(row["body"] as Uint8Array).toString("utf8")).join("\n");
    expect(`${text}${JSON.stringify(links)}`).not.toMatch(TOKEN_PATTERN);
    expect(text).not.toContain(first().slice(8));
    expect(text).not.toContain(token.secret.slice(8));
    for (const row of links) expect(text).not.toContain(String(row["hash"]));
    // As the server's own command made it, nobody is named who made it.
    await link();
    expect((await kinds("link.made")).map(({ actor }) => actor.length)).toEqual([1, 0]);
  });
});

describe("what only a human decides", () => {
  it("is in no token of a file", () => {
    for (const scope of HUMAN_SCOPES) expect(ground.owner.scopes.has(scope)).toBe(false);
  });

  it("is minted on by a human for themselves, and for nobody else", async () => {
    const { who } = await ground.identity.login(first());
    const own = await ground.identity.mintToken(who, { scopes: ["gate:approve"] });
    expect((await ground.identity.authenticate(own.secret)).scopes.has("gate:approve")).toBe(true);
    const ada = await ground.identity.createActor(ground.owner, { kind: "human", name: "Ada" });
    for (const actor of [ground.owned.agent, ada.id]) {
      for (const scope of HUMAN_SCOPES) {
        await expect(ground.identity.mintToken(who, { actor, scopes: [scope] })).rejects.toMatchObject(
          code("SCOPE_NOT_GRANTABLE"),
        );
      }
    }
  });

  it("is worth nothing in a row that has it by mistake: at use it is judged again", async () => {
    const { who } = await ground.identity.login(first());
    const agent = await ground.identity.mintToken(who, { actor: ground.owned.agent, scopes: ["gate:read"] });
    const all = JSON.stringify(SCOPES);
    await ground.storage.write((tx) => tx.run("UPDATE tokens SET scopes_json = ?", [all]));
    for (const secret of [agent.secret, ground.secret]) {
      const used = await ground.identity.authenticate(secret);
      for (const scope of HUMAN_SCOPES) {
        // The owner's is remembered from before; a fresh process reads the row.
        expect(used.scopes.has(scope)).toBe(false);
      }
    }
    clock.advance(10_000);
    expect((await ground.identity.authenticate(ground.secret)).scopes.has("gate:approve")).toBe(false);
  });

  it("is confirmed past every cache: a token that ended, or an actor that is suspended, votes no more", async () => {
    const { who, token } = await ground.identity.login(first());
    await ground.identity.confirm(ground.storage, who);
    const ada = await ground.identity.createActor(ground.owner, { kind: "human", name: "Ada" });
    const hers = await ground.identity.login((await link({ actor: "Ada" })).link);
    await ground.storage.write((tx) => tx.run("UPDATE actors SET state = 'suspended' WHERE id = ?", [ada.id]));
    await expect(ground.identity.confirm(ground.storage, hers.who)).rejects.toMatchObject(code("ACTOR_SUSPENDED"));
    await ground.storage.write((tx) => tx.run("UPDATE tokens SET scopes_json = '[]' WHERE id = ?", [token.id]));
    await expect(ground.identity.confirm(ground.storage, who)).rejects.toMatchObject(code("SCOPE_MISSING"));
    await ground.storage.write((tx) => tx.run("UPDATE tokens SET revoked_at = 1 WHERE id = ?", [token.id]));
    await expect(ground.identity.confirm(ground.storage, who)).rejects.toMatchObject(code("TOKEN_REVOKED"));
    clock.advance(LOGIN_LIFE_MS);
    await expect(ground.identity.authenticate(hers.token.secret)).rejects.toMatchObject(code("TOKEN_EXPIRED"));
  });
});
