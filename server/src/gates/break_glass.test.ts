import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { type GatesGround, openGates, type Person } from "../../../tests/fixtures/gates_ground.ts";
import { VirtualClock } from "../../../tests/fixtures/virtual_clock.ts";
import type { ApprovalRef } from "../policy/contract.ts";
import {
  ATTENDANCE_MS,
  DEBTS_PAGE_MAX,
  GLASS_MINUTES_DEFAULT,
  GLASS_MINUTES_MAX,
  REASON_CHARS_MAX,
  REASON_CHARS_MIN,
} from "./contract.ts";
import { insertGlass } from "./glass_store.ts";

const REASON = "the site is down for everybody";

describe("a broken glass", () => {
  let clock: VirtualClock;
  let house: GatesGround;
  let alice: Person;
  let bob: Person;

  beforeEach(async () => {
    clock = new VirtualClock();
    house = await openGates({ clock });
    alice = await house.human("alice");
    bob = await house.human("bob");
  });
  afterEach(() => house.remove());

  const breakBy = (
    { who }: Pick<Person, "who">,
    { id, statement_hash }: ApprovalRef,
    more: Partial<{ reason: string; minutes: number; statement_hash: string }> = {},
  ) => house.gates.breakGlass(who, id, { reason: REASON, minutes: GLASS_MINUTES_DEFAULT, statement_hash, ...more });
  const code = (work: Promise<unknown>) =>
    work.then(
      () => "none",
      (error: { code?: string }) => error.code ?? String(error),
    );
  const requestBy = ({ who }: Person) => ({ actor: who.actor, chain: who.chain, chain_hash: who.chain_hash });

  it("takes the place of the quorum, also for who asked, tells every human, and owes a review", async () => {
    const gate = { ...house.draft().gate, quorum: 2 };
    await house.human("carol");
    const draft = house.draft({ requester: requestBy(alice), gate });
    const ref = await house.ask(draft);
    const view = await breakBy(alice, ref);
    const until_at = clock.now() + GLASS_MINUTES_DEFAULT * 60_000;
    expect(view).toMatchObject({
      status: "broken_glass",
      decided_at: clock.now(),
      break_glass: { actor: alice.who.actor, approval: ref.id, reason: REASON, until_at, debt: "open" },
    });
    expect(house.settled).toMatchObject([{ outcome: "broken_glass", by: alice.who.chain }]);
    const [entry] = (
      await house.ledger.list({ tenant: house.owned.tenant, ref: ref.id, kind: "glass.broken", limit: 9 })
    ).items;
    expect(entry).toMatchObject({
      data: { glass: view.break_glass!.id, until_at, override: "break_glass", statement_hash: ref.statement_hash },
      commitments: { reason: expect.any(String) },
    });
    const notice = house.notices.find(({ event }) => event === "glass.broken");
    const { owner } = house.owned;
    expect(notice?.data["notified"]).toEqual(expect.arrayContaining([owner, alice.who.actor, bob.who.actor]));
    expect(await house.start(ref.id, draft)).toBeUndefined();
    expect(await house.gates.debts(house.owner)).toEqual([view.break_glass]);
  });

  it("needs a reason of REASON_CHARS_MIN to REASON_CHARS_MAX characters and 1 to GLASS_MINUTES_MAX minutes", async () => {
    const words = (length: number) =>
      "why "
        .repeat(length)
        .slice(0, length - 1)
        .padEnd(length, "x");
    const bad = [
      { reason: words(REASON_CHARS_MIN - 1) },
      { reason: ` ${words(REASON_CHARS_MIN - 1)} ` },
      { reason: words(REASON_CHARS_MAX + 1) },
      { minutes: 0 },
      { minutes: 1.5 },
      { minutes: Number.NaN },
      { minutes: GLASS_MINUTES_MAX + 1 },
    ];
    const ref = await house.ask();
    for (const more of bad) expect(await code(breakBy(alice, ref, more))).toBe("BREAK_GLASS_REASON");
    const good = [
      { reason: words(REASON_CHARS_MIN), minutes: 1 },
      { reason: words(REASON_CHARS_MAX), minutes: GLASS_MINUTES_MAX },
    ];
    for (const more of good) {
      const next = await house.ask(house.draft({ privileged: false }));
      expect((await breakBy(alice, next, more)).break_glass?.until_at).toBe(clock.now() + more.minutes * 60_000);
    }
  });

  it("is broken by a human with a token of their own, for the statement that was read, while it waits", async () => {
    const ref = await house.ask();
    expect(await code(breakBy(house.agent, ref))).toBe("APPROVAL_NOT_HUMAN");
    expect(await code(breakBy({ who: house.owner }, ref))).toBe("SCOPE_MISSING");
    expect(await code(breakBy(alice, ref, { statement_hash: "0".repeat(64) }))).toBe("APPROVAL_HASH_MISMATCH");
    expect(await code(breakBy(alice, { ...ref, id: house.ids("apr") }))).toBe("APPROVAL_UNKNOWN");
    const { id, statement_hash } = await house.ask();
    await house.gates.vote(alice.who, id, { vote: "approve", statement_hash });
    expect(await code(breakBy(alice, { ...ref, id, statement_hash }))).toBe("APPROVAL_DECIDED");
    await breakBy(alice, ref);
    expect(await code(breakBy(bob, ref))).toBe("APPROVAL_DECIDED");
    for (const vote of ["approve", "decline"] as const) {
      const voted = house.gates.vote(bob.who, ref.id, { vote, statement_hash: ref.statement_hash });
      expect(await code(voted)).toBe("APPROVAL_DECIDED");
    }
    await house.identity.revokeToken(house.owner, alice.who.token!);
    expect(await code(breakBy(alice, ref))).toBe("TOKEN_REVOKED");
    const refused = (await house.kindsOf(ref.id)).filter((kind) => kind === "approval.refused");
    expect(refused).toHaveLength(7);
  });

  it("not reviewed holds back everything privileged, another glass too, and nothing else", async () => {
    const waiting = await house.ask();
    const view = await breakBy(alice, await house.ask());
    expect(await code(house.gates.demandNoDebt(house.storage, house.owned.tenant))).toBe("REVIEW_DEBT_OPEN");
    expect(await code(house.ask())).toBe("REVIEW_DEBT_OPEN");
    expect(await code(breakBy(bob, waiting))).toBe("REVIEW_DEBT_OPEN");
    expect(await code(house.ask(house.draft({ privileged: false })))).toBe("none");
    await house.gates.closeDebt(bob.who, view.break_glass!.id, "it was needed");
    expect(await code(house.gates.demandNoDebt(house.storage, house.owned.tenant))).toBe("none");
    expect(await code(house.ask())).toBe("none");
  });

  it("is reviewed once, by another human, with a note", async () => {
    const { break_glass } = await breakBy(alice, await house.ask());
    const { id } = break_glass!;
    const close = ({ who }: Pick<Person, "who">, glass = id) => house.gates.closeDebt(who, glass, "it was needed");
    expect(await code(close(alice))).toBe("REVIEW_DEBT_SELF");
    expect(await code(close(await house.login(alice.who.actor)))).toBe("REVIEW_DEBT_SELF");
    expect(await code(close(house.agent))).toBe("APPROVAL_NOT_HUMAN");
    expect(await code(close({ who: house.owner }))).toBe("SCOPE_MISSING");
    expect(await code(close(bob, house.ids("bgl")))).toBe("REVIEW_UNKNOWN");
    expect(await close(bob)).toMatchObject({ debt: "closed", closed_by: bob.who.actor, closed_note: "it was needed" });
    expect(await code(close(bob))).toBe("REVIEW_CLOSED");
    expect(await house.gates.debts(house.owner)).toEqual([]);
    expect(await house.kindsOf(id)).toEqual(["glass.broken", "debt.closed"]);
    expect(house.notices.at(-1)).toMatchObject({ event: "debt.closed", data: { glass: id, by: bob.who.actor } });
  });

  it("keeps its debt when it is executed, and when its time is over", async () => {
    const draft = house.draft();
    const ref = await house.ask(draft);
    await breakBy(alice, ref, { minutes: 1 });
    await house.start(ref.id, draft);
    clock.advance(3_600_000);
    expect(await house.gates.debts(house.owner)).toHaveLength(1);
  });

  it("is one of DEBTS_PAGE_MAX of a page, oldest first", async () => {
    const ref = await house.ask();
    const first = (await breakBy(alice, ref)).break_glass!;
    for (let n = 0; n < DEBTS_PAGE_MAX; n += 50) {
      const refs: ApprovalRef[] = [];
      for (let m = 0; m < 50; m++) refs.push(await house.ask(house.draft({ privileged: false })));
      await house.storage.write((tx) => {
        for (const { id } of refs) {
          const row = { tenant_id: house.owned.tenant, actor_id: alice.who.actor, reason: REASON, until_at: 0, at: 0 };
          const open = { debt: "open", closed_by: null, closed_note: null } as const;
          insertGlass(tx, { ...row, ...open, id: house.ids("bgl"), approval_id: id });
        }
      });
    }
    const debts = await house.gates.debts(house.owner);
    expect(debts).toHaveLength(DEBTS_PAGE_MAX);
    expect(debts[0]?.id).toBe(first.id);
  });
});

