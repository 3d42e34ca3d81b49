import { afterEach, beforeEach, describe, expect, it } from "vitest";
import {
  type EffectsGround,
  intentOf,
  openEffects,
  sending,
  sweepAhead,
} from "../../../../tests/fixtures/effects_ground.ts";
import { eventually } from "../../../../tests/fixtures/eventually.ts";
import { VirtualClock } from "../../../../tests/fixtures/virtual_clock.ts";
import { type EgressIdentity, FENCE_KEPT_MS, FENCE_SKEW_MS, FENCE_SWEEP_MS, FENCES_SWEPT_MAX } from "../contract.ts";
import { FenceSweep } from "./fence_sweep.ts";

let clock: VirtualClock;
let ground: EffectsGround;
let sweep: FenceSweep;

beforeEach(async () => {
  clock = new VirtualClock(Date.UTC(2026, 10, 24));
  ground = await openEffects({ clock });
  sweep = new FenceSweep(ground);
});
afterEach(() => ground.remove());

const fence = ({ tenant, root }: EgressIdentity, epoch = 2) =>
  ground.storage.write((tx) => ground.book.abandon(tx, { tenant, root, epoch }));
const intend = (who: EgressIdentity, body = "{}") =>
  ground.book
    .open(who)
    .intend(intentOf(who, { body }))
    .then(
      ({ kind }) => kind,
      (error: { code: string }) => error.code,
    );
const fences = async () => (await ground.storage.all("SELECT root FROM egress_fences ORDER BY root", [])).length;
const effects = (root: string) => ground.book.count(ground.storage, { root });

describe("fences that have served", () => {
  it(`are kept for ${FENCE_KEPT_MS / 86_400_000} days after they were moved, with the effects of their run, and not longer`, async () => {
    const who = ground.who();
    sending(await ground.book.open(who).intend(intentOf(who)));
    await fence(who);
    clock.advance(FENCE_KEPT_MS - 1);
    expect([await sweep.sweep(), await fences(), await effects(who.root)]).toEqual([0, 1, 1]);
    await fence(who, 3);
    clock.advance(1);
    expect([await sweep.sweep(), await fences()]).toEqual([0, 1]);
    clock.advance(FENCE_KEPT_MS - 1);
    expect([await sweep.sweep(), await fences(), await effects(who.root)]).toEqual([1, 0, 0]);
  });

  it("still hold back the attempts that they held back, whatever these ask, and nobody who began later", async () => {
    const stale = ground.who();
    const asleep = ground.book.open(stale);
    sending(await asleep.intend(intentOf(stale)));
    await fence(stale);
    clock.advance(FENCE_KEPT_MS);
    const young = ground.who();
    expect([await sweep.sweep(), await fences()]).toEqual([1, 0]);
    expect(await intend(stale)).toBe("EGRESS_FENCED");
    expect(await intend({ ...stale, epoch: 2 })).toBe("EGRESS_FENCED");
    await expect(asleep.demandCurrent()).rejects.toMatchObject({ code: "EGRESS_FENCED" });
    await expect(asleep.intend(intentOf(stale, { guest_key: "k" }))).rejects.toMatchObject({ code: "EGRESS_FENCED" });
    await expect(asleep.intend(intentOf(stale, { needs_approval: true }))).rejects.toMatchObject({
      code: "EGRESS_FENCED",
    });
    expect(await effects(stale.root)).toBe(0);
    expect(await intend(young)).toBe("send");
    expect(await intend({ ...stale, epoch: 2, began_at: clock.now() })).toBe("send");
  });

  it(`hold back who began up to ${FENCE_SKEW_MS} ms after the fence by another clock, and not who began later still`, async () => {
    const who = ground.who();
    const moved_at = clock.now();
    await fence(who);
    clock.advance(FENCE_KEPT_MS);
    await sweep.sweep();
    expect(await intend({ ...who, began_at: moved_at + FENCE_SKEW_MS })).toBe("EGRESS_FENCED");
    expect(await intend({ ...who, began_at: moved_at + FENCE_SKEW_MS + 1 })).toBe("send");
  });

  it("are swept too early by a clock that jumped ahead, and let nobody through all the same", async () => {
    const stale = ground.who();
    await fence(stale);
    expect(await sweepAhead(ground, 10 * 365 * 86_400_000)).toBe(1);
    expect(await intend(stale)).toBe("EGRESS_FENCED");
    clock.advance(FENCE_SKEW_MS + 1);
    expect(await intend(ground.who())).toBe("send");
  });

  it(`go ${FENCES_SWEPT_MAX} in a unit, by a timer that goes on until none is left and then every ${FENCE_SWEEP_MS} ms`, async () => {
    for (let n = 0; n < FENCES_SWEPT_MAX + 1; n++) await fence(ground.who());
    clock.advance(FENCE_KEPT_MS);
    expect([await sweep.sweep(), await fences()]).toEqual([FENCES_SWEPT_MAX, 1]);
    for (let n = 0; n < FENCES_SWEPT_MAX; n++) await fence(ground.who());
    clock.advance(FENCE_KEPT_MS);
    await sweep.start();
    ground.storage.timers.start(() => {});
    await eventually(async () => {
      clock.advance(1_000);
      return (await fences()) === 0;
    }, "all fences to be swept");
    const late = ground.who();
    await fence(late);
    clock.advance(FENCE_KEPT_MS);
    await eventually(async () => {
      clock.advance(1_000);
      return (await fences()) === 0;
    }, "the later fence to be swept as well");
    await ground.storage.timers.stop();
  });

  it("from before their age was kept are as old as the first sweep that met them", async () => {
    const stale = ground.who();
    await fence(stale);
    await ground.storage.write((tx) => tx.run("UPDATE egress_fences SET moved_at = NULL", []));
    expect(await sweep.sweep()).toBe(0);
    clock.advance(FENCE_KEPT_MS - 1);
    expect([await sweep.sweep(), await fences()]).toEqual([0, 1]);
    clock.advance(1);
    expect([await sweep.sweep(), await fences()]).toEqual([1, 0]);
    expect(await intend(stale)).toBe("EGRESS_FENCED");
  });
});
