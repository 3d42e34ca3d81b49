import { expect, test } from "vitest";
import { parseLimits } from "./commands/run.ts";
import { LIMIT_MAX, parseLimit, take } from "./pages.ts";
import { parsePairs, parseSince, wholeNumber } from "./values.ts";

test("limits are names that exist with whole numbers", () => {
  expect(parseLimits(["cpu_ms=200", "memory_mb=64"])).toEqual({ cpu_ms: 200, memory_mb: 64 });
  expect(() => parseLimits(["cpu=200"])).toThrow('There is no limit "cpu": there are cpu_ms, wall_ms');
  expect(() => parseLimits(["cpu_ms=2.5"])).toThrow('--limit cpu_ms takes a whole number, not "2.5".');
  expect(() => parseLimits(["cpu_ms=1", "cpu_ms=2"])).toThrow("given twice");
});

test("pairs split at the first =, and odd names stay names", () => {
  expect(parsePairs("--var", ["a=b=c", "empty=", "__proto__=x"])).toEqual(
    Object.fromEntries([
      ["a", "b=c"],
      ["empty", ""],
      ["__proto__", "x"],
    ]),
  );
  expect(() => parsePairs("--var", ["=x"])).toThrow('--var takes name=value, not "=x".');
  expect(() => parsePairs("--var", ["x"])).toThrow("--var takes name=value");
});

test.each(["-1", "1e3", "", " 1", "0x10", "1234567890123456"])("%j is no whole number", (text) => {
  expect(() => wholeNumber("--port", text)).toThrow("whole number");
});

test("since is an age, a date, an instant or milliseconds", () => {
  const now = Date.UTC(2026, 0, 31, 12);
  expect(parseSince("10m", now)).toBe(now - 600_000);
  expect(parseSince("7d", now)).toBe(now - 604_800_000);
  expect(parseSince("2026-01-31", now)).toBe(Date.UTC(2026, 0, 31));
  expect(parseSince("2026-01-31T12:00:00Z", 0)).toBe(now);
  expect(parseSince(String(now), 0)).toBe(now);
  for (const text of ["yesterday", "5", "2026-13-01", "10 m"])
    expect(() => parseSince(text, now)).toThrow("--since takes");
});

test("a list's limit is taken at its maximum and refused one past it", () => {
  expect(parseLimit(undefined)).toBe(20);
  expect(parseLimit(String(LIMIT_MAX))).toBe(LIMIT_MAX);
  for (const text of [String(LIMIT_MAX + 1), "0", "x"]) expect(() => parseLimit(text)).toThrow("from 1 to 10000");
});

test("items are taken over pages, no page more than needed", async () => {
  let asked = 0;
  async function* pages() {
    for (;;) {
      asked += 1;
      yield { items: [asked, asked], next: "more" };
    }
  }
  expect(await take(3, pages)).toEqual({ items: [1, 1, 2], more: true });
  expect(asked).toBe(2);
  expect(
    await take(5, async function* () {
      yield { items: [1] };
    }),
  ).toEqual({ items: [1], more: false });
});
