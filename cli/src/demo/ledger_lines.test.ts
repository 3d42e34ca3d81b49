import type { TimelineLine } from "@gantry/sdk";
import { expect, test } from "vitest";
import { countKinds, ledgerLines, plain } from "./ledger_lines.ts";

const run = `run_${"0".repeat(20)}abcdef`;
const line = (index: number | undefined, text: string, kind = "run.ended"): TimelineLine => ({
  entry: `ent_${index}`,
  ...(index === undefined ? {} : { index }),
  at: 1_000 + (index ?? 9) * 250,
  kind,
  chain: [{ actor: "act_1", kind: "agent", name: "local" }],
  text,
  details: [],
});

test("an id is told by its name, or by its end; marks of Markdown are gone", () => {
  expect(plain(`Run \`${run}\` ended`, new Map())).toBe("Run run_…abcdef ended");
  expect(plain(`Run \`${run}\` ended`, new Map([[run, "csv-report"]]))).toBe("Run csv-report ended");
});

test("each line has its index, the seconds since the first, who and what, and is cut to the width", () => {
  const o = { names: new Map(), group: () => undefined };
  const lines = ledgerLines({ lines: [line(7, "`one`"), line(8, "two and more"), line(undefined, "x")] }, o, 34);
  expect(lines).toEqual([
    "    7   +0.00 s  local  one",
    "    8   +0.25 s  local  two and m…",
    "    -   +0.50 s  local  x",
  ]);
});

test("neighbours of one group are one line with their number, others interrupt it", () => {
  const group = ({ kind }: TimelineLine) => (kind === "token.minted" ? "tokens" : undefined);
  const minted = (index: number) => line(index, "a token", "token.minted");
  const lines = ledgerLines(
    { lines: [minted(0), minted(1), line(2, "a run"), minted(3)] },
    { names: new Map(), group },
    80,
  );
  expect(lines.map((text) => text.replaceAll(/ +/g, " ").trim())).toEqual([
    "0-1 +0.00 s 2 entries: tokens",
    "2 +0.50 s local a run",
    "3 +0.75 s 1 entry: tokens",
  ]);
});

test("a guest's text cannot move the cursor", () => {
  const o = { names: new Map(), group: () => undefined };
  expect(ledgerLines({ lines: [line(0, "a\u001b[2Jb\nc")] }, o, 80)[0]).toContain("a\\x1b[2Jb c");
});

test("kinds are counted", () => {
  expect([...countKinds(["a", "b", "a"])]).toEqual([
    ["a", 2],
    ["b", 1],
  ]);
});
