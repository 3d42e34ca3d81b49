import { describe, expect, it } from "vitest";
import { builtinContracts, nothingGranted } from "../builtin.ts";
import type { Contract, EgressRule, GateRule } from "../contract.ts";
import { cannotFail, cedarEffect } from "./cedar.ts";
import { contractDelta, newContractDelta } from "./delta.ts";
import { containsGlob, containsHost } from "./patterns.ts";

const rule = (more: Partial<EgressRule> = {}): EgressRule => ({ hosts: ["a.example"], protocol: "https", ...more });
const gate = (more: Partial<GateRule> = {}): GateRule => ({
  on: "app.deploy",
  name: "deploy",
  quorum: 2,
  not_after_ms: 1_000,
  execute_before_ms: 1_000,
  ...more,
});
const phase = (more: object = {}): Partial<Contract> => ({
  phase: {
    n: 2,
    until: "2027-01-01",
    rollback_when: [{ metric: "denied_ratio", over_bp: 500, window_ms: 1_000, min_runs: 20 }],
    ...more,
  },
});
const hours = (more: object = {}): Partial<Contract> => ({
  attended: { tz: "Europe/Berlin", days: [1, 2, 3], from: "08:00", to: "18:00", ...more },
});
const key = (honoured: boolean) => ({ header: "idempotency-key", honoured });
const wide = rule({ hosts: ["**.example"], methods: ["GET", "HEAD", "POST"] });
const forbid = `@code("x") // permit\n forbid(principal, action, resource);`;
const permit = `@code("y") permit(principal, action, resource) when { context has app };`;

const contract = (own: Partial<Contract>): Contract => ({ ...nothingGranted("acme"), extends: "scratch", ...own });

/** What tightens from left to right, so that it loosens from right to left. */
const TIGHTENING: [string, Partial<Contract>, Partial<Contract>][] = [
  ["a lower limit", {}, { limits: { ...nothingGranted("x").limits, cpu_ms: 10 } }],
  ["a lower budget", {}, { budgets: { egress_calls_max: 1, egress_bytes_max: 1 } }],
  ["a budget of the day where there was none", {}, { budgets_day: { run_ms: 1 } }],
  ["a target less", { targets: ["staging", "production"] }, { targets: ["staging"] }],
  ["one target of any", { targets: ["*"] }, { targets: ["staging"] }],
  ["a data class less", { data: { reads: ["public", "internal"], writes: [] } }, {}],
  ["to demand more", {}, { require: ["why"] }],
  ["a tool less", { tools: [{ name: "issues.*", args: {} }] }, {}],
  ["a narrower tool", { tools: [{ name: "issues.*", args: {} }] }, { tools: [{ name: "issues.list", args: {} }] }],
  [
    "narrower arguments",
    { tools: [{ name: "t", args: { repo: ["acme/*"] } }] },
    { tools: [{ name: "t", args: { repo: ["acme/web"], title: ["*"] } }] },
  ],
  ["a rule less", { egress: [rule()] }, {}],
  ["a host that another contains", { egress: [wide] }, { egress: [rule({ hosts: ["*.b.example"] })] }],
  ["a path less", { egress: [rule({ paths: ["/v1/*"] })] }, { egress: [rule({ paths: ["/v1/x"] })] }],
  ["a cap", { egress: [rule()] }, { egress: [rule({ calls_max: 1 })] }],
  ["no secret any more", { egress: [rule({ secret: { name: "s", slot: "bearer" } })] }, { egress: [rule()] }],
  ["no private addresses", { egress: [rule({ private: true, addresses: ["10.0.0.1"] })] }, { egress: [rule()] }],
  ["no records any more", { egress: [rule({ dns: ["TXT", "MX"] })] }, { egress: [rule({ dns: ["MX"] })] }],
  [
    "a key that is not honoured",
    { egress: [rule({ idempotency: key(true) })] },
    { egress: [rule({ idempotency: key(false) })] },
  ],
  ["an environment", { egress: [rule()] }, { egress: [rule({ environment: "staging" })] }],
  [
    "a binding to read",
    { bindings: { artifacts: { repos: ["*"], mode: "write", as: "A" } } },
    { bindings: { artifacts: { repos: ["acme/*"], mode: "read", as: "A" } } },
  ],
  ["stronger isolation", { isolation: "pooled" }, { isolation: "process" }],
  ["a higher floor", {}, { isolation_floor: "session" }],
  ["a jail", {}, { jail: "required" }],
  ["no repetition", { idempotent: true }, {}],
  ["more masking", {}, { redaction: { prompts: "drop" } }],
  [
    "a longer floor",
    { retention: { floor_days: 1, ceiling_days: 9 } },
    { retention: { floor_days: 2, ceiling_days: 9 } },
  ],
  ["a gate", {}, { gates: [gate()] }],
  ["a gate on everything", { gates: [gate()] }, { gates: [gate({ on: "*" })] }],
  ["a higher quorum", { gates: [gate()] }, { gates: [gate({ quorum: 3 })] }],
  ["a shorter clock", { gates: [gate()] }, { gates: [gate({ execute_before_ms: 10 })] }],
  ["hours", {}, hours()],
  ["fewer hours", hours(), hours({ days: [1, 2], from: "09:00", to: "17:30" })],
  ["a phase with a way back", {}, phase()],
  ["an earlier phase", phase(), phase({ n: 1, until: "2026-12-31" })],
  [
    "a lower line",
    phase(),
    phase({ rollback_when: [{ metric: "denied_ratio", over_bp: 100, window_ms: 1_000, min_runs: 5 }] }),
  ],
  ["what only logged denies", {}, { dlp: { action: "deny" }, shadow_mcp: "deny" }],
  ["a whole forbid", {}, { cedar: [forbid] }],
  ["a permit less that cannot fail", { cedar: [permit, forbid] }, { cedar: [forbid] }],
  ["to be read-only", { class: "controlled-mutation" }, {}],
];

