import { afterAll, beforeAll, expect, it } from "vitest";
import { openRecordPages, type RecordPages } from "../../../tests/fixtures/record_pages.ts";
import { ask } from "../../../tests/fixtures/runs_ground.ts";
import { PAGE_BYTES_MAX, PAGE_ROWS, SHOWN_REFS_MAX } from "./contract.ts";
import { STYLE } from "./style.ts";

/** The list of entries, the head of their log, and the page of one entry, over real rooms. */

let pages: RecordPages;
let run: string;
beforeAll(async () => {
  pages = await openRecordPages();
  const { house } = pages;
  for (let n = 0; n < PAGE_ROWS / 2 + 1; n++) run = (await house.runs.submit(house.owner, ask())).id;
  await house.ground.seal();
});
afterAll(() => pages.remove());

const entriesIn = (html: string) => [...html.matchAll(/href="\/ledger\/(ent_[0-9a-z]+)"/g)].map(([, id]) => id);
const lastOf = async () => (await pages.house.entriesOf(run)).at(-1)!;

it("entries come the newest first, by page, without loss or repeat", async () => {
  const found: (string | undefined)[] = [];
  let path: string | undefined = "/ledger";
  let count = 0;
  while (path !== undefined) {
    const { html, status } = await pages.see(path);
    expect(status).toBe(200);
    found.push(...entriesIn(html));
    count += 1;
    path = /href="(\/ledger\?cursor=\d+)" rel="next"/.exec(html)?.[1];
  }
  const { items } = await pages.house.ledger.list({ tenant: pages.house.owned.tenant, limit: 200 });
  expect(found).toEqual(items.map(({ id }) => id).toReversed());
  expect(count).toBeGreaterThan(1);
});

it("a full page is no larger than PAGE_BYTES_MAX", async () => {
  const { html } = await pages.see("/ledger");
  expect(entriesIn(html)).toHaveLength(PAGE_ROWS);
  expect(Buffer.byteLength(html) + Buffer.byteLength(STYLE)).toBeLessThanOrEqual(PAGE_BYTES_MAX);
});

it("entries are narrowed by kind and by what they name", async () => {
  const all = await pages.house.entriesOf(run);
  expect(entriesIn((await pages.see(`/ledger?ref=${run}&kind=`)).html)).toEqual(all.map(({ id }) => id).toReversed());
  const ended = await pages.see(`/ledger?ref=${run}&kind=run.ended`);
  expect(entriesIn(ended.html)).toEqual([(await lastOf()).id]);
  expect((await pages.see("/ledger?ref=nobody")).text).toContain("No entry fits.");
  const wrong = await pages.see('/ledger?kind="><script>');
  expect(wrong.status).toBe(400);
  expect(wrong.text).toContain("a kind is <noun>.<past participle>");
  expect(wrong.html).not.toContain("<script");
});

it("of the ids that an entry names at most SHOWN_REFS_MAX are listed, and all on its own page", async () => {
  const { house } = pages;
  const refs = Array.from({ length: SHOWN_REFS_MAX + 1 }, (_, n) => `ref-${n}`);
  const listed = async (names: readonly string[]) => {
    const id = await house.storage.write((tx) =>
      house.ledger.append(tx, {
        kind: "token.revoked",
        tenant: house.owned.tenant,
        actor: [],
        refs: [...names],
        data: { token: "tok_1", actor: "act_1", cause: "asked" },
      }),
    );
    return { id, text: (await pages.see("/ledger?kind=token.revoked")).text };
  };
  expect((await listed(refs.slice(1))).text).not.toContain("more");
  const { id, text } = await listed(refs);
  expect(text).toContain("and 1 more");
  expect((await pages.see(`/ledger/${id}`)).text).toContain("ref-3");
});

it("the head says which log it is, and that a checkpoint is to be kept elsewhere", async () => {
  await pages.house.ground.seal();
  const { text } = await pages.see("/ledger");
  const { origin, size, root } = await pages.house.log.checkpoint();
  expect(text).toContain(origin);
  expect(text).toContain(`${size} entries`);
  expect(text).toContain(Buffer.from(root).toString("base64"));
  expect(text).toContain("npx gantry evidence checkpoint -o saved");
  expect(text).toContain("a log kept only by its operator proves nothing against the operator");
});

it("witnesses say what they hold, and what is wrong with them is text", async () => {
  const { size } = await pages.house.log.checkpoint();
  pages.witnesses.items = [
    { sink: "file:/w", size, lag_ms: 0, ok_at: 1_700_000_000_000, error: null },
    { sink: "webhook:w", size: 1, lag_ms: 90_000, ok_at: null, error: "<b>no route</b>" },
  ];
  const { text, html } = await pages.see("/ledger");
  expect(text).toMatch(/file:\/w ?holds all/);
  expect(text).toContain("<b>no route</b>");
  expect(text).toContain("1 min 30 s");
  expect(html).not.toContain("<b>no route");
  pages.witnesses.items = [];
});

it("an entry says who, what, under which rule, and is proved by this server's data", async () => {
  const { id, leaf } = await lastOf();
  const { status, text, html } = await pages.see(`/ledger/${id}`);
  expect(status).toBe(200);
  expect(text).toContain("run.ended");
  expect(text).toContain('"termination": "completed"');
  expect(html).toContain(`href="/runs/${run}"`);
  // By the API, and computed here from what the proof brings.
  expect(text.split(leaf).length - 1).toBe(2);
  expect(text).toContain("lead to the root that the checkpoint names");
  expect(text).toContain(`npx gantry evidence proof ${id} -o entry.proof`);
  expect(text).toContain("npx gantry evidence verify entry.proof --key log.pub");
});

it("an unknown entry, and one of another tenant, is a page with the status 404", async () => {
  const { status, text } = await pages.see("/ledger/ent_00000000000000000000000000");
  expect(status).toBe(404);
  expect(text).toContain("EVIDENCE_UNKNOWN");
});

it("who may not read the ledger sees its head, which is public, and what is missing", async () => {
  const { status, text } = await pages.see("/ledger", await pages.tokenWith("run:read"));
  expect(status).toBe(403);
  expect(text).toContain("You may not see the entries");
  expect(text).toContain("You may not see the witnesses");
  expect(text).toContain("Head of the log");
  expect(text).toContain("Root");
});