describe("attendance", () => {
  let clock: VirtualClock;
  let house: GatesGround;

  beforeEach(async () => {
    clock = new VirtualClock();
    house = await openGates({ clock });
  });
  afterEach(() => house.remove());

  const attended = () =>
    house.gates.demandAttended(house.storage, house.owned.tenant).then(
      () => true,
      (error: { code?: string }) => {
        if (error.code !== "GATE_UNATTENDED") throw error;
        return false;
      },
    );

  it("is somebody's word who may approve, good for ATTENDANCE_MS, and renewed by saying it again", async () => {
    const alice = await house.human("alice");
    expect(await attended()).toBe(false);
    expect(await house.gates.attend(alice.who)).toEqual({ until_at: clock.now() + ATTENDANCE_MS });
    clock.advance(ATTENDANCE_MS - 1);
    expect(await attended()).toBe(true);
    await house.gates.attend(alice.who);
    clock.advance(ATTENDANCE_MS - 1);
    expect(await attended()).toBe(true);
    clock.advance(1);
    expect(await attended()).toBe(false);
    expect(await house.kindsOf(alice.who.actor)).toEqual(expect.arrayContaining(["attendance.stated"]));
  });

  it("is nobody's who is suspended, delegated, or no human", async () => {
    const alice = await house.human("alice");
    await house.gates.attend(alice.who);
    await house.identity.setActorState(house.owner, alice.who.actor, "suspended");
    expect(await attended()).toBe(false);
    await expect(house.gates.attend(alice.who)).rejects.toThrow(/ACTOR_SUSPENDED/);
    await expect(house.gates.attend(house.agent.who)).rejects.toThrow(/APPROVAL_NOT_HUMAN/);
    await expect(house.gates.attend(house.owner)).rejects.toThrow(/SCOPE_MISSING/);
  });
});
