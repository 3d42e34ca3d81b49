import { CompactSign, exportJWK, generateKeyPair, type JWK } from "jose";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { type Ground, openGround } from "../../../tests/fixtures/ground.ts";
import { VirtualClock } from "../../../tests/fixtures/virtual_clock.ts";
import type { RunId } from "../kernel/ids.ts";
import {
  type ActorKey,
  CHAIN_LINKS_MAX,
  JTI_CHARS_MAX,
  JTIS_SWEPT_MAX,
  JWS_BYTES_MAX,
  KEY_USES,
  KEYS_IMPORTED_MAX,
  type KeyUse,
  TASK_LIFE_MAX_MS,
  TASK_SKEW_MS,
} from "./contract.ts";
import { PublicKeys } from "./jws.ts";

type Key = Awaited<ReturnType<typeof generateKeyPair>>["privateKey"];

let ground: Ground;
let clock: VirtualClock;
let signer: { key: Key; registered: ActorKey };
let instance: string;

beforeEach(async () => {
  clock = new VirtualClock();
  ground = await openGround({ clock });
  instance = await ground.identity.instance();
  signer = await keyOf(ground.owned.agent, ["task", "code"]);
});
afterEach(() => ground.remove());

async function keyOf(actor: string, uses: KeyUse[]) {
  const pair = await generateKeyPair("EdDSA", { crv: "Ed25519", extractable: true });
  const { kty = "", crv = "", x = "" } = await exportJWK(pair.publicKey);
  const public_jwk = { kty, crv, x };
  const registered = await ground.identity.registerKey(ground.owner, { actor: actor as never, public_jwk, uses });
  return { key: pair.privateKey, registered };
}

const seconds = () => Math.floor(clock.now() / 1_000);
const hash = (digit: string) => digit.repeat(64);
const claims = (more: object = {}) => ({
  iss: ground.owned.agent,
  aud: instance,
  iat: seconds(),
  exp: seconds() + 300,
  jti: "one",
  tid: ground.owned.tenant,
  act: { sub: ground.owned.agent, act: { sub: ground.owned.owner } },
  contract: "scratch",
  code_hash: hash("a"),
  input_hash: hash("b"),
  ...more,
});
const header = (more: object = {}) => ({
  alg: "EdDSA",
  typ: "gantry-task+jwt",
  kid: signer.registered.kid,
  ...more,
});
const base64url = (value: unknown) => Buffer.from(JSON.stringify(value)).toString("base64url");

async function sign(payload: unknown, head: object = header(), key: Key = signer.key): Promise<string> {
  return new CompactSign(Buffer.from(JSON.stringify(payload)))
    .setProtectedHeader(head as { alg: string })
    .sign(key, { crit: { "urn:x": true } });
}
const ask = (jws: string) => ground.identity.authenticateTask(jws);
const code = (text: string) => ({ code: text });

