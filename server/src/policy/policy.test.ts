import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { type Ground, openGround } from "../../../tests/fixtures/ground.ts";
import { stateDigest } from "../evidence/entry.ts";
import { canonicalJson } from "../kernel/canonical.ts";
import { isGantryError } from "../kernel/errors.ts";
import type { TenantId } from "../kernel/ids.ts";
import { LIMIT_NAMES, RUN_LIMITS } from "../kernel/limits.ts";
import { BUILTIN_VERSION, builtinContracts } from "./builtin.ts";
import { CONTRACTS_PER_TENANT_MAX, type ContractDocument } from "./contract.ts";
import { ContractPolicy } from "./policy.ts";
import { auditedRow } from "./store.ts";

let ground: Ground;
let policy: ContractPolicy;

beforeAll(async () => {
  ground = await openGround();
  policy = fresh();
});
afterAll(() => ground.remove());

/** As after a restart: nothing is remembered. */
const fresh = (): ContractPolicy => new ContractPolicy(ground);
const by = () => [{ actor: ground.owned.owner, kind: "human" as const }];
const newTenant = (): TenantId => ground.ids("ten");
const document = (name: string, more = ""): ContractDocument => ({
  name: `${name}.yaml`,
  text: `kind: Contract\nname: ${name}\nextends: scratch\n${more}`,
});
const applied = async (tenant: TenantId) =>
  (await ground.ledger.list({ tenant, kind: "contract.applied", limit: 200 })).items;

describe("the built-in contract", () => {
  it("is scratch, with every ceiling at its maximum", async () => {
    const view = await policy.open(newTenant(), "scratch");
    expect(view.ref).toEqual({ name: "scratch", version: BUILTIN_VERSION });
    expect(view.contract).toMatchObject({
      class: "read-only",
      isolation: "pooled",
      isolation_floor: "pooled",
      jail: "optional",
      idempotent: true,
    });
    for (const name of LIMIT_NAMES) expect(view.contract.limits[name]).toBe(RUN_LIMITS[name].max);
  });

  it("cannot be replaced", async () => {
    const tenant = newTenant();
    const both = [document("acme"), document("scratch")];
    await expect(policy.applyAll(tenant, both, by())).rejects.toMatchObject({ code: "CONTRACT_BUILTIN" });
    expect(await applied(tenant)).toEqual([]);
  });

  it("leaves its snapshot where a later reader finds it, once", async () => {
    const tenant = newTenant();
    const { snapshot } = await policy.open(tenant, "scratch");
    await fresh().open(tenant, "scratch");
    const rows = await ground.storage.all("SELECT * FROM policy_snapshots WHERE tenant_id = ?", [tenant]);
    expect(rows.map((row) => row["id"])).toEqual([snapshot]);
  });
});

describe("a row of before", () => {
  it("is the same contract as a document that says no more, and its digest still holds", async () => {
    const tenant = newTenant();
    await policy.applyAll(tenant, [document("acme", "limits: {cpu_ms: 500}")], by());
    const { contract } = await policy.get(tenant, "acme");
    const { name, isolation, limits } = contract;
    const old = canonicalJson({
      kind: "Contract",
      name,
      extends: "scratch",
      class: "read-only",
      isolation,
      limits,
      idempotent: true,
    });
    await ground.storage.write((tx) =>
      tx.run("UPDATE contracts SET doc_json = ?, source_text = NULL WHERE tenant_id = ?", [old, tenant]),
    );
    const [again] = await fresh().applyAll(tenant, [document("acme", "limits: {cpu_ms: 500}")], by());
    expect(again).toMatchObject({ changed: false, contract: { version: 1, source: null } });
    const row = { state: "active", source_text: null, base_json: null, statement_hash: null, suspension_json: null };
    expect(auditedRow(row)).toEqual({ state: "active" });
  });
});

