import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { CANONICAL_DEPTH_MAX, canonicalJson, isStorableText, type Json } from "./canonical.ts";

const text = fc.string({ unit: "binary" }).filter(isStorableText);
const json: fc.Arbitrary<Json> = fc.letrec<{ value: Json }>((tie) => ({
  value: fc.oneof(
    { depthSize: "small", withCrossShrink: true },
    fc.constant(null),
    fc.boolean(),
    fc.maxSafeInteger(),
    text,
    fc.array(tie("value"), { maxLength: 5 }),
    fc.dictionary(text, tie("value"), { maxKeys: 5 }),
  ),
})).value;

/** The same value with the members of every object in the opposite order. */
function reversed(value: Json): Json {
  if (Array.isArray(value)) return value.map(reversed);
  if (typeof value !== "object" || value === null) return value;
  return Object.fromEntries(
    Object.entries(value)
      .reverse()
      .map(([key, member]) => [key, reversed(member)]),
  );
}

const nested = (depth: number): Json => {
  let value: Json = 0;
  for (let i = 0; i < depth; i++) value = [value];
  return value;
};

describe("canonical JSON", () => {
  it("is JSON that reads back as the same value", () => {
    fc.assert(
      fc.property(json, (value) => {
        expect(JSON.parse(canonicalJson(value))).toEqual(JSON.parse(JSON.stringify(value)));
      }),
    );
  });

  it("does not depend on the order of members, and is its own canonical form", () => {
    fc.assert(
      fc.property(json, (value) => {
        const canonical = canonicalJson(value);
        expect(canonicalJson(reversed(value))).toBe(canonical);
        expect(canonicalJson(JSON.parse(canonical))).toBe(canonical);
      }),
    );
  });

  it("sorts members by UTF-16 code units (RFC 8785, 3.2.3)", () => {
    const value = { "€": 5, "\r": 1, "\ufb33": 7, "1": 2, "😀": 6, "\u0080": 3, ö: 4 };
    expect(canonicalJson(value)).toBe('{"\\r":1,"1":2,"\u0080":3,"ö":4,"€":5,"😀":6,"\ufb33":7}');
  });

  it("escapes what must be and nothing else (RFC 8785, 3.2.2.2)", () => {
    const value = '\u0001\b\t\n\u000b\f\r\u001f "\\/\u007f\u2028ß😀';
    expect(canonicalJson(value)).toBe('"\\u0001\\b\\t\\n\\u000b\\f\\r\\u001f \\"\\\\/\u007f\u2028ß😀"');
  });

  it("writes literals and integers in their one form", () => {
    expect(canonicalJson([null, true, false, -0, 0, Number.MAX_SAFE_INTEGER, Number.MIN_SAFE_INTEGER])).toBe(
      "[null,true,false,0,0,9007199254740991,-9007199254740991]",
    );
    expect(canonicalJson({})).toBe("{}");
    expect(canonicalJson([])).toBe("[]");
  });

  it("leaves out members that are undefined", () => {
    expect(canonicalJson({ b: undefined, a: 1 })).toBe('{"a":1}');
  });

  it("of what is written in order is that of the same in another order, whatever its strings have in them", () => {
    const value = { a: ["\u0001", "\\u0000", { b: -0, c: undefined, d: "é" }], "\u0002": null, "\u20ac": true };
    const text = '{"\\u0002":null,"a":["\\u0001","\\\\u0000",{"b":0,"d":"é"}],"\u20ac":true}';
    expect(canonicalJson(value)).toBe(text);
    expect(canonicalJson(JSON.parse(text))).toBe(text);
  });

  it("knows an object by its members alone", () => {
    const value = Object.assign(new Date(0), { a: 1 });
    expect(canonicalJson([value])).toBe('[{"a":1}]');
    expect(canonicalJson(Object.assign(Object.create(null), { a: 1 }))).toBe('{"a":1}');
    expect(() => canonicalJson({ a: 1, toJSON: () => 2 })).toThrow(TypeError);
  });

  it.each([
    ["a fraction", 0.5],
    ["a fraction in a list", [0.5]],
    ["a fraction in an object", { a: 0.5 }],
    ["not a number, in a list", [Number.NaN]],
    ["text with U+0000 in a list", ["a\0"]],
    ["a name with a lone surrogate", { "\ud800": 1 }],
    ["a BigInt in a list", [1n]],
    ["an unsafe integer", 2 ** 53],
    ["not a number", Number.NaN],
    ["infinite", Number.POSITIVE_INFINITY],
    ["text with U+0000", "a\0"],
    ["text with a lone surrogate", "\udc00"],
    ["a name with U+0000", { "\0": 1 }],
    ["undefined in a list", [undefined]],
    ["a BigInt", 1n],
    ["a function", () => 1],
  ])("refuses %s", (_, value) => {
    expect(() => canonicalJson(value)).toThrow(TypeError);
  });

  it(`nests ${CANONICAL_DEPTH_MAX} levels and not one more`, () => {
    expect(canonicalJson(nested(CANONICAL_DEPTH_MAX))).toHaveLength(2 * CANONICAL_DEPTH_MAX + 1);
    expect(() => canonicalJson(nested(CANONICAL_DEPTH_MAX + 1))).toThrow(`at most ${CANONICAL_DEPTH_MAX} levels`);
  });
});
