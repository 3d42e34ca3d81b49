import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { eventually } from "../../../tests/fixtures/eventually.ts";
import { agentOf, applyApproved, humanOf, loginOf, type Person, vote } from "../../../tests/fixtures/people.ts";
import { ask, openRunsGround, type RunsGround } from "../../../tests/fixtures/runs_ground.ts";
import { heldScript } from "../../../tests/fixtures/scripted_pool.ts";
import { type RunRequest, TENANT_CONCURRENCY_MAX } from "./contract.ts";

/** Runs that wait for people: what they become, whatever happens meanwhile. */

let house: RunsGround;
let agent: Person;
let owner: Person;

/** Privileged, and asking for nothing but people. */
const contract = (more: string) =>
  `kind: Contract\nname: prod\nextends: production\ntargets: ["*"]\nrequire: []\n${more}`;
const apply = (more = "") => applyApproved(house, { name: "prod.yaml", text: contract(more) });
const submit = (more: Partial<RunRequest> = {}, who = agent) =>
  house.runs.submit(who.who, ask({ contract: "prod", why: "because", ...more }));
const get = (id: string, wait_ms = 10_000) => house.runs.get(agent.who, id, wait_ms);
const approvalOf = async (view: { approval?: string }) => house.gates.get(owner.who, view.approval ?? "");
async function takeEverySlot() {
  const held = heldScript();
  house.pool.script = held.script;
  for (let n = 0; n < TENANT_CONCURRENCY_MAX; n++) await house.runs.submit(owner.who, ask({ wait_ms: 0 }));
  return held;
}
const codeOf = (work: Promise<unknown>) =>
  work.then(
    () => "none",
    (error: { code?: string }) => error.code,
  );

beforeEach(async () => {
  house = await openRunsGround();
  agent = await agentOf(house);
  owner = await loginOf(house);
  await house.runs.recover();
});
afterEach(() => house.remove());

