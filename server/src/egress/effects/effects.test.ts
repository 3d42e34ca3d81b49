import { afterEach, beforeEach, describe, expect, it } from "vitest";
import {
  type EffectsGround,
  HONOURED,
  HOST,
  intentOf,
  openEffects,
  RULE,
  sending,
} from "../../../../tests/fixtures/effects_ground.ts";
import { VirtualClock } from "../../../../tests/fixtures/virtual_clock.ts";
import { EFFECT_BATCH_MS_MAX, EFFECT_BODY_BYTES_MAX } from "../contract.ts";
import type { EffectOutcome, Intended } from "../parts.ts";

let ground: EffectsGround;
let clock: VirtualClock;

beforeEach(async () => {
  clock = new VirtualClock();
  ground = await openEffects({ clock });
});
afterEach(() => ground.remove());

const done: EffectOutcome = { state: "done", status: 201 };
const answered = (body: string | Buffer): EffectOutcome => ({
  ...{ state: "done", status: 201 },
  response: {
    headers: [
      ["content-type", "text/x"],
      ["Set-Cookie", "a=\u00e9"],
    ],
    body: Buffer.from(body),
  },
});

/** A first attempt that makes one call and hears so much of it. */
async function attempted(outcome: EffectOutcome | undefined, o: Parameters<typeof intentOf>[1] = {}) {
  const who = ground.who();
  const effects = ground.book.open(who);
  const { effect, header } = sending(await effects.intend(intentOf(who, o)));
  if (outcome !== undefined) effects.settle(effect, outcome);
  await effects.flush();
  /** The same call in a later attempt. */
  const again = async (epoch = 2, more: Parameters<typeof intentOf>[1] = {}): Promise<Intended> => {
    const later = { ...who, epoch };
    await ground.storage.write((tx) => ground.book.fence(tx, { tenant: who.tenant, root: who.root, epoch }));
    return ground.book.open(later).intend(intentOf(later, { ...o, ...more }));
  };
  return { who, effects, effect, header, again };
}

describe("an intent", () => {
  it("is durable with its entry when it may be sent, and names neither path nor body", async () => {
    const { who, effect } = await attempted(undefined, { path: "/v1/secret-place?q=hidden", body: "secret" });
    const told = await ground.told(who.subject);
    expect(told).toEqual([
      {
        kind: "effect.intended",
        data: {
          ...{ subject: who.subject, scope: who.scope, epoch: 1, key: effect.key },
          ...{ host: HOST, method: "POST", rule: "api" },
        },
      },
    ]);
    expect(effect.key).toMatch(/^[0-9a-f]{64}$/);
    const kept = JSON.stringify(await ground.storage.all("SELECT * FROM egress_effects", []));
    for (const one of ["secret-place", "hidden"]) expect(kept + JSON.stringify(told)).not.toContain(one);
  });

  it("is told to the destination under a name that is not the ledger's, in the header that the rule names", async () => {
    const { effect, header } = await attempted(undefined);
    expect(header).toEqual(["gantry-idempotency-key", expect.stringMatching(/^[0-9a-f]{64}$/)]);
    expect(header?.[1]).not.toBe(effect.key);
    expect((await attempted(undefined, { rule: HONOURED })).header?.[0]).toBe("idempotency-key");
    expect((await attempted(undefined, { rule: { ...RULE, idempotency: "off" } })).header).toBeNull();
    const own = await attempted(undefined, { rule: HONOURED, guest_key: "order-7" });
    expect(own.header).toEqual(["idempotency-key", "order-7"]);
  });

  it("is another one for each equal call of an attempt, and the same ones in the next attempt", async () => {
    const who = ground.who();
    const keysOf = async (epoch: number) => {
      const later = { ...who, epoch };
      const effects = ground.book.open(later);
      const keys: string[] = [];
      for (const body of ["a", "a", "b", "a"]) {
        const { effect } = sending(await effects.intend(intentOf(later, { body, rule: HONOURED })));
        keys.push(effect.key);
        effects.settle(effect, { state: "failed" });
      }
      await effects.flush();
      return keys;
    };
    const first = await keysOf(1);
    expect(new Set(first).size).toBe(4);
    expect(await keysOf(2)).toEqual(first);
  });

  it("differs by scope, method, place, query and body", async () => {
    const keys = new Set<string>();
    const who = ground.who();
    for (const o of [{}, { path: "/v1/other" }, { path: "/v1/issues?a=1" }, { body: "x" }, { guest_key: "k" }]) {
      keys.add(sending(await ground.book.open(who).intend(intentOf(who, o))).effect.key);
    }
    const stepped = { ...who, scope: `${who.root}/step` };
    keys.add(sending(await ground.book.open(stepped).intend(intentOf(stepped))).effect.key);
    const put = intentOf(who);
    keys.add(sending(await ground.book.open(who).intend({ ...put, call: { ...put.call, method: "PUT" } })).effect.key);
    expect(keys.size).toBe(7);
  });
});