/** What is proved neither way. */
const UNPROVED: [string, Partial<Contract>, Partial<Contract>][] = [
  ["another class", { class: "controlled-mutation" }, { class: "privileged" }],
  [
    "another ceiling",
    { retention: { floor_days: 1, ceiling_days: 9 } },
    { retention: { floor_days: 1, ceiling_days: 8 } },
  ],
  ["a retention where there was none", {}, { retention: { floor_days: 1, ceiling_days: 9 } }],
  ["a gate of another name", { gates: [gate()] }, { gates: [gate({ name: "other", quorum: 9 })] }],
  ["other hours", hours(), hours({ tz: "UTC" })],
  [
    "another window",
    phase(),
    phase({ rollback_when: [{ metric: "denied_ratio", over_bp: 1, window_ms: 2, min_runs: 1 }] }),
  ],
  [
    "another name in the environment",
    { bindings: { flags: { app: "a", mode: "read", as: "F" } } },
    { bindings: { flags: { app: "a", mode: "read", as: "G" } } },
  ],
  ["a key in another header", { egress: [rule()] }, { egress: [rule({ idempotency: key(false) })] }],
  ["no key any more", { egress: [rule({ idempotency: key(true) })] }, { egress: [rule({ idempotency: "off" })] }],
  ["a key again", { egress: [rule({ idempotency: "off" })] }, { egress: [rule()] }],
  [
    "another environment",
    { egress: [rule({ environment: "staging" })] },
    { egress: [rule({ environment: "production" })] },
  ],
  [
    "an environment under a policy that names targets",
    { egress: [rule()], cedar: [`permit(principal, action, resource) when { context has target };`] },
    {
      egress: [rule({ environment: "staging" })],
      cedar: [`permit(principal, action, resource) when { context has target };`],
    },
  ],
  ["another forbid", { cedar: [forbid] }, { cedar: [forbid.replace("principal,", "principal is Agent,")] }],
  [
    "another order of rules",
    { egress: [rule({ calls_max: 1 }), rule()] },
    { egress: [rule(), rule({ calls_max: 1 })] },
  ],
  [
    "a rule under a policy that names rules",
    { egress: [rule(), wide], cedar: [`forbid(principal, action, resource) when { context.rule == "1" };`] },
    { egress: [wide], cedar: [`forbid(principal, action, resource) when { context.rule == "1" };`] },
  ],
];

describe("tightening is", () => {
  it.each(TIGHTENING)("%s, and the way back is not", (_, before, after) => {
    const there = contractDelta(contract(before), contract(after));
    expect(there).toMatchObject({ loosens: false });
    expect(there.lines.length).toBeGreaterThan(0);
    expect(contractDelta(contract(after), contract(before)).loosens).toBe(true);
  });
});

describe("not proved to be tightening is", () => {
  it.each(UNPROVED)("%s", (_, before, after) => {
    expect(contractDelta(contract(before), contract(after)).loosens).toBe(true);
  });
});

it("a rule that is gone may not leave its calls to one that gives them more", () => {
  const capped = rule({ calls_max: 1 });
  const before = contract({ egress: [capped, wide] });
  expect(contractDelta(before, contract({ egress: [wide] }))).toMatchObject({ loosens: true });
  expect(contractDelta(before, contract({ egress: [capped] }))).toMatchObject({ loosens: false });
  // Even when it stands again behind that one.
  expect(contractDelta(before, contract({ egress: [wide, capped] }))).toMatchObject({ loosens: true });
  const elsewhere = rule({ hosts: ["b.example"] });
  const apart = contract({ egress: [capped, elsewhere] });
  expect(contractDelta(apart, contract({ egress: [elsewhere] }))).toMatchObject({ loosens: false });
});