describe("applying", () => {
  it("makes a first version, with its entry", async () => {
    const tenant = newTenant();
    const [first] = await policy.applyAll(tenant, [document("acme", "limits: {cpu_ms: 500}")], by());
    expect(first).toMatchObject({ changed: true, contract: { name: "acme", version: 1, built_in: false } });
    const [entry] = await applied(tenant);
    expect(entry).toMatchObject({
      actor: by(),
      snapshot: first!.contract.snapshot,
      contract: { name: "acme", version: 1 },
      data: { name: "acme", version: 1, extends: "scratch", class: "read-only", replaces: null },
    });
    const view = await policy.open(tenant, "acme");
    expect(view).toMatchObject({ snapshot: first!.contract.snapshot, ref: { name: "acme", version: 1 } });
    const request = { action: "run.submit" as const, resource: "code", context: { limits: { cpu_ms: 501 } } };
    expect(view.decide(request).verdict).toBe("deny");
  });

  it("of the same contract changes nothing, however it is written", async () => {
    const tenant = newTenant();
    await policy.applyAll(tenant, [document("acme", "limits: {cpu_ms: 500, wall_ms: 900}")], by());
    const same = {
      name: "x.json",
      text: '{"extends":"scratch","limits":{"wall_ms":900,"cpu_ms":500},"name":"acme","kind":"Contract"}',
    };
    const [again] = await fresh().applyAll(tenant, [same], by());
    expect(again).toMatchObject({ changed: false, contract: { version: 1 } });
    expect(await applied(tenant)).toHaveLength(1);
  });

  it("of another makes the next version, and retires the one before", async () => {
    const tenant = newTenant();
    await policy.applyAll(tenant, [document("acme")], by());
    const before = await policy.open(tenant, "acme");
    const [second] = await policy.applyAll(tenant, [document("acme", "jail: required")], by());
    expect(second).toMatchObject({ changed: true, contract: { version: 2 } });
    expect((await applied(tenant))[1]!.data).toMatchObject({ version: 2, replaces: 1 });
    expect((await policy.open(tenant, "acme")).contract.jail).toBe("required");
    expect(before.contract.jail).toBe("optional"); // A view is of its own snapshot, for as long as a run has it.
  });

  it("writes nothing unless every document is valid, and says all problems", async () => {
    const tenant = newTenant();
    const bad = [document("a"), document("b", "jial: required"), document("c", "egres: []\nlimits: {cpu_ms: 0}")];
    const error: unknown = await policy.applyAll(tenant, bad, by()).catch((reason: unknown) => reason);
    expect(isGantryError(error) && error.code).toBe("CONTRACT_INVALID");
    expect(isGantryError(error) && error.parts.problems?.map((problem) => problem.at)).toEqual([
      "b.yaml#/jial",
      "c.yaml#/egres",
      "c.yaml#/limits/cpu_ms",
    ]);
    expect(await applied(tenant)).toEqual([]);
  });

  it("refuses two documents of one name", async () => {
    const twice = [document("acme"), { ...document("acme", "jail: required"), name: "other.yaml" }];
    await expect(policy.applyAll(newTenant(), twice, by())).rejects.toMatchObject({ code: "CONTRACT_INVALID" });
  });

  it("by a caller enters the caller's chain", async () => {
    const token = await ground.identity.mintToken(ground.owner, { scopes: [], actor: ground.owned.agent });
    const agent = await ground.identity.authenticate(token.secret);
    await policy.apply(document("by-agent"), agent);
    const entry = (await applied(agent.tenant)).at(-1)!;
    expect(entry.actor).toEqual([...by(), { actor: ground.owned.agent, kind: "agent" }]);
  });

  it("at once from two sides makes one version", async () => {
    const tenant = newTenant();
    const both = await Promise.all([0, 1].map(() => fresh().applyAll(tenant, [document("acme")], by())));
    expect(
      both
        .flat()
        .map((each) => each.changed)
        .sort(),
    ).toEqual([false, true]);
    expect(await applied(tenant)).toHaveLength(1);
  });

  it("allows 1,000 contracts and not one more, and still replaces one", { timeout: 60_000 }, async () => {
    const tenant = newTenant();
    const many = Array.from({ length: CONTRACTS_PER_TENANT_MAX }, (_, i) => document(`c${i}`));
    await policy.applyAll(tenant, many, by());
    const more = policy.applyAll(tenant, [document("one-more")], by());
    await expect(more).rejects.toMatchObject({ code: "CONTRACT_TOO_MANY" });
    await policy.applyAll(tenant, [document("c7", "jail: required")], by());
    expect(await policy.list(tenant)).toHaveLength(CONTRACTS_PER_TENANT_MAX + builtinContracts().size);
    expect((await policy.open(tenant, "c999")).ref.version).toBe(1);
  });

  it("keeps every row as its newest ledger subject says", async () => {
    const tenant = newTenant();
    for (const more of ["", "jail: required", "jail: required\nidempotent: false"])
      await policy.applyAll(tenant, [document("acme", more)], by());
    const key = (await ground.files.read("keys/state.key"))!;
    const rows = await ground.storage.all("SELECT * FROM contracts WHERE tenant_id = ?", [tenant]);
    expect(rows.map((row) => row["state"])).toEqual(["retired", "retired", "active"]);
    for (const row of rows) {
      const id = `${tenant}/acme/${row["version"]}`;
      const newest = await ground.storage.get(
        "SELECT e.body FROM evidence_subjects s JOIN evidence_entries e ON e.arrival = s.arrival WHERE s.subject = ?",
        [`contracts/${id}`],
      );
      const body = JSON.parse(Buffer.from(newest?.["body"] as Uint8Array).toString("utf8"));
      expect(body.state[`contracts/${id}`]).toBe(stateDigest(key, "contracts", id, auditedRow(row)));
    }
  });
});

