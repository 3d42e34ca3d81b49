import fc from "fast-check";
import { expect, it } from "vitest";
import { hmacHex, hmacUnder, sha256, sha256Hex } from "./hash.ts";

it("SHA-256 is of the bytes, and text is UTF-8 (FIPS 180-4, the example of one block)", () => {
  const abc = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";
  expect(sha256Hex("abc")).toBe(abc);
  expect(sha256Hex(new TextEncoder().encode("abc"))).toBe(abc);
  expect(Buffer.from(sha256(Buffer.from("a"), Buffer.from("bc"))).toString("hex")).toBe(abc);
  expect(Buffer.from(sha256()).toString("hex")).toBe(sha256Hex(""));
});

it("a commitment key has exactly 32 bytes, because a shorter one collides with itself and a zero", () => {
  const key = new Uint8Array(32).fill(7);
  expect(hmacHex(key, "value")).toMatch(/^[0-9a-f]{64}$/);
  for (const bytes of [31, 33, 0]) expect(() => hmacHex(new Uint8Array(bytes), "value")).toThrow(RangeError);
  for (const bytes of [31, 33, 0]) expect(() => hmacUnder(new Uint8Array(bytes))).toThrow(RangeError);
});

it("a key that is used again and again gives what it gives once, for every text and every length", () => {
  const key = fc.uint8Array({ minLength: 32, maxLength: 32 });
  const text = fc.oneof(
    fc.string({ unit: "grapheme", maxLength: 200 }),
    fc.nat({ max: 20_000 }).map((length) => "\u20ac".repeat(length)),
    fc.constantFrom(8_191, 8_192, 8_193).map((length) => "\u20ac".repeat(length)),
  );
  fc.assert(
    fc.property(key, fc.array(text, { minLength: 1, maxLength: 4 }), (key, texts) => {
      const hmac = hmacUnder(key);
      for (const text of texts) expect(hmac(text)).toBe(hmacHex(key, text));
    }),
  );
});
