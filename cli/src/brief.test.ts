import { expect, test } from "vitest";
import { briefLines } from "./brief.ts";

test("an object is shown member by member, long values cut", () => {
  const value = {
    rows: 5000,
    best: [{ id: 1 }, { id: 2 }],
    none: [],
    tags: ["a", "b"],
    deep: { x: { y: 1 } },
    text: "z".repeat(99),
  };
  expect(briefLines(value, 20, 8)).toEqual([
    "rows  5000",
    "best  2 × { id 1 … }",
    "none  none",
    "tags  a, b",
    "deep  x y 1",
    `text  ${"z".repeat(13)}…`,
  ]);
});

test("no more lines than asked for, the last one says what is missing", () => {
  expect(briefLines([1, 2, 3, 4], 80, 4)).toEqual(["1", "2", "3", "4"]);
  expect(briefLines([1, 2, 3, 4, 5], 80, 4)).toEqual(["1", "2", "3", "… 2 more"]);
});

test.each([
  [null, ["null"]],
  [{}, ["{}"]],
  [[], ["[]"]],
  ["a\u001b\nb\n", ["a\\x1b", "b"]],
  [{ "a\nb": "c\nd\u001b" }, ["a b  c d\\x1b"]],
])("%j is shown", (value, lines) => {
  expect(briefLines(value, 80, 8)).toEqual(lines);
});
