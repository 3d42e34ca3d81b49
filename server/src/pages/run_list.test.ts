import { afterAll, beforeAll, expect, it } from "vitest";
import { openRecordPages, type RecordPages } from "../../../tests/fixtures/record_pages.ts";
import { ask } from "../../../tests/fixtures/runs_ground.ts";
import { PAGE_BYTES_MAX, PAGE_ROWS } from "./contract.ts";
import { STYLE } from "./style.ts";

/** The list of runs, over real rooms. */

let pages: RecordPages;
beforeAll(async () => {
  pages = await openRecordPages();
});
afterAll(() => pages.remove());

const runsIn = (html: string) => [...html.matchAll(/href="\/runs\/(run_[0-9a-z]+)"/g)].map(([, id]) => id);
const run = (more: Parameters<typeof ask>[0] = {}) => pages.house.runs.submit(pages.house.owner, ask(more));

it("an empty list teaches how a first run is made, and a filter that nothing fits leads back", async () => {
  const fresh = await openRecordPages();
  const { status, text } = await fresh.see("/runs");
  expect(status).toBe(200);
  expect(text).toContain("Nothing has run yet.");
  expect(text).toContain("npx gantry run sum.ts");
  expect((await fresh.see("/runs?state=running")).text).toContain("No run fits.");
  await fresh.remove();
});

it("runs come the newest first, with how they ended, by page", async () => {
  pages.house.pool.script = () => ({});
  const ids: string[] = [];
  for (let n = 0; n <= PAGE_ROWS; n++) ids.unshift((await run()).id);
  const first = await pages.see("/runs");
  expect(runsIn(first.html)).toEqual(ids.slice(0, PAGE_ROWS));
  expect(first.text).toContain("completed");
  const [, next = ""] = /href="(\/runs\?cursor=[^"]+)"/.exec(first.html) ?? [];
  const second = await pages.see(next.replaceAll("&amp;", "&"));
  expect(runsIn(second.html).slice(0, 1)).toEqual(ids.slice(PAGE_ROWS));
  expect(second.html).toContain('href="/runs">Newest');
  // A row has an id to copy, so a full list may take more than another page, and no more than this.
  expect(Buffer.byteLength(first.html) + Buffer.byteLength(STYLE)).toBeLessThanOrEqual(PAGE_BYTES_MAX);
});

it("is narrowed by state, by how runs ended, and by session", async () => {
  pages.house.pool.script = () => ({
    ending: "threw",
    error: { code: "RUN_THREW", detail: "no" },
  });
  const threw = await run({ session: "s1" });
  expect(runsIn((await pages.see("/runs?termination=threw&state=&session=")).html)).toEqual([threw.id]);
  expect(runsIn((await pages.see("/runs?session=s1")).html)).toEqual([threw.id]);
  const { html } = await pages.see("/runs?termination=threw");
  expect(html).toMatch(/<option value="threw" selected=""|<option value="threw" selected>/);
});

it("a filter that the API does not know is refused with what would be right, and the form stays", async () => {
  const { status, text, html } = await pages.see("/runs?state=<script>");
  expect(status).toBe(400);
  expect(text).toContain("waiting_approval");
  expect(html).toContain('action="/runs"');
  expect(html).not.toContain("<script");
});

it("who may not read runs is told what is missing", async () => {
  const { status, text } = await pages.see("/runs", await pages.tokenWith("evidence:read"));
  expect(status).toBe(403);
  expect(text).toContain("You may not see the runs");
  expect(text).toContain("run:read");
});
