import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { ScriptedApprovals } from "../../../../tests/fixtures/approvals.ts";
import { type Ground, openGround } from "../../../../tests/fixtures/ground.ts";
import { VirtualClock } from "../../../../tests/fixtures/virtual_clock.ts";
import type { EntryId, TenantId } from "../../kernel/ids.ts";
import { type ContractDocument, HEADS_POLL_MS, type PolicyRequest } from "../contract.ts";
import { Decider } from "../decide.ts";
import { ContractPolicy } from "../policy.ts";
import { Phases } from "./phase.ts";

let ground: Ground;
let clock: VirtualClock;
const decider = new Decider();

beforeAll(async () => {
  clock = new VirtualClock();
  ground = await openGround({ clock });
});
afterAll(() => ground.remove());

const by = () => [{ actor: ground.owned.owner, kind: "human" as const }];
const newTenant = (): TenantId => ground.ids("ten");
const rollback = "rollback_when: [{metric: denied_ratio, over: 0.05, window_ms: 60000, min_runs: 20}]";
const staged = (more = "", name = "acme"): ContractDocument => ({
  name: `${name}.yaml`,
  text: `kind: Contract\nname: ${name}\nextends: scratch\nphase: {n: 1, ${rollback}}\n${more}\n`,
});
const submit: PolicyRequest = { action: "run.submit", resource: "code:1", context: {} };

/** A process of its own over the same store, and runs that were counted so. */
function process() {
  const policy = new ContractPolicy({ ...ground, decider });
  const approvals = new ScriptedApprovals(ground.storage, policy);
  const runs = { runs: 0, denied: 0, failed: 0, overridden: 0, drifted: 0 };
  const asked: unknown[] = [];
  const told: unknown[] = [];
  const phases = new Phases({
    ledger: ground.ledger,
    policy,
    counts: {
      count: async (_, ask) => {
        asked.push(ask);
        return runs;
      },
    },
    notices: { suspended: async (_, suspended) => void told.push(suspended) },
  });
  const observe = async (tenant: TenantId, version: number, name = "acme") => {
    const ended = { tenant, contract: { name, version }, entry: ground.ids("ent") as EntryId, at: clock.now() };
    const settled = await ground.storage.write((tx) => phases.observe(tx, ended));
    return { entry: ended.entry, settled };
  };
  return { policy, approvals, runs, asked, told, observe };
}

describe("a phase", () => {
  it("suspends its contract at the first run past the line, and says by which entry", async () => {
    const tenant = newTenant();
    const { policy, runs, asked, told, observe } = process();
    await policy.applyAll(tenant, [staged()], by());
    const view = await policy.open(tenant, "acme");
    Object.assign(runs, { runs: 19, denied: 19 });
    expect((await observe(tenant, 1)).settled).toBeUndefined(); // One run too few.
    Object.assign(runs, { runs: 20, denied: 1 });
    expect((await observe(tenant, 1)).settled).toBeUndefined(); // At the line, not past it.
    Object.assign(runs, { runs: 20, denied: 2 });
    const { entry, settled } = await observe(tenant, 1);
    expect(asked.at(-1)).toEqual({ tenant, contract: "acme", version: 1, since: clock.now() - 60_000 });
    expect(view.decide(submit).verdict).toBe("allow"); // The unit could still have failed.
    settled?.();
    expect(view.decide(submit)).toMatchObject({ verdict: "deny", reasons: [{ code: "CONTRACT_SUSPENDED" }] });
    expect(view.decide(submit).reasons[0]!.detail).toContain(entry);
    await expect(policy.open(tenant, "acme")).rejects.toMatchObject({
      code: "CONTRACT_SUSPENDED",
      parts: { detail: expect.stringContaining(entry) },
    });
    const suspended = { name: "acme", version: 1, metric: "denied_ratio", entry };
    expect(told).toEqual([{ tenant, at: clock.now(), ...suspended }]);
    const newest = (await ground.ledger.list({ tenant, kind: "contract.suspended", limit: 9 })).items.at(-1);
    expect(newest).toMatchObject({ actor: [], refs: [entry], data: { ...suspended, counted: 2, runs: 20 } });
    // Once is enough.
    expect((await observe(tenant, 1)).settled).toBeUndefined();
    expect(told).toHaveLength(1);
  });

  it("counts each metric by its own number", async () => {
    const counted = {
      denied_ratio: "denied",
      failure_ratio: "failed",
      override_ratio: "overridden",
      drift_ratio: "drifted",
    } as const;
    for (const [metric, number] of Object.entries(counted)) {
      const tenant = newTenant();
      const { policy, runs, observe } = process();
      const { name, text } = staged();
      await policy.applyAll(tenant, [{ name, text: text.replace("denied_ratio", metric) }], by());
      for (const other of Object.values(counted)) Object.assign(runs, { runs: 20, [other]: other === number ? 0 : 20 });
      expect((await observe(tenant, 1)).settled).toBeUndefined();
      Object.assign(runs, { [number]: 2 });
      expect((await observe(tenant, 1)).settled).toBeDefined();
    }
  });

  it("is not asked about contracts without one, built-in ones, and versions that are no longer active", async () => {
    const tenant = newTenant();
    const { policy, runs, asked, observe } = process();
    Object.assign(runs, { runs: 20, denied: 20 });
    await policy.applyAll(
      tenant,
      [{ name: "p", text: "kind: Contract\nname: plain\nextends: scratch\n" }, staged()],
      by(),
    );
    await policy.open(tenant, "plain");
    await policy.applyAll(tenant, [staged("limits: {cpu_ms: 1}")], by());
    expect((await observe(tenant, 1, "plain")).settled).toBeUndefined();
    expect((await observe(tenant, 3, "scratch")).settled).toBeUndefined();
    expect((await observe(tenant, 1)).settled).toBeUndefined();
    expect(asked).toEqual([]);
    expect((await observe(tenant, 2)).settled).toBeDefined();
  });
});

