import fc from "fast-check";
import { expect, test } from "vitest";
import { findJsonFault } from "./json_place.ts";

test.each([
  ["", 1, 1, "Expected a value, but the text ends here."],
  ['{"a": 1,}', 1, 9, "Expected a name in double quotes"],
  ['{\n  "a": 1\n  "b": 2\n}', 3, 3, 'Expected "," or "}"'],
  ["{a: 1}", 1, 2, "Expected a name in double quotes"],
  ["[1, 2", 1, 6, 'Expected "," or "]", but the text ends'],
  ['{"a" 1}', 1, 6, 'Expected ":"'],
  ["'text'", 1, 1, "Expected a value"],
  ["[1] x", 1, 5, "Expected the end"],
  ['["open', 1, 2, "This string has no end."],
  ['"a\\x"', 1, 3, "No such escape"],
  ['"a\nb"', 1, 3, "must be escaped"],
  ["01", 1, 2, "Expected the end"],
])("%j breaks at line %i, column %i", (text, line, column, sentence) => {
  const fault = findJsonFault(text);
  expect(fault).toMatchObject({ line, column });
  expect(fault?.text).toContain(sentence);
});

test("it finds a fault exactly where JSON.parse refuses", () => {
  const broken = fc.tuple(
    fc.json(),
    fc.nat(),
    fc.constantFrom("", ",", '"', "{", "]", "\\", "1", "\n", "nul", ":", "-"),
  );
  fc.assert(
    fc.property(broken, ([json, seed, splice]) => {
      const at = seed % (json.length + 1);
      const text = json.slice(0, at) + splice + json.slice(at + (seed % 3));
      let valid = true;
      try {
        JSON.parse(text);
      } catch {
        valid = false;
      }
      expect(findJsonFault(text) === undefined).toBe(valid);
    }),
    { numRuns: 2_000 },
  );
});

test("nesting that is too deep to search is no fault and no crash", () => {
  expect(findJsonFault("[".repeat(100_000))).toBeUndefined();
});