it("the name of a service is a name alone: what counts is where it goes", () => {
  const named = (service: string, hosts: string[]) =>
    contract({ egress: [rule({ service, hosts, environment: "e" })] });
  const before = named("api", ["a.example", "b.example"]);
  expect(contractDelta(before, named("other", ["a.example"])).loosens).toBe(false);
  const { lines } = contractDelta(before, named("api", ["a.example", "c.example"]));
  expect(lines[0]).toMatchObject({ loosens: true, text: expect.stringContaining("c.example (api, e)") });
});

it("what loosens comes first, with where and what", () => {
  const before = contract({ targets: ["staging"], jail: "optional" });
  const after = contract({
    targets: ["production"],
    jail: "required",
    tools: [{ name: "t", args: { repo: ["a", "b"] } }],
  });
  expect(contractDelta(before, after).lines).toEqual([
    { at: "/targets/0", change: "added", loosens: true, text: "grants production" },
    { at: "/tools/0", change: "added", loosens: true, text: "grants the tool t (repo: a or b)" },
    { at: "/targets", change: "removed", loosens: false, text: "no longer grants staging" },
    { at: "/jail", change: "narrowed", loosens: false, text: "optional becomes required" },
  ]);
});

describe("a new contract", () => {
  const base = (name: string): Contract => {
    const found = builtinContracts().get(name);
    if (found === undefined) throw new Error(name);
    return found;
  };
  const heir = (name: string, own: Partial<Contract>): Contract => ({
    ...base(name),
    name: "acme",
    extends: name,
    ...own,
  });

  it("that only lowers is tightening, whatever it extends", () => {
    for (const name of builtinContracts().keys()) {
      const { limits } = base(name);
      expect(newContractDelta(base(name), heir(name, { limits: { ...limits, cpu_ms: 5 } })).loosens).toBe(false);
    }
  });

  it("with a call out, a write, or Cedar of its own loosens", () => {
    const own: Partial<Contract>[] = [
      { egress: [rule()] },
      { data: { reads: ["public"], writes: ["public"] } },
      { cedar: [forbid] },
      { bindings: { flags: { app: "a", mode: "write", as: "F" } } },
      { bindings: { flags: { app: "a", mode: "read", as: "F" } } },
      { tools: [{ name: "t", args: {} }] },
    ];
    for (const each of own) {
      expect(newContractDelta(base("staging-mutation"), heir("staging-mutation", each)).loosens).toBe(true);
    }
  });
});

it("a pattern contains another only where that is so for every text", () => {
  const globs: [string, string, boolean][] = [
    ["*", "a*b", true],
    ["a*", "ab*", true],
    ["a*", "*", false],
    ["a*c", "abc", true],
    ["a*c", "a*bc", true],
    ["ab*", "a*", false],
    ["**", "*", true],
    ["abc", "ab*", false],
  ];
  for (const [outer, inner, is] of globs) expect(containsGlob(outer, inner), `${outer} ${inner}`).toBe(is);
  const hosts: [string, string, boolean][] = [
    ["*.example", "a.example", true],
    ["*.example", "a.b.example", false],
    ["**.example", "a.b.example", true],
    ["**.example", "*.*.example", true],
    ["**.example", "**.b.example", true],
    ["*.example", "**.example", false],
    ["**.example", "example", false],
    ["*.*.*.*", "192.0.2.1", false],
    ["192.0.2.1", "192.0.2.1", true],
  ];
  for (const [outer, inner, is] of hosts) expect(containsHost(outer, inner), `${outer} ${inner}`).toBe(is);
});

it("the effect of a Cedar policy is read past comments and annotations, and doubt is no proof", () => {
  expect(cedarEffect(`// permit(x)\n@code("permit(") @id("a\\"b")\n forbid (principal, action, resource);`)).toBe(
    "forbid",
  );
  expect(cedarEffect("permit(principal, action, resource);")).toBe("permit");
  for (const odd of [
    "",
    "forbidden(principal)",
    `@code("x`,
    "// forbid(",
    "/* c */ forbid(principal, action, resource);",
  ]) {
    expect(cedarEffect(odd)).toBe("unclear");
  }
  expect(cannotFail(permit)).toBe(true);
  expect(cannotFail(`permit(principal, action, resource) when { context.app == "a+b * ip(" };`)).toBe(true);
  for (const part of [
    "1 + 1 == 2",
    "-1 == 2",
    "2 * 2 == 4",
    `ip("1.2.3.4").isIpv4()`,
    `decimal("1").lessThan(decimal("2"))`,
  ]) {
    expect(cannotFail(`permit(principal, action, resource) when { ${part} };`)).toBe(false);
  }
});
