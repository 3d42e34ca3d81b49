import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { matchTool } from "./tool_match.ts";

const RULES = [
  { name: "issues.*", args: { repo: ["acme/*", "zenith/web"] } },
  { name: "docs.read", args: {} },
  { name: "issues.list", args: { repo: ["public/*"], state: ["open"] } },
];

describe("tool rules", () => {
  it.each([
    ["issues.create", { repo: "acme/web" }, { place: 0 }],
    ["issues.create", { repo: "acme/web", title: "anything" }, { place: 0 }],
    ["issues.create", { repo: "evil/web" }, { stopped: "args" }],
    ["issues.create", {}, { stopped: "args" }],
    ["issues.create", undefined, { place: 0 }],
    ["issues.list", { repo: "public/x", state: "open" }, { place: 2 }],
    ["issues.list", { repo: "public/x" }, { stopped: "args" }],
    ["docs.read", {}, { place: 1 }],
    ["docs.write", {}, { stopped: "name" }],
    ["Docs.read", {}, { stopped: "name" }],
  ])("%s with %o: %o", (name, args, expected) => {
    expect(matchTool(RULES, name, args as Record<string, string> | undefined)).toEqual(expected);
  });

  it("ask for arguments that a caller has, not that every object has", () => {
    expect(matchTool([{ name: "*", args: { constructor: ["*"] } }], "x", {})).toEqual({ stopped: "args" });
  });

  it("grant nothing more when one of them is gone", () => {
    const letters = fc.stringMatching(/^[ab*]{1,3}$/);
    const rule = fc.record({
      name: letters,
      args: fc.dictionary(fc.constantFrom("x", "y"), fc.array(letters, { maxLength: 2 })),
    });
    const args = fc.dictionary(fc.constantFrom("x", "y"), fc.stringMatching(/^[ab]{0,3}$/));
    fc.assert(
      fc.property(
        fc.array(rule, { maxLength: 4 }),
        rule,
        fc.stringMatching(/^[ab]{1,3}$/),
        args,
        (rules, more, name, given) => {
          if (!("place" in matchTool([...rules, more], name, given))) {
            expect(matchTool(rules, name, given)).not.toHaveProperty("place");
          }
        },
      ),
    );
  });
});
