import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { type Asked, approvalRefusal, checking } from "../../../../tests/fixtures/effect_approvals.ts";
import {
  callOf,
  type EffectsGround,
  HOST,
  intentOf,
  openEffects,
  sending,
} from "../../../../tests/fixtures/effects_ground.ts";
import { eventually } from "../../../../tests/fixtures/eventually.ts";
import { GantryError } from "../../kernel/errors.ts";
import type { ApprovalId } from "../../kernel/ids.ts";
import type { Storage } from "../../storage/contract.ts";
import { errors as storage_errors } from "../../storage/contract.ts";

let ground: EffectsGround;
/** Every unit is refused with it, while it is there. */
let broken: GantryError | undefined;
const breakable = (storage: Storage): Storage => ({
  ...delegated(storage),
  write: (unit, o) => (broken === undefined ? storage.write(unit, o) : Promise.reject(broken)),
});

/** The store's members without its prototype. */
function delegated(storage: Storage): Storage {
  return {
    get: (sql, params) => storage.get(sql, params),
    all: (sql, params) => storage.all(sql, params),
    write: (unit, o) => storage.write(unit, o),
    scan: (sql, params) => storage.scan(sql, params),
    snapshot: (read) => storage.snapshot(read),
    timers: storage.timers,
    locks: storage.locks,
    blobs: storage.blobs,
    unwritable: () => storage.unwritable(),
    close: () => storage.close(),
  };
}

let asked: Asked[];
beforeEach(async () => {
  broken = undefined;
  asked = [];
  ground = await openEffects({ wrap: breakable, approvals: checking(asked) });
});
afterEach(async () => {
  broken = undefined;
  await ground.remove();
});

const fence = (root: string, epoch: number) =>
  ground.storage.write((tx) => ground.book.fence(tx, { tenant: ground.owner.tenant, root, epoch }));

describe("a fence", () => {
  it("shuts out every scope under its root of an older epoch, and nobody else", async () => {
    const who = ground.who();
    const old = ground.book.open({ ...who, scope: `${who.root}/step` });
    await old.demandCurrent();
    sending(await old.intend(intentOf(who)));
    await fence(who.root, 2);
    await expect(old.demandCurrent()).rejects.toMatchObject({ code: "EGRESS_FENCED" });
    await expect(old.intend(intentOf(who))).rejects.toMatchObject({ code: "EGRESS_FENCED" });
    await expect(old.intend(intentOf(who, { guest_key: "k" }))).rejects.toMatchObject({ code: "EGRESS_FENCED" });
    await ground.book.open({ ...who, epoch: 2 }).demandCurrent();
    const other = ground.who();
    sending(await ground.book.open(other).intend(intentOf(other)));
    const entries = await ground.told(who.subject);
    expect(entries.map(({ kind }) => kind)).toEqual(["effect.intended"]);
  });

  it("never goes back, and the first epoch needs none", async () => {
    const { root } = ground.who();
    const rows = () => ground.storage.all("SELECT epoch FROM egress_fences", []);
    await fence(root, 1);
    expect(await rows()).toEqual([]);
    for (const epoch of [3, 2, 3]) await fence(root, epoch);
    expect(await rows()).toEqual([{ epoch: 3 }]);
  });

  it("that is rolled back shuts out nobody, and nobody is told", async () => {
    const who = ground.who();
    const heard: unknown[] = [];
    ground.book.onFenced((of) => heard.push(of));
    const failed = ground.storage.write((tx) => {
      ground.book.fence(tx, { tenant: who.tenant, root: who.root, epoch: 2 });
      throw new Error("something else went wrong");
    });
    await expect(failed).rejects.toThrow("something else");
    sending(await ground.book.open(who).intend(intentOf(who)));
    await fence(who.root, 3);
    await eventually(() => heard.length > 0);
    // The look for the one that was rolled back sees the newer one as well.
    expect(heard).toContainEqual({ root: who.root, epoch: 3 });
    expect(heard).not.toContainEqual({ root: who.root, epoch: 2 });
  });

  it("is told of once it is durable, and when it is met, until nobody listens", async () => {
    const heard: { root: string; epoch: number }[] = [];
    const stop = ground.book.onFenced((of) => heard.push(of));
    const who = ground.who();
    await fence(who.root, 2);
    await eventually(() => heard.length === 1, "to be told");
    expect(heard).toEqual([{ root: who.root, epoch: 2 }]);
    await expect(ground.book.open(who).demandCurrent()).rejects.toMatchObject({ code: "EGRESS_FENCED" });
    expect(heard).toHaveLength(2);
    stop();
    await expect(ground.book.open(who).demandCurrent()).rejects.toMatchObject({ code: "EGRESS_FENCED" });
    expect(heard).toHaveLength(2);
  });
});

