import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { ScriptedApprovals } from "../../../../tests/fixtures/approvals.ts";
import { type Ground, openGround } from "../../../../tests/fixtures/ground.ts";
import { Auditor } from "../../evidence/audit/audit.ts";
import type { Principal } from "../../identity/contract.ts";
import { audited_tables as identity_tables } from "../../identity/store.ts";
import { isGantryError } from "../../kernel/errors.ts";
import type { ContractDocument } from "../../policy/contract.ts";
import { CONTRACT_ITEMS_MAX } from "../../policy/contract.ts";
import { ContractPolicy } from "../../policy/policy.ts";
import { SERVICES_PER_TENANT_MAX, type ServiceEntry } from "../contract.ts";
import { kinds } from "../kinds.ts";
import { Catalogue } from "./catalogue.ts";
import { audited_tables, migrations } from "./store.ts";

let ground: Ground;
let catalogue: Catalogue;

beforeAll(async () => {
  ground = await openGround({ migrations, kinds });
  catalogue = new Catalogue(ground);
});
afterAll(() => ground.remove());

const tracker = (more: Partial<ServiceEntry> = {}): ServiceEntry => ({
  name: "tracker",
  class: "issues",
  environment: "staging",
  hosts: ["api.tracker.example"],
  protocol: "https",
  methods: ["GET", "POST"],
  ...more,
});

/** The owner of a tenant of its own. */
async function newOwner(slug: string): Promise<Principal> {
  const { token } = await ground.identity.createTenant(ground.owner, slug);
  return ground.identity.authenticate(token.secret);
}
const problems = async (who: Principal, entry: unknown): Promise<string[]> => {
  const error: unknown = await catalogue.set(who, entry as ServiceEntry).then(
    () => undefined,
    (thrown: unknown) => thrown,
  );
  if (error === undefined) return [];
  if (!isGantryError(error)) throw error;
  expect(error.code).toBe("EGRESS_SERVICE");
  return error.parts.problems?.map(({ at, text }) => `${at} ${text}`) ?? [];
};

describe("the catalogue of services", () => {
  it("keeps what was set, by name, and each tenant has its own", async () => {
    const [who, other] = [await newOwner("keeps"), await newOwner("keeps-other")];
    const set = await catalogue.set(who, tracker({ hosts: ["b.example", "a.example"], ports: [8443, 443] }));
    expect(set).toEqual(tracker({ hosts: ["a.example", "b.example"], ports: [443, 8443] }));
    await catalogue.set(who, tracker({ name: "docs", methods: ["GET"] }));
    expect((await catalogue.list(who)).map(({ name }) => name)).toEqual(["docs", "tracker"]);
    expect(await catalogue.get(who, "tracker")).toEqual(set);
    expect(await catalogue.find(ground.storage, who.tenant, "tracker")).toEqual(set);
    expect(await catalogue.list(other)).toEqual([]);
    expect(await catalogue.find(ground.storage, other.tenant, "tracker")).toBeUndefined();
    await expect(catalogue.get(other, "tracker")).rejects.toMatchObject({ code: "EGRESS_SERVICE_UNKNOWN" });
    await expect(catalogue.remove(other, "tracker")).rejects.toMatchObject({ code: "EGRESS_SERVICE_UNKNOWN" });
  });

  it("records each change once, and an audit finds the rows as they were recorded", async () => {
    const who = await newOwner("records");
    await catalogue.set(who, tracker());
    await catalogue.set(who, tracker({ methods: ["POST", "GET"] })); // The same, in another order.
    await catalogue.set(who, tracker({ environment: "production" }));
    await catalogue.set(who, tracker({ name: "gone" }));
    await catalogue.remove(who, "gone");
    const { items } = await ground.ledger.list({ tenant: who.tenant, limit: 200 });
    const told = items.filter(({ kind }) => kind.startsWith("service."));
    expect(told.map(({ kind, data }) => `${kind} ${(data as { service: string }).service}`)).toEqual([
      "service.set tracker",
      "service.set tracker",
      "service.set gone",
      "service.removed gone",
    ]);
    expect(told[0]?.actor.at(-1)?.actor).toBe(who.actor);
    const auditor = new Auditor({ ...ground, tables: [...identity_tables, ...audited_tables] });
    expect(await auditor.audit({})).toMatchObject({ ok: true, first_bad: null });
    const [id, was] = [`${who.tenant}/tracker`, tracker()];
    await ground.storage.write((tx) =>
      tx.run("UPDATE egress_services SET entry_json = ? WHERE id = ?", [JSON.stringify(was), id], 1),
    );
    expect(await auditor.audit({})).toMatchObject({ ok: false });
    await catalogue.remove(who, "tracker");
  });

  it.each([
    [{ name: "A" }, "/name name has 1 to 63"],
    [{ class: "" }, "/class class has 1 to 63"],
    [{ environment: "*" }, "/environment environment has 1 to 63"],
    [{ hosts: [] }, "/hosts hosts has 0 items; it takes 1 to 64."],
    [{ hosts: ["API.example"] }, "/hosts/0 An item of hosts is a name in lower case"],
    [{ hosts: ["a.example", "a.example"] }, "/hosts/1 An item stands twice in hosts."],
    [{ protocol: "gopher" }, "/protocol protocol is http or https"],
    [{ ports: [0] }, "/ports/0 An item of ports is a whole number"],
    [{ ports: [] }, "/ports ports has 0 items"],
    [{ methods: ["get"] }, "/methods/0 An item of methods is a method in capitals"],
    [{ methods: ["CONNECT"] }, "/methods/0"],
    [{ data_class: "secret" }, "/data_class data_class is public or internal"],
    [{ protocol: "tcp", methods: undefined }, "/ports A service of tcp names its ports"],
    [
      { protocol: "tls", ports: [1], hosts: ["*.example"], methods: undefined },
      "/hosts A service of tls names its hosts",
    ],
    [{ protocol: "wss" }, "/methods methods is for http and https; wss has none."],
  ])("refuses %j", async (more, says) => {
    expect((await problems(ground.owner, { ...tracker(), ...more })).join("\n")).toContain(says);
  });

  it("says all problems of an entry at once", async () => {
    expect(await problems(ground.owner, tracker({ name: "A", class: "B", hosts: ["C"] }))).toHaveLength(3);
  });

  it.each(["hosts", "ports", "methods"] as const)(
    "has as many %s as a rule may have, and not one more",
    async (key) => {
      const max = CONTRACT_ITEMS_MAX[key];
      const of = {
        hosts: (i: number) => `h${i}.example`,
        ports: (i: number) => i + 1,
        methods: (i: number) => `M${i}`,
      };
      const list = (n: number) => tracker({ [key]: Array.from({ length: n }, (_, i) => of[key](i)) });
      expect(await problems(ground.owner, list(max))).toEqual([]);
      expect(await problems(ground.owner, list(max + 1))).toEqual([
        `/${key} ${key} has ${max + 1} items; it takes 1 to ${max}.`,
      ]);
    },
  );

  it("is full at SERVICES_PER_TENANT_MAX", async () => {
    const who = await newOwner("full");
    const json = JSON.stringify(tracker());
    await ground.storage.write((tx) => {
      for (let i = 1; i < SERVICES_PER_TENANT_MAX; i++) {
        tx.run(
          "INSERT INTO egress_services (id, tenant_id, name, entry_json, actor, changed_at) VALUES (?, ?, ?, ?, ?, ?)",
          [`${who.tenant}/s${i}`, who.tenant, `s${i}`, json, who.actor, 1],
        );
      }
    });
    await catalogue.set(who, tracker());
    await catalogue.set(who, tracker({ environment: "production" })); // Not one more.
    const more = catalogue.set(who, tracker({ name: "more" }));
    await expect(more).rejects.toMatchObject({ code: "EGRESS_SERVICE_TOO_MANY" });
    expect(await catalogue.list(who)).toHaveLength(SERVICES_PER_TENANT_MAX);
  });
});