describe("a run whose contract asks for people", () => {
  beforeEach(() => apply());

  it("waits: it is answered at once, holds no slot, and says what moves it on", async () => {
    const view = await submit({ wait_ms: 10_000, target: "eu" });
    expect(view).toMatchObject({ state: "waiting_approval", target: "eu", approval: expect.stringMatching(/^apr_/) });
    expect(view.next_steps?.[0]?.command).toBe(`gantry approve ${view.approval}`);
    const approval = await approvalOf(view);
    expect(approval).toMatchObject({ status: "pending", run: view.id, statement_hash: view.statement_hash });
    expect(await house.kindsOf(view.id)).toEqual(["approval.requested", "run.parked"]);
    expect(house.pool.jobs).toEqual([]);
    expect((await house.runs.list(agent.who, { state: "waiting_approval" })).items.map(({ id }) => id)).toEqual([
      view.id,
    ]);
  });

  it("is shown with what it may do, its whole code and where that comes from", async () => {
    const view = await submit({ code: { source: "export default () => eval('1') // \u202e\u0007" } });
    const { preview, statement } = await approvalOf(view);
    expect(preview.why).toBe("because");
    expect(preview.delta.some(({ loosens }) => loosens)).toBe(true);
    expect(preview.diff).toContain("+export default () => eval('1') // \ufffd\u2407");
    expect(preview.provenance).toMatchObject({ dynamic_code: "yes", task: "not signed", code_signed_by: "nobody" });
    expect(preview.verdict.codes).toEqual(["GATE_REQUIRED"]);
    expect(statement.code).toEqual({ code_hash: view.code_hash });
  });

  it("starts once approved, exactly once, and the next is shown as what differs from it", async () => {
    const view = await submit();
    const waiting = get(view.id);
    await vote(house.gates, owner, view.approval ?? "");
    expect(await waiting).toMatchObject({ state: "ended", termination: "completed" });
    expect((await approvalOf(view)).status).toBe("executed");
    expect(house.pool.jobs).toHaveLength(1);
    expect(await house.kindsOf(view.id)).toEqual([
      ...["approval.requested", "run.parked", "approval.voted", "approval.approved", "run.queued"],
      ...["approval.executed", "run.admitted", "run.ended"],
    ]);
    const next = await submit({ code: { source: "export default () => 2" } });
    const { preview } = await approvalOf(next);
    expect(preview.delta).toEqual([]);
    expect(preview.diff).toContain("-export default () => 1\n");
    expect(preview.diff).toContain("+export default () => 2\n");
    expect(preview.provenance["compared_with"]).toBe(view.id);
  });

  it("ends declined by one vote, also when it waits for a slot, and that counts as an override", async () => {
    const view = await submit();
    await vote(house.gates, owner, view.approval ?? "", "decline");
    expect(await get(view.id)).toMatchObject({ termination: "approval_declined", retry_class: "policy" });
    const [ended] = (await house.entriesOf(view.id)).filter(({ kind }) => kind === "run.ended");
    expect(ended?.data).toMatchObject({
      termination: "approval_declined",
      code: "APPROVAL_DECLINED",
      override: "decline",
    });
  });

  it("is cancelled together with what people were asked", async () => {
    const view = await submit();
    expect(await house.runs.cancel(owner.who, view.id)).toMatchObject({ state: "ended", termination: "cancelled" });
    expect(await approvalOf(view)).toMatchObject({ status: "superseded", code: "RUN_CANCELLED" });
    expect(await codeOf(vote(house.gates, owner, view.approval ?? ""))).toMatch(/^APPROVAL_/);
    const [ended] = (await house.entriesOf(view.id)).filter(({ kind }) => kind === "run.ended");
    expect(ended?.data).toMatchObject({ override: "cancel" });
    expect(house.pool.jobs).toEqual([]);
  });

  it("gives its place to a newer request for the same", async () => {
    const first = await submit();
    const second = await submit();
    expect(await get(first.id)).toMatchObject({ termination: "denied", error: { code: "APPROVAL_SUPERSEDED" } });
    await vote(house.gates, owner, second.approval ?? "");
    expect(await get(second.id)).toMatchObject({ termination: "completed" });
  });

  it("is the same run for the same idempotency key", async () => {
    const request = ask({ contract: "prod" });
    const first = await house.runs.submit(agent.who, request, { key: "k" });
    expect(await house.runs.submit(agent.who, request, { key: "k" })).toMatchObject({
      id: first.id,
      approval: first.approval,
    });
  });

  it("is denied and recorded when nobody could ever approve it", async () => {
    expect(await codeOf(submit({}, owner))).toBe("GATE_UNSATISFIABLE");
    const [run] = (await house.runs.list(owner.who, { termination: "denied" })).items;
    expect(run?.error?.code).toBe("GATE_UNSATISFIABLE");
  });

  it("ends at the time that the caller gave, and what people were asked goes with it", async () => {
    const view = await submit({ expires_at: house.clock.now() + 300 });
    house.storage.timers.start(() => {});
    expect(await get(view.id)).toMatchObject({ termination: "expired", error: { code: "RUN_EXPIRED" } });
    expect(await approvalOf(view)).toMatchObject({ status: "superseded", code: "RUN_EXPIRED" });
    await house.storage.timers.stop();
  });

  it("is denied at its start when an actor of its chain is suspended by then", async () => {
    const held = await takeEverySlot();
    const view = await submit();
    await vote(house.gates, owner, view.approval ?? "");
    await eventually(async () => (await get(view.id, 0)).state === "queued", "the approved run waits for a slot");
    await house.identity.setActorState(house.owner, agent.who.actor, "suspended");
    held.endAll();
    expect(await house.runs.get(owner.who, view.id, 10_000)).toMatchObject({
      termination: "denied",
      error: { code: "ACTOR_SUSPENDED" },
    });
    expect(await approvalOf(view)).toMatchObject({ status: "superseded", code: "ACTOR_SUSPENDED" });
  });
});

it("privileged code does not start, whatever policy says, without an approval", async () => {
  await apply();
  const open = house.policy.open.bind(house.policy);
  house.policy.open = async (...asked) => {
    const view = await open(...asked);
    const decide: typeof view.decide = (request) => ({
      ...view.decide(request),
      verdict: "allow",
      gates: [],
      reasons: [],
    });
    return { ...view, decide };
  };
  await expect(submit()).rejects.toThrow("nothing privileged starts unapproved");
  expect(house.pool.jobs).toEqual([]);
  expect((await house.runs.list(owner.who, {})).items).toEqual([]);
});

