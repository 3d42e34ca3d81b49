import { createPublicKey, verify } from "node:crypto";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { type GatesGround, openGates, type Person } from "../../../tests/fixtures/gates_ground.ts";
import { VirtualClock } from "../../../tests/fixtures/virtual_clock.ts";
import type { Principal } from "../identity/contract.ts";
import { GantryError } from "../kernel/errors.ts";
import { sha256Hex } from "../kernel/hash.ts";
import type { ApprovalRef } from "../policy/contract.ts";
import { errors as storage_errors } from "../storage/contract.ts";
import { NOTE_CHARS_MAX, REFUSALS_RECORDED_MAX } from "./contract.ts";
import { CLOCK_TIMER } from "./records.ts";

describe("votes", () => {
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

  const gate = (quorum: number) => ({ ...house.draft().gate, quorum });
  const vote = (who: Principal, { id, statement_hash }: ApprovalRef, what: "approve" | "decline" = "approve") =>
    house.gates.vote(who, id, { vote: what, statement_hash });
  const approveBy = (person: Person, ref: ApprovalRef) => vote(person.who, ref);
  const code = (work: Promise<unknown>) =>
    work.then(
      () => "none",
      (error: { code?: string }) => error.code ?? String(error),
    );
  const refusals = async (id: string) => {
    const page = await house.ledger.list({ tenant: house.owned.tenant, ref: id, kind: "approval.refused", limit: 200 });
    return page.items.map(({ data, actor }) => ({ ...data, by: actor.at(-1)?.actor }));
  };

  it("the deciding one approves, tells the asking room in its unit, and starts the second clock", async () => {
    const ref = await house.ask(house.draft({ gate: gate(2) }));
    expect((await approveBy(alice, ref)).status).toBe("pending");
    expect(house.settled).toEqual([]);
    clock.advance(5_000);
    const view = await approveBy(bob, ref);
    expect(view).toMatchObject({
      status: "approved",
      decided_at: clock.now(),
      execute_before_at: clock.now() + 600_000,
    });
    expect(view.votes.map(({ actor }) => actor).sort()).toEqual([alice.who.actor, bob.who.actor].sort());
    expect(house.settled).toMatchObject([{ id: ref.id, outcome: "approved", by: bob.who.chain }]);
    expect(await house.kindsOf(ref.id)).toEqual([
      "approval.requested",
      "approval.voted",
      "approval.voted",
      "approval.approved",
    ]);
    const timer = await house.storage.get("SELECT due_at FROM timers WHERE owner = ? AND key = ?", [
      CLOCK_TIMER,
      ref.id,
    ]);
    expect(timer).toEqual({ due_at: clock.now() + 600_000 });
    expect(house.notices.map(({ event }) => event)).toEqual(["approval.requested", "approval.approved"]);
  });

  it("each has a service proof that the public key verifies, over exactly this vote", async () => {
    const ref = await house.ask();
    const view = await approveBy(alice, ref);
    const [proof] = view.votes[0]!.proofs;
    const [header, payload, signature] = proof!.jws.split(".");
    const key = createPublicKey(house.gates.key.public_key);
    expect(verify(null, Buffer.from(`${header}.${payload}`), key, Buffer.from(signature!, "base64url"))).toBe(true);
    expect(verify(null, Buffer.from(`${header}.${payload}x`), key, Buffer.from(signature!, "base64url"))).toBe(false);
    const read = (part: string) => JSON.parse(Buffer.from(part, "base64url").toString("utf8"));
    expect(read(header!)).toEqual({ alg: "EdDSA", typ: "gantry-vote+jwt", kid: house.gates.key.kid });
    expect(house.gates.key.kid).toBe(sha256Hex(key.export({ format: "der", type: "spki" })));
    expect(read(payload!)).toEqual({
      approval: ref.id,
      statement_hash: ref.statement_hash,
      vote: "approve",
      actor: alice.who.actor,
      token: alice.who.token,
      at: clock.now(),
      iat: Math.floor(clock.now() / 1000),
    });
    const [, voted] = (await house.ledger.list({ tenant: house.owned.tenant, ref: ref.id, limit: 9 })).items;
    expect(voted?.data).toMatchObject({ proof_hash: sha256Hex(proof!.jws), approvals: 1 });
  });

  it("one decline vetoes, while it waits and after it was approved, also by who approved before", async () => {
    const waiting = await house.ask(house.draft({ gate: gate(2) }));
    await approveBy(alice, waiting);
    expect((await vote(bob.who, waiting, "decline")).status).toBe("declined");
    const approved = await house.ask();
    await approveBy(alice, approved);
    const view = await vote(alice.who, approved, "decline");
    expect(view).toMatchObject({ status: "declined", code: "APPROVAL_DECLINED", votes: [{ vote: "decline" }] });
    expect(house.settled.map(({ outcome }) => outcome)).toEqual(["declined", "approved", "declined"]);
    const entries = await house.ledger.list({
      tenant: house.owned.tenant,
      ref: approved.id,
      kind: "approval.voted",
      limit: 9,
    });
    expect(entries.items.map(({ data }) => data["override"])).toEqual([undefined, "decline"]);
  });

  it("of another tenant's approval, or of none, know nothing", async () => {
    const ref = await house.ask();
    const { token } = await house.identity.createTenant(house.owner, "other");
    const stranger = await house.identity.authenticate(token.secret);
    expect(await code(vote(stranger, ref))).toBe("APPROVAL_UNKNOWN");
    expect(await code(house.gates.get(stranger, ref.id))).toBe("APPROVAL_UNKNOWN");
    expect(await code(vote(alice.who, { ...ref, id: house.ids("apr") }))).toBe("APPROVAL_UNKNOWN");
    expect(await refusals(ref.id)).toEqual([]);
  });

  it("of agents, delegated humans and signed tasks are no votes, whatever their scopes", async () => {
    const ref = await house.ask();
    const scopes = new Set([...alice.who.scopes]);
    const delegated: Principal = {
      ...alice.who,
      chain: [...bob.who.chain, ...alice.who.chain],
    };
    const [link] = alice.who.chain;
    const task: Principal = { ...alice.who, token: null, chain: [{ ...link!, via: "key" }] };
    for (const who of [{ ...house.agent.who, scopes }, delegated, task, { ...task, chain: alice.who.chain }]) {
      expect(await code(vote(who, ref))).toBe("APPROVAL_NOT_HUMAN");
    }
    expect((await refusals(ref.id)).map((refusal) => refusal)).toMatchObject([
      { what: "vote", code: "APPROVAL_NOT_HUMAN", by: house.agent.who.actor },
      { code: "APPROVAL_NOT_HUMAN" },
      { code: "APPROVAL_NOT_HUMAN" },
      { code: "APPROVAL_NOT_HUMAN" },
    ]);
    expect((await house.view(ref.id)).votes).toEqual([]);
  });

  it("need the scope: the owner's token file cannot vote, the owner's login can", async () => {
    const ref = await house.ask();
    expect(await code(vote(house.owner, ref))).toBe("SCOPE_MISSING");
    expect((await approveBy(await house.login(house.owned.owner), ref)).status).toBe("approved");
  });

  it("by a token that was revoked, or of somebody suspended, do not count, although the token was good before", async () => {
    const ref = await house.ask();
    await house.identity.revokeToken(house.owner, alice.who.token!);
    expect(await code(approveBy(alice, ref))).toBe("TOKEN_REVOKED");
    await house.identity.setActorState(house.owner, bob.who.actor, "suspended");
    expect(await code(approveBy(bob, ref))).toBe("ACTOR_SUSPENDED");
    expect((await refusals(ref.id)).map((refusal) => refusal)).toMatchObject([
      { code: "TOKEN_REVOKED" },
      { code: "ACTOR_SUSPENDED" },
    ]);
  });

  it("are for the statement that was read, and for no other", async () => {
    const ref = await house.ask();
    expect(await code(vote(alice.who, { ...ref, statement_hash: "0".repeat(64) }))).toBe("APPROVAL_HASH_MISMATCH");
    await house.storage.write((tx) => tx.run("UPDATE approvals SET quorum = 0 WHERE id = ?", [ref.id], 1));
    expect(await code(approveBy(alice, ref))).toBe("APPROVAL_HASH_MISMATCH");
  });

  it("are refused to the requester, to authors, and at `independent` to the human of an agent", async () => {
    const requester = { actor: alice.who.actor, chain: alice.who.chain, chain_hash: alice.who.chain_hash };
    const own = await house.ask(house.draft({ requester }));
    expect(await code(approveBy(alice, own))).toBe("APPROVAL_EXCLUDED");
    const written = await house.ask(house.draft({ authors: [bob.who.actor] }));
    expect(await code(approveBy(bob, written))).toBe("APPROVAL_EXCLUDED");
    const owner = await house.login(house.owned.owner);
    expect((await house.view(written.id)).excluded).not.toContain(owner.who.actor);
    await house.storage.write((tx) =>
      tx.run(`UPDATE tenants SET settings_json = '{"approval_independence":"independent"}'`, []),
    );
    const independent = await house.ask();
    expect((await house.view(independent.id)).statement.independence).toBe("independent");
    expect(await code(approveBy(owner, independent))).toBe("APPROVAL_EXCLUDED");
    expect((await approveBy(bob, independent)).status).toBe("approved");
  });

  it("count once for one person", async () => {
    const ref = await house.ask(house.draft({ gate: gate(2) }));
    await approveBy(alice, ref);
    expect(await code(approveBy(alice, ref))).toBe("APPROVAL_DUPLICATE");
    const again = await house.login(alice.who.actor);
    expect(await code(approveBy(again, ref))).toBe("APPROVAL_DUPLICATE");
    expect((await house.view(ref.id)).votes).toHaveLength(1);
  });

  it("of somebody who is suspended meanwhile do not count any more", async () => {
    const ref = await house.ask(house.draft({ gate: gate(2) }));
    await approveBy(alice, ref);
    await house.identity.setActorState(house.owner, alice.who.actor, "suspended");
    expect((await approveBy(bob, ref)).status).toBe("pending");
    const carol = await house.human("carol");
    expect((await approveBy(carol, ref)).status).toBe("approved");
  });

  it("come too late when it is decided, declined, expired, superseded, executed or broken", async () => {
    const approved = await house.ask();
    await approveBy(alice, approved);
    expect(await code(approveBy(bob, approved))).toBe("APPROVAL_DECIDED");
    await vote(bob.who, approved, "decline");
    expect(await code(vote(alice.who, approved, "decline"))).toBe("APPROVAL_DECIDED");
    const draft = house.draft();
    const older = await house.ask(draft);
    await house.ask({ ...draft, subject_id: house.ids("run") });
    expect(await code(approveBy(alice, older))).toBe("APPROVAL_SUPERSEDED");
    const used = house.draft();
    const ref = await house.ask(used);
    await approveBy(alice, ref);
    expect(await house.start(ref.id, used)).toBeUndefined();
    expect(await code(vote(bob.who, ref, "decline"))).toBe("APPROVAL_DECIDED");
    const late = await house.ask();
    clock.advance(3_600_000 - 1);
    expect(await code(vote(alice.who, { ...late, statement_hash: "0".repeat(64) }))).toBe("APPROVAL_HASH_MISMATCH");
    clock.advance(1);
    expect(await code(approveBy(alice, late))).toBe("APPROVAL_EXPIRED");
    // The clock was read by the check; no timer has fired.
    expect((await house.view(late.id)).status).toBe("expired");
    expect(await code(approveBy(alice, late))).toBe("APPROVAL_EXPIRED");
    expect(house.settled.at(-1)).toMatchObject({ id: late.id, outcome: "expired" });
  });

  it("veto what is approved only until it may no longer start", async () => {
    const ref = await house.ask();
    await approveBy(alice, ref);
    clock.advance(600_000);
    expect(await code(vote(bob.who, ref, "decline"))).toBe("APPROVAL_EXECUTE_EXPIRED");
    expect(await house.view(ref.id)).toMatchObject({ status: "expired", code: "APPROVAL_EXECUTE_EXPIRED" });
  });

  it("that are refused are recorded REFUSALS_RECORDED_MAX times, and refused ever after", async () => {
    const ref = await house.ask();
    for (let n = 0; n <= REFUSALS_RECORDED_MAX; n++) {
      expect(await code(vote(alice.who, { ...ref, statement_hash: "0".repeat(64) }))).toBe("APPROVAL_HASH_MISMATCH");
    }
    expect(await refusals(ref.id)).toHaveLength(REFUSALS_RECORDED_MAX);
  });

  it("have a note of up to NOTE_CHARS_MAX characters, kept masked and beside the ledger", async () => {
    const ref = await house.ask();
    const note = `mail me@example.com ${"x".repeat(NOTE_CHARS_MAX - 20)}`;
    const view = await house.gates.vote(alice.who, ref.id, {
      vote: "approve",
      statement_hash: ref.statement_hash,
      note,
    });
    expect(view.votes[0]?.note).toMatch(/^mail \[masked:email\] x/);
    const entries = await house.ledger.list({
      tenant: house.owned.tenant,
      ref: ref.id,
      kind: "approval.voted",
      limit: 1,
    });
    expect(Object.keys(entries.items[0]?.commitments ?? {})).toEqual(["note"]);
    expect(JSON.stringify(entries.items)).not.toContain("masked:email");
  });

  it("settle nothing when the asking room fails in its unit: neither vote nor decision exists", async () => {
    const ref = await house.ask();
    house.answer = () => {
      throw new Error("the room fails");
    };
    expect(await code(approveBy(alice, ref))).toBe("Error: the room fails");
    expect(await house.view(ref.id)).toMatchObject({ status: "pending", votes: [] });
    expect(house.settled).toEqual([]);
    house.answer = () => undefined;
    expect((await approveBy(alice, ref)).status).toBe("approved");
  });

  it("use up or supersede at once what the asking room says is done or no longer fits", async () => {
    house.answer = () => ({ executed: true });
    const contract = await house.ask(house.draft({ subject: "contract" }));
    expect(await approveBy(alice, contract)).toMatchObject({ status: "executed", executed_at: clock.now(), run: null });
    house.answer = () => ({ stale: "APPROVAL_STALE_CONTRACT" });
    const stale = await house.ask(house.draft({ subject: "contract" }));
    expect(await approveBy(alice, stale)).toMatchObject({ status: "superseded", code: "APPROVAL_STALE_CONTRACT" });
    expect(house.settled.map(({ outcome }) => outcome)).toEqual(["approved", "superseded"]);
    expect(await code(approveBy(bob, stale))).toBe("APPROVAL_SUPERSEDED");
  });

  it("say that the store cannot be had, and that the same may be sent again", async () => {
    let away = false;
    const other = await openGates({
      wrap: (storage) =>
        new Proxy(storage, {
          get(target, name) {
            if (name === "write" && away) {
              return () => Promise.reject(new GantryError(storage_errors.UNREACHABLE, { detail: "It is away." }));
            }
            const value: unknown = Reflect.get(target, name, target);
            return typeof value === "function" ? value.bind(target) : value;
          },
        }),
    });
    const { who } = await other.human("alice");
    const { id, statement_hash } = await other.ask();
    const reason = "the site is down for everybody";
    away = true;
    expect(await code(other.gates.vote(who, id, { vote: "approve", statement_hash }))).toBe("GATE_STORE_DOWN");
    expect(await code(other.gates.breakGlass(who, id, { reason, minutes: 1, statement_hash }))).toBe("GATE_STORE_DOWN");
    away = false;
    expect((await other.gates.vote(who, id, { vote: "approve", statement_hash })).status).toBe("approved");
    await other.remove();
  });
});
