import { afterEach, beforeEach, expect, it } from "vitest";
import { type Ground, openGround } from "../../../tests/fixtures/ground.ts";
import type { ActorId } from "../kernel/ids.ts";
import { KEYS_PER_ACTOR_MAX, type Principal, type Scope } from "./contract.ts";

let ground: Ground;

beforeEach(async () => {
  ground = await openGround();
});
afterEach(() => ground.remove());

let made = 0;
/** 32 bytes, another each time. */
const jwk = (x = Buffer.alloc(32, 0).fill(String(made++).padStart(4, "0")).toString("base64url")) => ({
  kty: "OKP",
  crv: "Ed25519",
  x,
});
const register = (who: Principal = ground.owner, actor?: ActorId, public_jwk = jwk()) =>
  ground.identity.registerKey(who, { public_jwk, uses: ["task"], ...(actor === undefined ? {} : { actor }) });
const principal = async (scopes: Scope[], actor?: ActorId): Promise<Principal> =>
  ground.identity.authenticate(
    (await ground.identity.mintToken(ground.owner, actor === undefined ? { scopes } : { scopes, actor })).secret,
  );
const code = (text: string) => ({ code: text });

it("a human registers keys for themselves and their own with token:mint, and for others with actor:manage", async () => {
  const human = await principal(["token:mint"]);
  expect(await register(human)).toMatchObject({ actor: ground.owned.owner, state: "active", uses: ["task"] });
  expect(await register(human, ground.owned.agent)).toMatchObject({ actor: ground.owned.agent });
  const other = await ground.identity.createActor(ground.owner, { kind: "human", name: "Ada" });
  await expect(register(human, other.id)).rejects.toMatchObject(code("SCOPE_MISSING"));
  expect(await register(ground.owner, other.id)).toMatchObject({ actor: other.id });
});

it("an agent gives itself no key: it would outlive the agent's token", async () => {
  const agent = await principal(["token:mint", "run:submit"], ground.owned.agent);
  await expect(register(agent)).rejects.toMatchObject(code("SCOPE_MISSING"));
  await register(await principal(["actor:manage"], ground.owned.agent));
});

it.each([
  ["another kind of key", { kty: "EC", crv: "Ed25519", x: "A".repeat(43) }],
  ["another curve", { kty: "OKP", crv: "X25519", x: "A".repeat(43) }],
  ["31 bytes", { kty: "OKP", crv: "Ed25519", x: "A".repeat(42) }],
  ["33 bytes", { kty: "OKP", crv: "Ed25519", x: "A".repeat(44) }],
  ["bits past the 32nd byte", { kty: "OKP", crv: "Ed25519", x: `${"A".repeat(42)}B` }],
  ["base64 of another alphabet", { kty: "OKP", crv: "Ed25519", x: `${"A".repeat(41)}/A` }],
])("%s is no key", async (_what, bad) => {
  await expect(register(ground.owner, undefined, bad)).rejects.toMatchObject(code("ACTOR_KEY_INVALID"));
});

it("a key is registered once for an actor, and not again after it was revoked", async () => {
  const public_jwk = jwk();
  const { kid } = await register(ground.owner, undefined, public_jwk);
  await expect(register(ground.owner, undefined, public_jwk)).rejects.toMatchObject(code("ACTOR_KEY_EXISTS"));
  await ground.identity.revokeKey(ground.owner, kid);
  await ground.identity.revokeKey(ground.owner, kid);
  await expect(register(ground.owner, undefined, public_jwk)).rejects.toMatchObject(code("ACTOR_KEY_EXISTS"));
  const kinds = (await ground.ledger.list({ ref: kid, limit: 10 })).items.map(({ kind }) => kind);
  expect(kinds).toEqual(["key.registered", "key.revoked"]);
});

it("an actor has KEYS_PER_ACTOR_MAX active keys, and revoking makes room", async () => {
  const keys = [];
  for (let i = 0; i < KEYS_PER_ACTOR_MAX; i++) keys.push(await register());
  await expect(register()).rejects.toMatchObject(code("ACTOR_KEY_LIMIT"));
  await ground.identity.revokeKey(ground.owner, keys[0]!.kid);
  await register();
});

it("an absent key and another tenant's look alike, and only keepers and the actor itself revoke", async () => {
  const { kid } = await register(ground.owner, ground.owned.agent);
  const { token } = await ground.identity.createTenant(ground.owner, "acme");
  const stranger = await ground.identity.authenticate(token.secret);
  const gone = "key_00000000000000000000000000";
  for (const [who, id] of [
    [stranger, kid],
    [ground.owner, gone],
  ] as const) {
    await expect(ground.identity.revokeKey(who, id)).rejects.toMatchObject({
      code: "ACTOR_KEY_UNKNOWN",
      parts: { detail: "The tenant has no key of this id." },
    });
  }
  const reader = await principal(["run:read"]);
  await expect(ground.identity.revokeKey(reader, kid)).rejects.toMatchObject(code("SCOPE_MISSING"));
  await ground.identity.revokeKey(await principal(["run:read"], ground.owned.agent), kid);
});

it("a suspended actor gets no key, and no uses is none", async () => {
  const { id } = await ground.identity.createActor(ground.owner, { kind: "agent", name: "a" });
  await ground.identity.setActorState(ground.owner, id, "suspended");
  await expect(register(ground.owner, id)).rejects.toMatchObject(code("ACTOR_SUSPENDED"));
  const none = ground.identity.registerKey(ground.owner, { public_jwk: jwk(), uses: [] });
  await expect(none).rejects.toMatchObject(code("ACTOR_KEY_INVALID"));
});