describe("a signed task", () => {
  it("is its issuer's, who may submit a run and nothing else", async () => {
    const { who, task } = await ask(await sign(claims({ snapshot: "snp_0" })));
    const { kid } = signer.registered;
    expect(who).toMatchObject({ tenant: ground.owned.tenant, actor: ground.owned.agent, token: null });
    expect(who.chain).toEqual([
      { actor: ground.owned.owner, kind: "human", via: "key", ref: kid },
      { actor: ground.owned.agent, kind: "agent", via: "key", ref: kid },
    ]);
    expect([...who.scopes]).toEqual(["run:submit"]);
    expect(task).toEqual({
      jti: "one",
      expires_at: (seconds() + 300) * 1_000 + TASK_SKEW_MS,
      contract: "scratch",
      snapshot: "snp_0",
      code_hash: hash("a"),
      input_hash: hash("b"),
    });
    await expect(
      ground.identity.mintToken({ ...who, scopes: new Set(["token:mint"]) }, { scopes: [] }),
    ).rejects.toThrow("TOKEN_UNKNOWN");
    await ground.identity.confirm(ground.storage, who);
  });

  it("may submit nothing past its actor's ceiling", async () => {
    const reader = await ground.identity.createActor(ground.owner, { kind: "agent", name: "r", ceiling: ["run:read"] });
    const { key, registered } = await keyOf(reader.id, ["task"]);
    const payload = claims({ iss: reader.id, act: { sub: reader.id, act: { sub: ground.owned.owner } } });
    const { who } = await ask(await sign(payload, header({ kid: registered.kid }), key));
    expect(who.scopes.size).toBe(0);
  });

  it.each([
    ["a key of its own (jwk)", { jwk: { kty: "OKP", crv: "Ed25519", x: "A".repeat(43) } }],
    ["a place to fetch keys (jku)", { jku: "https://evil.example/keys" }],
    ["a certificate's place (x5u)", { x5u: "https://evil.example/cert" }],
    ["a certificate (x5c)", { x5c: ["MIIB"] }],
    ["an extension that must be known (crit)", { crit: ["urn:x"], "urn:x": 1 }],
    ["an extension that need not be known", { zip: "DEF" }],
    ["no type", { typ: undefined }],
    ["the type of code", { typ: "gantry-code+jwt" }],
    ["the type of any token", { typ: "JWT" }],
    ["no kid", { kid: undefined }],
    ["a kid that is none", { kid: "' OR 1=1" }],
    ["a kid that nobody registered", { kid: `key_${"0".repeat(26)}` }],
  ])("with %s in its header is refused", async (_what, more) => {
    await expect(ask(await sign(claims(), header(more)))).rejects.toMatchObject(code("TASK_SIGNATURE"));
  });

  it("of another algorithm is refused, whatever its key", async () => {
    const body = base64url(claims());
    for (const alg of ["none", "HS256", "RS256", "ES256", "Ed25519", "EdDSA ", "eddsa"]) {
      const forged = `${base64url(header({ alg }))}.${body}.${"A".repeat(86)}`;
      await expect(ask(forged)).rejects.toMatchObject(code("TASK_SIGNATURE"));
    }
    const ec = await generateKeyPair("ES256");
    await expect(ask(await sign(claims(), header({ alg: "ES256" }), ec.privateKey))).rejects.toMatchObject(
      code("TASK_SIGNATURE"),
    );
    // The public key as the secret of a MAC: what judges by the header falls for it.
    const secret = Buffer.from(signer.registered.public_jwk.x);
    const mac = await new CompactSign(Buffer.from(JSON.stringify(claims())))
      .setProtectedHeader({ ...header(), alg: "HS256" })
      .sign(secret);
    await expect(ask(mac)).rejects.toMatchObject(code("TASK_SIGNATURE"));
  });

  it("that was changed, or signed by another key, is refused", async () => {
    const jws = await sign(claims());
    const [head = "", , tail = ""] = jws.split(".");
    const other = await keyOf(ground.owned.owner, ["task"]);
    const bad = [
      `${head}.${base64url(claims({ contract: "production" }))}.${tail}`,
      `${head}.${base64url(claims())}.${tail.startsWith("A") ? "B" : "A"}${tail.slice(1)}`,
      await sign(claims(), header(), other.key),
      await sign(claims(), header({ kid: other.registered.kid })),
      `${jws}.`,
      ` ${jws}`,
      jws.replace(/\.[^.]*$/, "."),
      "",
      "a.b.c",
      `${"x".repeat(20)}.${"y".repeat(20)}.${"A".repeat(86)}`,
    ];
    for (const each of bad) await expect(ask(each)).rejects.toMatchObject(code("TASK_SIGNATURE"));
    await ask(jws);
  });

  it("is refused when its payload is no JSON in UTF-8", async () => {
    for (const payload of [Buffer.from([0xff, 0xfe]), Buffer.from("{"), Buffer.from("")]) {
      const jws = await new CompactSign(payload).setProtectedHeader(header()).sign(signer.key);
      await expect(ask(jws)).rejects.toMatchObject(code("TASK_SIGNATURE"));
    }
  });

  it("has JWS_BYTES_MAX bytes at most", async () => {
    const sized = async (pad: number) => sign(claims({ pad: "x".repeat(pad) }));
    const base = (await sized(0)).length;
    // Four characters for three bytes.
    const pad = Math.floor(((JWS_BYTES_MAX - base) * 3) / 4);
    const largest = await sized(pad);
    expect(largest.length).toBeGreaterThan(JWS_BYTES_MAX - 8);
    // Read, and then refused for the claim that no task has.
    await expect(ask(largest)).rejects.toMatchObject(code("TASK_CLAIMS"));
    await expect(ask(await sized(pad + 8))).rejects.toThrow("more than 8192 bytes");
  });

  it("by a key that is revoked, or may sign only code, is refused", async () => {
    const author = await keyOf(ground.owned.owner, ["code"]);
    const own = claims({ iss: ground.owned.owner, act: { sub: ground.owned.owner } });
    const kid = author.registered.kid;
    await expect(ask(await sign(own, header({ kid }), author.key))).rejects.toMatchObject(code("TASK_SIGNATURE"));
    await ground.identity.revokeKey(ground.owner, signer.registered.kid);
    await expect(ask(await sign(claims()))).rejects.toMatchObject(code("TASK_SIGNATURE"));
    expect(KEY_USES).toEqual(["task", "code"]);
  });

  it.each([
    ["another issuer", () => ({ iss: ground.owned.owner })],
    ["another tenant", () => ({ tid: ground.ids("ten") })],
    ["another audience", () => ({ aud: "ins_0" })],
    ["several audiences", () => ({ aud: [instance] })],
    ["no jti", () => ({ jti: undefined })],
    ["an empty jti", () => ({ jti: "" })],
    ["a jti with a space", () => ({ jti: "a b" })],
    ["no contract", () => ({ contract: undefined })],
    ["a contract that has no such name", () => ({ contract: "../x" })],
    ["no code_hash", () => ({ code_hash: undefined })],
    ["a code_hash that is none", () => ({ code_hash: "A".repeat(64) })],
    ["no input_hash", () => ({ input_hash: undefined })],
    ["no act", () => ({ act: undefined })],
    ["an act with more members", () => ({ act: { sub: ground.owned.agent, role: "admin" } })],
    ["a claim that no task has", () => ({ nbf: 1 })],
    ["fractions of seconds", () => ({ iat: seconds() + 0.5 })],
    ["no exp", () => ({ exp: undefined })],
    ["an exp before its iat", () => ({ exp: seconds() - 1 })],
    ["an exp at its iat", () => ({ exp: seconds() })],
    ["a time far away", () => ({ exp: Number.MAX_SAFE_INTEGER })],
  ])("with %s is refused", async (_what, more) => {
    await expect(ask(await sign(claims(more())))).rejects.toMatchObject(code("TASK_CLAIMS"));
  });

  it("whose claims are no object is refused", async () => {
    for (const payload of [null, 1, "x", [], {}]) {
      await expect(ask(await sign(payload))).rejects.toMatchObject(code("TASK_CLAIMS"));
    }
  });

  it("lives for TASK_LIFE_MAX_MS and not a second longer", async () => {
    const life = TASK_LIFE_MAX_MS / 1_000;
    await ask(await sign(claims({ exp: seconds() + life })));
    await expect(ask(await sign(claims({ exp: seconds() + life + 1 })))).rejects.toMatchObject(code("TASK_CLAIMS"));
  });

  it("is forgiven TASK_SKEW_MS in both directions, and no more", async () => {
    const skew = TASK_SKEW_MS / 1_000;
    await ask(await sign(claims({ iat: seconds() + skew, exp: seconds() + skew + 10 })));
    const early = await sign(claims({ iat: seconds() + skew + 1, exp: seconds() + skew + 10 }));
    await expect(ask(early)).rejects.toMatchObject(code("TASK_CLAIMS"));
    const jws = await sign(claims({ exp: seconds() + 10 }));
    clock.advance(10_000 + TASK_SKEW_MS - 1);
    await ask(jws);
    clock.advance(1);
    await expect(ask(jws)).rejects.toMatchObject(code("TASK_EXPIRED"));
  });

  it("names a jti of JTI_CHARS_MAX characters at most", async () => {
    await ask(await sign(claims({ jti: "j".repeat(JTI_CHARS_MAX) })));
    await expect(ask(await sign(claims({ jti: "j".repeat(JTI_CHARS_MAX + 1) })))).rejects.toMatchObject(
      code("TASK_CLAIMS"),
    );
  });

  it("names who answers for its issuer as they are registered, nobody less, more or else", async () => {
    const { agent, owner } = ground.owned;
    const other = await ground.identity.createActor(ground.owner, { kind: "human", name: "Ada" });
    const bad = [
      { sub: agent },
      { sub: owner },
      { sub: owner, act: { sub: agent } },
      { sub: agent, act: { sub: other.id } },
      { sub: agent, act: { sub: owner, act: { sub: other.id } } },
    ];
    for (const act of bad) {
      await expect(ask(await sign(claims({ act })))).rejects.toMatchObject(code("CHAIN_INVALID"));
    }
    let act: object = { sub: owner };
    for (let i = 0; i < CHAIN_LINKS_MAX; i++) act = { sub: agent, act };
    await expect(ask(await sign(claims({ act })))).rejects.toMatchObject(code("TASK_CLAIMS"));
  });

  it("is refused while its actor, or who answers for it, is suspended", async () => {
    const jws = await sign(claims());
    await ground.identity.setActorState(ground.owner, ground.owned.agent, "suspended");
    await expect(ask(jws)).rejects.toMatchObject(code("ACTOR_SUSPENDED"));
    await ground.identity.setActorState(ground.owner, ground.owned.agent, "active");
    await ask(jws);
  });

  it("is one run: of two claims at once one holds, and the other learns the first's id", async () => {
    const { who, task } = await ask(await sign(claims()));
    const claim = (run: string) =>
      ground.storage.write((tx) => ground.identity.claimTask(tx, who, task, run)).then(() => run);
    const runs = [ground.ids("run"), ground.ids("run")];
    const both = await Promise.allSettled(runs.map((run: RunId) => claim(run)));
    const won = both.find((each) => each.status === "fulfilled");
    const lost = both.find((each) => each.status === "rejected");
    expect(lost?.reason).toMatchObject({ code: "TASK_REPLAYED", parts: { run: won?.value } });
    await expect(claim(ground.ids("run"))).rejects.toMatchObject(code("TASK_REPLAYED"));
  });

  it("is remembered until it could not be taken for a first one any more", async () => {
    const claim = async (jti: string) => {
      const { who, task } = await ask(await sign(claims({ jti })));
      await ground.storage.write((tx) => ground.identity.claimTask(tx, who, task, ground.ids("run")));
    };
    for (let i = 0; i <= JTIS_SWEPT_MAX; i++) await claim(`j${i}`);
    const count = async () => (await ground.storage.get("SELECT count(*) AS n FROM task_jtis", []))?.["n"];
    clock.advance(TASK_LIFE_MAX_MS + TASK_SKEW_MS - 1);
    await claim("later");
    expect(await count()).toBe(JTIS_SWEPT_MAX + 2);
    clock.advance(1);
    await claim("last");
    expect(await count()).toBe(3);
  });

  it("stays expired when the clock is set back, after a restart too", async () => {
    const jws = await sign(claims());
    const at = clock.now();
    clock.advance(TASK_LIFE_MAX_MS + TASK_SKEW_MS);
    await expect(ask(jws)).rejects.toMatchObject(code("TASK_EXPIRED"));
    await ground.stop();
    ground = await openGround({ directory: ground.directory, clock: new VirtualClock(at) });
    await expect(ask(jws)).rejects.toMatchObject(code("TASK_EXPIRED"));
  });
});

