import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { repeat } from "../../../tests/fixtures/contract_documents.ts";
import type { Person } from "../../../tests/fixtures/gates_ground.ts";
import { type InboxPages, openInboxPages } from "../../../tests/fixtures/inbox_pages.ts";
import {
  APPROVALS_PAGE_MAX,
  DEBTS_PAGE_MAX,
  GLASS_MINUTES_DEFAULT,
  GLASS_MINUTES_MAX,
  REASON_CHARS_MAX,
  REASON_CHARS_MIN,
} from "../gates/contract.ts";
import {
  BROKEN_NAMED_MAX,
  DEBT_ROWS,
  FORM_BYTES_MAX,
  GLASS_FORM_CHARS_MAX,
  GLASS_FORM_CHARS_MIN,
  GLASS_FORM_MINUTES,
  GLASS_FORM_MINUTES_MAX,
  PAGE_BYTES_MAX,
  REVIEW_ROWS,
  VOTE_NOTE_CHARS_MAX,
} from "./contract.ts";
import { STYLE } from "./style.ts";

/** Deciding alone, and what another person finds afterwards, from the pages over real gates. */

let pages: InboxPages;
let ada: Person;
let bob: Person;
beforeEach(async () => {
  pages = await openInboxPages();
  ada = await pages.house.human("ada");
  bob = await pages.house.human("bob");
});
afterEach(() => pages.remove());

const REASON = "checkout is down since noon";
const read = (path: string, who = ada) => pages.turn(path, { as: who.secret });

async function asked(privileged = true) {
  const draft = pages.house.draft({ privileged });
  const { id, statement_hash } = await pages.house.ask(draft);
  const path = `/approvals/${id}`;
  return { id, statement_hash, draft, path, glass: `${path}/break-glass` };
}

/** Ada breaks the glass of something, by its page. @returns with the id of the review */
async function broken(reason = REASON) {
  const made = await asked();
  await pages.send(made.glass, ada.secret, { reason, minutes: "30", statement_hash: made.statement_hash });
  const { break_glass } = await pages.house.view(made.id);
  return { ...made, glass_id: break_glass?.id ?? "", close: `/reviews/${break_glass?.id}/close` };
}