describe("what was intended by who is gone", () => {
  it("is unknown after a restart of its node, and what others have under way stays as it is", async () => {
    const who = ground.who();
    const before = ground.another({ id: "node_b", boot: "boot_0" });
    const elsewhere = ground.another({ id: "node_c", boot: "boot_0" });
    for (let n = 0; n < 120; n++) sending(await before.open(who).intend(intentOf(who, { body: `b${n}` })));
    sending(await elsewhere.open(who).intend(intentOf(who, { body: "c" })));
    const after = ground.another({ id: "node_b", boot: "boot_1" });
    sending(await after.open(who).intend(intentOf(who, { body: "d" })));
    expect(await after.recover()).toBe(120);
    expect(await after.recover()).toBe(0);
    const states = await ground.storage.all(
      "SELECT state, count(*) AS n FROM egress_effects GROUP BY state ORDER BY state",
      [],
    );
    expect(states).toEqual([
      { state: "intended", n: 2 },
      { state: "unknown", n: 120 },
    ]);
    const told = (await ground.told(who.subject)).filter(({ kind }) => kind === "effect.ended");
    expect(told.every(({ data }) => data["state"] === "unknown")).toBe(true);
  });

  it("is unknown in the unit that gives it up, with its fence, and that of newer epochs is not", async () => {
    const who = ground.who();
    sending(await ground.book.open(who).intend(intentOf(who, { body: "a" })));
    sending(await ground.book.open({ ...who, epoch: 2 }).intend(intentOf(who, { body: "b" })));
    const { tenant, root } = who;
    expect(await ground.storage.write((tx) => ground.book.abandon(tx, { tenant, root, epoch: 2 }))).toBe(1);
    expect(await ground.storage.get("SELECT epoch FROM egress_fences", [])).toEqual({ epoch: 2 });
    expect((await ground.told(who.subject)).map(({ kind }) => kind)).toEqual([
      ...["effect.intended", "effect.intended", "effect.ended"],
    ]);
  });
});

describe("a store that takes nothing", () => {
  it("lets nothing out, and what has ended is written when it is back", async () => {
    const who = ground.who();
    const effects = ground.book.open(who);
    const { effect } = sending(await effects.intend(intentOf(who)));
    for (const kind of [storage_errors.FULL, storage_errors.UNREACHABLE, storage_errors.BUSY]) {
      broken = new GantryError(kind, { detail: "The disk is full." });
      await expect(effects.intend(intentOf(who))).rejects.toMatchObject({
        code: "EGRESS_LEDGER",
        kind: { status: 503 },
      });
      await expect(effects.demandApproval(callOf(who, `https://${HOST}/`))).rejects.toMatchObject({
        code: "EGRESS_LEDGER",
      });
    }
    effects.settle(effect, { state: "done", status: 200 });
    await expect(effects.flush()).rejects.toMatchObject({ code: "EGRESS_LEDGER" });
    broken = undefined;
    await effects.flush();
    expect((await ground.told(who.subject)).map(({ data }) => data["state"])).toEqual([undefined, "done"]);
  });

  it("that had taken an intent before it was heard of again says that it was never sent", async () => {
    const who = ground.who();
    const effects = ground.book.open(who);
    const { write } = ground.storage;
    const lost = new GantryError(storage_errors.UNREACHABLE, { detail: "The connection was lost at its commit." });
    // What a commit looks like whose acknowledgement was lost: it is there, and the writer does not know.
    ground.storage.write = async (unit, o) => {
      await write(unit, o);
      throw lost;
    };
    await expect(effects.intend(intentOf(who))).rejects.toMatchObject({ code: "EGRESS_LEDGER" });
    ground.storage.write = write;
    await effects.flush();
    expect((await ground.told(who.subject)).map(({ data }) => data["state"])).toEqual([undefined, "failed"]);
  });
});

describe("what people have to approve", () => {
  const approval = { id: "apr_1" as ApprovalId, gates: [] };

  it("is asked for in the effect's own unit, and named by its entry", async () => {
    const who = ground.who({ approval });
    sending(await ground.book.open(who).intend(intentOf(who, { needs_approval: true })));
    expect(asked).toEqual([{ tenant: who.tenant, approval: "apr_1", run: who.subject, host: HOST, method: "POST" }]);
    expect((await ground.told(who.subject))[0]?.data).toMatchObject({ approval: "apr_1" });
  });

  it("is refused when nobody was asked about the run, or people say no; what that left behind is committed", async () => {
    const nobody = ground.who();
    await expect(ground.book.open(nobody).intend(intentOf(nobody, { needs_approval: true }))).rejects.toMatchObject({
      code: "LEASE_APPROVAL",
    });
    const who = ground.who({ approval: { ...approval, id: approvalRefusal } });
    const effects = ground.book.open(who);
    await expect(effects.intend(intentOf(who, { needs_approval: true }))).rejects.toMatchObject({
      code: "POLICY_FORBIDDEN",
    });
    await expect(effects.demandApproval(callOf(who, `https://${HOST}/`))).rejects.toMatchObject({
      code: "POLICY_FORBIDDEN",
    });
    expect(await ground.told(who.subject)).toEqual([]);
    const rows = await ground.storage.all("SELECT key FROM egress_effects WHERE scope = ?", ["refusals"]);
    expect(rows).toHaveLength(2);
  });

  it("is asked for a read in a unit of its own, unless the attempt is over", async () => {
    const who = ground.who({ approval });
    const effects = ground.book.open(who);
    const call = callOf(who, `https://${HOST}/`, { method: "GET" });
    await effects.demandApproval(call);
    expect(asked).toHaveLength(1);
    await fence(who.root, 2);
    await expect(effects.demandApproval(call)).rejects.toMatchObject({ code: "EGRESS_FENCED" });
    await expect(effects.intend(intentOf(who, { needs_approval: true }))).rejects.toMatchObject({
      code: "EGRESS_FENCED",
    });
    expect(asked).toHaveLength(1);
  });

  it("is not asked for what is given again", async () => {
    const who = ground.who({ approval });
    const effects = ground.book.open(who);
    const { effect } = sending(await effects.intend(intentOf(who, { needs_approval: true })));
    effects.settle(effect, { state: "done", status: 200, response: { headers: [], body: Buffer.from("a") } });
    await effects.flush();
    const later = { ...who, epoch: 2 };
    expect(await ground.book.open(later).intend(intentOf(later, { needs_approval: true }))).toMatchObject({
      kind: "replay",
    });
    expect(asked).toHaveLength(1);
  });
});