describe("a signature over code", () => {
  const signed = (more: object = {}, typ = "gantry-code+jwt") =>
    sign({ code_hash: hash("a"), iat: seconds(), ...more }, header({ typ }));
  const author = (jws: string, of = hash("a"), tenant = ground.owned.tenant) =>
    ground.identity.verifyCodeSignature(tenant, of, jws);

  it("names its author", async () => {
    expect(await author(await signed())).toBe(ground.owned.agent);
  });

  it("holds for this code, this tenant, this type, these claims, an active actor and an active key alone", async () => {
    const good = await signed();
    const { tenant } = await ground.identity.createTenant(ground.owner, "acme");
    expect(await author(good, hash("b"))).toBeUndefined();
    expect(await author(good, hash("a"), tenant.id)).toBeUndefined();
    expect(await author(await signed({}, "gantry-task+jwt"))).toBeUndefined();
    expect(await author(await signed({ exp: 1 }))).toBeUndefined();
    expect(await author(await signed({ iat: seconds() + TASK_SKEW_MS / 1_000 + 1 }))).toBeUndefined();
    expect(await author("x")).toBeUndefined();
    await ground.identity.setActorState(ground.owner, ground.owned.agent, "suspended");
    expect(await author(good)).toBeUndefined();
    await ground.identity.setActorState(ground.owner, ground.owned.agent, "active");
    expect(await author(good)).toBe(ground.owned.agent);
    await ground.identity.revokeKey(ground.owner, signer.registered.kid);
    expect(await author(good)).toBeUndefined();
  });
});

it("KEYS_IMPORTED_MAX keys are kept ready, and one more begins anew", async () => {
  const keys = new PublicKeys();
  const x = (i: number) => Buffer.alloc(32, 0).fill(String(i).padStart(8, "0")).toString("base64url");
  for (let i = 0; i < KEYS_IMPORTED_MAX; i++) await keys.of(x(i));
  expect(keys.size).toBe(KEYS_IMPORTED_MAX);
  expect(await keys.of(x(0))).toBe(await keys.of(x(0)));
  await keys.of(x(KEYS_IMPORTED_MAX));
  expect(keys.size).toBe(1);
});

it("no private half of a key is ever in the store", async () => {
  const { d = "" } = (await exportJWK(signer.key)) as JWK;
  const rows = await ground.storage.all("SELECT * FROM actor_keys", []);
  expect(JSON.stringify(rows)).not.toContain(d);
  expect(rows).toHaveLength(1);
});
