import fc from "fast-check";
import { afterEach, beforeEach, expect, it } from "vitest";
import { type EgressIdentity, FENCE_KEPT_MS, INTENT_AGE_MS_MAX } from "../../server/src/egress/contract.ts";
import type { DoorEffects } from "../../server/src/egress/parts.ts";
import { isGantryError } from "../../server/src/kernel/errors.ts";
import type { ApprovalId, RunId } from "../../server/src/kernel/ids.ts";
import {
  type EffectsGround,
  effects_rooms,
  HONOURED,
  HOST,
  intentOf,
  openEffects,
  RULE,
  sending,
  sweepAhead,
} from "../fixtures/effects_ground.ts";
import { openGates } from "../fixtures/gates_ground.ts";

const ROUNDS = 12;
const HISTORIES = 40;

/** What becomes of one call of an attempt. `cut`: it arrived and was done, and its answer was lost; `dead`: the attempt ends. */
const ENDS = ["done", "long", "rejected", "unreached", "cut", "dead before", "dead after"] as const;
type End = (typeof ENDS)[number];
interface Made {
  body: string;
  end: End;
}
interface History {
  honoured: boolean;
  /** What is told to the ledger of an attempt that died, before the next one starts. */
  given_up: boolean;
  attempts: Made[][];
}

const made: fc.Arbitrary<Made> = fc.record({
  body: fc.constantFrom("a", "b"),
  end: fc.constantFrom(...ENDS),
});
const history: fc.Arbitrary<History> = fc.record({
  honoured: fc.boolean(),
  given_up: fc.boolean(),
  attempts: fc.array(fc.array(made, { maxLength: 5 }), { minLength: 1, maxLength: 4 }),
});

/** A destination that does what it is asked, and counts by the key that it is told. */
class Upstream {
  /** How often each key was done, whoever heard of it. */
  readonly done = new Map<string, number>();
  readonly arrived = new Map<string, number>();

  take(key: string, end: End): void {
    this.arrived.set(key, (this.arrived.get(key) ?? 0) + 1);
    if (end !== "rejected") this.done.set(key, (this.done.get(key) ?? 0) + 1);
  }
}

/** Plays one history, and says what must never be the case. */
class Play {
  readonly upstream = new Upstream();
  /** Keys of which the ledger knows that they are done. */
  readonly recorded = new Set<string>();
  readonly faults: string[] = [];
  readonly #ground: EffectsGround;
  readonly #who: EgressIdentity;
  readonly #history: History;

  constructor(ground: EffectsGround, of: History) {
    this.#ground = ground;
    this.#who = ground.who();
    this.#history = of;
  }

