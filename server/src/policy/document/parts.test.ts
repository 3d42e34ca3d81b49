import { describe, expect, it } from "vitest";
import {
  bases,
  document,
  parse,
  problems,
  repeat,
  staging,
  wrong,
} from "../../../../tests/fixtures/contract_documents.ts";
import {
  CEDAR_BYTES_MAX,
  CEDAR_POLICIES_MAX,
  CONTRACT_ITEMS_MAX,
  CONTRACT_NUMBERS_MAX,
  PATTERN_CHARS_MAX,
  TOOL_RULES_MAX,
} from "../contract.ts";
import { parseContract } from "./document.ts";
import type { CheckCedar } from "./parts.ts";

describe("data, targets and requirements", () => {
  it("are sets: in one order however they are written, each member once", () => {
    const contract = parse("production", {
      targets: ["web", "billing"],
      data: { reads: ["restricted", "public"], writes: ["internal"] },
      require: ["why", "signed_task"],
    });
    expect(contract).toMatchObject({
      targets: ["billing", "web"],
      data: { reads: ["public", "restricted"], writes: ["internal"] },
      require: ["signed_task", "why"],
    });
    expect(wrong({ require: ["why", "why"] })).toEqual(["/require/1 why stands twice in require."]);
    expect(wrong({ data: { reads: ["secret"] } })[0]).toMatch(
      /^\/data\/reads\/0 An item of reads is public or internal or/,
    );
    expect(wrong({ data: { read: [] } })[0]).toContain("did you mean reads?");
    expect(wrong({ targets: "staging" })).toEqual(["/targets targets is a list."]);
  });

  it("are inherited one by one", () => {
    expect(staging({ data: { writes: ["public"] } }).data).toEqual({ reads: ["public"], writes: ["public"] });
    expect(staging({}).targets).toEqual(["staging"]);
    expect(staging({ targets: [] }).targets).toEqual([]);
  });

  it(`${CONTRACT_ITEMS_MAX.targets} targets and not one more`, () => {
    const targets = (n: number) => ({ targets: repeat(n, (i) => `t${i}`) });
    expect(parse("production", targets(CONTRACT_ITEMS_MAX.targets)).targets).toHaveLength(CONTRACT_ITEMS_MAX.targets);
    expect(problems("production", targets(CONTRACT_ITEMS_MAX.targets + 1))).toEqual([
      "/targets targets has 33 items; it takes at most 32.",
    ]);
    expect(problems("production", { targets: ["*", "web"] })).toEqual([
      "/targets * is every target; name it alone, or name the targets.",
    ]);
  });
});

