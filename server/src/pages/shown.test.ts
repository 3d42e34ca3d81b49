import fc from "fast-check";
import { expect, it } from "vitest";
import { SHOWN_TEXT_CHARS_MAX, UNSEEN_CHARS } from "./contract.ts";
import { shownJson, shownText } from "./shown.ts";

/** What of a text there is room for. */

it("a text of exactly SHOWN_TEXT_CHARS_MAX is whole, and one more is cut", () => {
  const whole = "x".repeat(SHOWN_TEXT_CHARS_MAX);
  expect(shownText(whole, SHOWN_TEXT_CHARS_MAX)).toEqual({ text: whole, cut: false });
  expect(shownText(`${whole}y`, SHOWN_TEXT_CHARS_MAX)).toEqual({ text: whole, cut: true });
});

it("a character that is not seen takes the room of its name", () => {
  const hidden = "\u202e".repeat(10);
  expect(shownText(hidden, 10 * UNSEEN_CHARS)).toEqual({ text: hidden, cut: false });
  expect(shownText(hidden, 10 * UNSEEN_CHARS - 1)).toEqual({ text: "\u202e".repeat(9), cut: true });
  expect(shownText("\u{e0101}a", 100)).toEqual({ text: "\u{e0101}a", cut: false });
});

it("no character is cut in two", () => {
  expect(shownText("a😀", 2)).toEqual({ text: "a", cut: true });
  expect(shownText("a😀", 3)).toEqual({ text: "a😀", cut: false });
});

it("what is shown is where the text begins, whatever it holds", () => {
  fc.assert(
    fc.property(fc.string({ unit: "binary", maxLength: 60 }), fc.nat({ max: 80 }), (text, chars_max) => {
      const { text: shown, cut } = shownText(text, chars_max);
      expect(text.startsWith(shown)).toBe(true);
      expect(cut).toBe(shown.length < text.length);
      expect(shown.length).toBeLessThanOrEqual(chars_max);
    }),
  );
});

it("JSON that fits is what JSON.stringify writes, and what does not is its beginning", () => {
  fc.assert(
    fc.property(
      fc.jsonValue().filter((value) => typeof value !== "string" && !/[^\x20-\x7e]/.test(JSON.stringify(value))),
      fc.nat({ max: 200 }),
      (value, chars_max) => {
        const written = JSON.stringify(value, null, 2);
        const { text, cut } = shownJson(value, chars_max);
        expect(written.startsWith(text)).toBe(true);
        expect(cut).toBe(written.length > chars_max);
      },
    ),
  );
});

it("a huge value is written no further than there is room for it", () => {
  const reads: string[] = [];
  const huge = new Proxy(
    Array.from({ length: 1_000_000 }, () => 1),
    {
      get(target, name, receiver) {
        reads.push(String(name));
        return Reflect.get(target, name, receiver);
      },
    },
  );
  expect(shownJson(huge, 100).cut).toBe(true);
  expect(reads.length).toBeLessThan(200);
});