describe("what was approved is void", () => {
  it("when the contract has changed meanwhile, and the run is denied by name", async () => {
    await apply();
    const view = await submit();
    await apply("limits: {cpu_ms: 900}\n");
    await vote(house.gates, owner, view.approval ?? "");
    const ended = await get(view.id);
    expect(ended).toMatchObject({ termination: "denied" });
    expect(ended.error?.code).toMatch(/^APPROVAL_STALE_(SNAPSHOT|CONTRACT)$/);
    expect(await house.kindsOf(view.id)).toEqual(expect.arrayContaining(["approval.refused", "approval.superseded"]));
    expect(house.pool.jobs).toEqual([]);
  });

  it.each([
    ["input", { input: '{"a":2}', input_hash: "0".repeat(64) }, "APPROVAL_STALE_ACTION"],
    ["variables", { vars: '{"A":"c"}' }, "APPROVAL_STALE_ACTION"],
    ["target", { target: "us" }, "APPROVAL_STALE_ACTION"],
  ])("when its %s were changed in the store", async (_what, columns, code) => {
    await apply();
    const view = await submit({ target: "eu" });
    const sets = Object.keys(columns).map((name) => `${name} = ?`);
    await house.storage.write((tx) =>
      tx.run(`UPDATE runs SET ${sets.join(", ")} WHERE id = ?`, [...Object.values(columns), view.id], 1),
    );
    await vote(house.gates, owner, view.approval ?? "");
    expect(await get(view.id)).toMatchObject({ termination: "denied", error: { code } });
    expect(house.pool.jobs).toEqual([]);
  });

  it("when nobody decides, or it does not start, in time", async () => {
    const clocks = (not_after_ms: number, execute_before_ms: number) =>
      apply(
        `gates: [{on: "*", name: production, quorum: 1, not_after_ms: ${not_after_ms}, execute_before_ms: ${execute_before_ms}}]\n`,
      );
    await clocks(1_000, 1_000);
    const late = await submit();
    house.storage.timers.start(() => {});
    expect(await get(late.id)).toMatchObject({ termination: "expired", error: { code: "APPROVAL_EXPIRED" } });

    const held = await takeEverySlot();
    const slow = await submit();
    await vote(house.gates, owner, slow.approval ?? "");
    expect(await get(slow.id)).toMatchObject({ termination: "expired", error: { code: "APPROVAL_EXECUTE_EXPIRED" } });
    held.endAll();
    await house.storage.timers.stop();
    expect(house.pool.jobs.map(({ run }) => run)).not.toContain(slow.id);
  });
});

describe("after a restart", () => {
  it("a run that waits for people waits on, and one that was approved starts once", async () => {
    await apply();
    const parked = await submit();
    const approved = await submit({ code: { source: "export default () => 2" } });
    const { directory } = house;
    const { statement_hash } = await approvalOf(approved);
    await house.gates.vote(owner.who, approved.approval ?? "", { vote: "approve", statement_hash });
    await house.crash();
    house = await openRunsGround({ directory, boot: "boot-2" });
    await house.runs.recover();
    agent = await agentOf(house);
    owner = await loginOf(house);
    const done = await get(approved.id);
    expect(["completed", "node_lost"]).toContain(done.termination);
    const kinds = await house.kindsOf(approved.id);
    expect(kinds.filter((kind) => kind === "approval.executed").length).toBeLessThanOrEqual(1);
    expect((await get(parked.id, 0)).state).toBe("waiting_approval");
    await vote(house.gates, owner, parked.approval ?? "");
    expect(await get(parked.id)).toMatchObject({ termination: "completed" });
  });
});

it("quorum: a run starts after enough different humans, and not after one", async () => {
  const second = await humanOf(house, "second");
  const text = contract('gates: [{on: "*", name: production, quorum: 2}]\n');
  const { proposal } = await house.policy.apply({ name: "prod.yaml", text }, agent.who);
  // The contract's own gates hold its first version already.
  for (const person of [owner, second]) {
    const open = (await house.gates.get(owner.who, proposal?.approval ?? "")).status === "pending";
    if (open) await vote(house.gates, person, proposal?.approval ?? "");
  }
  const view = await submit();
  await vote(house.gates, owner, view.approval ?? "");
  expect((await get(view.id, 0)).state).toBe("waiting_approval");
  await vote(house.gates, second, view.approval ?? "");
  expect(await get(view.id)).toMatchObject({ termination: "completed" });
});
