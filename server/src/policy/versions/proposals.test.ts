import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { ScriptedApprovals } from "../../../../tests/fixtures/approvals.ts";
import { type Ground, openGround } from "../../../../tests/fixtures/ground.ts";
import { GantryError, isGantryError } from "../../kernel/errors.ts";
import type { TenantId } from "../../kernel/ids.ts";
import { type ContractDocument, contract_errors, NOT_AFTER_MS_DEFAULT, PREVIEW_TEXT_MAX } from "../contract.ts";
import { Decider } from "../decide.ts";
import { ContractPolicy } from "../policy.ts";

let ground: Ground;
const decider = new Decider();

beforeAll(async () => {
  ground = await openGround();
});
afterAll(() => ground.remove());

/** A process of its own over the same store. */
function fresh() {
  const policy = new ContractPolicy({ ...ground, decider });
  return { policy, approvals: new ScriptedApprovals(ground.storage, policy) };
}
const by = () => [{ actor: ground.owned.owner, kind: "human" as const }];
const newTenant = (): TenantId => ground.ids("ten");
const document = (more = "", name = "acme"): ContractDocument => ({
  name: `${name}.yaml`,
  text: `kind: Contract\nname: ${name}\nextends: scratch\n${more}\n`,
});
const strict = document("limits: {cpu_ms: 500}");
const loose = document("limits: {cpu_ms: 900}");
const looser = document("limits: {cpu_ms: 950}");
const entries = async (tenant: TenantId) =>
  (await ground.ledger.list({ tenant, limit: 200 })).items.map(({ kind, data, actor }) => ({ kind, data, actor }));
const kindsOf = async (tenant: TenantId) => (await entries(tenant)).map(({ kind }) => kind);
const code = (work: Promise<unknown>) =>
  work.then(
    () => "done",
    (error: unknown) => (isGantryError(error) ? error.code : String(error)),
  );

describe("a document that loosens", () => {
  it("waits for people, and what is active stays so", async () => {
    const tenant = newTenant();
    const { policy, approvals } = fresh();
    await policy.applyAll(tenant, [strict], by());
    const [proposed] = await policy.applyAll(tenant, [loose], by());
    const [asked] = approvals.asked;
    expect(proposed).toMatchObject({
      changed: true,
      contract: { version: 2, state: "pending", approval: asked!.id },
      proposal: { version: 2, approval: asked!.id },
      delta: { loosens: true },
    });
    expect((await policy.open(tenant, "acme")).ref.version).toBe(1);
    expect(await policy.get(tenant, "acme")).toMatchObject({
      version: 1,
      pending: { version: 2, approval: asked!.id },
    });
    expect((await entries(tenant)).at(-1)).toMatchObject({
      kind: "contract.proposed",
      data: { name: "acme", version: 2, replaces: 1, approval: asked!.id, loosens: ["/limits/cpu_ms"] },
    });
    // What the statement names can be read before it holds.
    expect((await policy.snapshot(tenant, proposed!.contract.snapshot)).contract.limits.cpu_ms).toBe(900);
  });

  it("asks with everything that people need to see", async () => {
    const tenant = newTenant();
    const { policy, approvals } = fresh();
    const staging = ({ name, text }: ContractDocument) => ({ name, text: text.replace("scratch", "staging-mutation") });
    await policy.applyAll(tenant, [staging(strict)], by());
    const text = `${staging(loose).text}egress: [{hosts: [a.example], protocol: https, methods: [POST]}]\n# why\n`;
    await policy.applyAll(tenant, [{ name: "acme.yaml", text }], by());
    const { draft } = approvals.asked[0]!;
    expect(draft).toMatchObject({
      tenant,
      subject: "contract",
      subject_id: "acme@2",
      gate: { on: "contract.apply", name: "contract", quorum: 1, not_after_ms: NOT_AFTER_MS_DEFAULT },
      action: { name: "contract.apply", resource: "contract:acme" },
      contract: { name: "acme", version: 2 },
      blast_radius: { hosts: ["a.example"], methods: ["POST"], reversible: true },
      requester: { actor: ground.owned.owner },
      authors: [ground.owned.owner],
      privileged: false,
    });
    expect(draft.preview.delta.map(({ at }) => at)).toEqual(["/egress/0", "/limits/cpu_ms"]);
    expect(draft.preview.diff).toContain("-limits: {cpu_ms: 500}\n+limits: {cpu_ms: 900}\n");
    expect(draft.preview.diff).toContain("+# why");
  });

  it("is asked about by as many people as any of its gates asks for", async () => {
    const tenant = newTenant();
    const { policy, approvals } = fresh();
    const gated = (quorum: number, more = "") =>
      document(`gates: [{on: app.deploy, name: deploy, quorum: ${quorum}, not_after_ms: 60000}]\n${more}`);
    await policy.applyAll(tenant, [gated(3)], by());
    await policy.applyAll(tenant, [gated(1)], by());
    // Fewer could otherwise lower what they may not open. The clock of another action is none of this one's.
    expect(approvals.asked.at(-1)!.draft.gate).toMatchObject({ quorum: 3, not_after_ms: NOT_AFTER_MS_DEFAULT });
  });

  it("shows at most PREVIEW_TEXT_MAX of a diff, also of one that nobody could work out in time", async () => {
    const tenant = newTenant();
    const { policy, approvals } = fresh();
    const lines = (word: string) => Array.from({ length: 12_000 }, (_, i) => `# ${word} ${i}`).join("\n");
    await policy.applyAll(tenant, [{ ...strict, text: strict.text + lines("a") }], by());
    await policy.applyAll(tenant, [{ ...loose, text: loose.text + lines("b") }], by());
    const { diff } = approvals.asked[0]!.draft.preview;
    expect(diff!.length).toBeLessThanOrEqual(PREVIEW_TEXT_MAX);
    expect(diff!.endsWith("(cut)\n")).toBe(true);
  });

  it("that nobody may approve changes nothing, and does not stop a start", async () => {
    const tenant = newTenant();
    const { policy, approvals } = fresh();
    await policy.applyAll(tenant, [strict], by());
    const kind = { ...contract_errors.UNKNOWN, code: "GATE_UNSATISFIABLE" };
    approvals.refuse = new GantryError(kind, { detail: "There are fewer." });
    expect(await code(policy.applyAll(tenant, [loose], by()))).toBe("GATE_UNSATISFIABLE");
    const started = await policy.applyAtStart(tenant, [loose, document("", "other")], by());
    expect(started.refused).toMatchObject([{ name: "acme.yaml", error: { kind: { code: "GATE_UNSATISFIABLE" } } }]);
    expect(started.applied).toMatchObject([{ contract: { name: "other" } }]);
    expect(await kindsOf(tenant)).toEqual(["contract.applied", "contract.applied"]);
  });
});

