import { describe, expect, it } from "vitest";
import { bases, document } from "../../../../tests/fixtures/contract_documents.ts";
import { isGantryError } from "../../kernel/errors.ts";
import { type CatalogueService, type Contract, EGRESS_RULES_MAX } from "../contract.ts";
import { snapshotOf } from "../snapshot.ts";
import { namedServices } from "./catalogue.ts";
import { parseContract } from "./document.ts";
import { renderContract } from "./render.ts";

const TRACKER: CatalogueService = {
  environment: "staging",
  hosts: ["b.tracker.example", "a.tracker.example"],
  protocol: "https",
  ports: [8443, 443],
  methods: ["POST", "GET"],
  data_class: "internal",
};
const services = new Map<string, CatalogueService>([
  ["tracker", TRACKER],
  ["docs", { environment: "public", hosts: ["docs.example"], protocol: "https" }],
  ["database", { environment: "staging", hosts: ["10.0.0.5"], protocol: "tls", ports: [5432] }],
]);

const read = (base: string, egress: object[]): Contract =>
  parseContract({ name: "acme.json", text: document(base, { egress }) }, bases, () => [], services);
const staging = (egress: object) => read("staging-mutation", [egress]).egress[0];
function wrong(egress: object, base = "staging-mutation"): string[] {
  try {
    read(base, [egress]);
  } catch (error) {
    if (!isGantryError(error)) throw error;
    return error.parts.problems?.map(({ at, text }) => `${at.replace("acme.json#", "")} ${text}`) ?? [];
  }
  return [];
}

describe("a rule that names a service", () => {
  it("is stored with what the catalogue says of it", () => {
    expect(staging({ service: "tracker", paths: ["/v1/*"], calls_max: 5 })).toEqual({
      service: "tracker",
      environment: "staging",
      hosts: ["a.tracker.example", "b.tracker.example"],
      protocol: "https",
      ports: [443, 8443],
      methods: ["GET", "POST"],
      data_class: "internal",
      paths: ["/v1/*"],
      calls_max: 5,
    });
    expect(staging({ service: "docs", data_class: "public" })).toEqual({
      service: "docs",
      environment: "public",
      hosts: ["docs.example"],
      protocol: "https",
      data_class: "public",
    });
  });

  it("may name fewer methods, and none besides", () => {
    expect(staging({ service: "tracker", methods: ["GET"] })?.methods).toEqual(["GET"]);
    expect(wrong({ service: "tracker", methods: ["GET", "DELETE"] })).toEqual([
      "/egress/0/methods The service tracker has POST, GET; a rule names fewer, and not DELETE.",
    ]);
    expect(wrong({ service: "docs", methods: ["POST"] })[0]).toContain("The service docs has GET, HEAD");
  });

  it.each([
    [{ service: "absent" }, "/egress/0/service The tenant's catalogue has no service absent."],
    [{ service: "A" }, "/egress/0/service service has 1 to 63 of a-z"],
    [{ service: "docs", hosts: ["a.example"] }, "/egress/0/hosts hosts is what the catalogue says of the service"],
    [{ service: "docs", protocol: "https" }, "/egress/0/protocol protocol is what the catalogue says"],
    [{ service: "docs", ports: [443] }, "/egress/0/ports ports is what the catalogue says"],
    [{ service: "tracker", data_class: "public" }, "/egress/0/data_class data_class is internal in the catalogue"],
    [{ service: "docs", environment: "staging" }, "/egress/0/environment The key environment is not known"],
    [{ service: "database", methods: ["GET"] }, "methods is for http and https"],
    [{ service: "docs", private: true }, "/egress/0/private A private rule names its addresses"],
  ])("is refused with %j", (rule, says) => expect(wrong(rule).join("\n")).toContain(says));

  it("is held to the contract's class by what the service does", () => {
    expect(wrong({ service: "docs" }, "read-only")).toEqual([]);
    expect(wrong({ service: "tracker" }, "read-only")[0]).toMatch(/^\/egress/);
    expect(wrong({ service: "tracker", methods: ["GET"] }, "read-only")).toEqual([]);
  });

  it("reaches a private network where the rule says so", () => {
    expect(staging({ service: "database", private: true })).toMatchObject({ private: true, hosts: ["10.0.0.5"] });
  });

  it("is written as a document says it, and read again as the same contract", () => {
    const contract = read("staging-mutation", [{ service: "tracker", methods: ["GET"] }, { service: "docs" }]);
    const text = renderContract(contract);
    expect(text).not.toContain("tracker.example");
    const again = parseContract({ name: "again.yaml", text }, bases, () => [], services);
    expect(snapshotOf(again)).toEqual(snapshotOf(contract));
  });
});

describe("the services that a document names", () => {
  const names = (text: string) => namedServices({ name: "x", text });

  it("are found before it is read, whatever else is wrong with it", () => {
    expect(
      names("kind: x\negress:\n  - {service: docs}\n  - {service: docs}\n  - {service: tracker, hosts: 5}"),
    ).toEqual(["docs", "tracker"]);
    for (const text of [
      "",
      "egress: service",
      "egress: [service]",
      "- service",
      "egress: [{service: [a]}]",
      "{service",
      "egress: [{service: 'A b'}]",
    ]) {
      expect(names(text)).toEqual([]);
    }
  });

  it("are as many as rules may be: EGRESS_RULES_MAX", () => {
    const egress = Array.from({ length: EGRESS_RULES_MAX + 1 }, (_, i) => ({ service: `s${i}` }));
    expect(names(JSON.stringify({ egress }))).toHaveLength(EGRESS_RULES_MAX);
  });
});
