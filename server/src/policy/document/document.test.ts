import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { REDACTIONS } from "../../evidence/contract.ts";
import { isGantryError, type Problem } from "../../kernel/errors.ts";
import { LIMIT_NAMES, RUN_LIMITS } from "../../kernel/limits.ts";
import { builtinContracts, ceilings } from "../builtin.ts";
import {
  CONTRACT_BYTES_MAX,
  CONTRACT_DEPTH_MAX,
  CONTRACT_PROBLEMS_MAX,
  type Contract,
  ISOLATIONS,
  isWeaker,
  REDACTION_DEFAULT,
} from "../contract.ts";
import { parseContract } from "./document.ts";
import { editDistance, nearest } from "./nearest.ts";

const bases = builtinContracts();
const parse = (text: string): Contract => parseContract({ name: "acme.yaml", text }, bases);
const head = "kind: Contract\nname: acme\nextends: scratch\n";

function problemsOf(text: string): Problem[] {
  try {
    parse(text);
  } catch (error) {
    if (!isGantryError(error)) throw error;
    expect(error.code).toBe("CONTRACT_INVALID");
    return error.parts.problems ?? [];
  }
  throw new Error("the document was accepted");
}

describe("a contract document", () => {
  it("inherits every key that it does not set, the isolation excepted: that is the strongest", () => {
    expect(parse(head)).toEqual({ ...bases.get("scratch"), name: "acme", extends: "scratch", isolation: "process" });
  });

  it("sets every key of the first form", () => {
    const text = `${head}class: read-only\nisolation: process\nisolation_floor: process\njail: required
idempotent: false\nlimits:\n  cpu_ms: 500\n  wall_ms: 2000\n`;
    expect(parse(text)).toMatchObject({
      isolation: "process",
      isolation_floor: "process",
      jail: "required",
      idempotent: false,
      limits: { ...ceilings(), cpu_ms: 500, wall_ms: 2_000 },
    });
  });

  it("says what is kept of private values, completely as soon as it says anything", () => {
    expect(parse(head).redaction).toEqual({ prompts: "mask" });
    for (const how of REDACTIONS) {
      expect(parse(`${head}redaction: {prompts: ${how}}`).redaction).toEqual({ prompts: how });
    }
    expect(parse(`${head}redaction: {}`).redaction).toEqual(REDACTION_DEFAULT);
  });

  it("inherits what the contract that it extends says of private values", () => {
    const scratch = bases.get("scratch")!;
    const base = { ...scratch, name: "base", redaction: { prompts: "drop" } as const };
    const heir = (more: string) =>
      parseContract(
        { name: "heir.yaml", text: `kind: Contract\nname: heir\nextends: base\n${more}` },
        new Map([["base", base]]),
      );
    expect(heir("").redaction).toEqual(base.redaction);
    expect(heir("redaction: {}").redaction).toEqual(base.redaction);
    expect(heir("redaction: {prompts: keep}").redaction).toEqual({ prompts: "keep" });
  });

  it.each([
    ["redaction: {prompt: keep}", "prompt"],
    ["redaction: {logs: drop}", "logs"],
    ["redaction: {prompts: keep, artifacts: mask}", "artifacts"],
    ["redaction: {prompts: hide}", "keep or mask or drop"],
    ["redaction: {prompts: true}", "keep or mask or drop"],
    ["redaction: {prompts: keep, prompts: drop}", "prompts"],
    ["redaction: keep", "map"],
    ["redaction: [keep]", "map"],
    ["redaction:", "map"],
  ])("with %s is refused", (text, says) => {
    expect(
      problemsOf(`${head}${text}\n`)
        .map((problem) => problem.text)
        .join(" "),
    ).toContain(says);
  });

  it("may be JSON, also indented with tabs", () => {
    const value = { kind: "Contract", name: "acme", extends: "scratch", limits: { memory_mb: 64 } };
    expect(parse(JSON.stringify(value, null, "\t"))).toEqual(parse(`${head}limits: {memory_mb: 64}`));
  });

  it("may have comments, quotes and a marker", () => {
    expect(parse(`# ours\n---\nkind: "Contract" # yes\nname: 'acme'\nextends: scratch\n...\n`).name).toBe("acme");
  });

  it("has a name of 1 to 63 characters", () => {
    const named = (name: string) => `kind: Contract\nname: ${name}\nextends: scratch\n`;
    expect(parse(named("a")).name).toBe("a");
    expect(parse(named("a".repeat(63))).name).toHaveLength(63);
    for (const name of ["a".repeat(64), "1a", "-a", "Acme", "a_b", '""', "é"]) {
      expect(problemsOf(named(name)).map((problem) => problem.at)).toEqual(["acme.yaml#/name"]);
    }
    expect(problemsOf(named("12"))[0]?.text).toBe("name is text.");
  });

  it.each(LIMIT_NAMES)("lowers %s down to its minimum and no further, and never raises it", (name) => {
    const { min, max } = RUN_LIMITS[name];
    const limited = (value: number | string) => `${head}limits:\n  ${name}: ${value}\n`;
    expect(parse(limited(min)).limits[name]).toBe(min);
    expect(parse(limited(max)).limits[name]).toBe(max);
    for (const value of [min - 1, max + 1]) {
      expect(problemsOf(limited(value))[0]).toMatchObject({
        at: `acme.yaml#/limits/${name}`,
        line: 5,
        column: name.length + 5,
      });
    }
    for (const value of [`${min}.5`, '"10"', "true", "null", "[]", "1e400"]) {
      expect(problemsOf(limited(value))[0]?.text).toContain("whole number");
    }
  });

  it("is read up to 256 KiB and not one byte further", () => {
    const filled = (bytes: number) => `${head}#${"x".repeat(bytes - head.length - 1)}`;
    expect(parse(filled(CONTRACT_BYTES_MAX)).name).toBe("acme");
    expect(problemsOf(filled(CONTRACT_BYTES_MAX + 1))).toHaveLength(1);
    const wide = `${head}#${"é".repeat(CONTRACT_BYTES_MAX / 2)}`;
    expect(problemsOf(wide)).toHaveLength(1);
  });
});

