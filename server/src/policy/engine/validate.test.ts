import { describe, expect, it } from "vitest";
import { nothingGranted } from "../builtin.ts";
import { CEDAR_BYTES_MAX, CEDAR_DEPTH_MAX } from "../contract.ts";
import { Cedar } from "./cedar.ts";
import { PolicyEngine } from "./engine.ts";
import { CEDAR_SCHEMA } from "./schema.ts";
import { cedarProblems } from "./validate.ts";

const forbid = (condition: string, head = '@code("FREEZE")') =>
  `${head} forbid(principal, action, resource) when { ${condition} };`;
const problem = (text: string) => cedarProblems([text])[0]?.text ?? "";

describe("a policy that a contract brings", () => {
  it.each([
    forbid("true"),
    forbid('context has host && context.host like "*.internal.example"'),
    forbid('principal is Agent && context.gates.contains("x")', '@code("A_1") @description("Agents ask.")'),
    '@code("OPS") permit(principal is Human, action == Action::"secret.set", resource == Resource::"secret:x");',
    forbid('context has carries && !context.carries.contains("why")'),
    `// What it is for: "the freeze".\n${forbid("true")}`,
  ])("is admitted: %s", (text) => {
    expect(cedarProblems([text])).toEqual([]);
  });

  it.each([
    ["", "not one Cedar policy"],
    ["nonsense", "not one Cedar policy"],
    [`${forbid("true")}${forbid("true")}`, "not one Cedar policy"],
    ['@code("X") forbid(principal == ?principal, action, resource);', "not one Cedar policy"],
    [forbid("true", ""), "has no @code"],
    [forbid("true", "@code"), "has no @code"],
    [forbid("true", '@code("")'), "capitals, digits"],
    [forbid("true", '@code("freeze")'), "capitals, digits"],
    [forbid("true", `@code("${"X".repeat(65)}")`), "capitals, digits"],
    [forbid("true", '@code("POLICY_CLASS")'), "one of Gantry's own"],
    [forbid("true", '@code("FREEZE") @gate("deploy")'), "@gate means nothing here"],
    [forbid("true", '// @code("OTHER")\n@code("FREEZE")'), "the first that the text speaks of"],
    [forbid('context.host == "x"'), "unable to guarantee safety"],
    [forbid('context has hsot && context.hsot == "x"'), "never"],
    [forbid("context.gates == 1"), "schema"],
    [forbid('ip("10.0.0.1").isLoopback()'), "Addresses are judged"],
    [forbid('{ip: [1]} == {ip: [1]} && ip("1.1.1.1").isIpv4()'), "Addresses are judged"],
    [forbid("true", '@code("FREEZE\u{d800}")'), "characters that no text may have"],
  ])("is refused: %j, because %s", (text, why) => {
    const found = problem(text);
    expect(found).not.toBe("");
    if (why !== "never") expect(found).toContain(why);
  });

  it("may have a record with a member that is called like a function", () => {
    expect(cedarProblems([forbid("{ip: [1]} == {ip: [1]}")]).map(({ text }) => text)).not.toContainEqual(
      expect.stringContaining("Addresses"),
    );
  });

  it("has at most CEDAR_BYTES_MAX bytes", () => {
    const padded = (bytes: number) => `//${"é".repeat((bytes - forbid("true").length - 3) / 2)}\n${forbid("true")}`;
    const even = CEDAR_BYTES_MAX - ((CEDAR_BYTES_MAX - forbid("true").length - 3) % 2);
    expect(Buffer.byteLength(padded(even))).toBeGreaterThan(CEDAR_BYTES_MAX - 2);
    expect(cedarProblems([padded(even)])).toEqual([]);
    expect(problem(padded(even + 2))).toContain(`${CEDAR_BYTES_MAX} bytes`);
  });

  const chains: [string, (n: number) => string][] = [
    ["&&", (n) => `${"true && ".repeat(n - 1)}true`],
    ["+", (n) => `${"1 + ".repeat(n - 2)}1 == 1`],
    ["if", (n) => `${"if ".repeat(n - 1)}true${" then true else false".repeat(n - 1)}`],
    ["!", (n) => `${"!(".repeat(n - 1)}true${")".repeat(n - 1)}`],
  ];
  it.each(chains)("nests at most CEDAR_DEPTH_MAX deep: %s", (_name, chain) => {
    const admitted = forbid(chain(CEDAR_DEPTH_MAX));
    expect(cedarProblems([admitted]).map(({ text }) => text)).not.toContainEqual(expect.stringContaining("nest"));
    expect(problem(forbid(chain(CEDAR_DEPTH_MAX + 1)))).toContain(`nest ${CEDAR_DEPTH_MAX} deep`);
    // And what is admitted can be asked, also by a caller that stands deep in a stack of its own.
    const engine = new PolicyEngine();
    const ready = engine.prepare({ ...nothingGranted("deep"), cedar: [admitted] });
    const asked = (frames: number): string =>
      frames === 0
        ? (engine.evaluate(ready, { action: "run.submit", resource: "x", context: {} }).reasons[0]?.code ?? "allowed")
        : asked(frames - 1);
    expect(asked(1_000)).not.toBe("POLICY_EVAL_ERROR");
  });

  it.each([
    ["brackets", `${"(".repeat(3_000)}true${")".repeat(3_000)}`],
    ["sets", `${"[".repeat(3_000)}1${"]".repeat(3_000)} == [1]`],
    ["conditions", `${"if ".repeat(300)}true${" then true else true".repeat(300)}`],
    ["sums", `1${"+1".repeat(4_000)} == 1`],
    ["members", `principal${".a".repeat(4_000)} == 1`],
  ])("that would overflow the engine's stack is refused, and the next one is judged: %s", (_name, condition) => {
    expect(problem(forbid(condition))).toContain("deep");
    expect(cedarProblems([forbid("true")])).toEqual([]);
  });

  it("of several, each is named by its place", () => {
    const found = cedarProblems([forbid("true"), "nonsense", forbid("true"), forbid("context.x")]);
    expect(found.map(({ index }) => index)).toEqual([1, 3]);
  });
});

describe("a text", () => {
  it("that validation breaks on is a problem, not an exception", () => {
    const cedar = new Cedar(CEDAR_SCHEMA);
    expect(cedar.validate({ a: "nonsense" })).toBeUndefined();
    expect(cedar.validate({ a: forbid(`1${"+1".repeat(4_000)} == 1`) })).toBeUndefined();
    expect(cedar.generation).toBe(1);
    expect(cedar.validate({ a: forbid("true") })).toEqual(new Map());
  });
});
