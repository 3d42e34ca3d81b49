import fc from "fast-check";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { eventually } from "../../../tests/fixtures/eventually.ts";
import { type GatesGround, openGates, type Person } from "../../../tests/fixtures/gates_ground.ts";
import { VirtualClock } from "../../../tests/fixtures/virtual_clock.ts";
import { canonicalJson } from "../kernel/canonical.ts";
import { sha256Hex } from "../kernel/hash.ts";
import type { ApprovalDraft, ApprovalRef } from "../policy/contract.ts";
import type { ActionFacts } from "./contract.ts";
import { readStatement } from "./statement.ts";
import { selectApproval } from "./store.ts";

describe("the start of what was approved", () => {
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

  const vote = ({ who }: Person, { id, statement_hash }: ApprovalRef, what: "approve" | "decline" = "approve") =>
    house.gates.vote(who, id, { vote: what, statement_hash });
  const breakGlass = ({ id, statement_hash }: ApprovalRef) =>
    house.gates.breakGlass(alice.who, id, { reason: "the site is down for everybody", minutes: 5, statement_hash });
  async function approved(more: Partial<ApprovalDraft> = {}): Promise<{ draft: ApprovalDraft; ref: ApprovalRef }> {
    const draft = house.draft(more);
    const ref = await house.ask(draft);
    await vote(alice, ref);
    return { draft, ref };
  }

  it("uses it up: a second start is refused", async () => {
    const { draft, ref } = await approved();
    expect(await house.start(ref.id, draft)).toBeUndefined();
    expect(await house.view(ref.id)).toMatchObject({ status: "executed", executed_at: clock.now() });
    expect(await house.start(ref.id, draft)).toBe("APPROVAL_USED");
    expect(await house.kindsOf(ref.id)).toEqual([
      "approval.requested",
      "approval.voted",
      "approval.approved",
      "approval.executed",
      "approval.refused",
    ]);
    const timer = await house.storage.get("SELECT * FROM timers WHERE key = ?", [ref.id]);
    expect(timer).toBeUndefined();
  });

  it("is refused without an approval, with one that waits, was declined, superseded or withdrawn", async () => {
    const draft = house.draft();
    expect(await house.start(house.ids("apr"), draft)).toBe("APPROVAL_UNKNOWN");
    const waiting = await house.ask(draft);
    expect(await house.start(waiting.id, draft)).toBe("APPROVAL_PENDING");
    await vote(bob, waiting, "decline");
    expect(await house.start(waiting.id, draft)).toBe("APPROVAL_DECLINED");
    const first = await approved();
    const newer = { ...first.draft, subject_id: house.ids("run") };
    const ref = await house.ask(newer);
    expect(await house.start(first.ref.id, first.draft)).toBe("APPROVAL_SUPERSEDED");
    await vote(alice, ref);
    const { tenant } = draft;
    await house.storage.write((tx) => house.gates.withdraw(tx, { tenant, approval: ref.id, code: "RUN_CANCELLED" }));
    expect(await house.view(ref.id)).toMatchObject({
      status: "superseded",
      code: "RUN_CANCELLED",
      superseded_by: null,
    });
    expect(await house.start(ref.id, newer)).toBe("APPROVAL_SUPERSEDED");
    // What has ended stays as it ended.
    await house.storage.write((tx) =>
      house.gates.withdraw(tx, { tenant, approval: waiting.id, code: "RUN_CANCELLED" }),
    );
    expect((await house.view(waiting.id)).status).toBe("declined");
  });

  it("is refused to another run, and to another tenant", async () => {
    const { ref } = await approved();
    const other = house.draft();
    expect(await house.start(ref.id, other)).toBe("APPROVAL_SCOPE");
    const { tenant } = await house.identity.createTenant(house.owner, "other");
    expect(await house.start(ref.id, { ...other, tenant: tenant.id })).toBe("APPROVAL_UNKNOWN");
  });

  it("is refused by either clock, which is read there and then", async () => {
    const draft = house.draft();
    const ref = await house.ask(draft);
    clock.advance(3_600_000);
    expect(await house.start(ref.id, draft)).toBe("APPROVAL_EXPIRED");
    expect(await house.view(ref.id)).toMatchObject({ status: "expired", code: "APPROVAL_EXPIRED" });
    const second = await approved();
    clock.advance(600_000 - 1);
    const third = await approved();
    expect(await house.start(second.ref.id, second.draft)).toBeUndefined();
    clock.advance(600_000);
    expect(await house.start(third.ref.id, third.draft)).toBe("APPROVAL_EXECUTE_EXPIRED");
    expect(await house.start(third.ref.id, third.draft)).toBe("APPROVAL_EXECUTE_EXPIRED");
    expect(await house.kindsOf(third.ref.id)).toEqual([
      "approval.requested",
      "approval.voted",
      "approval.approved",
      "approval.expired",
      "approval.refused",
      "approval.refused",
    ]);
  });

  it("is refused when a voter may not decide any more", async () => {
    const { draft, ref } = await approved();
    await house.identity.setActorState(house.owner, alice.who.actor, "suspended");
    expect(await house.start(ref.id, draft)).toBe("GATE_REQUIRED");
    expect(await house.view(ref.id)).toMatchObject({ status: "superseded", code: "GATE_REQUIRED" });
  });

  it("by a broken glass is as strict about what it starts, and ends with the glass's time", async () => {
    const draft = house.draft();
    const ref = await house.ask(draft);
    await breakGlass(ref);
    expect(await house.start(ref.id, draft, { ...house.facts(draft), target: "staging" })).toBe(
      "APPROVAL_STALE_TARGET",
    );
    expect((await house.view(ref.id)).status).toBe("broken_glass");
    expect(await house.start(ref.id, draft)).toBeUndefined();
    expect(await house.view(ref.id)).toMatchObject({ status: "broken_glass", executed_at: clock.now() });
    expect(await house.start(ref.id, draft)).toBe("APPROVAL_USED");
    const late = house.draft({ privileged: false });
    const other = await house.ask(late);
    await breakGlass(other);
    clock.advance(5 * 60_000);
    expect(await house.start(other.id, late)).toBe("BREAK_GLASS_ENDED");
    expect((await house.view(other.id)).status).toBe("broken_glass");
  });

  /** Each fact, changed in one place, and the code that says so. */
  const flips: Record<string, (facts: ActionFacts, text: string) => ActionFacts> = {
    "APPROVAL_STALE_ACTION name": (facts) => ({ ...facts, action: { ...facts.action, name: "app.deploy" } }),
    "APPROVAL_STALE_ACTION resource": (facts, text) => ({ ...facts, action: { ...facts.action, resource: text } }),
    "APPROVAL_STALE_ACTION params_hash": (facts, text) => ({
      ...facts,
      action: { ...facts.action, params_hash: text },
    }),
    "APPROVAL_STALE_CODE code_hash": (facts, text) => ({ ...facts, code: { code_hash: text } }),
    "APPROVAL_STALE_CODE null": (facts) => ({ ...facts, code: null }),
    APPROVAL_STALE_SNAPSHOT: (facts, text) => ({ ...facts, snapshot: text }),
    "APPROVAL_STALE_SNAPSHOT null": (facts) => ({ ...facts, snapshot: null }),
    "APPROVAL_STALE_CONTRACT name": (facts, text) => ({ ...facts, contract: { ...facts.contract!, name: text } }),
    "APPROVAL_STALE_CONTRACT version": (facts, text) => ({
      ...facts,
      contract: { ...facts.contract!, version: 1 + text.length },
    }),
    "APPROVAL_STALE_CONTRACT hash": (facts, text) => ({ ...facts, contract: { ...facts.contract!, hash: text } }),
    "APPROVAL_STALE_CONTRACT null": (facts) => ({ ...facts, contract: null }),
    APPROVAL_STALE_TARGET: (facts, text) => ({ ...facts, target: text }),
    "APPROVAL_STALE_TARGET null": (facts) => ({ ...facts, target: null }),
    "APPROVAL_STALE_BLAST hosts": (facts, text) => reach(facts, { hosts: [...facts.blast_radius.hosts, text] }),
    "APPROVAL_STALE_BLAST methods": (facts, text) => reach(facts, { methods: [text] }),
    "APPROVAL_STALE_BLAST apps": (facts, text) => reach(facts, { apps: [text] }),
    "APPROVAL_STALE_BLAST percent_max": (facts, text) => reach(facts, { percent_max: text.length }),
    "APPROVAL_STALE_BLAST effects_max": (facts) => reach(facts, { effects_max: null }),
    "APPROVAL_STALE_BLAST reversible": (facts) => reach(facts, { reversible: true }),
    "APPROVAL_STALE_BLAST rollback": (facts, text) => reach(facts, { rollback: text }),
    APPROVAL_STALE_PREVIEW: (facts, text) => ({ ...facts, preview_hash: text }),
    APPROVAL_STALE_CHAIN: (facts, text) => ({ ...facts, chain_hash: text }),
  };
  function reach(facts: ActionFacts, more: Partial<ActionFacts["blast_radius"]>): ActionFacts {
    return { ...facts, blast_radius: { ...facts.blast_radius, ...more } };
  }

  it("is refused for each fact that is another one, by a code of its own, and voids the approval", async () => {
    for (const [name, flip] of Object.entries(flips)) {
      const { draft, ref } = await approved();
      const code = name.split(" ")[0];
      expect(await house.start(ref.id, draft, flip(house.facts(draft), "other")), name).toBe(code);
      expect(await house.view(ref.id), name).toMatchObject({ status: "superseded", code });
      expect(await house.start(ref.id, draft), name).toBe("APPROVAL_SUPERSEDED");
    }
  });

  it("is refused for whatever value a fact has instead", async () => {
    const names = Object.keys(flips).filter(
      (name) => !name.endsWith("null") && !/version|max|reversible| name/.test(name),
    );
    await fc.assert(
      fc.asyncProperty(fc.constantFrom(...names), fc.stringMatching(/^[ -~]{0,70}$/), async (name, text) => {
        const { draft, ref } = await approved();
        const facts = house.facts(draft);
        const flipped = flips[name]!(facts, text);
        fc.pre(canonicalJson(facts) !== canonicalJson(flipped));
        expect(await house.start(ref.id, draft, flipped)).toBe(name.split(" ")[0]);
      }),
      { numRuns: 40 },
    );
  });

  it("is refused for each member of the stored statement that is another one", async () => {
    const { ref } = await approved();
    const members = Object.keys(readStatement((await selectApproval(house.storage, house.owned.tenant, ref.id))!));
    expect(members).toHaveLength(20);
    for (const member of members) {
      const next = await approved();
      const row = (await selectApproval(house.storage, house.owned.tenant, next.ref.id))!;
      const statement = readStatement(row) as unknown as Record<string, unknown>;
      const value = statement[member];
      const other = typeof value === "number" ? value + 1 : typeof value === "string" ? `${value}x` : null;
      const text = canonicalJson({ ...statement, [member]: other });
      expect(text).not.toBe(row.statement_json);
      // The hash may be made to fit as well: then what was voted on is another statement.
      await house.storage.write((tx) =>
        tx.run("UPDATE approvals SET statement_json = ? WHERE id = ?", [text, row.id], 1),
      );
      const code = await house.start(row.id, next.draft).catch((error: unknown) => String(error));
      expect(code, member).toBe("APPROVAL_HASH_MISMATCH");
      expect(sha256Hex(text)).not.toBe(row.statement_hash);
    }
  });

  it("is refused by a vote that is only a row: of nobody, of another approval, or with another signature", async () => {
    const proofs = async (id: string) => (await house.view(id)).votes[0]!.proofs;
    const other = await approved();
    const forged = (await proofs(other.ref.id)).map((proof) => ({ ...proof, jws: `${proof.jws.slice(0, -4)}AAAA` }));
    for (const kept of [await proofs(other.ref.id), forged, []]) {
      const { draft, ref } = await approved();
      await house.storage.write((tx) =>
        tx.run("UPDATE approval_votes SET proofs_json = ? WHERE approval_id = ?", [JSON.stringify(kept), ref.id], 1),
      );
      expect(await house.start(ref.id, draft)).toBe("GATE_REQUIRED");
    }
  });

  it("ends by the timers, too, when nobody asks", async () => {
    house.storage.timers.start(() => {});
    const waiting = await house.ask();
    const { ref } = await approved();
    const ended = async (id: string) => (await house.view(id)).status === "expired";
    clock.advance(600_000);
    await eventually(async () => {
      clock.advance(1_000);
      return await ended(ref.id);
    });
    expect((await house.view(waiting.id)).status).toBe("pending");
    clock.advance(3_000_000);
    await eventually(async () => {
      clock.advance(1_000);
      return await ended(waiting.id);
    });
    expect(house.settled.map(({ outcome }) => outcome)).toEqual(["approved", "expired", "expired"]);
    expect(await house.storage.all("SELECT * FROM timers WHERE owner = 'gates.clock'", [])).toEqual([]);
  });
});
