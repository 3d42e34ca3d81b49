import { describe, expect, it } from "vitest";
import { instantText, piecesOf, seenText, spanText } from "./text.ts";

describe("what somebody wrote", () => {
  it.each([
    ["the mark that turns the writing direction", "a\u202eb", "a[U+202E]b"],
    ["a space without width", "pay\u200bpal", "pay[U+200B]pal"],
    ["a soft hyphen", "a\u00adb", "a[U+00AD]b"],
    ["a tag character, which spells hidden text", "a\u{e0041}b", "a[U+E0041]b"],
    ["a variation selector of the supplement", "a\u{e0101}b", "a[U+E0101]b"],
    ["a filler that looks like nothing", "a\u3164b", "a[U+3164]b"],
    ["an escape of terminals", "a\u001b[2Jb", "a[U+001B][2Jb"],
    ["a carriage return, which would write over the line", "a\rb", "a[U+000D]b"],
    ["half of a surrogate pair", "a\ud800b", "a[U+D800]b"],
    ["a line separator", "a\u2028b", "a[U+2028]b"],
  ])("names %s", (_, text, seen) => {
    expect(seenText(text)).toBe(seen);
  });

  it.each(["plain", "Grüße, 你好, שלום", "😀", "one\n\ttwo", "e\u0301", ""])("leaves %j as it is", (text) => {
    expect(piecesOf(text)).toEqual(text === "" ? [] : [{ text, unseen: false }]);
  });
});

it("a span names its two largest units, and nothing is left of what is over", () => {
  expect([-1, 45_000, 180_000, 19_200_000, 183_600_000].map(spanText)).toEqual([
    "0 s",
    "45 s",
    "3 min",
    "5 h 20 min",
    "2 d 3 h",
  ]);
  expect(instantText(Date.UTC(2026, 0, 31, 12, 0, 5, 9))).toBe("2026-01-31 12:00:05 UTC");
});