describe("what is wrong is said with its place", () => {
  const cases: [string, string, Partial<Problem>][] = [
    [
      "an unknown key, with the nearest known one",
      `${head}isolatoin: process`,
      {
        line: 4,
        column: 1,
        at: "acme.yaml#/isolatoin",
        text: "The key isolatoin is not known; did you mean isolation?",
      },
    ],
    [
      "an unknown limit",
      `${head}limits:\n  cpu: 5`,
      { line: 5, column: 3, at: "acme.yaml#/limits/cpu", text: "The key cpu is not known; did you mean cpu_ms?" },
    ],
    [
      "a network that the base does not have",
      `${head}egress: [{hosts: [a.b], protocol: https}]`,
      { line: 4, at: "acme.yaml#/egress" },
    ],
    ["a repeated key", `${head}name: other`, { line: 4, column: 1, text: "name stands here twice, first in line 2." }],
    ["a repeated limit", `${head}limits: {cpu_ms: 1, cpu_ms: 2}`, { line: 4, column: 21 }],
    [
      "an alias",
      `${head.replace("acme", "&n acme")}jail: *n`,
      { line: 2, column: 10, text: "Anchors are not read: leave the &name out." },
    ],
    [
      "a tag",
      `${head}idempotent: !!bool true`,
      { line: 4, column: 20, text: "Tags are not read: leave the !tag out." },
    ],
    ["a local tag", `${head}jail: !env JAIL`, { line: 4 }],
    [
      "a merge key",
      `${head}<<: {jail: required}`,
      { line: 4, text: expect.stringContaining("<<") as unknown as string },
    ],
    ["a key that is no text", `${head}1: 2`, { line: 4, column: 1, text: "A key is plain text." }],
    ["a second document", `${head}---\nkind: Contract`, { text: "A file holds one document; this is a second one." }],
    [
      "a value of another type",
      `${head}idempotent: "yes"`,
      { line: 4, column: 13, text: "idempotent is true or false." },
    ],
    [
      "another class",
      `${head}class: privileged`,
      {
        line: 4,
        column: 8,
        text: expect.stringContaining("class is read-only: scratch changes nothing") as unknown as string,
      },
    ],
    ["another isolation", `${head}isolation: shared`, { text: "isolation is pooled or session or process." }],
    [
      "a mistyped isolation",
      `${head}isolation: pool`,
      { line: 4, column: 12, text: "isolation is pooled or session or process. Did you mean pooled?" },
    ],
    [
      "a default that is weaker than the floor",
      `${head}isolation_floor: session\nisolation: pooled`,
      {
        line: 5,
        column: 12,
        at: "acme.yaml#/isolation",
        text: "isolation is pooled, which is weaker than the contract's own isolation_floor session; say session or process, or lower the floor.",
      },
    ],
    ["a mistyped choice", `${head}jail: requird`, { text: "jail is required or optional. Did you mean required?" }],
    [
      "a base that does not exist",
      head.replace("scratch", "scrach"),
      { line: 3, column: 10, at: "acme.yaml#/extends" },
    ],
    ["limits that are no map", `${head}limits: 5`, { line: 4, column: 9, at: "acme.yaml#/limits" }],
    ["limits without a value", `${head}limits:`, { at: "acme.yaml#/limits" }],
    ["a list", "- kind: Contract", { at: "acme.yaml#", line: 1 }],
    ["a comment only", "# nothing", { at: "acme.yaml#" }],
    ["what is not YAML", `${head}a: b: c`, { line: 4, text: expect.stringContaining("Not YAML") as unknown as string }],
    ["nothing", "", { text: "The document is empty." }],
  ];
  it.each(cases)("%s", (_name, text, expected) => {
    expect(problemsOf(text)[0]).toMatchObject(expected);
  });

  it("all of it, in the order of the text", () => {
    const text = "kind: Contrat\nnam: acme\nextends: scratch\nlimits:\n  cpu_ms: 0\n  wall: 1\njail: maybe\n";
    expect(problemsOf(text).map((problem) => [problem.line, problem.at])).toEqual([
      [1, "acme.yaml#"], // name is missing
      [1, "acme.yaml#/kind"],
      [2, "acme.yaml#/nam"],
      [5, "acme.yaml#/limits/cpu_ms"],
      [6, "acme.yaml#/limits/wall"],
      [7, "acme.yaml#/jail"],
    ]);
  });

  it("up to 50 problems and not one more", () => {
    const wrong = (n: number) => head + Array.from({ length: n }, (_, i) => `unknown${i}: 1\n`).join("");
    expect(problemsOf(wrong(CONTRACT_PROBLEMS_MAX - 1))).toHaveLength(CONTRACT_PROBLEMS_MAX - 1);
    expect(problemsOf(wrong(CONTRACT_PROBLEMS_MAX))).toHaveLength(CONTRACT_PROBLEMS_MAX);
    expect(problemsOf(wrong(CONTRACT_PROBLEMS_MAX + 1))).toHaveLength(CONTRACT_PROBLEMS_MAX);
  });

  it("also an alias behind its anchor", () => {
    const texts = problemsOf(`${head.replace("acme", "&n acme")}jail: *n`).map((problem) => problem.text);
    expect(texts).toContain("Aliases are not read: write the value out.");
  });

  it("maps and lists nest 8 deep and not one more", () => {
    const lists = (n: number) => `${head}x: ${"[".repeat(n)}1${"]".repeat(n)}`;
    const deep = (text: string) =>
      problemsOf(text).filter((problem) => problem.text.includes("nests too deeply")).length;
    expect(deep(lists(CONTRACT_DEPTH_MAX - 1))).toBe(0);
    expect(deep(lists(CONTRACT_DEPTH_MAX))).toBe(1);
    const blocks = (n: number) => head + Array.from({ length: n }, (_, i) => `${" ".repeat(i)}k:\n`).join("");
    expect(deep(blocks(CONTRACT_DEPTH_MAX - 1))).toBe(0);
    expect(deep(blocks(CONTRACT_DEPTH_MAX + 1))).toBe(1);
    const pairs = `${head}x: ${"[a: ".repeat(CONTRACT_DEPTH_MAX)}1${"]".repeat(CONTRACT_DEPTH_MAX)}`;
    expect(deep(pairs)).toBe(1);
  });

  it("with pointers that are escaped as RFC 6901 says", () => {
    expect(problemsOf(`${head}a/b~c: 1`)[0]?.at).toBe("acme.yaml#/a~1b~0c");
  });
});