describe("opening", () => {
  it("refuses a name that the tenant does not have, another tenant's too", async () => {
    const [tenant, other] = [newTenant(), newTenant()];
    await policy.applyAll(other, [document("acme")], by());
    for (const name of ["acme", "", "x".repeat(10_000), "__proto__"]) {
      await expect(policy.open(tenant, name)).rejects.toMatchObject({ code: "CONTRACT_UNKNOWN" });
    }
  });

  it("refuses a snapshot that is not the active one, and names the one that is", async () => {
    const tenant = newTenant();
    await policy.applyAll(tenant, [document("acme")], by());
    const { snapshot } = await policy.open(tenant, "acme");
    await policy.open(tenant, "acme", snapshot);
    await policy.applyAll(tenant, [document("acme", "jail: required")], by());
    const error: unknown = await policy.open(tenant, "acme", snapshot).catch((reason: unknown) => reason);
    expect(isGantryError(error) && error.code).toBe("SNAPSHOT_STALE");
    expect(isGantryError(error) && error.parts.snapshot).toBe((await policy.open(tenant, "acme")).snapshot);
  });

  it("gives what nobody can change", async () => {
    const view = await policy.open(newTenant(), "scratch");
    expect(() => {
      (view.contract.limits as { cpu_ms: number }).cpu_ms = 1;
    }).toThrow(TypeError);
    expect(() => {
      (view as { snapshot: string }).snapshot = "";
    }).toThrow(TypeError);
  });

  it("gives the same view after a restart", async () => {
    const tenant = newTenant();
    await policy.applyAll(tenant, [document("acme", "limits: {modules_max: 3}")], by());
    const [one, two] = [await policy.open(tenant, "acme"), await fresh().open(tenant, "acme")];
    expect(two).toMatchObject({ snapshot: one.snapshot, contract: one.contract, ref: one.ref });
  });
});

describe("a snapshot", () => {
  it("can be read by the tenant that had it, retired ones too, and by nobody else", async () => {
    const tenant = newTenant();
    const [first] = await policy.applyAll(tenant, [document("acme")], by());
    await policy.applyAll(tenant, [document("acme", "jail: required")], by());
    const { snapshot } = first!.contract;
    expect((await policy.snapshot(tenant, snapshot)).contract).toEqual(first!.contract.contract);
    await expect(policy.snapshot(newTenant(), snapshot)).rejects.toMatchObject({ code: "SNAPSHOT_UNKNOWN" });
  });

  it("that is listed can be read before any run has opened it", async () => {
    const tenant = newTenant();
    const [scratch] = await policy.list(tenant);
    expect((await policy.snapshot(tenant, scratch!.snapshot)).contract).toEqual(scratch!.contract);
  });
});