describe("a contract that has suspended itself", () => {
  const suspend = async () => {
    const tenant = newTenant();
    const process_ = process();
    await process_.policy.applyAll(tenant, [staged()], by());
    Object.assign(process_.runs, { runs: 20, denied: 20 });
    const { entry, settled } = await process_.observe(tenant, 1);
    settled?.();
    return { tenant, entry, ...process_ };
  };

  it("stays so after a restart, whatever the configuration says again", async () => {
    const { tenant, entry } = await suspend();
    const { policy, approvals } = process();
    const [same] = await policy.applyAll(tenant, [staged()], by());
    expect(same).toMatchObject({ changed: false, contract: { state: "suspended", suspension: { entry } } });
    expect(approvals.asked).toEqual([]);
    expect(await policy.get(tenant, "acme")).toMatchObject({
      state: "suspended",
      suspension: { counted: 20, runs: 20 },
    });
  });

  it("is resumed by applying a version, which loosens, the same and a tighter one alike", async () => {
    for (const more of ["", "limits: {cpu_ms: 1}"]) {
      const { policy, approvals, entry } = await suspend();
      const own = `re-${more === "" ? "same" : "tighter"}`;
      const tenant = ground.owner.tenant;
      await policy.applyAll(tenant, [staged("", own)], by());
      const { observe, runs } = process();
      Object.assign(runs, { runs: 20, denied: 20 });
      await observe(tenant, 1, own);
      const applied = await policy.apply(staged(more, own), ground.owner);
      expect(applied).toMatchObject({ proposal: { version: 2 }, delta: { loosens: true } });
      expect(applied.delta.lines[0]).toMatchObject({ at: "/phase", loosens: true });
      expect(entry).toMatch(/^ent_/);
      await expect(policy.open(tenant, own)).rejects.toMatchObject({ code: "CONTRACT_SUSPENDED" });
      expect(await approvals.decide("approved")).toEqual({ executed: true });
      expect((await policy.open(tenant, own)).decide(submit).verdict).toBe("allow");
    }
  });

  it("voids a proposal that was made before people could know of it", async () => {
    const tenant = newTenant();
    const { policy, approvals, runs, observe } = process();
    await policy.applyAll(tenant, [staged()], by());
    await policy.applyAll(tenant, [staged("redaction: {prompts: keep}")], by());
    Object.assign(runs, { runs: 20, denied: 20 });
    await observe(tenant, 1);
    expect(await approvals.decide("approved")).toEqual({ stale: "APPROVAL_STALE_CONTRACT" });
  });
});

describe("work that is under way", () => {
  const limits = (cpu_ms: number) => ({ ...submit, context: { limits: { cpu_ms } } });
  const acme = (cpu_ms: number): ContractDocument => ({
    name: "acme.yaml",
    text: `kind: Contract\nname: acme\nextends: scratch\nlimits: {cpu_ms: ${cpu_ms}}\n`,
  });

  it("must pass its own snapshot and the active one: tightening bites at once, loosening never", async () => {
    const tenant = newTenant();
    const { policy, approvals } = process();
    await policy.applyAll(tenant, [acme(500)], by());
    const view = await policy.open(tenant, "acme");
    expect(view.decide(limits(500)).verdict).toBe("allow");
    await policy.applyAll(tenant, [acme(100)], by());
    expect(view.decide(limits(500))).toMatchObject({ verdict: "deny", snapshot: view.snapshot });
    expect(view.decide(limits(500)).reasons[0]!.code).toBe("CONTRACT_LIMIT");
    expect(view.decide(limits(100)).verdict).toBe("allow");
    await policy.applyAll(tenant, [acme(900)], by());
    await approvals.decide("approved");
    expect(view.decide(limits(600)).verdict).toBe("deny");
    expect(view.decide(limits(500)).verdict).toBe("allow");
    expect((await policy.open(tenant, "acme")).decide(limits(600)).verdict).toBe("allow");
  });

  it("hears of another process's tightening within HEADS_POLL_MS", async () => {
    const tenant = newTenant();
    const [one, other] = [process(), process()];
    await one.policy.applyAll(tenant, [acme(500)], by());
    const view = await one.policy.open(tenant, "acme");
    one.policy.heads.start();
    await other.policy.applyAll(tenant, [acme(100)], by());
    expect(view.decide(limits(500)).verdict).toBe("allow");
    clock.advance(HEADS_POLL_MS);
    await one.policy.heads.poll();
    expect(view.decide(limits(500)).verdict).toBe("deny");
    await one.policy.heads.close();
  });

  it("never goes back to an older state that was read late", async () => {
    const tenant = newTenant();
    const { policy } = process();
    await policy.applyAll(tenant, [acme(500)], by());
    const view = await policy.open(tenant, "acme");
    const old = await ground.storage.get("SELECT * FROM contracts WHERE tenant_id = ?", [tenant]);
    await policy.applyAll(tenant, [acme(100)], by());
    policy.heads.moved(old as never);
    expect(view.decide(limits(500)).verdict).toBe("deny");
  });
});