describe("a proposal that people decide about", () => {
  it("is active in the deciding unit, and this process knows it at once", async () => {
    const tenant = newTenant();
    const { policy, approvals } = fresh();
    await policy.applyAll(tenant, [strict], by());
    await policy.applyAll(tenant, [loose], by());
    expect(await approvals.decide("approved")).toEqual({ executed: true });
    expect(await policy.open(tenant, "acme")).toMatchObject({
      ref: { version: 2 },
      contract: { limits: { cpu_ms: 900 } },
    });
    expect((await entries(tenant)).at(-1)).toMatchObject({
      kind: "contract.applied",
      data: { version: 2, replaces: 1, approval: approvals.asked[0]!.id },
    });
    expect(await policy.version(tenant, "acme", 1)).toMatchObject({ state: "retired", source: strict.text });
    expect(await policy.version(tenant, "acme", 2)).toMatchObject({
      state: "active",
      approval: approvals.asked[0]!.id,
    });
    // The same document once more changes nothing.
    expect((await policy.applyAll(tenant, [loose], by()))[0]).toMatchObject({ changed: false, proposal: null });
  });

  it("is used up: it cannot be activated again", async () => {
    const tenant = newTenant();
    const { policy, approvals } = fresh();
    await policy.applyAll(tenant, [strict], by());
    await policy.applyAll(tenant, [loose], by());
    await approvals.decide("broken_glass");
    await policy.applyAll(tenant, [strict], by());
    expect(await approvals.decide("approved")).toEqual({ stale: "APPROVAL_STALE_CONTRACT" });
    expect((await policy.open(tenant, "acme")).contract.limits.cpu_ms).toBe(500);
  });

  it.each(["declined", "expired"] as const)("comes to nothing when it is %s", async (outcome) => {
    const tenant = newTenant();
    const { policy, approvals } = fresh();
    await policy.applyAll(tenant, [strict], by());
    await policy.applyAll(tenant, [loose], by());
    expect(await approvals.decide(outcome)).toBeUndefined();
    expect((await policy.open(tenant, "acme")).ref.version).toBe(1);
    expect((await entries(tenant)).at(-1)).toMatchObject({
      kind: "contract.retired",
      data: { version: 2, code: `APPROVAL_${outcome.toUpperCase()}` },
    });
    // A number is never used twice.
    expect((await policy.applyAll(tenant, [loose], by()))[0]).toMatchObject({ contract: { version: 3 } });
  });

  it("is stale when something else is active by then", async () => {
    const tenant = newTenant();
    const { policy, approvals } = fresh();
    await policy.applyAll(tenant, [strict], by());
    await policy.applyAll(tenant, [loose], by());
    await policy.applyAll(tenant, [document("limits: {cpu_ms: 100}")], by());
    expect(await approvals.decide("approved")).toEqual({ stale: "APPROVAL_STALE_CONTRACT" });
    expect((await policy.open(tenant, "acme")).ref.version).toBe(3);
    expect(await policy.version(tenant, "acme", 2)).toMatchObject({ state: "retired" });
  });

  it("gives way to a later one of the same contract, and not to the same one", async () => {
    const tenant = newTenant();
    const { policy, approvals } = fresh();
    await policy.applyAll(tenant, [strict], by());
    const [first] = await policy.applyAll(tenant, [loose], by());
    const [same] = await fresh().policy.applyAll(tenant, [loose], by());
    expect(same).toMatchObject({ changed: false, proposal: first!.proposal });
    const [second] = await policy.applyAll(tenant, [looser], by());
    expect(second).toMatchObject({ changed: true, proposal: { version: 3 } });
    expect((await kindsOf(tenant)).slice(1)).toEqual(["contract.proposed", "contract.retired", "contract.proposed"]);
    expect(await approvals.decide("approved", approvals.asked[0]!.id)).toEqual({ stale: "APPROVAL_STALE_CONTRACT" });
    expect(await approvals.decide("approved", approvals.asked[1]!.id)).toEqual({ executed: true });
    expect((await policy.open(tenant, "acme")).contract.limits.cpu_ms).toBe(950);
  });

  it("of a new contract opens nothing before", async () => {
    const tenant = newTenant();
    const { policy, approvals } = fresh();
    const { text } = document("egress: [{hosts: [a.example], protocol: https}]");
    await policy.applyAll(tenant, [{ name: "acme", text: text.replace("scratch", "read-only") }], by());
    const error: unknown = await policy.open(tenant, "acme").catch((reason: unknown) => reason);
    expect(isGantryError(error) && error.parts.detail).toContain(approvals.asked[0]!.id);
    expect(await approvals.decide("approved")).toEqual({ executed: true });
    expect((await policy.open(tenant, "acme")).ref.version).toBe(1);
  });
});

