import { describe, expect, it } from "vitest";
import { repeat, rule, staging, wrong } from "../../../../tests/fixtures/contract_documents.ts";
import { CONTRACT_ITEMS_MAX, CONTRACT_NUMBERS_MAX, EGRESS_RULES_MAX } from "../contract.ts";
import { variableOf } from "./variables.ts";

describe("an egress rule", () => {
  const whole = {
    id: "api",
    hosts: ["b.example", "a.example"],
    protocol: "https",
    ports: [8443, 443],
    methods: ["POST", "GET"],
    paths: ["/v1/*"],
    private: true,
    addresses: ["fd00::5", "10.0.0.5"],
    request_bytes_max: 1,
    response_bytes_max: 2,
    calls_max: 3,
    wall_ms_max: 4,
    effect: false,
    secret: { name: "key", slot: "header:x-api-key" },
    idempotency: { header: "idempotency-key", honoured: true },
    dns: ["MX", "TXT"],
    data_class: "internal",
    mcp: true,
    on_blocked: "dead-letter",
  };

  it("has every member of the design, its sets in order", () => {
    expect(staging({ egress: [whole] }).egress).toEqual([
      {
        ...whole,
        hosts: ["a.example", "b.example"],
        ports: [443, 8443],
        methods: ["GET", "POST"],
        addresses: ["10.0.0.5", "fd00::5"],
        dns: ["TXT", "MX"],
      },
    ]);
    expect(staging(rule()).egress).toEqual([{ hosts: ["a.example"], protocol: "https" }]);
  });

  it("keeps its place, and has a name that no other has", () => {
    const egress = ["b", "a"].map((id) => ({ id, hosts: [`${id}.example`], protocol: "http" }));
    expect(staging({ egress }).egress.map(({ id }) => id)).toEqual(["b", "a"]);
    expect(wrong({ egress: [egress[0], egress[0]] })).toEqual(["/egress/1/id Two rules are called b."]);
  });

  it.each([
    [{ hosts: [] }, "/egress/0/hosts hosts has 0 items; it takes 1 to 64."],
    [{ hosts: ["API.example."] }, "/egress/0/hosts/0 An item of hosts is written api.example."],
    [{ hosts: ["bücher.example"] }, "is written xn--bcher-kva.example."],
    [{ hosts: ["https://a.example"] }, "without scheme, port and trailing dot"],
    [{ hosts: ["*.1.2.3"] }, "an address stands whole"],
    [{ hosts: ["a.example", "a.example"] }, "/egress/0/hosts/1 a.example stands twice in hosts."],
    [{ protocol: "gopher" }, "/egress/0/protocol protocol is http or https or ws or wss or tcp or tls."],
    [{ protocol: "httpss" }, "Did you mean https?"],
    [{ ports: [0] }, "/egress/0/ports/0 An item of ports is 0; it must lie between 1 and 65535."],
    [{ ports: [65_536] }, "must lie between 1 and 65535"],
    [{ ports: ["443"] }, "An item of ports is a whole number from 1 to 65535."],
    [{ methods: ["*"] }, "/egress/0/methods/0 An item of methods is a method in capitals"],
    [{ methods: ["get"] }, "is a method in capitals"],
    [{ methods: ["CONNECT"] }, "CONNECT and TRACE are never sent"],
    [{ methods: [] }, "methods has 0 items"],
    [{ paths: ["v1"] }, "/egress/0/paths/0 An item of paths is a path"],
    [{ paths: ["/a/../b"] }, "is a path"],
    [{ private: false }, "/egress/0/private private is true, or left out."],
    [{ private: true }, "A private rule names its addresses"],
    [{ addresses: ["10.0.0.1"] }, "add private: true"],
    [{ private: true, addresses: ["10.0.0.0/8"] }, "ranges are not granted"],
    [{ secret: { name: "k" } }, "/egress/0/secret The key slot is missing."],
    [
      { secret: { name: "k", slot: "query:key" } },
      "/egress/0/secret/slot slot is bearer, basic-password or header:<name>",
    ],
    [{ secret: { name: "k", slot: "header:X-Key" } }, "the name in lower case"],
    [{ secret: { name: "k", slot: "header:host" } }, "slot is bearer"],
    [{ secret: { name: "k", slot: "header:transfer-encoding" } }, "slot is bearer"],
    [{ data_class: "secret" }, "/egress/0/data_class data_class is public or"],
    [{ mcp: "yes" }, "/egress/0/mcp mcp is true or false."],
    [{ on_blocked: "drop" }, "/egress/0/on_blocked on_blocked is refuse or dead-letter."],
    [{ idempotency: "on" }, "/egress/0/idempotency idempotency is off, or says {header: idempotency-key"],
    [{ idempotency: { header: "idempotency-key" } }, "/egress/0/idempotency The key honoured is missing."],
    [{ idempotency: { header: "Idempotency-Key", honoured: true } }, "in lower case, e.g. idempotency-key"],
    [{ idempotency: { header: "content-length", honoured: true } }, "/egress/0/idempotency/header header is the name"],
    [{ idempotency: { header: "authorization", honoured: true } }, "header is the name"],
    [{ idempotency: { header: "gantry-key", honoured: true } }, "header is the name"],
    [{ idempotency: { header: "a b", honoured: true } }, "header is the name"],
    [
      { idempotency: { header: "x-key", honoured: true }, secret: { name: "k", slot: "header:x-key" } },
      "/egress/0/idempotency The header x-key is the one that the secret is put into.",
    ],
    [{ protocol: "wss", idempotency: "off" }, "/egress/0/idempotency idempotency is for http and https"],
    [{ protocol: "tcp", ports: [1], idempotency: "off" }, "/egress/0/idempotency idempotency is for http and https"],
    [{ dns: ["A"] }, "/egress/0/dns/0 An item of dns is TXT or MX or SRV."],
    [{ dns: [] }, "/egress/0/dns dns names one or more of TXT, MX, SRV, or is left out."],
    [{ method: ["GET"] }, "did you mean methods?"],
    [{ protocol: "tcp", hosts: ["*.example"], ports: [1] }, "/egress/0/hosts A rule for tcp names its hosts exactly"],
    [{ protocol: "tls" }, "/egress/0/protocol A rule for tls names its ports: add ports: [5432]."],
    [{ protocol: "tcp", ports: [1], methods: ["GET"] }, "/egress/0/methods methods is for http and https"],
    [
      { protocol: "tls", ports: [1], secret: { name: "k", slot: "bearer" } },
      "/egress/0/secret secret is for http and https",
    ],
    [{ protocol: "wss", methods: ["GET"] }, "/egress/0/methods methods is for http and https; a WebSocket"],
  ])("is refused with %j", (more, says) => expect(wrong(rule(more)).join("\n")).toContain(says));

  it("of an opaque protocol names hosts and ports", () => {
    const egress = [{ hosts: ["db.example"], protocol: "tcp", ports: [5432] }];
    expect(staging({ egress }).egress).toEqual(egress);
    const on_private = [{ hosts: ["10.0.0.5"], protocol: "tls", ports: [1], private: true }];
    expect(staging({ egress: on_private }).egress).toEqual(on_private);
  });

  it("says off of keys that its destination must not see", () => {
    expect(staging(rule({ idempotency: "off" })).egress[0]?.idempotency).toBe("off");
  });

  it("without hosts or protocol says so", () => {
    expect(wrong({ egress: [{}] })).toEqual([
      "/egress/0 The key hosts is missing.",
      "/egress/0 The key protocol is missing.",
    ]);
  });

  it("may be one of 200, and not of 201", () => {
    const egress = (n: number) => ({ egress: repeat(n, (i) => ({ hosts: [`h${i}.example`], protocol: "https" })) });
    expect(staging(egress(EGRESS_RULES_MAX)).egress).toHaveLength(EGRESS_RULES_MAX);
    expect(wrong(egress(EGRESS_RULES_MAX + 1))).toEqual(["/egress egress has 201 items; it takes at most 200."]);
  });

  it.each([
    ["hosts", (i: number) => `h${i}.example`],
    ["ports", (i: number) => i + 1],
    ["methods", (i: number) => `M${i}`],
    ["paths", (i: number) => `/p${i}`],
    ["addresses", (i: number) => `10.0.0.${i + 1}`],
  ] as const)("has as many %s as it may have, and not one more", (key, of) => {
    const max = CONTRACT_ITEMS_MAX[key];
    const list = (n: number) =>
      rule({ [key]: repeat<number | string>(n, of), ...(key === "addresses" ? { private: true } : {}) });
    expect(wrong(list(max))).toEqual([]);
    expect(wrong(list(max + 1))).toContain(`/egress/0/${key} ${key} has ${max + 1} items; it takes 1 to ${max}.`);
  });

  it.each(["request_bytes_max", "response_bytes_max", "calls_max", "wall_ms_max"] as const)(
    "has %s from 1 to the most that anybody has",
    (key) => {
      const max = CONTRACT_NUMBERS_MAX[key];
      for (const value of [1, max]) expect(wrong(rule({ [key]: value }))).toEqual([]);
      for (const value of [0, max + 1, 1.5]) expect(wrong(rule({ [key]: value }))).toHaveLength(1);
    },
  );
});

