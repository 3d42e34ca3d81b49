import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { codeSpan, markdown, plainText, told } from "./told.ts";

describe("a sentence with values", () => {
  it("is plain text, or Markdown with each value as a code span", () => {
    const said = told`Run ${"run_1"} used ${3} of ${["a", "b"]}.`;
    expect(plainText(said)).toBe("Run run_1 used 3 of a, b.");
    expect(markdown(said)).toBe("Run `run_1` used `3` of `a, b`.");
  });

  it("makes nothing of what a value says: no markup, no lines, no direction, no control", () => {
    const evil = "](http://evil) `code` ``two`` <script>\n# heading\u001b[2J\u202e\u2028|";
    const text = markdown(told`Host ${evil}.`);
    expect(text).toBe("Host ```](http://evil) `code` ``two`` <script>\\u000a# heading\\u001b[2J\\u202e\\u2028|```.");
    expect(plainText(told`${evil}`)).not.toMatch(/[\n\u001b\u202e\u2028]/);
  });

  it("pads a value that begins or ends with a backtick, and shows an empty one", () => {
    expect(codeSpan("`a")).toBe("`` `a ``");
    expect(codeSpan("")).toBe("(empty)");
    expect(codeSpan("  ")).toBe("(empty)");
  });

  it("cuts a value after 300 characters, and says how many there were", () => {
    expect(plainText(told`${"é".repeat(300)}`)).toBe("é".repeat(300));
    expect(plainText(told`${"é".repeat(301)}`)).toBe(`${"é".repeat(300)}… (301 characters)`);
    expect(plainText(told`${"\u{1f600}".repeat(301)}`).isWellFormed()).toBe(true);
  });

  it("never lets a value end its own code span, whatever it is", () => {
    fc.assert(
      fc.property(fc.string({ unit: fc.constantFrom("`", " ", "a", "\n", "*", "\\") }), (value) => {
        const text = markdown(told`${value}`);
        if (text === "(empty)") return;
        const [fence = ""] = /^`+/.exec(text) ?? [];
        const inner = text.slice(fence.length, -fence.length);
        expect(text.endsWith(fence)).toBe(true);
        // CommonMark 6.1: a run of exactly as many backticks would end it.
        expect([...inner.matchAll(/`+/g)].map(([run]) => run)).not.toContain(fence);
        expect(inner).not.toMatch(/^`|`$|\n/);
      }),
    );
  });
});
