import { afterEach, beforeEach, expect, it } from "vitest";
import { repeat } from "../../../tests/fixtures/contract_documents.ts";
import type { Person } from "../../../tests/fixtures/gates_ground.ts";
import { type InboxPages, openInboxPages } from "../../../tests/fixtures/inbox_pages.ts";
import { DECIDED_ROWS, PAGE_BYTES_MAX, PAGE_ROWS } from "./contract.ts";
import { STYLE } from "./style.ts";

let pages: InboxPages;
let ada: Person;
beforeEach(async () => {
  pages = await openInboxPages();
  ada = await pages.house.human("ada");
});
afterEach(() => pages.remove());

const rowsOf = (html: string) => html.split("<tbody>")[1]?.split("</tbody>")[0]?.match(/<tr/g)?.length ?? 0;
const decide = async (vote: "approve" | "decline") => {
  const { id, statement_hash } = await pages.house.ask();
  await pages.house.gates.vote(ada.who, id, { vote, statement_hash });
  return id;
};

it("an inbox that has never had anything says what a gate is, and how a first request comes", async () => {
  const { text } = await pages.turn("/", { as: ada.secret });
  for (const words of ["Nothing waits for you.", "gates", "npx gantry contracts apply"]) expect(text).toContain(words);
  await decide("decline");
  const later = await pages.turn("/", { as: ada.secret });
  expect(later.text).toContain("Nothing waits for you.");
  expect(later.text).not.toContain("contracts apply");
});

it("a row says who wants what, where, how long it waits, and what you may do; little time left stands out", async () => {
  await pages.house.ask();
  const { text, html } = await pages.turn("/", { as: ada.secret });
  for (const words of ["1 request waits for a person. You may decide it.", "local", "acme-production@1", "1 h"]) {
    expect(text).toContain(words);
  }
  expect(text).toContain("target production");
  expect(text).toContain("you may decide");
  expect(html).not.toContain('<tr class="warn">');
  pages.clock.advance(60_000);
  const later = await pages.turn("/", { as: ada.secret });
  expect(later.html).toContain('<tr class="warn">');
  expect(later.text).toContain("59 min");
});

it("shows PAGE_ROWS rows, and the one past it on the next page", async () => {
  for (const _ of repeat(PAGE_ROWS, String)) await pages.house.ask();
  const full = await pages.turn("/", { as: ada.secret });
  expect(rowsOf(full.html)).toBe(PAGE_ROWS);
  expect(full.html).not.toContain("Older requests");
  expect(Buffer.byteLength(full.html) + Buffer.byteLength(STYLE)).toBeLessThanOrEqual(PAGE_BYTES_MAX);
  await pages.house.ask();
  const first = await pages.turn("/", { as: ada.secret });
  expect(rowsOf(first.html)).toBe(PAGE_ROWS);
  const next = /href="(\/\?cursor=[^"]+)"/.exec(first.html)?.[1] ?? "";
  const second = await pages.turn(next, { as: ada.secret });
  expect(rowsOf(second.html)).toBe(1);
  expect(second.html).toContain('<a href="/">Newest</a>');
});

it("shows the DECIDED_ROWS decisions that were taken last, newest first, and not the one before", async () => {
  const ids: string[] = [];
  for (const i of repeat(DECIDED_ROWS + 1, Number)) {
    ids.push(await decide(i % 2 === 0 ? "approve" : "decline"));
    pages.clock.advance(1_000);
  }
  const { html } = await pages.turn("/", { as: ada.secret });
  const shown = [...html.matchAll(/href="\/approvals\/(apr_[0-9a-z]+)"/g)].map(([, id]) => id);
  expect(shown).toEqual(ids.slice(1).reverse());
});

it("a session that may not see approvals is told so, and is not sent away", async () => {
  const { house } = pages;
  const { secret } = await house.identity.mintToken(house.owner, { actor: house.owned.agent, scopes: ["run:read"] });
  const { status, text } = await pages.turn("/", { as: secret });
  expect([status, text]).toEqual([200, expect.stringContaining("You may not see approvals")]);
});

it("a cursor that is none is said to be wrong", async () => {
  const { status, text } = await pages.turn("/?cursor=zzz", { as: ada.secret });
  expect([status, text]).toEqual([400, expect.stringContaining("is the `next` of the page before")]);
});
