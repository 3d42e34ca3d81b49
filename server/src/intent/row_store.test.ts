import { expect, it } from "vitest";
import { canonicalJson } from "../kernel/canonical.ts";
import { audited_tables } from "./row_store.ts";

const [runs] = audited_tables;

it("the columns that the ledger digests stand in the order of the digest", () => {
  expect(runs!.columns).toEqual([...runs!.columns].sort());
});

it("a digest leaves out a younger column without a value, and no other", () => {
  const row = Object.fromEntries(runs!.columns.map((name) => [name, null]));
  const digested = Object.keys(JSON.parse(canonicalJson(runs!.columnsOf(row))));
  const younger = runs!.columns.filter((name) => !digested.includes(name));
  expect(younger.join(" ")).toBe("approval authors depth egress facts override parent root session target");
});
