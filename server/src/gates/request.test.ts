import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { eventually } from "../../../tests/fixtures/eventually.ts";
import { type GatesGround, openGates } from "../../../tests/fixtures/gates_ground.ts";
import { VirtualClock } from "../../../tests/fixtures/virtual_clock.ts";
import { Auditor } from "../evidence/audit/audit.ts";
import { loadStateKey } from "../evidence/state_key.ts";
import { audited_tables as identity_tables } from "../identity/store.ts";
import { canonicalJson } from "../kernel/canonical.ts";
import { sha256Hex } from "../kernel/hash.ts";
import type { ApprovalDraft, ApprovalRef } from "../policy/contract.ts";
import { APPROVALS_PENDING_MAX, PREVIEW_BYTES_MAX, SIMILAR_MAX } from "./contract.ts";
import { audited_tables } from "./store.ts";

describe("a request for a decision", () => {
  let clock: VirtualClock;
  let house: GatesGround;

  beforeEach(async () => {
    clock = new VirtualClock();
    house = await openGates({ clock });
  });
  afterEach(() => house.remove());

  const code = (work: Promise<unknown>) =>
    work.then(
      () => "none",
      (error: { code?: string }) => error.code ?? String(error),
    );

  it("is a statement whose canonical JSON has the hash that votes name, with all that it is for", async () => {
    const draft = house.draft({ authors: [house.owned.agent, house.owned.agent] });
    const ref = await house.ask(draft);
    const { statement, statement_hash, preview, ...view } = await house.view(ref.id);
    expect(ref).toEqual({ id: view.id, statement_hash, not_after_at: clock.now() + 3_600_000 });
    expect(sha256Hex(canonicalJson(statement))).toBe(statement_hash);
    expect(statement).toEqual({
      v: 1,
      approval: ref.id,
      tenant: draft.tenant,
      gate: "production",
      action: draft.action,
      action_hash: sha256Hex(canonicalJson(draft.action)),
      code: draft.code,
      snapshot: draft.snapshot,
      contract: draft.contract,
      target: "production",
      blast_radius: draft.blast_radius,
      preview_hash: sha256Hex(canonicalJson(preview)),
      quorum: 1,
      independence: "principal",
      requester: house.owned.agent,
      chain: house.agent.who.chain,
      authors: [house.owned.agent],
      not_after: clock.now() + 3_600_000,
      execute_before: 600_000,
      nonce: expect.stringMatching(/^[0-9a-f]{32}$/),
    });
    expect(preview).toEqual(draft.preview);
    expect(view).toMatchObject({ status: "pending", subject: "run", run: draft.subject_id, votes: [], similar: [] });
    expect(view.excluded).toContain(house.owned.agent);
  });

  it("that asks for the same again is another statement, and takes the place of the one before", async () => {
    house.storage.timers.start(() => {});
    const draft = house.draft();
    const older = await house.ask(draft);
    const newer = await house.ask({ ...draft, subject_id: house.ids("run") });
    expect(newer.statement_hash).not.toBe(older.statement_hash);
    expect(await house.view(older.id)).toMatchObject({
      status: "superseded",
      code: "APPROVAL_SUPERSEDED",
      superseded_by: newer.id,
    });
    const work = await house.storage.get("SELECT state FROM works WHERE id = ?", [draft.subject_id]);
    expect(work).toEqual({ state: "superseded" });
    await eventually(() => house.settled.length === 1);
    expect(house.settled).toMatchObject([{ id: older.id, outcome: "superseded" }]);
    // Another target is another action.
    await house.ask({ ...draft, subject_id: house.ids("run"), target: "staging" });
    expect((await house.view(newer.id)).status).toBe("pending");
  });

  it("of an owner who is alone is refused at once, and of its agent it is not", async () => {
    const { owner } = house;
    const requester = { actor: owner.actor, chain: owner.chain, chain_hash: owner.chain_hash };
    expect(await code(house.ask(house.draft({ requester })))).toBe("GATE_UNSATISFIABLE");
    expect(await code(house.ask())).toBe("none");
    const gate = { ...house.draft().gate, quorum: 2 };
    expect(await code(house.ask(house.draft({ gate })))).toBe("GATE_UNSATISFIABLE");
    await house.human("alice");
    expect(await code(house.ask(house.draft({ gate })))).toBe("none");
    await house.storage.write((tx) =>
      tx.run(`UPDATE tenants SET settings_json = '{"approval_independence":"independent"}'`, []),
    );
    expect(await code(house.ask(house.draft({ gate })))).toBe("GATE_UNSATISFIABLE");
  });

  it("is refused while APPROVALS_PENDING_MAX others wait, and goes on when one is decided", async () => {
    const alice = await house.human("alice");
    const first = await house.ask();
    const row = (await house.storage.get("SELECT * FROM approvals", []))!;
    const columns = Object.keys(row);
    const fill = (from: number, to: number) =>
      house.storage.write((tx) => {
        for (let n = from; n < to; n++) {
          const copy = { ...row, id: `apr_${n}`, statement_hash: String(n), action_key: String(n) };
          const values = columns.map((name) => copy[name as keyof typeof copy]!);
          tx.run(`INSERT INTO approvals (${columns.join(", ")}) VALUES (${columns.map(() => "?").join(", ")})`, values);
        }
      });
    for (let n = 1; n < APPROVALS_PENDING_MAX - 1; n += 100)
      await fill(n, Math.min(n + 100, APPROVALS_PENDING_MAX - 1));
    const last = house.draft();
    await house.ask(last);
    expect(await code(house.ask())).toBe("GATE_PENDING_MAX");
    // Asking for the same again makes none more.
    expect(await code(house.ask({ ...last, subject_id: house.ids("run") }))).toBe("none");
    await house.gates.vote(alice.who, first.id, { vote: "approve", statement_hash: first.statement_hash });
    expect(await code(house.ask())).toBe("none");
  });

  it("shows at most PREVIEW_BYTES_MAX bytes, and names no more", async () => {
    const preview = (diff: string): ApprovalDraft["preview"] => ({ ...house.draft().preview, diff });
    const bare = Buffer.byteLength(canonicalJson(preview("")));
    const largest = preview("é".repeat((PREVIEW_BYTES_MAX - bare) >> 1) + "x".repeat((PREVIEW_BYTES_MAX - bare) % 2));
    expect(Buffer.byteLength(canonicalJson(largest))).toBe(PREVIEW_BYTES_MAX);
    const ref = await house.ask(house.draft({ preview: largest }));
    expect((await house.view(ref.id)).preview).toEqual(largest);
    expect(await code(house.ask(house.draft({ preview: preview(`${largest.diff}x`) })))).toBe("GATE_TOO_LARGE");
    const hosts = [`${"x".repeat(PREVIEW_BYTES_MAX)}.example.com`];
    const blast_radius = { ...house.draft().blast_radius, hosts };
    expect(await code(house.ask(house.draft({ blast_radius })))).toBe("GATE_TOO_LARGE");
  });

  it("is listed newest first, by status and page, without what is long", async () => {
    const refs = [await house.ask(), await house.ask(), await house.ask()];
    const page = await house.gates.list(house.owner, { limit: 2 });
    expect(page.items.map(({ id }) => id)).toEqual([refs[2]!.id, refs[1]!.id]);
    expect(page.items[0]?.preview).toMatchObject({
      summary: "The agent local wants to run code.",
      diff: null,
      delta: [],
    });
    expect(page.items[0]).not.toHaveProperty("similar");
    const rest = await house.gates.list(house.owner, { limit: 2, cursor: page.next! });
    expect(rest).toMatchObject({ items: [{ id: refs[0]!.id }] });
    expect(rest).not.toHaveProperty("next");
    expect((await house.gates.list(house.owner, { status: "approved" })).items).toEqual([]);
    const { token } = await house.identity.createTenant(house.owner, "other");
    const stranger = await house.identity.authenticate(token.secret);
    expect((await house.gates.list(stranger, {})).items).toEqual([]);
  });

  it("shows the last SIMILAR_MAX decisions about the same action under the same contract", async () => {
    const alice = await house.human("alice");
    const decided: string[] = [];
    for (let n = 0; n <= SIMILAR_MAX; n++) {
      const ref = await house.ask();
      clock.advance(1);
      const vote = n % 2 === 0 ? "approve" : "decline";
      await house.gates.vote(alice.who, ref.id, { vote, statement_hash: ref.statement_hash });
      decided.unshift(ref.id);
    }
    await house.ask(house.draft({ contract: null }));
    const { similar } = await house.view((await house.ask()).id);
    expect(similar?.map(({ id }) => id)).toEqual(decided.slice(0, SIMILAR_MAX));
    expect(similar?.[0]).toMatchObject({ status: "declined", requester: house.owned.agent, target: "production" });
  });

  it("and all that becomes of it leaves rows that are what their newest entry says", async () => {
    const alice = await house.human("alice");
    const bob = await house.human("bob");
    const drafts = Array.from({ length: 4 }, () => house.draft({ privileged: false }));
    const refs: ApprovalRef[] = [];
    for (const draft of drafts) refs.push(await house.ask(draft));
    const vote = (n: number, who = alice.who, what: "approve" | "decline" = "approve") =>
      house.gates.vote(who, refs[n]!.id, { vote: what, statement_hash: refs[n]!.statement_hash, note: "seen" });
    await vote(0);
    await house.start(refs[0]!.id, drafts[0]!);
    await vote(1);
    await vote(1, alice.who, "decline");
    const reason = "the site is down for everybody";
    const { statement_hash } = refs[2]!;
    const broken = await house.gates.breakGlass(alice.who, refs[2]!.id, { reason, minutes: 5, statement_hash });
    await house.gates.closeDebt(bob.who, broken.break_glass!.id, "it was needed");
    await house.gates.attend(alice.who);
    await house.gates.attend(alice.who);
    clock.advance(3_600_000);
    expect(await house.start(refs[3]!.id, drafts[3]!)).toBe("APPROVAL_EXPIRED");
    const state_key = await loadStateKey(house.files, house.random);
    const auditor = new Auditor({ ...house, state_key, tables: [...identity_tables, ...audited_tables] });
    expect(await auditor.audit({})).toMatchObject({ ok: true, first_bad: null });
    await house.storage.write((tx) => tx.run("UPDATE approvals SET executed_at = 1 WHERE id = ?", [refs[3]!.id], 1));
    expect(await auditor.audit({})).toMatchObject({ ok: false });
  });
});