  async run(): Promise<string> {
    for (const [n, calls] of this.#history.attempts.entries()) {
      const epoch = n + 1;
      const of = { tenant: this.#who.tenant, root: this.#who.root, epoch };
      const { book, storage } = this.#ground;
      await storage.write(async (tx) => {
        if (this.#history.given_up) await book.abandon(tx, of);
        else book.fence(tx, of);
      });
      const effects = book.open({ ...this.#who, epoch });
      for (const call of calls) if (!(await this.#make(effects, epoch, call))) break;
      await effects.flush();
    }
    return this.#who.subject;
  }

  /** @returns false: the attempt is dead. */
  async #make(effects: DoorEffects, epoch: number, { body, end }: Made): Promise<boolean> {
    const rule = this.#history.honoured ? HONOURED : RULE;
    const intended = await effects
      .intend(intentOf({ ...this.#who, epoch }, { body, rule }))
      .catch((error: unknown) => (isGantryError(error) ? error.code : String(error)));
    if (typeof intended === "string") {
      if (!/^EGRESS_EFFECT_(DONE|UNKNOWN)$/.test(intended)) this.faults.push(`refused with ${intended}`);
      return true;
    }
    if (intended.kind === "replay") {
      if (intended.status !== 201 || intended.body.toString() !== body) this.faults.push("replayed another answer");
      return true;
    }
    const { effect } = intended;
    const sent = intended.header?.[1] ?? "";
    if (this.recorded.has(sent)) this.faults.push("sent what was recorded as done");
    if (end === "dead before") return false;
    if (end !== "unreached") this.upstream.take(sent, end);
    if (end === "dead after") return false;
    if (end === "done" || end === "long") {
      const response = { headers: [], body: Buffer.from(body) };
      effects.settle(effect, { state: "done", status: 201, ...(end === "done" ? { response } : {}) });
      this.recorded.add(sent);
    } else if (end === "rejected") effects.settle(effect, { state: "rejected", status: 503 });
    else effects.settle(effect, { state: end === "unreached" ? "failed" : "unknown" });
    return true;
  }
}

/** What must hold of effects whatever happens at the same moment, on any engine. */
export function effectHistories(): void {
  let ground: EffectsGround;
  beforeEach(async () => {
    ground = await openEffects();
  });
  afterEach(() => ground.remove());

  it(`in ${HISTORIES} histories of attempts, nothing that was done is done twice unless that is honoured, and no old 503 comes back`, async () => {
    await fc.assert(
      fc.asyncProperty(history, async (of) => {
        const play = new Play(ground, of);
        const subject = await play.run();
        expect(play.faults).toEqual([]);
        if (!of.honoured) expect([...play.upstream.done.values()].filter((n) => n > 1)).toEqual([]);
        const { items } = await ground.ledger.list({ tenant: ground.owner.tenant, ref: subject, limit: 200 });
        const intents = items.filter(({ kind }) => kind === "effect.intended").length;
        const arrived = [...play.upstream.arrived.values()].reduce((sum, n) => sum + n, 0);
        expect(arrived).toBeLessThanOrEqual(intents);
      }),
      { numRuns: HISTORIES },
    );
  });

  it("of a fence and an old attempt's intent at the same moment, one is first: what was sent is known to be open", async () => {
    for (let round = 0; round < ROUNDS; round++) {
      const who = ground.who();
      const { tenant, root } = who;
      const zombie = ground.another({ id: "node_b", boot: "boot_1" }).open(who);
      const [intended, lost] = await Promise.all([
        zombie.intend(intentOf(who)).then(
          ({ kind }) => kind,
          (error: { code: string }) => error.code,
        ),
        ground.storage.write((tx) => ground.book.abandon(tx, { tenant, root, epoch: 2 })),
      ]);
      expect([intended, lost]).toEqual(intended === "send" ? ["send", 1] : ["EGRESS_FENCED", 0]);
      await expect(zombie.demandCurrent()).rejects.toMatchObject({ code: "EGRESS_FENCED" });
    }
  });

  it("many calls of many runs at once are each intended once, and ended once", async () => {
    const runs = Array.from({ length: 8 }, () => ground.who());
    await Promise.all(
      runs.map(async (who) => {
        const effects = ground.book.open(who);
        const each = async () => {
          const { effect } = sending(await effects.intend(intentOf(who)));
          effects.settle(effect, { state: "done", status: 200 });
        };
        await Promise.all(Array.from({ length: 20 }, each));
        await effects.flush();
      }),
    );
    for (const who of runs) {
      const kinds = (await ground.told(who.subject)).map(({ kind }) => kind);
      expect(kinds.filter((kind) => kind === "effect.intended")).toHaveLength(20);
      expect(kinds.filter((kind) => kind === "effect.ended")).toHaveLength(20);
      expect(await ground.book.count(ground.storage, { root: who.root })).toBe(20);
    }
  });

  it(`the fence can be read once more, as it is for an intent older than ${INTENT_AGE_MS_MAX} ms`, async () => {
    const who = ground.who();
    const effects = ground.book.open(who);
    sending(await effects.intend(intentOf(who)));
    await effects.demandCurrent();
    await ground.storage.write((tx) => ground.book.fence(tx, { tenant: who.tenant, root: who.root, epoch: 2 }));
    await expect(effects.demandCurrent()).rejects.toMatchObject({ code: "EGRESS_FENCED" });
  });
}

/** What holds when fences are gone, on any engine. */
export function sweptFences(): void {
  let ground: EffectsGround;
  beforeEach(async () => {
    ground = await openEffects();
  });
  afterEach(() => ground.remove());

  it("of a sweep and an attempt that its fence held back, whatever comes first, nothing is sent", async () => {
    for (let round = 0; round < ROUNDS; round++) {
      const who = ground.who();
      const { tenant, root } = who;
      const zombie = ground.another({ id: "node_b", boot: "boot_1" }).open(who);
      await ground.storage.write((tx) => ground.book.abandon(tx, { tenant, root, epoch: 2 }));
      const [intended, swept] = await Promise.all([
        zombie.intend(intentOf(who)).then(
          ({ kind }) => kind,
          (error: { code: string }) => error.code,
        ),
        sweepAhead(ground, FENCE_KEPT_MS + 1),
      ]);
      expect([intended, swept]).toEqual(["EGRESS_FENCED", 1]);
      const again = await zombie.intend(intentOf(who)).catch((error: { code: string }) => error.code);
      expect(again).toBe("EGRESS_FENCED");
      // The next round's attempt is held back by its own fence, and not by this round's mark.
      await ground.storage.write((tx) => tx.run("DELETE FROM egress_fence_mark WHERE one = 1", [], 1));
    }
  });
}

/** Effects that people approve, with the room that asks them. */
export function approvedEffects(): void {
  it("an effect is one of so many as people approved, and a refusal is recorded while nothing is sent", async () => {
    const house = await openGates(effects_rooms);
    const ground = await openEffects({ ground: house, approvals: house.gates });
    try {
      const alice = await house.human("alice");
      const draft = house.draft();
      const ref = await house.ask(draft);
      await house.gates.vote(alice.who, ref.id, { vote: "approve", statement_hash: ref.statement_hash });
      expect(await house.start(ref.id, draft)).toBeUndefined();
      const subject = draft.subject_id as RunId;
      const who = ground.who({ subject, approval: { id: ref.id as ApprovalId, gates: [] } });
      const effects = ground.book.open(who);
      const intent = (body: string) => effects.intend(intentOf(who, { body, needs_approval: true }));
      const both = await Promise.all([intent("a"), intent("b")]);
      expect(both.map(({ kind }) => kind)).toEqual(["send", "send"]);
      await expect(intent("c")).rejects.toMatchObject({ code: "APPROVAL_USED" });
      expect(await house.kindsOf(ref.id)).toContain("approval.refused");
      const stranger = ground.who({ approval: who.approval });
      await expect(
        ground.book.open(stranger).intend(intentOf(stranger, { needs_approval: true })),
      ).rejects.toMatchObject({ code: "APPROVAL_SCOPE" });
      const told = (await ground.told(subject)).filter(({ kind }) => kind === "effect.intended");
      expect(told.map(({ data }) => [data["host"], data["approval"]])).toEqual([
        [HOST, ref.id],
        [HOST, ref.id],
      ]);
      expect((await ground.told(stranger.subject)).map(({ kind }) => kind)).toEqual(["approval.refused"]);
    } finally {
      await ground.book.close();
      await house.remove();
    }
  });
}