describe("the version that a caller has seen", () => {
  it("is compared before anything is changed", async () => {
    const { policy } = fresh();
    const { owner } = ground;
    const put = (text: ContractDocument, if_version: number) => policy.apply(text, owner, { name: "seen", if_version });
    const seen = (more: string) => document(more, "seen");
    expect(await code(put(seen("limits: {cpu_ms: 500}"), 1))).toBe("CONTRACT_CONFLICT");
    expect((await put(seen("limits: {cpu_ms: 500}"), 0)).contract.version).toBe(1);
    expect(await code(put(seen("limits: {cpu_ms: 400}"), 0))).toBe("CONTRACT_CONFLICT");
    expect((await put(seen("limits: {cpu_ms: 400}"), 1)).contract.version).toBe(2);
    // An answer that was lost is given again.
    expect(await put(seen("limits: {cpu_ms: 400}"), 1)).toMatchObject({ changed: false, contract: { version: 2 } });
    expect(await code(policy.apply(strict, owner, { name: "other" }))).toBe("CONTRACT_INVALID");
  });
});

it("two proposals at once leave one that waits", async () => {
  const tenant = newTenant();
  const [one, other] = [fresh(), fresh()];
  await one.policy.applyAll(tenant, [strict], by());
  // Of two processes: each has people of its own, and only the store is shared.
  await Promise.all([one.policy.applyAll(tenant, [loose], by()), other.policy.applyAll(tenant, [looser], by())]);
  const rows = await ground.storage.all("SELECT version, state FROM contracts WHERE tenant_id = ? ORDER BY version", [
    tenant,
  ]);
  expect(rows.map((row) => row["state"])).toEqual(["active", "retired", "pending"]);
  const retired = (await entries(tenant)).filter(({ kind }) => kind === "contract.retired");
  expect(retired).toMatchObject([{ data: { version: 2, code: "APPROVAL_SUPERSEDED" } }]);
});

it("a tightening and an approval at once never leave what nobody approved", async () => {
  const tenant = newTenant();
  const { policy, approvals } = fresh();
  await policy.applyAll(tenant, [strict], by());
  await policy.applyAll(tenant, [loose], by());
  const [answer] = await Promise.all([
    approvals.decide("approved"),
    policy.applyAll(tenant, [document("limits: {cpu_ms: 100}")], by()),
  ]);
  // Whichever came first: what is active now is the tightening, and the approval either held before it or was stale.
  expect((await policy.open(tenant, "acme")).contract.limits.cpu_ms).toBe(100);
  expect([{ executed: true }, { stale: "APPROVAL_STALE_CONTRACT" }]).toContainEqual(answer);
});