describe("the secrets of a contract", () => {
  const using = (name: string, slot: string, host: string) => ({
    hosts: [host],
    protocol: "https",
    secret: { name, slot },
  });

  it("may be used by several rules, each in one slot", () => {
    const egress = [using("k", "bearer", "a.example"), using("k", "bearer", "b.example")];
    expect(wrong({ egress })).toEqual([]);
    expect(wrong({ egress: [...egress, using("k", "basic-password", "c.example")] })).toEqual([
      "/egress The secret k is put into bearer and into basic-password; a contract names one slot for each secret.",
    ]);
  });

  it("have variables of their own in the environment of a program", () => {
    const egress = [using("artifacts", "bearer", "a.example"), using("job-list", "bearer", "b.example")];
    const bindings = { artifacts: { repos: ["a"] }, workflows: { names: ["n"], as: "JOB_LIST" } };
    expect(wrong({ egress })).toEqual([]);
    expect(wrong({ egress, bindings })).toEqual([
      "/egress The secret artifacts and the binding artifacts would both be ARTIFACTS in the program's environment.",
      "/egress The secret job-list and the binding workflows would both be JOB_LIST in the program's environment.",
    ]);
    expect(["github-token", "k8s", "a"].map(variableOf)).toEqual(["GITHUB_TOKEN", "K8S", "A"]);
  });
});
