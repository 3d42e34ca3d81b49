import { afterEach, beforeEach, expect, it } from "vitest";
import { type GatesGround, openGates, type Person } from "../fixtures/gates_ground.ts";

const VOTERS = 8;
const QUORUM = 3;
const ROUNDS = 6;

/** What must hold of approvals whatever happens at the same moment, on any engine. */
export function approvalRaces(): void {
  let house: GatesGround;
  let people: Person[];

  beforeEach(async () => {
    house = await openGates();
    people = [];
    for (let n = 0; n < VOTERS; n++) people.push(await house.human(`voter ${n}`));
  });
  afterEach(() => house.remove());

  const gate = () => ({ ...house.draft().gate, quorum: QUORUM });
  const settledCodes = (results: PromiseSettledResult<unknown>[]) =>
    results.map((each) => (each.status === "fulfilled" ? "ok" : (each.reason as { code: string }).code)).sort();

  it(`${VOTERS} humans at once decide once, with the vote that completes the quorum`, async () => {
    for (let round = 0; round < ROUNDS; round++) {
      const ref = await house.ask(house.draft({ gate: gate() }));
      const { statement_hash } = ref;
      const votes = people.map(({ who }) => house.gates.vote(who, ref.id, { vote: "approve", statement_hash }));
      const codes = settledCodes(await Promise.allSettled(votes));
      expect(codes).toEqual([...Array(VOTERS - QUORUM).fill("APPROVAL_DECIDED"), ...Array(QUORUM).fill("ok")]);
      const kinds = await house.kindsOf(ref.id);
      const count = (kind: string) => kinds.filter((each) => each === kind).length;
      expect(count("approval.approved")).toBe(1);
      expect(count("approval.voted")).toBe(QUORUM);
      expect(count("approval.refused")).toBe(VOTERS - QUORUM);
      expect((await house.view(ref.id)).votes).toHaveLength(QUORUM);
      expect(house.settled.filter(({ id }) => id === ref.id)).toHaveLength(1);
    }
  });

  it("one human who votes many times at once is one vote", async () => {
    const ref = await house.ask(house.draft({ gate: gate() }));
    const { statement_hash } = ref;
    const { who } = people[0]!;
    const again = Array.from({ length: VOTERS }, () =>
      house.gates.vote(who, ref.id, { vote: "approve", statement_hash }),
    );
    const codes = settledCodes(await Promise.allSettled(again));
    expect(codes).toEqual([...Array(VOTERS - 1).fill("APPROVAL_DUPLICATE"), "ok"]);
    expect((await house.view(ref.id)).status).toBe("pending");
  });

  it("of many starts at once one is a start, and a decline comes before it or not at all", async () => {
    for (let round = 0; round < ROUNDS; round++) {
      const draft = house.draft();
      const ref = await house.ask(draft);
      const { statement_hash } = ref;
      await house.gates.vote(people[0]!.who, ref.id, { vote: "approve", statement_hash });
      const starts = Array.from({ length: 4 }, () => house.start(ref.id, draft));
      const veto = house.gates.vote(people[1]!.who, ref.id, { vote: "decline", statement_hash });
      const vetoed = settledCodes(await Promise.allSettled([veto]))[0];
      const codes = await Promise.all(starts);
      const begun = codes.filter((code) => code === undefined).length;
      expect([begun, vetoed]).toEqual(vetoed === "ok" ? [0, "ok"] : [1, "APPROVAL_DECIDED"]);
      const work = await house.storage.get("SELECT starts FROM works WHERE id = ?", [draft.subject_id]);
      expect(work).toEqual({ starts: begun });
      expect((await house.view(ref.id)).status).toBe(begun === 1 ? "executed" : "declined");
    }
  });

  it("of many glasses broken at once one is, and of many requests for the same one waits", async () => {
    const draft = house.draft();
    const refs = await Promise.all(
      people.map(() => house.ask({ ...draft, subject_id: house.ids("run") as typeof draft.subject_id })),
    );
    const pending = (await house.gates.list(house.owner, { status: "pending" })).items;
    expect(pending).toHaveLength(1);
    expect((await house.gates.list(house.owner, { status: "superseded" })).items).toHaveLength(refs.length - 1);
    const [{ id, statement_hash }] = pending as [(typeof pending)[0]];
    const reason = "the site is down for everybody";
    const glasses = people.map(({ who }) => house.gates.breakGlass(who, id, { reason, minutes: 1, statement_hash }));
    const codes = settledCodes(await Promise.allSettled(glasses));
    expect(codes).toEqual([...Array(VOTERS - 1).fill("APPROVAL_DECIDED"), "ok"]);
    expect(await house.gates.debts(house.owner)).toHaveLength(1);
  });
}
