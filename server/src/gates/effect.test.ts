import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { type GatesGround, openGates, type Person } from "../../../tests/fixtures/gates_ground.ts";
import { VirtualClock } from "../../../tests/fixtures/virtual_clock.ts";
import type { ApprovalId, RunId } from "../kernel/ids.ts";
import type { ApprovalDraft, ApprovalRef } from "../policy/contract.ts";

describe("an effect of an approved action", () => {
  let clock: VirtualClock;
  let house: GatesGround;
  let alice: Person;

  beforeEach(async () => {
    clock = new VirtualClock();
    house = await openGates({ clock });
    alice = await house.human("alice");
  });
  afterEach(() => house.remove());

  async function approved(more: Partial<ApprovalDraft> = {}): Promise<{ draft: ApprovalDraft; ref: ApprovalRef }> {
    const draft = house.draft(more);
    const ref = await house.ask(draft);
    await house.gates.vote(alice.who, ref.id, { vote: "approve", statement_hash: ref.statement_hash });
    return { draft, ref };
  }
  async function started(more: Partial<ApprovalDraft> = {}) {
    const { draft, ref } = await approved(more);
    expect(await house.start(ref.id, draft)).toBeUndefined();
    return { draft, ref };
  }
  async function effect(approval: ApprovalId, draft: ApprovalDraft, more: { host?: string; method?: string } = {}) {
    const { tenant, subject_id } = draft;
    const asked = { tenant, approval, run: subject_id as RunId, host: "api.example.com", method: "GET", ...more };
    const checked = await house.storage.write((tx) => house.gates.check(tx, asked));
    return checked.ok ? "ok" : checked.error.code;
  }

  it("is one of so many as were approved, and counted in its own unit", async () => {
    const { draft, ref } = await started();
    const asked = {
      tenant: draft.tenant,
      approval: ref.id,
      run: draft.subject_id as RunId,
      host: "api.example.com",
      method: "GET",
    };
    const undone = house.storage.write(async (tx) => {
      await house.gates.check(tx, asked);
      throw new Error("the effect's unit is rolled back");
    });
    await expect(undone).rejects.toThrow("rolled back");
    expect(await Promise.all([1, 2, 3].map(() => effect(ref.id, draft)))).toEqual(["ok", "ok", "APPROVAL_USED"]);
    expect(await effect(ref.id, draft)).toBe("APPROVAL_USED");
    const endless = await started({ blast_radius: { ...draft.blast_radius, effects_max: null } });
    for (let n = 0; n < 5; n++) expect(await effect(endless.ref.id, endless.draft)).toBe("ok");
  });

  it("stays within the hosts and methods that were approved", async () => {
    const { draft, ref } = await started();
    expect(await effect(ref.id, draft, { host: "evil.example.com" })).toBe("APPROVAL_SCOPE");
    expect(await effect(ref.id, draft, { method: "DELETE" })).toBe("APPROVAL_SCOPE");
    expect(await effect(ref.id, draft, { method: "get" })).toBe("APPROVAL_SCOPE");
    expect(await effect(ref.id, draft, { host: "a.example.org", method: "POST" })).toBe("ok");
    expect(await effect(ref.id, draft, { host: "a.b.example.org" })).toBe("APPROVAL_SCOPE");
    const refused = await house.ledger.list({ tenant: draft.tenant, ref: ref.id, kind: "approval.refused", limit: 9 });
    expect(refused.items.map(({ data }) => data)).toEqual(
      Array(4).fill({ approval: ref.id, what: "effect", code: "APPROVAL_SCOPE", run: draft.subject_id }),
    );
  });

  it("has no approval that is another's, absent, undecided, not started, ended or altered", async () => {
    const { draft, ref } = await approved();
    expect(await effect(ref.id, draft)).toBe("APPROVAL_PENDING");
    expect(await effect(ref.id, house.draft())).toBe("APPROVAL_SCOPE");
    expect(await effect(house.ids("apr"), draft)).toBe("APPROVAL_UNKNOWN");
    const { tenant } = await house.identity.createTenant(house.owner, "other");
    expect(await effect(ref.id, { ...draft, tenant: tenant.id })).toBe("APPROVAL_UNKNOWN");
    await house.gates.vote(alice.who, ref.id, { vote: "decline", statement_hash: ref.statement_hash });
    expect(await effect(ref.id, draft)).toBe("APPROVAL_DECLINED");
    const waiting = house.draft();
    expect(await effect((await house.ask(waiting)).id, waiting)).toBe("APPROVAL_PENDING");
    const late = await approved();
    clock.advance(600_000);
    expect(await effect(late.ref.id, late.draft)).toBe("APPROVAL_EXECUTE_EXPIRED");
    const altered = await started();
    await house.storage.write((tx) =>
      tx.run("UPDATE approvals SET statement_json = 'no JSON' WHERE id = ?", [altered.ref.id], 1),
    );
    expect(await effect(altered.ref.id, altered.draft)).toBe("APPROVAL_HASH_MISMATCH");
  });

  it("of a broken glass ends with its time, although the run goes on", async () => {
    const draft = house.draft();
    const ref = await house.ask(draft);
    const { statement_hash } = ref;
    await house.gates.breakGlass(alice.who, ref.id, {
      reason: "the site is down, all of it",
      minutes: 1,
      statement_hash,
    });
    await house.start(ref.id, draft);
    clock.advance(60_000 - 1);
    expect(await effect(ref.id, draft)).toBe("ok");
    clock.advance(1);
    expect(await effect(ref.id, draft)).toBe("BREAK_GLASS_ENDED");
  });
});