describe("tools", () => {
  it("have a name, and patterns for what their arguments may be", () => {
    const tools = [{ name: "issues.*", args: { repo: ["b/*", "a/*"] } }, { name: "clock" }];
    expect(staging({ tools }).tools).toEqual([
      { name: "issues.*", args: { repo: ["a/*", "b/*"] } },
      { name: "clock", args: {} },
    ]);
  });

  it.each([
    [[{}], "/tools/0 The key name is missing."],
    [[{ name: "" }], "/tools/0/name name is a tool's name"],
    [[{ name: "a b" }], "/tools/0/name name is a tool's name"],
    [["issues"], "/tools/0 A map of keys and values is expected."],
    [[{ name: "a", args: [] }], "/tools/0/args A map of keys and values is expected."],
    [[{ name: "a", args: { repo: "x" } }], "/tools/0/args/repo repo is a list."],
    [[{ name: "a", args: { repo: [] } }], "/tools/0/args/repo repo has 0 items; it takes 1 to 32."],
    [[{ name: "a", args: { repo: [7] } }], "/tools/0/args/repo/0 An item of repo is text."],
    [[{ name: "a", args: { repo: ["a\nb"] } }], "/tools/0/args/repo/0 An item of repo is a pattern of 1 to 256"],
    [[{ name: "a", args: { "": ["x"] } }], '/tools/0/args/ "" is an argument\'s name'],
    [[{ name: "a", args: { "": 0 } }], '/tools/0/args/ "" is an argument\'s name'],
    [[{ name: "a", args: { " a": 0 } }], '" a" is an argument\'s name'],
    [[{ name: "a", arg: {} }], "/tools/0/arg The key arg is not known; did you mean args?"],
  ])("are refused as %j", (tools, says) => expect(wrong({ tools })[0]).toContain(says));

  it("have no argument that would be no member like others", () => {
    const text = document("staging-mutation", {}).replace("{", '{"tools":[{"name":"a","args":{"__proto__":["x"]}}],');
    expect(() => parseContract({ name: "x", text }, bases)).toThrow(/__proto__ is an argument's name/);
  });

  it("are as many, and their patterns as long, as they may be", () => {
    const tools = (n: number) => ({ tools: repeat(n, () => ({ name: "t" })) });
    expect(staging(tools(TOOL_RULES_MAX)).tools).toHaveLength(TOOL_RULES_MAX);
    expect(wrong(tools(TOOL_RULES_MAX + 1))).toHaveLength(1);
    const args = (n: number) => Object.fromEntries(repeat(n, (i) => [`a${i}`, ["x"]]));
    expect(wrong({ tools: [{ name: "t", args: args(CONTRACT_ITEMS_MAX.arguments) }] })).toEqual([]);
    expect(wrong({ tools: [{ name: "t", args: args(CONTRACT_ITEMS_MAX.arguments + 1) }] })).toHaveLength(1);
    const patterns = (n: number) => ({ tools: [{ name: "t", args: { a: repeat(n, (i) => `p${i}`) } }] });
    expect(wrong(patterns(CONTRACT_ITEMS_MAX.patterns))).toEqual([]);
    expect(wrong(patterns(CONTRACT_ITEMS_MAX.patterns + 1))).toHaveLength(1);
    const long = (n: number) => ({ tools: [{ name: "t".repeat(n), args: { a: ["x".repeat(n)] } }] });
    expect(wrong(long(PATTERN_CHARS_MAX))).toEqual([]);
    expect(wrong(long(PATTERN_CHARS_MAX + 1))).toHaveLength(2);
  });
});

describe("bindings", () => {
  it("are called ARTIFACTS, FLAGS and WORKFLOWS, and may be read, unless they say otherwise", () => {
    const bindings = {
      artifacts: { repos: ["work/*"] },
      flags: { app: "web", mode: "write" },
      workflows: { names: ["*"], as: "FLOWS" },
    };
    expect(staging({ bindings }).bindings).toEqual({
      artifacts: { repos: ["work/*"], mode: "read", as: "ARTIFACTS" },
      flags: { app: "web", mode: "write", as: "FLAGS" },
      workflows: { names: ["*"], mode: "read", as: "FLOWS" },
    });
  });

  it.each([
    [{ artifacts: {} }, "/bindings/artifacts The key repos is missing."],
    [{ artifacts: { repos: ["../x"] } }, "/bindings/artifacts/repos/0 An item of repos is a repository's name"],
    [{ artifacts: { repos: ["a"], mode: "rw" } }, "/bindings/artifacts/mode mode is read or write."],
    [{ flags: { app: "Web" } }, "/bindings/flags/app app has 1 to 63 of a-z"],
    [{ workflows: { names: ["a"], as: "flows" } }, "/bindings/workflows/as as is the name of a member of env"],
    [{ artifact: {} }, "did you mean artifacts?"],
    [
      { flags: { app: "web", as: "X" }, workflows: { names: ["a"], as: "X" } },
      "/bindings Two bindings are called X in env",
    ],
  ])("are refused as %j", (bindings, says) => expect(wrong({ bindings })[0]).toContain(says));

  it("name at most so many repositories and workflows", () => {
    const of = (key: string, list: string, n: number) => ({
      bindings: { [key]: { [list]: repeat(n, (i) => `n${i}`) } },
    });
    expect(wrong(of("artifacts", "repos", CONTRACT_ITEMS_MAX.repos))).toEqual([]);
    expect(wrong(of("artifacts", "repos", CONTRACT_ITEMS_MAX.repos + 1))).toHaveLength(1);
    expect(wrong(of("workflows", "names", CONTRACT_ITEMS_MAX.workflows))).toEqual([]);
    expect(wrong(of("workflows", "names", CONTRACT_ITEMS_MAX.workflows + 1))).toHaveLength(1);
  });
});

describe("numbers", () => {
  it.each([
    ["budgets", "egress_calls_max", 0],
    ["budgets", "egress_bytes_max", 0],
    ["budgets_day", "run_ms", 0],
    ["budgets_day", "effects", 0],
    ["budgets_day", "cost_micros", 0],
  ] as const)("of %s: %s from %d to its most", (key, member, min) => {
    const max = CONTRACT_NUMBERS_MAX[member];
    for (const value of [min, max])
      expect(staging({ [key]: { [member]: value } })[key]).toMatchObject({ [member]: value });
    for (const value of [min - 1, max + 1, "1"]) expect(wrong({ [key]: { [member]: value } })).toHaveLength(1);
  });

  it("of the budgets that are not said are inherited, and of a day are none", () => {
    expect(staging({ budgets: { egress_calls_max: 7 } }).budgets).toEqual({
      egress_calls_max: 7,
      egress_bytes_max: 10_485_760,
    });
    expect(staging({}).budgets_day).toEqual({});
  });

  it("of the retention: days, the floor not above the ceiling", () => {
    const max = CONTRACT_NUMBERS_MAX.floor_days;
    expect(staging({ retention: { floor_days: 0, ceiling_days: 1 } }).retention).toEqual({
      floor_days: 0,
      ceiling_days: 1,
    });
    expect(wrong({ retention: { floor_days: max, ceiling_days: CONTRACT_NUMBERS_MAX.ceiling_days } })).toEqual([]);
    expect(wrong({ retention: { floor_days: max + 1, ceiling_days: max + 1 } })).toHaveLength(2);
    expect(wrong({ retention: { floor_days: 2, ceiling_days: 1 } })).toEqual([
      "/retention/ceiling_days ceiling_days is 1, below floor_days, 2: values cannot be erased before they may be.",
    ]);
    expect(wrong({ retention: { floor_days: 2 } })).toEqual(["/retention The key ceiling_days is missing."]);
    expect(staging({}).retention).toBeNull();
  });
});

describe("the answers to leaks and to hidden MCP", () => {
  it("are log or deny", () => {
    expect(staging({ dlp: { action: "deny" }, shadow_mcp: "deny" })).toMatchObject({
      dlp: { action: "deny" },
      shadow_mcp: "deny",
    });
    expect(wrong({ dlp: {} })).toEqual(["/dlp The key action is missing."]);
    expect(wrong({ dlp: "deny" })).toEqual(["/dlp A map of keys and values is expected."]);
    expect(wrong({ shadow_mcp: "block" })).toEqual(["/shadow_mcp shadow_mcp is log or deny."]);
  });
});

describe("Cedar policies", () => {
  const text = '@code("A")\nforbid(principal, action, resource);';

  it("are kept as they are written, once the engine has nothing against them", () => {
    expect(staging({ cedar: [text] }).cedar).toEqual([text]);
    const check: CheckCedar = (texts) => texts.map((_, index) => ({ index, text: `${index} is wrong.` }));
    expect(problems("staging-mutation", { cedar: [text, text] }, check)).toEqual([
      "/cedar/0 0 is wrong.",
      "/cedar/1 1 is wrong.",
    ]);
  });

  it("are refused where no engine is", () => {
    const read = () => parseContract({ name: "x", text: document("scratch", { cedar: [text] }) }, bases);
    expect(read).toThrow(/cannot be checked here/);
    expect(parseContract({ name: "x", text: document("scratch", { cedar: [] }) }, bases).cedar).toEqual([]);
  });

  it("have no character that no text of ours may have, however it is written", () => {
    for (const text of ["\u0000", "a\ud800b", "\udc00"]) {
      expect(wrong({ cedar: [text] })).toEqual([
        "/cedar/0 The text has U+0000 or half of a surrogate pair in it, which no text of ours may have.",
        "/cedar/0 A policy is text.",
      ]);
      expect(wrong({ tools: [{ name: "a", args: { [text]: ["x"] } }] })[0]).toContain("half of a surrogate pair");
    }
  });

  it("are bounded before the engine sees them, by number and by bytes", () => {
    const seen: number[] = [];
    const check: CheckCedar = (texts) => {
      seen.push(...texts.map((each) => Buffer.byteLength(each)));
      return [];
    };
    const of = (cedar: unknown[]) => problems("staging-mutation", { cedar }, check);
    expect(of(repeat(CEDAR_POLICIES_MAX, () => "x"))).toEqual([]);
    expect(of(repeat(CEDAR_POLICIES_MAX + 1, () => "x"))).toHaveLength(1);
    expect(of(["é".repeat(CEDAR_BYTES_MAX / 2)])).toEqual([]);
    expect(of([`${"é".repeat(CEDAR_BYTES_MAX / 2)}x`])).toHaveLength(1);
    expect(of([5, null, {}])).toHaveLength(3);
    expect(Math.max(...seen)).toBe(CEDAR_BYTES_MAX);
  });
});