describe("the same call of a later attempt", () => {
  it("is given the answer again when it was done", async () => {
    const { again } = await attempted(answered("hello\nworld"));
    expect(await again()).toEqual({
      ...{ kind: "replay", status: 201, body: Buffer.from("hello\nworld") },
      headers: [
        ["content-type", "text/x"],
        ["Set-Cookie", "a=\u00e9"],
      ],
    });
  });

  it(`is given answers of up to ${EFFECT_BODY_BYTES_MAX} bytes, and of a longer one that it was done`, async () => {
    const longest = Buffer.alloc(EFFECT_BODY_BYTES_MAX, 10);
    const whole = await attempted(answered(longest));
    expect(await whole.again()).toMatchObject({ kind: "replay", body: longest });
    const longer = await attempted(answered(Buffer.alloc(EFFECT_BODY_BYTES_MAX + 1)));
    await expect(longer.again()).rejects.toMatchObject({ code: "EGRESS_EFFECT_DONE" });
    await expect((await attempted(done)).again()).rejects.toMatchObject({ code: "EGRESS_EFFECT_DONE" });
  });

  it("is sent under the same key when it was rejected or never sent, so that it does not get its old 503", async () => {
    for (const outcome of [{ state: "rejected", status: 503 }, { state: "failed" }] as const) {
      const { again, effect, header, who } = await attempted(outcome);
      expect(await again()).toEqual({ kind: "send", effect, header });
      expect((await ground.told(who.subject)).map(({ kind }) => kind)).toEqual([
        "effect.intended",
        "effect.ended",
        "effect.intended",
      ]);
    }
  });

  it("is not sent when nobody knows what became of it, unless the destination makes such a call once", async () => {
    for (const outcome of [{ state: "unknown" }, undefined] as const) {
      const plain = await attempted(outcome);
      await expect(plain.again()).rejects.toMatchObject({ code: "EGRESS_EFFECT_UNKNOWN" });
      const honoured = await attempted(outcome, { rule: HONOURED });
      expect(await honoured.again()).toEqual({ kind: "send", effect: honoured.effect, header: honoured.header });
    }
  });

  it("of an attempt that died in the middle is recorded as unknown by whoever asks first", async () => {
    const { again, who, effect } = await attempted(undefined);
    await expect(again()).rejects.toMatchObject({ code: "EGRESS_EFFECT_UNKNOWN" });
    await expect(again(3)).rejects.toMatchObject({ code: "EGRESS_EFFECT_UNKNOWN" });
    const told = await ground.told(who.subject);
    expect(told.map(({ kind }) => kind)).toEqual(["effect.intended", "effect.ended"]);
    expect(told[1]?.data).toEqual({ subject: who.subject, scope: who.scope, key: effect.key, state: "unknown" });
  });

  it("that was resent stays unknown unless it is done now: the first may have arrived", async () => {
    for (const [outcome, state] of [
      [{ state: "failed" }, "unknown"],
      [{ state: "rejected", status: 503 }, "unknown"],
      [done, "done"],
    ] as const) {
      const { who } = await attempted({ state: "unknown" }, { rule: HONOURED });
      const later = { ...who, epoch: 2 };
      const effects = ground.book.open(later);
      effects.settle(sending(await effects.intend(intentOf(later, { rule: HONOURED }))).effect, outcome);
      await effects.flush();
      expect((await ground.told(who.subject)).at(-1)?.data).toMatchObject({ state });
    }
  });
});

