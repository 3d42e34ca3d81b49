import { describe, expect, it } from "vitest";
import { parse } from "yaml";
import { isGantryError } from "../kernel/errors.ts";
import { MCP_RULES_MAX } from "./contract.ts";
import { withRules } from "./document_rules.ts";

const rule = { hosts: ["api.example.com"], protocol: "https", methods: ["GET"] };
const SOURCE = `# Ours.
kind: Contract
name: own
extends: read-only
egress:
  # The handbook.
  - {hosts: [docs.example.com], protocol: https}
`;

function refusalOf(work: () => unknown): string {
  try {
    work();
  } catch (error) {
    if (isGantryError(error)) return `${error.code} ${error.message}`;
    throw error;
  }
  return "it was taken";
}

describe("a rule that is added to a contract's document", () => {
  it("stands in front of those that are there, and everything else stays, comments included", () => {
    const text = withRules(SOURCE, [rule]);
    expect(text).toContain("# Ours.");
    expect(text).toContain("# The handbook.");
    expect(parse(text)).toEqual({
      ...parse(SOURCE),
      egress: [rule, { hosts: ["docs.example.com"], protocol: "https" }],
    });
  });

  it("may come as YAML, as one rule, as a list, or below `egress:`", () => {
    const expected = parse(withRules(SOURCE, [rule]));
    const one = "hosts: [api.example.com]\nprotocol: https\nmethods: [GET]";
    for (const text of [one, JSON.stringify([rule]), JSON.stringify({ egress: [rule] })]) {
      expect(parse(withRules(SOURCE, text))).toEqual(expected);
    }
  });

  it("makes a list where there was none, or an empty one between brackets", () => {
    const bare = "kind: Contract\nname: own\nextends: read-only\n";
    for (const source of [bare, `${bare}egress: []\n`, `${bare}egress:\n`, JSON.stringify(parse(bare))]) {
      expect(parse(withRules(source, [rule])), source).toEqual({ ...parse(bare), egress: [rule] });
    }
  });

  it.each(["just text", "- a\n- b", "[", "hosts: [a\n"])("that is %j is refused, with what would be right", (text) => {
    expect(refusalOf(() => withRules(SOURCE, text))).toContain("MCP_ARGUMENTS");
  });

  it("is one of at most MCP_RULES_MAX", () => {
    const rules = (count: number) => Array.from({ length: count }, () => rule);
    expect(parse(withRules(SOURCE, rules(MCP_RULES_MAX))).egress).toHaveLength(MCP_RULES_MAX + 1);
    expect(refusalOf(() => withRules(SOURCE, JSON.stringify(rules(MCP_RULES_MAX + 1))))).toContain("MCP_ARGUMENTS");
    expect(refusalOf(() => withRules(SOURCE, []))).toContain("MCP_ARGUMENTS");
  });
});