describe("the form that breaks the glass", () => {
  it("says what follows, and decides alone by the statement that was read", async () => {
    const { id, path, glass, statement_hash } = await asked();
    const shown = await read(path);
    for (const words of [
      "break the glass",
      "You decide alone, in the place of 1 person",
      "nobody can decline it any more",
      "what the policy denies stays denied",
      "everybody who asked to be told is told",
      "until another person has looked at what you did",
    ]) {
      expect(shown.text).toContain(words);
    }
    expect(shown.html).toContain('<details id="glass">');
    const form = { reason: `${REASON}\r\nsays Bob`, minutes: "45", statement_hash };
    const sent = await pages.send(glass, ada.secret, form);
    expect([sent.status, sent.headers.get("location")]).toEqual([303, path]);
    const view = await pages.house.view(id);
    expect(view).toMatchObject({
      status: "broken_glass",
      break_glass: { reason: `${REASON}\nsays Bob`, debt: "open" },
    });
    expect(view.break_glass?.until_at).toBe(pages.clock.now() + 45 * 60_000);
  });

  it("is shown to nobody but a human whose own login holds gate:break_glass, while it waits", async () => {
    const { path, statement_hash, id } = await asked();
    const { house } = pages;
    const scopes = ["gate:read", "gate:approve"] as const;
    const lesser = await house.identity.mintToken(ada.who, { actor: ada.who.actor, scopes: [...scopes] });
    for (const as of [house.agent.secret, lesser.secret]) {
      expect((await pages.turn(path, { as })).html).not.toContain("break-glass");
    }
    await house.gates.vote(bob.who, id, { vote: "approve", statement_hash });
    expect((await read(path)).html).not.toContain("break-glass");
  });

  it("is there for who asked, whose vote is not", async () => {
    const { house } = pages;
    const requester = { actor: ada.who.actor, chain: ada.who.chain, chain_hash: ada.who.chain_hash };
    const { id } = await house.ask(house.draft({ requester }));
    const { text, html } = await read(`/approvals/${id}`);
    expect(text).toContain("You may not vote on this. You asked for it yourself.");
    expect(html).toContain(`action="/approvals/${id}/break-glass"`);
  });

  it.each([
    ["a reason that says too little", { reason: "because" }, "A reason and a time are needed"],
    ["no time", { minutes: "" }, "A broken glass holds for a time."],
    ["a time that is no number", { minutes: "an hour" }, "A broken glass holds for a time."],
    ["a time that is too long", { minutes: String(GLASS_FORM_MINUTES_MAX + 1) }, "a whole number of minutes"],
    ["another hash", { statement_hash: "0".repeat(64) }, "The hash is not that of the statement."],
  ])("sent with %s is not taken, is open again, and keeps what was written", async (_, more, words) => {
    const { id, glass, statement_hash } = await asked();
    const form = { reason: "the shop is closed <b>", minutes: "12", statement_hash, ...more };
    const { status, text, html } = await pages.send(glass, ada.secret, form);
    expect(status).toBeGreaterThanOrEqual(400);
    expect(text).toContain(words);
    expect(text).toContain("The glass was not broken.");
    expect(html).toMatch(/<details id="glass" open=""/);
    expect(html).toContain(`>${form.reason.replace("<b>", "&lt;b&gt;")}</textarea>`);
    expect(html).toContain(`value="${form.minutes}"`);
    expect((await pages.house.view(id)).status).toBe("pending");
  });

  it("without this session's own token breaks nothing, and gives back what was written", async () => {
    const { id, glass, statement_hash } = await asked();
    const form = { reason: REASON, minutes: "30", statement_hash, csrf: "0".repeat(64) };
    const sent = await pages.turn(glass, { as: ada.secret, form });
    expect([sent.status, sent.html]).toEqual([403, expect.stringContaining(`${REASON}</textarea>`)]);
    expect((await pages.house.view(id)).status).toBe("pending");
  });

  it("is refused while an earlier glass is not reviewed", async () => {
    const waiting = await asked();
    await broken();
    const form = { reason: REASON, minutes: "30", statement_hash: waiting.statement_hash };
    const { status, text, html } = await pages.send(waiting.glass, bob.secret, form);
    expect([status, text]).toEqual([409, expect.stringContaining("A broken glass is not reviewed yet.")]);
    expect(html).toContain('<a href="/reviews">To the reviews that are owed</a>');
  });

  it("asks for what the API takes: GLASS_FORM_CHARS_MIN to GLASS_FORM_CHARS_MAX characters, up to GLASS_FORM_MINUTES_MAX", async () => {
    expect([GLASS_FORM_CHARS_MIN, GLASS_FORM_CHARS_MAX]).toEqual([REASON_CHARS_MIN, REASON_CHARS_MAX]);
    expect([GLASS_FORM_MINUTES, GLASS_FORM_MINUTES_MAX]).toEqual([GLASS_MINUTES_DEFAULT, GLASS_MINUTES_MAX]);
    const { id, path, glass, statement_hash } = await asked();
    const { html } = await read(path);
    expect(html).toContain(`minlength="${GLASS_FORM_CHARS_MIN}" maxlength="${GLASS_FORM_CHARS_MAX}"`);
    expect(html).toContain(`min="1" max="${GLASS_FORM_MINUTES_MAX}" value="${GLASS_FORM_MINUTES}"`);
    const reason = "你".repeat(GLASS_FORM_CHARS_MAX);
    const minutes = String(GLASS_FORM_MINUTES_MAX);
    const longest = new URLSearchParams({ reason, minutes, statement_hash, csrf: "0".repeat(64) }).toString();
    expect(longest.length).toBeLessThan(FORM_BYTES_MAX);
    expect((await pages.send(glass, ada.secret, { reason: `${reason}a`, minutes, statement_hash })).status).toBe(400);
    expect((await pages.send(glass, ada.secret, { reason, minutes, statement_hash })).status).toBe(303);
    expect((await pages.house.view(id)).status).toBe("broken_glass");
  });
});