describe("of the isolations", () => {
  const heir = (base: Contract, more: string) => {
    const text = `${head.replace("scratch", base.name)}${more}`;
    return parseContract({ name: "acme.yaml", text }, new Map([[base.name, base]]));
  };

  it("every default that is not weaker than the floor is accepted, and no other", () => {
    for (const [at, floor] of ISOLATIONS.entries()) {
      for (const [default_at, isolation] of ISOLATIONS.entries()) {
        const text = `${head}isolation: ${isolation}\nisolation_floor: ${floor}\n`;
        if (default_at >= at) expect(parse(text)).toMatchObject({ isolation, isolation_floor: floor });
        else expect(problemsOf(text)).toMatchObject([{ at: "acme.yaml#/isolation" }]);
      }
    }
  });

  it("the floor is inherited, and an heir may raise it and not lower it", () => {
    const base: Contract = { ...bases.get("scratch")!, name: "base", isolation: "session", isolation_floor: "session" };
    expect(heir(base, "")).toMatchObject({ isolation: "process", isolation_floor: "session" });
    expect(heir(base, "isolation_floor: process\n")).toMatchObject({ isolation_floor: "process" });
    expect(() => heir(base, "isolation_floor: pooled\n")).toThrow(/base asks for at least session/);
    expect(() => heir(base, "isolation: pooled\n")).toThrow(/weaker than the contract's own isolation_floor session/);
  });

  it("one is weaker than another exactly when it stands before it", () => {
    expect(ISOLATIONS).toEqual(["pooled", "session", "process"]);
    for (const a of ISOLATIONS) {
      for (const b of ISOLATIONS) expect(isWeaker(a, b)).toBe(ISOLATIONS.indexOf(a) < ISOLATIONS.indexOf(b));
    }
  });
});

describe("hostile documents end in a refusal", () => {
  it.each([
    ["nested lists", "[".repeat(100_000)],
    ["nested maps", "{a: ".repeat(50_000)],
    ["nested blocks", "- ".repeat(100_000)],
    ["many keys", Array.from({ length: 30_000 }, (_, i) => `k${i}: 1`).join("\n")],
    ["many anchors", "&a ".repeat(60_000)],
    ["a billion laughs", `a: &a [x,x,x]\nb: &b [*a,*a,*a]\nc: &c [*b,*b,*b]\nkind: *c`],
    ["a prototype", `${head}__proto__: {jail: optional}\nconstructor: 1`],
  ])("%s", (_name, text) => {
    expect(problemsOf(text).length).toBeGreaterThan(0);
  });

  it("whatever the text is", () => {
    const piece = fc.constantFrom(
      ..."{}[]&*!|>-?:,#'\"\n\t %@`~ab1",
      "kind: Contract\n",
      "limits:\n  cpu_ms: ",
      "<<: ",
    );
    fc.assert(
      fc.property(fc.array(piece, { maxLength: 60 }), (pieces) => {
        expect(problemsOf(pieces.join("")).length).toBeGreaterThan(0);
      }),
      { numRuns: 500 },
    );
  });
});

describe("the nearest key", () => {
  it("is at most three edits away", () => {
    expect(nearest("wallms", LIMIT_NAMES)).toBe("wall_ms");
    expect(nearest("WALL_MS", LIMIT_NAMES)).toBe("wall_ms");
    expect(nearest("completely_else", LIMIT_NAMES)).toBeUndefined();
    expect(nearest("x".repeat(65), ["x".repeat(65)])).toBeUndefined();
  });

  it("is measured by a distance: symmetric, zero for equals only, within the triangle", () => {
    const word = fc.stringMatching(/^[abc]{0,6}$/);
    fc.assert(
      fc.property(word, word, word, (a, b, c) => {
        expect(editDistance(a, b)).toBe(editDistance(b, a));
        expect(editDistance(a, b) === 0).toBe(a === b);
        expect(editDistance(a, c)).toBeLessThanOrEqual(editDistance(a, b) + editDistance(b, c));
      }),
    );
  });
});
