import type { EgressRow, RunView } from "@gantry/sdk";
import { expect, it } from "vitest";
import { SHOWN_CALLS_MAX, SHOWN_CELL_CHARS_MAX } from "./contract.ts";
import { RunCalls } from "./run_calls.tsx";

/** What a page says of what left a run. */

const row = (more: Partial<EgressRow> = {}): EgressRow => ({
  host: "api.example",
  method: "GET",
  path: "/v1/*",
  rule: "read",
  verdict: "allowed",
  code: null,
  count: 2,
  request_bytes: 1_500,
  response_bytes: 2_500_000,
  ...more,
});
const page = (egress: EgressRow[]) =>
  String(<RunCalls run={{ id: "run_1", state: "ended", egress } as unknown as RunView} />);
const cells = (html: string) =>
  [...html.matchAll(/<td[^>]*>(.*?)<\/td>/g)].map(([, cell = ""]) => cell.replace(/<[^>]*>/g, ""));

it("a call that was let out says by which rule, how often, and how much went each way", () => {
  expect(cells(page([row()]))).toEqual([
    ...["allowed", "GET", "api.example", "/v1/*", "read", ""],
    ...["2", "1.5 kB", "2.5 MB"],
  ]);
});

it("a call that was denied says why, and what the guest called its host is text", () => {
  const html = page([row({ verdict: "denied", path: null, rule: null, code: "EGRESS_HOST", host: '"><img>\u202e' })]);
  expect(cells(html)).toEqual([
    ...["denied", "GET", "&quot;&gt;&lt;img&gt;U+202E", "", "", "EGRESS_HOST"],
    ...["2", "1.5 kB", "2.5 MB"],
  ]);
});

it("SHOWN_CALLS_MAX rows are shown, and of more the command that shows them", () => {
  const rows = Array.from({ length: SHOWN_CALLS_MAX + 1 }, (_, n) => row({ host: `h${n}.example` }));
  expect(page(rows.slice(1))).not.toContain("gantry runs calls");
  expect(page(rows)).toContain("npx gantry runs calls run_1");
  expect(page(rows)).not.toContain(`h${SHOWN_CALLS_MAX}.example`);
});

it("a host of SHOWN_CELL_CHARS_MAX characters is shown whole, and a longer one is cut visibly", () => {
  const host = "h".repeat(SHOWN_CELL_CHARS_MAX);
  expect(cells(page([row({ host })]))[2]).toBe(host);
  expect(cells(page([row({ host: `${host}i` })]))[2]).toBe(`${host} … cut`);
});

it("a run that called nothing says so", () => {
  expect(page([])).toContain("It called nothing.");
});
