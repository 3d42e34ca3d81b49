import fc from "fast-check";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { type Ground, openGround } from "../../../tests/fixtures/ground.ts";
import type { Principal, SettingGate, TenantSettings } from "./contract.ts";
import { RUN_MS_DAY_MAX } from "./contract.ts";
import { loosens, type SettingDecided } from "./settings.ts";

let ground: Ground;
/** What people were asked, in the place of the room above. */
let asked: Parameters<SettingGate["request"]>[1][];

beforeEach(async () => {
  ground = await openGround();
  asked = [];
});
afterEach(() => ground.remove());

const gate: SettingGate = {
  async request(_tx, ask) {
    asked.push(ask);
    return { approval: `apr_${asked.length}`, statement_hash: "0".repeat(64) };
  },
};
const code = (text: string) => ({ code: text });
const change = (settings: Partial<TenantSettings>, rev: number, who: Principal = ground.owner) =>
  ground.identity.changeSettings(who, gate, { rev, settings });
const now = () => ground.identity.settings(ground.storage, ground.owned.tenant);
const decide = (outcome: SettingDecided["outcome"], o: Partial<SettingDecided> = {}) =>
  ground.storage.write((tx) =>
    ground.identity.settingDecided(tx, {
      id: `apr_${asked.length}`,
      tenant: ground.owned.tenant,
      outcome,
      statement: { action: { params_hash: asked.at(-1)!.params_hash } },
      by: ground.owner.chain,
      ...o,
    }),
  );
const changes = async () =>
  (await ground.ledger.list({ kind: "tenant.changed", limit: 10 })).items.map(({ data }) => data);

describe("the settings of a tenant", () => {
  it("begin as principal where one person set Gantry up, and as independent elsewhere", async () => {
    expect(await now()).toEqual({ approval_independence: "principal", run_ms_day: null, egress_deny: [] });
    const { tenant } = await ground.identity.createTenant(ground.owner, "acme");
    expect(await ground.identity.settings(ground.storage, tenant.id)).toEqual({
      approval_independence: "independent",
      run_ms_day: null,
      egress_deny: [],
    });
  });

  it("tighten at once, with an entry that names what changed", async () => {
    const answer = await change({ approval_independence: "independent", run_ms_day: 5 }, 1);
    expect(answer).toMatchObject({ done: true, tenant: { settings_rev: 2 } });
    expect(await now()).toEqual({ approval_independence: "independent", run_ms_day: 5, egress_deny: [] });
    const { tenant } = ground.owned;
    expect(await changes()).toEqual([{ tenant, rev: 2, changed: ["approval_independence", "run_ms_day"] }]);
    expect(asked).toEqual([]);
  });

  it("that stay as they are change nothing and record nothing", async () => {
    expect(await change({ run_ms_day: null }, 1)).toMatchObject({ done: true, tenant: { settings_rev: 1 } });
    expect(await change({}, 1)).toMatchObject({ done: true, tenant: { settings_rev: 1 } });
    expect(await changes()).toEqual([]);
  });

  it("of another revision than was read are refused, and so is who may not propose", async () => {
    await expect(change({ run_ms_day: 1 }, 2)).rejects.toMatchObject(code("TENANT_CONFLICT"));
    const { secret } = await ground.identity.mintToken(ground.owner, { scopes: ["contract:read", "tenant:manage"] });
    const reader = await ground.identity.authenticate(secret);
    expect(() => change({ run_ms_day: 1 }, 1, reader)).toThrow("SCOPE_MISSING");
  });

  it("of two changes at once to one revision, one holds", async () => {
    const both = await Promise.allSettled([change({ run_ms_day: 1 }, 1), change({ run_ms_day: 2 }, 1)]);
    expect(both.map(({ status }) => status).sort()).toEqual(["fulfilled", "rejected"]);
    expect(both.find((each) => each.status === "rejected")?.reason).toMatchObject(code("TENANT_CONFLICT"));
  });
});

describe("a change that loosens", () => {
  beforeEach(() => change({ approval_independence: "independent", run_ms_day: 5 }, 1));

  it("waits for people as a whole, although a part of it tightens", async () => {
    const answer = await change({ approval_independence: "principal", run_ms_day: 1 }, 2);
    expect(answer).toMatchObject({ done: false, approval: "apr_1", tenant: { settings_rev: 2 } });
    expect(await now()).toEqual({ approval_independence: "independent", run_ms_day: 5, egress_deny: [] });
    expect(asked).toMatchObject([{ before: { settings_rev: 2 }, after: { run_ms_day: 1 } }]);
  });

  it("is made in the unit that decides, and names its approval", async () => {
    await change({ run_ms_day: null }, 2);
    expect(await decide("approved")).toEqual({ executed: true });
    expect((await now()).run_ms_day).toBeNull();
    expect((await changes()).at(-1)).toMatchObject({ rev: 3, changed: ["run_ms_day"], approval: "apr_1" });
    // Decided again, as a unit may be: it is used up.
    expect(await decide("approved")).toEqual({ stale: "APPROVAL_STALE_ACTION" });
  });

  it.each(["declined", "expired", "superseded"] as const)("that is %s comes to nothing", async (outcome) => {
    await change({ run_ms_day: null }, 2);
    expect(await decide(outcome)).toBeUndefined();
    expect((await now()).run_ms_day).toBe(5);
    expect(await ground.storage.all("SELECT * FROM setting_proposals", [])).toEqual([]);
  });

  it("is stale when the settings have changed since", async () => {
    await change({ run_ms_day: null }, 2);
    await change({ run_ms_day: 4 }, 2);
    expect(await decide("approved")).toEqual({ stale: "APPROVAL_STALE_ACTION" });
    expect((await now()).run_ms_day).toBe(4);
  });

  it("is stale when what is kept of it is not what was approved, or is another tenant's", async () => {
    await change({ run_ms_day: 6 }, 2);
    const forged = JSON.stringify({ approval_independence: "principal", run_ms_day: null, egress_deny: [] });
    const { tenant } = await ground.identity.createTenant(ground.owner, "acme");
    expect(await decide("approved", { tenant: tenant.id })).toEqual({ stale: "APPROVAL_STALE_ACTION" });
    await change({ run_ms_day: 6 }, 2);
    await ground.storage.write((tx) => tx.run("UPDATE setting_proposals SET settings_json = ?", [forged]));
    expect(await decide("approved")).toEqual({ stale: "APPROVAL_STALE_ACTION" });
    expect((await now()).run_ms_day).toBe(5);
  });
});

it("what loosens one way tightens the other, and nothing loosens into itself", () => {
  const settings = fc.record<TenantSettings>({
    approval_independence: fc.constantFrom("principal", "independent"),
    run_ms_day: fc.option(fc.integer({ min: 0, max: RUN_MS_DAY_MAX }), { nil: null }),
    egress_deny: fc.subarray(["a.example", "b.example"]),
  });
  fc.assert(
    fc.property(settings, settings, (a, b) => {
      expect(loosens(a, a)).toBe(false);
      if (JSON.stringify(a) !== JSON.stringify(b)) expect(loosens(a, b) || loosens(b, a)).toBe(true);
    }),
  );
});