describe("a review that is owed", () => {
  it("stands in the list and in the inbox: the one who broke it is told to wait, another is led to it", async () => {
    const { path } = await broken("down <script>\u202e and out");
    for (const place of ["/reviews", "/"]) {
      const other = await read(place, bob);
      expect(other.text).toContain("1 review of a broken glass is owed");
      expect(other.text).toContain("ada");
      expect(other.html).toContain(`href="${path}#review"`);
      expect(other.html).not.toMatch(/<script|\u202e/);
      expect((await read(place, ada)).text).toContain("You broke the glass, so somebody else reviews it.");
    }
    expect((await read("/reviews", bob)).text).toContain("The agent local wants to run code.");
    expect((await read("/reviews", bob)).text).toContain("you may review");
  });

  it("says what was done, and is closed with a note by another human", async () => {
    const { id, path, close, draft } = await broken();
    expect((await read(path, bob)).text).toMatch(/Started\s*not yet; it may until/);
    await pages.house.start(id, draft);
    const shown = await read(path, bob);
    expect(shown.text).toContain("What was done under the broken glass");
    expect(shown.text).not.toContain("not yet; it may until");
    expect(shown.html).toContain(`href="/runs/${draft.subject_id}"`);
    expect(pages.field(shown.html, "approval")).toBe(id);
    const sent = await pages.send(close, bob.secret, { approval: id, note: "read the diff;\r\nit was needed" });
    expect([sent.status, sent.headers.get("location")]).toEqual([303, path]);
    const after = await pages.house.view(id);
    expect(after.break_glass).toMatchObject({ debt: "closed", closed_note: "read the diff;\nit was needed" });
    const closed = await read(path);
    expect(closed.text).toMatch(/Reviewed by\s*bob/);
    expect(closed.text).toContain("it was needed");
    expect(closed.html).not.toContain("/close");
    expect((await read("/reviews")).text).toContain("No review is owed.");
  });

  it("has no form for who broke it, nor for an agent, and closes for neither", async () => {
    const { id, path, close } = await broken();
    const form = { approval: id, note: "fine" };
    for (const who of [ada, pages.house.agent]) {
      expect((await read(path, who)).html).not.toContain("/close");
      const sent = await pages.send(close, who.secret, form);
      expect(sent.status).toBe(403);
      expect(sent.text).toContain("The review was not closed.");
      expect(sent.html).toContain("fine</textarea>");
    }
    expect((await pages.house.view(id)).break_glass?.debt).toBe("open");
  });

  it("needs a note of at most VOTE_NOTE_CHARS_MAX characters, and this session's own token", async () => {
    const { id, close } = await broken();
    const bare = await pages.send(close, bob.secret, { approval: id, note: " \r\n" });
    expect([bare.status, bare.text]).toEqual([400, expect.stringContaining("A review says what it found.")]);
    const note = "x".repeat(VOTE_NOTE_CHARS_MAX);
    const past = await pages.send(close, bob.secret, { approval: id, note: `${note}y` });
    expect([past.status, past.html]).toEqual([400, expect.stringContaining(`${note}y</textarea>`)]);
    const forged = await pages.send(close, bob.secret, { approval: id, note, csrf: "x" });
    expect([forged.status, forged.html]).toEqual([403, expect.stringContaining(`${note}</textarea>`)]);
    expect((await pages.house.view(id)).break_glass?.debt).toBe("open");
    expect((await pages.send(close, bob.secret, { approval: id, note })).status).toBe(303);
  });

  it("that somebody else has just closed says so, and keeps what was written", async () => {
    const { id, close, glass_id } = await broken();
    await pages.house.gates.closeDebt(bob.who, glass_id, "mine");
    const late = await pages.send(close, bob.secret, { approval: id, note: "my long finding" });
    expect(late.status).toBe(409);
    expect(late.text).toContain("The review is closed.");
    expect(late.html).toContain("my long finding</textarea>");
  });

  it("that never was is nothing", async () => {
    const { id } = await broken();
    const sent = await pages.send(`/reviews/${pages.house.ids("bgl")}/close`, bob.secret, { approval: id, note: "x" });
    expect([sent.status, sent.text]).toEqual([404, expect.stringContaining("There is no such review debt.")]);
  });
});

describe("the list of reviews", () => {
  it("when none is owed says what breaking the glass is", async () => {
    const { status, text, html } = await read("/reviews");
    expect(status).toBe(200);
    for (const words of ["No review is owed.", "gate:break_glass", "nothing privileged starts"]) {
      expect(text).toContain(words);
    }
    expect(html).toContain('<a href="/reviews" aria-current="page">');
  });

  it("for who may not see approvals says so", async () => {
    const { house } = pages;
    const { secret } = await house.identity.mintToken(house.owner, { actor: house.owned.agent, scopes: ["run:read"] });
    expect((await pages.turn("/reviews", { as: secret })).text).toContain("You may not see reviews");
  });

  it("has REVIEW_ROWS rows within PAGE_BYTES_MAX and the inbox DEBT_ROWS; what is past them is said", async () => {
    const reason = "x".repeat(GLASS_FORM_CHARS_MAX);
    const breakNext = async () => {
      const { id, statement_hash } = await asked(false);
      await pages.house.gates.breakGlass(ada.who, id, { reason, minutes: 1, statement_hash });
    };
    const rowsOf = (html: string) => html.match(/<tr class="warn">/g)?.length ?? 0;
    for (const _ of repeat(DEBT_ROWS, String)) await breakNext();
    expect((await read("/")).html).not.toContain("All reviews");
    for (const _ of repeat(REVIEW_ROWS - DEBT_ROWS, String)) await breakNext();
    const full = await read("/reviews");
    expect(rowsOf(full.html)).toBe(REVIEW_ROWS);
    expect(full.text).not.toContain("The oldest");
    expect(Buffer.byteLength(full.html) + Buffer.byteLength(STYLE)).toBeLessThanOrEqual(PAGE_BYTES_MAX);
    await breakNext();
    const more = await read("/reviews");
    expect(rowsOf(more.html)).toBe(REVIEW_ROWS);
    expect(more.text).toContain(`${REVIEW_ROWS + 1} reviews of a broken glass are owed`);
    expect(more.text).toContain(`The oldest ${REVIEW_ROWS} are shown.`);
    const inbox = await read("/");
    expect(inbox.html).toContain('<a href="/reviews">All reviews</a>');
    expect(inbox.html.match(/You broke the glass/g)).toHaveLength(DEBT_ROWS);
  });

  it("asks for no more names than the API gives at once: BROKEN_NAMED_MAX, and for all reviews that it may show", () => {
    expect(BROKEN_NAMED_MAX).toBe(APPROVALS_PAGE_MAX);
    expect(REVIEW_ROWS).toBeLessThanOrEqual(DEBTS_PAGE_MAX);
  });
});
