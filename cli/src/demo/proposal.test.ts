import { expect, test } from "vitest";
import { masked, mergeRules, proposalOf, withoutRemarks } from "./proposal.ts";

const rule = { hosts: ["127.0.0.1"], protocol: "http", ports: [8080], paths: ["/v1"], methods: ["GET"], private: true };

test("rules that differ in nothing but their methods become one, its members in their order", () => {
  const merged = mergeRules([rule, { ...rule, methods: ["POST"] }, { ...rule, methods: ["GET"] }]);
  expect(merged).toEqual([{ ...rule, methods: ["GET", "POST"] }]);
  expect(Object.keys(merged[0] ?? {})).toEqual(Object.keys(rule));
});

test("rules that differ in anything else stay apart", () => {
  const other = { ...rule, paths: ["/v2"], methods: ["POST"] };
  expect(mergeRules([rule, other])).toEqual([rule, other]);
  expect(mergeRules([])).toEqual([]);
});

test("a proposal is the document without its remarks, and the rules with the secret below egress", () => {
  const text = proposalOf("# why\nkind: Contract\n\nname: a\n", [rule], { name: "t", slot: "bearer" });
  expect(text).toBe(
    [
      "kind: Contract",
      "name: a",
      "egress:",
      '  - hosts: ["127.0.0.1"]',
      "    protocol: http",
      "    ports: [8080]",
      '    paths: ["/v1"]',
      '    methods: ["GET"]',
      "    private: true",
      '    secret: {name: "t", slot: "bearer"}',
      "",
    ].join("\n"),
  );
  expect(withoutRemarks("# a\n#\n\nname: b  # kept\n")).toBe("name: b  # kept\n");
});

test("a credential is shown by its beginning and its length alone", () => {
  expect(masked("gl_abcdefghijkl")).toBe("gl_abcd… (15 characters)");
});
