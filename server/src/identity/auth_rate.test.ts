import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { type Ground, openGround } from "../../../tests/fixtures/ground.ts";
import { VirtualClock } from "../../../tests/fixtures/virtual_clock.ts";
import { GantryError } from "../kernel/errors.ts";
import { agreementsOf } from "../storage/agreements.ts";
import { errors as storage_errors } from "../storage/contract.ts";
import { AuthRate } from "./auth_rate.ts";
import { AUTH_ADDRESSES_MAX, AUTH_FAILURES_MAX, AUTH_WINDOW_MS, TOKEN_CACHE_MS } from "./contract.ts";
import { IdentityRegistry } from "./identity.ts";
import { makeToken } from "./token.ts";

let ground: Ground;
let clock: VirtualClock;

beforeEach(async () => {
  clock = new VirtualClock();
  ground = await openGround({ clock });
});
afterEach(() => ground.remove());

const HERE = "192.0.2.1";
const code = (text: string) => ({ code: text });
const unknown = () => makeToken("hum", ground.random);
const fail = async (times: number, from = HERE) => {
  for (let i = 0; i < times; i++) {
    await expect(ground.identity.authenticate(unknown(), from)).rejects.toMatchObject(code("TOKEN_UNKNOWN"));
  }
};

describe("an address", () => {
  it("fails AUTH_FAILURES_MAX times in a minute, and is then told when it may go on", async () => {
    await fail(AUTH_FAILURES_MAX);
    clock.advance(1_000);
    await expect(ground.identity.authenticate(unknown(), HERE)).rejects.toMatchObject({
      code: "AUTH_RATE",
      parts: { retry_after_ms: AUTH_WINDOW_MS - 1_000 },
    });
    clock.advance(AUTH_WINDOW_MS - 1_000 - 1);
    await expect(ground.identity.authenticate(unknown(), HERE)).rejects.toMatchObject(code("AUTH_RATE"));
    clock.advance(1);
    await fail(1);
  });

  it("fails by whatever it tries: tokens, links and tasks count together", async () => {
    await fail(AUTH_FAILURES_MAX - 3);
    await expect(ground.identity.authenticate("x", HERE)).rejects.toMatchObject(code("TOKEN_MALFORMED"));
    const link = makeToken("lnk", ground.random);
    await expect(ground.identity.login(link, HERE)).rejects.toMatchObject(code("LOGIN_LINK_SPENT"));
    await expect(ground.identity.authenticateTask("x", HERE)).rejects.toMatchObject(code("TASK_SIGNATURE"));
    await expect(ground.identity.authenticate("x", HERE)).rejects.toMatchObject(code("AUTH_RATE"));
    await expect(ground.identity.login(link, HERE)).rejects.toMatchObject(code("AUTH_RATE"));
    await expect(ground.identity.login(ground.owned.link!.secret, HERE)).rejects.toMatchObject(code("AUTH_RATE"));
    await expect(ground.identity.authenticateTask("x", HERE)).rejects.toMatchObject(code("AUTH_RATE"));
  });

  it("that is over the limit gets no answer about a token that is new to it, and goes on with one that is not", async () => {
    await ground.identity.authenticate(ground.secret, HERE);
    const fresh = await ground.identity.mintToken(ground.owner, { scopes: [] });
    await fail(AUTH_FAILURES_MAX);
    clock.advance(TOKEN_CACHE_MS);
    await ground.identity.authenticate(ground.secret, HERE);
    await expect(ground.identity.authenticate(fresh.secret, HERE)).rejects.toMatchObject(code("AUTH_RATE"));
    await ground.identity.authenticate(fresh.secret, "192.0.2.2");
  });

  it("without a token fails at nothing, and neither does who has no address", async () => {
    for (let i = 0; i <= AUTH_FAILURES_MAX; i++) {
      await expect(ground.identity.authenticate(undefined, HERE)).rejects.toMatchObject(code("AUTH_REQUIRED"));
      await expect(ground.identity.authenticate("x")).rejects.toMatchObject(code("TOKEN_MALFORMED"));
    }
    await fail(1);
  });
});

it("AUTH_ADDRESSES_MAX addresses are remembered, and the oldest is forgotten first", () => {
  const rate = new AuthRate();
  for (let i = 0; i < AUTH_FAILURES_MAX; i++) rate.failed("first", 0);
  for (let i = 1; i < AUTH_ADDRESSES_MAX; i++) rate.failed(`a${i}`, 0);
  expect(rate.size).toBe(AUTH_ADDRESSES_MAX);
  expect(() => rate.demand("first", 0)).toThrow("AUTH_RATE");
  rate.failed("one more", 0);
  expect(rate.size).toBe(AUTH_ADDRESSES_MAX);
  expect(() => rate.demand("first", 0)).not.toThrow();
});

it("a store that does not answer is a failure of ours, and lets nobody in who is not remembered", async () => {
  const down = new Proxy(ground.storage, {
    get(target, name) {
      if (name !== "get") return Reflect.get(target, name, target);
      return () => Promise.reject(new GantryError(storage_errors.UNREACHABLE, { detail: "gone" }));
    },
  });
  const identity = new IdentityRegistry({ ...ground, storage: down, agreements: agreementsOf(down) });
  for (const ask of [identity.authenticate(ground.secret, HERE), identity.login(ground.owned.link!.secret, HERE)]) {
    await expect(ask).rejects.toMatchObject({ code: "IDENTITY_UNAVAILABLE", kind: { status: 503, whose: "gantry" } });
  }
  await fail(AUTH_FAILURES_MAX);
});

it("a token that was found expired stays so when the clock is set back, after a restart too", async () => {
  const { secret } = await ground.identity.mintToken(ground.owner, { scopes: [], life_ms: 1_000 });
  const at = clock.now();
  clock.advance(1_000);
  await expect(ground.identity.authenticate(secret)).rejects.toMatchObject(code("TOKEN_EXPIRED"));
  await ground.stop();
  ground = await openGround({ directory: ground.directory, clock: new VirtualClock(at) });
  await expect(ground.identity.authenticate(secret)).rejects.toMatchObject(code("TOKEN_EXPIRED"));
  // What is made from here on is made at the larger time, and works.
  const fresh = await ground.identity.mintToken(ground.owner, { scopes: [], life_ms: 1_000 });
  await ground.identity.authenticate(fresh.secret);
});
