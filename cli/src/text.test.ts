import { expect, test } from "vitest";
import { cut, duration, instant, minute, paintFor, visible, widthOf, wrap } from "./text.ts";

const sink = (tty: boolean) => ({ tty, columns: 80, write: () => undefined });

test("what a guest wrote cannot command the terminal", () => {
  expect(visible("a\u001b[2Jb\u009b31m\rc\u202e")).toBe("a\\x1b[2Jb\\x9b31m\\x0dc\\u202e");
  expect(visible("tab\tline\nü€😀")).toBe("tab\tline\nü€😀");
});

test("colours appear only on a terminal that wants them", () => {
  expect(paintFor(sink(true), {})("red", "x")).toBe("\u001b[31mx\u001b[39m");
  expect(paintFor(sink(false), {})("red", "x")).toBe("x");
  expect(paintFor(sink(true), { NO_COLOR: "1" })("red", "x")).toBe("x");
  expect(paintFor(sink(true), { NO_COLOR: "" })("red", "x")).not.toBe("x");
  expect(paintFor(sink(true), { TERM: "dumb" })("red", "x")).toBe("x");
});

test("width counts characters and not colours", () => {
  expect(widthOf(paintFor(sink(true), {})("bold", "über😀"))).toBe(5);
  expect(cut("abcdef", 4)).toBe("abc…");
  expect(cut("abcd", 4)).toBe("abcd");
});

test.each([
  [0.04, "0 ms"],
  [3.14, "3.1 ms"],
  [9.99, "10 ms"],
  [999.4, "999 ms"],
  [1_000, "1.0 s"],
  [125_000, "2 min 5 s"],
])("%d ms reads %s", (ms, text) => {
  expect(duration(ms)).toBe(text);
});

test("text is wrapped at spaces, and a longer word stands alone", () => {
  expect(wrap("one two three aaaaaaaaaaaaaa b", 9, " ")).toBe(" one two\n three\n aaaaaaaaaaaaaa\n b");
});

test("an instant is UTC and says so", () => {
  expect(instant(0)).toBe("1970-01-01 00:00:00Z");
  expect(minute(0)).toBe("01-01 00:00Z");
});
