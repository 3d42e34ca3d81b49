import { afterAll, beforeAll, expect, it } from "vitest";
import { isGantryError } from "../../server/src/kernel/errors.ts";
import type { ContractDocument } from "../../server/src/policy/contract.ts";
import { Decider } from "../../server/src/policy/decide.ts";
import { ContractPolicy } from "../../server/src/policy/policy.ts";
import { type GatesGround, openGates, type Person } from "../fixtures/gates_ground.ts";

/** Contracts that loosen, decided by people through the real gates. */
export function contractApprovals(): void {
  let ground: GatesGround;
  let policy: ContractPolicy;
  let people: Person[];

  beforeAll(async () => {
    // The engine is loaded in one piece; a unit that waited meanwhile would be too late.
    const decider = new Decider();
    ground = await openGates({ without_contracts: true });
    policy = new ContractPolicy({ ...ground, decider });
    ground.gates.enter("contract", policy.subject);
    policy.useApprovals(ground.gates);
    people = [await ground.human("ann"), await ground.human("bob")];
  });
  afterAll(() => ground.remove());

  let serial = 0;
  const newName = () => `acme${serial++}`;
  const document = (name: string, more: string): ContractDocument => ({
    name: `${name}.yaml`,
    text: `kind: Contract\nname: ${name}\nextends: staging-mutation\n${more}\n`,
  });
  const strict = (name: string) => document(name, "limits: {cpu_ms: 500}");
  const loose = (name: string) => document(name, "limits: {cpu_ms: 900}");
  const looser = (name: string) => document(name, "limits: {cpu_ms: 950}");
  const propose = async (text: ContractDocument) => {
    const applied = await policy.apply(text, ground.agent.who);
    if (applied.proposal === null) throw new Error("it is in force");
    return applied.proposal;
  };
  const vote = (person: Person, id: string, statement_hash: string, said: "approve" | "decline" = "approve") =>
    ground.gates.vote(person.who, id, { vote: said, statement_hash });
  const code = (work: Promise<unknown>) =>
    work.then(
      () => "done",
      (error: unknown) => (isGantryError(error) ? error.code : String(error)),
    );
  const state = async (name: string) => {
    const { version, pending } = await policy.get(ground.owned.tenant, name);
    return { version, pending: pending?.version ?? null };
  };

  it("a human who did not ask makes it active, in the unit of the vote", async () => {
    const name = newName();
    await policy.apply(strict(name), ground.agent.who);
    const { approval, statement_hash } = await propose(loose(name));
    expect(await state(name)).toEqual({ version: 1, pending: 2 });
    const [ann] = people as [Person, Person];
    expect(await vote(ann, approval, statement_hash)).toMatchObject({ status: "executed" });
    expect(await state(name)).toEqual({ version: 2, pending: null });
    expect(await ground.kindsOf(approval)).toEqual([
      "approval.requested",
      "contract.proposed",
      "approval.voted",
      "approval.approved",
      "contract.applied",
      "approval.executed",
    ]);
    // The approval is used up: it opens nothing a second time.
    expect(await code(vote(ann, approval, statement_hash))).toBe("APPROVAL_DECIDED");
  });

  it("as many people as the contract's own gates ask for", async () => {
    const name = newName();
    const gated = (quorum: number) => document(name, `gates: [{on: app.deploy, name: deploy, quorum: ${quorum}}]`);
    await policy.apply(gated(2), ground.agent.who);
    const { approval, statement_hash } = await propose(gated(1));
    const [ann, bob] = people as [Person, Person];
    expect(await vote(ann, approval, statement_hash)).toMatchObject({ status: "pending" });
    expect(await state(name)).toEqual({ version: 1, pending: 2 });
    expect(await vote(bob, approval, statement_hash)).toMatchObject({ status: "executed" });
    expect(await state(name)).toEqual({ version: 2, pending: null });
  });

  it("one decline ends it, and so does a later proposal", async () => {
    const name = newName();
    await policy.apply(strict(name), ground.agent.who);
    const [ann] = people as [Person, Person];
    const first = await propose(loose(name));
    await vote(ann, first.approval, first.statement_hash, "decline");
    expect(await state(name)).toEqual({ version: 1, pending: null });
    const second = await propose(loose(name));
    const third = await propose(looser(name));
    expect((await ground.view(second.approval)).status).toBe("superseded");
    expect(await code(vote(ann, second.approval, second.statement_hash))).toBe("APPROVAL_SUPERSEDED");
    expect(await state(name)).toEqual({ version: 1, pending: 4 });
    await vote(ann, third.approval, third.statement_hash);
    expect(await state(name)).toEqual({ version: 4, pending: null });
  });

  it("it is void when something else is active by the time of the vote", async () => {
    const name = newName();
    await policy.apply(strict(name), ground.agent.who);
    const { approval, statement_hash } = await propose(loose(name));
    await policy.apply(document(name, "limits: {cpu_ms: 100}"), ground.agent.who);
    const [ann] = people as [Person, Person];
    await code(vote(ann, approval, statement_hash));
    expect(await ground.view(approval)).toMatchObject({ status: "superseded", code: "APPROVAL_STALE_CONTRACT" });
    expect((await policy.open(ground.owned.tenant, name)).contract.limits.cpu_ms).toBe(100);
  });

  it("an agent and the proposing human cannot", async () => {
    const name = newName();
    const [ann, bob] = people as [Person, Person];
    await policy.apply(strict(name), ground.agent.who);
    const applied = await policy.apply(loose(name), ann.who);
    const { approval, statement_hash } = applied.proposal ?? { approval: "", statement_hash: "" };
    expect(await code(vote(ground.agent, approval, statement_hash))).not.toBe("done");
    expect(await code(vote(ann, approval, statement_hash))).toBe("APPROVAL_EXCLUDED");
    expect(await state(name)).toEqual({ version: 1, pending: 2 });
    expect(await vote(bob, approval, statement_hash)).toMatchObject({ status: "executed" });
  });

  it("proposals, votes and tightenings at once leave one active version, that was approved or tightened", async () => {
    for (let round = 0; round < 5; round++) {
      const name = newName();
      await policy.apply(strict(name), ground.agent.who);
      const first = await propose(loose(name));
      const [ann, bob] = people as [Person, Person];
      await Promise.all([
        code(vote(ann, first.approval, first.statement_hash)),
        code(vote(bob, first.approval, first.statement_hash)),
        code(policy.apply(looser(name), ground.agent.who)),
        code(policy.apply(document(name, "limits: {cpu_ms: 100}"), ground.agent.who)),
      ]);
      const rows = await ground.storage.all("SELECT * FROM contracts WHERE name = ? ORDER BY version", [name]);
      expect(rows.filter((row) => row["state"] === "active")).toHaveLength(1);
      expect(rows.filter((row) => row["state"] === "pending").length).toBeLessThanOrEqual(1);
      const active = rows.find((row) => row["state"] === "active");
      const limits = JSON.parse(String(active?.["doc_json"])).limits.cpu_ms;
      // 950 was never approved by anybody.
      expect([100, 900]).toContain(limits);
      if (limits === 900) expect(active?.["approval_id"]).toBe(first.approval);
    }
  });
}
