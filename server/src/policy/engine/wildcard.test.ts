import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { isAddress, matchesHost, matchesPattern } from "./wildcard.ts";

/** Few letters, so that patterns and texts meet. */
const text = fc.stringMatching(/^[ab/]{0,8}$/);
const pattern = fc.stringMatching(/^[ab/*]{0,6}$/);
const label = fc.constantFrom("a", "b", "x");
const host = fc.array(label, { minLength: 1, maxLength: 5 }).map((labels) => labels.join("."));
const host_pattern = fc
  .array(fc.oneof(label, fc.constantFrom("*", "**")), { minLength: 1, maxLength: 4 })
  .map((labels) => labels.join("."));

/** As the definition says, with a regular expression, which is right and may be slow. */
const byExpression = (wanted: string, given: string) =>
  new RegExp(`^${wanted.replace(/[/.]/g, "\\$&").replace(/\*/g, ".*")}$`, "s").test(given);
const byLabels = (wanted: string, given: string) => {
  const parts = wanted.split(".").map((each) => (each === "**" ? "[^.]+(\\.[^.]+)*" : each === "*" ? "[^.]+" : each));
  return new RegExp(`^${parts.join("\\.")}$`).test(given);
};

describe("a pattern of texts", () => {
  it.each([
    ["issues.*", "issues.list", true],
    ["issues.*", "issues.", true],
    ["issues.*", "issues", false],
    ["*", "", true],
    ["", "", true],
    ["", "a", false],
    ["/v1/*", "/v1/a/b", true],
    ["/v1/*", "/v1", false],
    ["a*b*c", "a__b__b_c", true],
    ["a.c", "abc", false],
  ])("%s against %s: %s", (wanted, given, expected) => {
    expect(matchesPattern(wanted, given)).toBe(expected);
  });

  it("means what it says", () => {
    fc.assert(
      fc.property(pattern, text, (wanted, given) => {
        expect(matchesPattern(wanted, given)).toBe(byExpression(wanted, given));
      }),
      { numRuns: 2_000 },
    );
  });

  it("with many stars is decided in few steps", () => {
    expect(matchesPattern("*a".repeat(200), "a".repeat(20_000))).toBe(true);
    expect(matchesPattern(`${"*a".repeat(200)}b`, "a".repeat(20_000))).toBe(false);
  });
});

describe("a pattern of hosts", () => {
  it.each([
    ["api.example.com", "api.example.com", true],
    ["api.example.com", "API.example.com", false],
    ["api.example.com", "api.example.com.", false],
    ["*.example.com", "api.example.com", true],
    ["*.example.com", "example.com", false],
    ["*.example.com", "a.b.example.com", false],
    ["*.example.com", ".example.com", false],
    ["**.example.com", "a.b.example.com", true],
    ["**.example.com", "example.com", false],
    ["**.example.com", "example.com.evil.test", false],
    ["**.example.com", "notexample.com", false],
    ["api.*.com", "api.x.com", true],
    ["**", "localhost", true],
    ["**", "10.0.0.1", false],
    ["*.*.*.*", "10.0.0.1", false],
    ["10.0.0.1", "10.0.0.1", true],
    ["**", "[::1]", false],
    ["[::1]", "[::1]", true],
    ["*.1", "example.1", false],
    ["ap*.example.com", "api.example.com", false],
  ])("%s against %s: %s", (wanted, given, expected) => {
    expect(matchesHost(wanted, given)).toBe(expected);
  });

  it("means what it says", () => {
    fc.assert(
      fc.property(host_pattern, host, (wanted, given) => {
        expect(matchesHost(wanted, given)).toBe(byLabels(wanted, given));
      }),
      { numRuns: 2_000 },
    );
  });

  it.each(["10.0.0.1", "0x7f.1", "1", "2130706433", "[::1]", "::1", "a.0x", "127.1."])("%s is an address", (given) => {
    expect(isAddress(given)).toBe(true);
  });

  it.each(["example.com", "1.example", "0x7f.example.com", "a1"])("%s is a name", (given) => {
    expect(isAddress(given)).toBe(false);
  });
});