describe("a key of the guest's own", () => {
  it("is one call within an attempt: under way it is refused, done it is replayed, rejected it is sent again", async () => {
    const who = ground.who();
    const effects = ground.book.open(who);
    const intent = intentOf(who, { guest_key: "order-7" });
    const first = sending(await effects.intend(intent));
    await expect(effects.intend(intent)).rejects.toMatchObject({
      ...{ code: "EGRESS_EFFECT_UNKNOWN", parts: { detail: expect.stringContaining("under way") } },
    });
    // Its end waits to be written: whoever asks meanwhile waits with it.
    effects.settle(first.effect, { state: "rejected", status: 429 });
    const second = sending(await effects.intend({ ...intent, body_digest: "stream" }));
    expect(second).toEqual(first);
    effects.settle(second.effect, answered("made"));
    expect(await effects.intend(intent)).toMatchObject({ kind: "replay", body: Buffer.from("made") });
  });

  it("is another one at another place", async () => {
    const who = ground.who();
    const effects = ground.book.open(who);
    const { effect } = sending(await effects.intend(intentOf(who, { guest_key: "k" })));
    const other = sending(await effects.intend(intentOf(who, { guest_key: "k", path: "/v1/elsewhere" })));
    expect(other.effect.key).not.toBe(effect.key);
  });
});

describe("ends", () => {
  it(`are written together, within ${EFFECT_BATCH_MS_MAX} ms`, async () => {
    expect(EFFECT_BATCH_MS_MAX).toBe(250);
    const who = ground.who();
    const effects = ground.book.open(who);
    const sent = [];
    for (let n = 0; n < 70; n++) sent.push(sending(await effects.intend(intentOf(who))));
    for (const { effect } of sent) effects.settle(effect, done);
    const ended = async () =>
      (await ground.storage.get("SELECT count(*) AS n FROM egress_effects WHERE state = 'done'", []))?.["n"];
    clock.advance(EFFECT_BATCH_MS_MAX - 1);
    expect(await ended()).toBe(0);
    clock.advance(1);
    await effects.flush();
    expect(await ended()).toBe(70);
    expect(clock.pending).toBe(0);
  });

  it("of many long answers go into several units", async () => {
    const who = ground.who();
    const effects = ground.book.open(who);
    for (let n = 0; n < 60; n++) {
      const { effect } = sending(await effects.intend(intentOf(who)));
      effects.settle(effect, answered(Buffer.alloc(EFFECT_BODY_BYTES_MAX, n)));
    }
    await effects.flush();
    const rows = await ground.storage.all("SELECT state FROM egress_effects WHERE response_sealed IS NOT NULL", []);
    expect(rows).toHaveLength(60);
  });

  it("of an attempt that was given up are still told by it, while nobody has taken the effect over", async () => {
    const { who, effects, effect } = await attempted(undefined);
    const { tenant, root } = who;
    expect(await ground.storage.write((tx) => ground.book.abandon(tx, { tenant, root, epoch: 2 }))).toBe(1);
    effects.settle(effect, done);
    await effects.flush();
    const states = (await ground.told(who.subject)).map(({ data }) => data["state"]);
    expect(states).toEqual([undefined, "unknown", "done"]);
  });

  it("are not told any more once a newer attempt has taken the effect over, and hold up no others", async () => {
    const { who, effects, effect, again } = await attempted({ state: "unknown" }, { rule: HONOURED });
    const other = sending(await ground.book.open(ground.who()).intend(intentOf(ground.who())));
    expect((await again()).kind).toBe("send");
    effects.settle(effect, done);
    await effects.flush();
    const row = await ground.storage.get("SELECT state, epoch FROM egress_effects WHERE key = ?", [effect.key]);
    expect(row).toEqual({ state: "intended", epoch: 2 });
    expect(other.kind).toBe("send");
    expect((await ground.told(who.subject)).map(({ kind }) => kind)).toEqual([
      ...["effect.intended", "effect.ended", "effect.intended"],
    ]);
  });

  it("that are kept to be given again are sealed, and gone when no attempt can follow", async () => {
    const { who, again } = await attempted(answered("canary-in-an-answer"));
    const kept = async () =>
      Buffer.concat(
        (await ground.storage.all("SELECT response_sealed AS r FROM egress_effects", [])).flatMap(({ r }) =>
          r instanceof Uint8Array ? [r] : [],
        ),
      );
    expect((await kept()).byteLength).toBeGreaterThan(20);
    expect((await kept()).includes("canary")).toBe(false);
    expect(await again()).toMatchObject({ kind: "replay" });
    await ground.storage.write((tx) => ground.book.forget(tx, { root: who.root }));
    expect((await kept()).byteLength).toBe(0);
  });
});

describe("effects under a root", () => {
  it("are counted with those of its steps, and with no others", async () => {
    const who = ground.who();
    for (const scope of [who.root, `${who.root}/a`, `${who.root}/b`, `${who.root}0`]) {
      await ground.book.open({ ...who, scope }).intend(intentOf(who));
    }
    expect(await ground.book.count(ground.storage, { root: who.root })).toBe(3);
  });
});