describe("a contract whose rule names a service", () => {
  const document = (more = "{service: tracker, paths: [/v1/*]}"): ContractDocument => ({
    name: "triage.yaml",
    text: `kind: Contract\nname: triage\nextends: staging-mutation\negress:\n  - ${more}\n`,
  });

  it("has what the catalogue said when it was applied, until it is applied again", async () => {
    const who = await newOwner("applied");
    const policy = new ContractPolicy(ground);
    policy.useServices(catalogue);
    const approvals = new ScriptedApprovals(ground.storage, policy);
    await expect(policy.apply(document(), who)).rejects.toMatchObject({
      code: "CONTRACT_INVALID",
      parts: { problems: [{ at: "triage.yaml#/egress/0/service", line: 5 }] },
    });
    await catalogue.set(who, tracker());
    await policy.apply(document(), who);
    await approvals.decide("approved");
    const view = await policy.open(who.tenant, "triage");
    const rule = {
      service: "tracker",
      environment: "staging",
      hosts: ["api.tracker.example"],
      protocol: "https",
      methods: ["GET", "POST"],
      paths: ["/v1/*"],
    };
    expect(view.contract.egress).toEqual([rule]);
    await catalogue.set(who, tracker({ hosts: ["elsewhere.example"] }));
    expect((await policy.open(who.tenant, "triage")).snapshot).toBe(view.snapshot);
    const { delta } = await policy.diff(document(), who, "triage");
    expect(delta.loosens).toBe(true);
    // A file of the configuration goes the same way.
    const [{ proposal } = { proposal: null }] = (
      await policy.applyAtStart(
        who.tenant,
        [document("{service: tracker, methods: [GET]}")],
        [{ actor: who.actor, kind: "human" }],
      )
    ).applied;
    expect(proposal).not.toBeNull();
    await approvals.decide("approved");
    expect((await policy.open(who.tenant, "triage")).contract.egress).toMatchObject([
      { hosts: ["elsewhere.example"], methods: ["GET"] },
    ]);
    await catalogue.remove(who, "tracker");
    await expect(policy.diff(document(), who, "triage")).rejects.toMatchObject({ code: "CONTRACT_INVALID" });
  });

  it("finds no service where nobody has a catalogue", async () => {
    const policy = new ContractPolicy(ground);
    await expect(policy.apply(document(), ground.owner)).rejects.toMatchObject({ code: "CONTRACT_INVALID" });
  });
});
