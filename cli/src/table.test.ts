import { expect, test } from "vitest";
import { type Column, table } from "./table.ts";

const plain = (_tone: string, text: string): string => text;
const columns: Column<{ id: string; n: number; note: string }>[] = [
  { title: "ID", cell: (row) => row.id },
  { title: "COUNT", cell: (row) => String(row.n), align: "right" },
  { title: "NOTE", cell: (row) => row.note, shrink: true },
];

test("columns align, numbers to the right, and no line ends in spaces", () => {
  const rows = [
    { id: "run_1", n: 7, note: "über" },
    { id: "r", n: 12345678, note: "" },
  ];
  expect(table(rows, columns, plain)).toBe(
    ["ID        COUNT  NOTE", "run_1         7  über", "r      12345678", ""].join("\n"),
  );
});

test("a terminal that is too narrow cuts the columns that allow it, a pipe nothing", () => {
  const rows = [{ id: "run_1", n: 1, note: "a long note that goes on" }];
  expect(table(rows, columns, plain, 30)).toContain("run_1      1  a long note tha…\n");
  expect(table(rows, columns, plain)).toContain("goes on");
  const widest = table(rows, columns, plain, 30)
    .split("\n")
    .map((line) => [...line].length);
  expect(Math.max(...widest)).toBe(30);
});

test("no rows are no table", () => {
  expect(table([], columns, plain)).toBe("");
});
