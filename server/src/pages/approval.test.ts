import { afterAll, beforeAll, describe, expect, it } from "vitest";
import type { Person } from "../../../tests/fixtures/gates_ground.ts";
import { type InboxPages, openInboxPages } from "../../../tests/fixtures/inbox_pages.ts";
import type { ApprovalDraft } from "../policy/contract.ts";
import { FORM_BYTES_MAX, NAMES_MAX, VOTE_NOTE_CHARS_MAX } from "./contract.ts";

/** One approval as a person reads it, and the vote that they send from it, over real gates. */

let pages: InboxPages;
let ada: Person;
let bob: Person;
beforeAll(async () => {
  pages = await openInboxPages();
  ada = await pages.house.human("ada");
  bob = await pages.house.human("bob");
});
afterAll(() => pages.remove());

type Preview = ApprovalDraft["preview"];

/** Asks, as the agent. @returns the approval's id and its paths */
async function asked(preview: Partial<Preview> = {}, quorum = 1, more: Partial<ApprovalDraft> = {}) {
  const plain = pages.house.draft();
  const draft = { ...plain, preview: { ...plain.preview, ...preview }, gate: { ...plain.gate, quorum }, ...more };
  const { id, statement_hash } = await pages.house.ask(draft);
  return { id, statement_hash, draft, path: `/approvals/${id}`, votes: `/approvals/${id}/votes` };
}
const read = (path: string, who = ada) => pages.turn(path, { as: who.secret });
const statusOf = async (id: string) => (await pages.house.view(id)).status;

describe("what a page says of an approval", () => {
  it("stands in the order in which it is worth reading, what widens first", async () => {
    const { path, statement_hash } = await asked({
      why: "ticket 12",
      delta: [
        { at: "/limits/cpu_ms", change: "narrowed", loosens: false, text: "less time" },
        { at: "/egress/0", change: "added", loosens: true, text: "lets calls out to shop.example" },
      ],
      diff: "--- main.ts\n+++ main.ts\n@@ -1 +1 @@\n-old()\n+fresh()\n",
      provenance: { code_signed_by: "nobody" },
      rehearsal: "dry run: 2 rows",
    });
    const { status, text, html } = await read(path);
    expect(status).toBe(200);
    const order = [
      "Asked by",
      "agent local for human",
      "production",
      "1 h from now",
      "ticket 12",
      "widens: added",
      "shop.example",
      "less time",
      "1 line added, 1 removed",
      "fresh()",
      "code signed by",
      "gates[0]",
      "dry run: 2 rows",
      "api.example.com",
      "Nothing undoes it.",
      "Nobody has voted yet.",
      "May not vote",
      statement_hash,
      "Approve",
    ];
    const places = order.map((words) => text.indexOf(words));
    expect(places, text).toEqual([...places].sort((a, b) => a - b));
    expect(Math.min(...places), order[places.indexOf(-1)]).toBeGreaterThan(0);
    expect(html).toContain('<span class="l add"><bdi>+fresh()</bdi></span>');
    expect(html).toContain('<span class="l del"><bdi>-old()</bdi></span>');
    expect(html).toContain('<span class="l file"><bdi>+++ main.ts</bdi></span>');
  });

  it("is text, whatever an agent wrote, and what would not be seen in it is named", async () => {
    const evil = '</textarea><script>alert(1)</script>"><img src=x onerror=alert(1)>\u202egnp.exe\u200b';
    const { path } = await asked({
      summary: evil,
      why: evil,
      diff: `+${evil}`,
      rehearsal: evil,
      provenance: { [evil]: evil },
      delta: [{ at: evil, change: "added", loosens: true, text: evil }],
      verdict: { codes: ["GATE_REQUIRED"], rule: evil },
    });
    for (const { html } of [await read(path), await read("/")]) {
      expect(html).not.toMatch(/<script|<img|\u202e|\u200b/);
      expect(html).toContain("&lt;script&gt;");
      expect(html).toContain(">U+202E</span>");
      expect(html).toContain(">U+200B</span>");
    }
  });

  it("says that nothing differs where nothing does, and leads to what it was compared with", async () => {
    const run = pages.house.ids("run");
    const { path } = await asked({ diff: "", provenance: { compared_with: run } });
    const { text, html } = await read(path);
    expect(text).toContain("Nothing differs from what was approved last");
    expect(html).toContain(`href="/runs/${run}"`);
  });

  it("of another tenant, or that never was, is nothing", async () => {
    const { status, text } = await read("/approvals/apr_01j9zq3v6we8k9m4t2x7c5d0ab");
    expect([status, text]).toEqual([404, expect.stringContaining("There is no such approval.")]);
  });

  it("has no form for who may not vote, and says why", async () => {
    const { path } = await asked();
    const { text, html } = await read(path, pages.house.agent);
    expect(text).toContain("You may not vote on this. Only a human decides, by a login of their own.");
    expect(html).not.toContain('name="vote"');
    const author = await asked({}, 1, { authors: [ada.who.actor] });
    expect((await read(author.path)).text).toContain("You wrote what it is about.");
    expect((await read("/")).text).toContain("You wrote what it is about.");
  });
});

describe("a vote from the page", () => {
  it("is about what the page showed: approved by the hash in its form, with the note", async () => {
    const { id, path, votes, statement_hash } = await asked();
    const shown = await read(path);
    expect(pages.field(shown.html, "statement_hash")).toBe(statement_hash);
    const csrf = pages.field(shown.html, "csrf");
    const form = { csrf, statement_hash, vote: "approve", note: "read\r\nit all" };
    const sent = await pages.turn(votes, { as: ada.secret, form });
    expect([sent.status, sent.headers.get("location")]).toEqual([303, path]);
    expect(await pages.house.view(id)).toMatchObject({ status: "approved", votes: [{ note: "read\nit all" }] });
    expect((await read(path)).text).toContain("It is approved.");
  });

  it("declines with a reason, which the page then shows; without one it asks for it", async () => {
    const { id, path, votes, statement_hash } = await asked();
    const bare = await pages.send(votes, ada.secret, { statement_hash, vote: "decline", note: "  " });
    expect([bare.status, bare.text]).toEqual([400, expect.stringContaining("A decline needs its reason.")]);
    expect(bare.html).toMatch(/<textarea[^>]*autofocus/);
    expect(await statusOf(id)).toBe("pending");
    const sent = await pages.send(votes, ada.secret, { statement_hash, vote: "decline", note: "too wide" });
    expect(sent.status).toBe(303);
    expect(await statusOf(id)).toBe("declined");
    const { text, html } = await read(path, bob);
    expect(text).toMatch(/It is declined\.\s*By ada at .*: too wide/);
    expect(html).not.toContain('name="vote"');
  });

  it.each([
    ["without the session's own token", { csrf: "" }, {}],
    ["with the token of another session", { csrf: "0".repeat(64) }, {}],
    ["from another origin", {}, { origin: "http://evil.example" }],
    ["from another site, says the browser", {}, { "sec-fetch-site": "cross-site" }],
  ])("is refused %s, and nothing is decided", async (_, form, headers) => {
    const { id, votes, statement_hash } = await asked();
    const said = { statement_hash, vote: "approve", note: "mine", ...form };
    const sent = await pages.send(votes, ada.secret, said, headers);
    expect([sent.status, sent.text]).toEqual([403, expect.stringContaining("does not come from your own page")]);
    expect(sent.html).toContain("mine</textarea>");
    expect(await statusOf(id)).toBe("pending");
  });

  it.each(["http://gantry.example:4280", "null"])("is taken with the origin %s", async (origin) => {
    const { id, votes, statement_hash } = await asked();
    await pages.send(votes, ada.secret, { statement_hash, vote: "approve" }, { origin });
    expect(await statusOf(id)).toBe("approved");
  });

  it("with another hash is refused, the note is kept, and the form has the right hash", async () => {
    const { id, votes, statement_hash } = await asked();
    const form = { statement_hash: "0".repeat(64), vote: "approve", note: "kept" };
    const sent = await pages.send(votes, ada.secret, form);
    expect([sent.status, sent.text]).toEqual([409, expect.stringContaining("Your vote was not taken.")]);
    expect(sent.html).toMatch(/<textarea[^>]*name="note"[^>]*>kept<\/textarea>/);
    expect(pages.field(sent.html, "statement_hash")).toBe(statement_hash);
    expect(await statusOf(id)).toBe("pending");
  });

  it("that comes after the decision shows how it ended, and what one had written", async () => {
    const { votes, statement_hash } = await asked();
    await pages.send(votes, bob.secret, { statement_hash, vote: "decline", note: "no" });
    const late = await pages.send(votes, ada.secret, { statement_hash, vote: "approve", note: "my long note" });
    expect(late.status).toBe(409);
    expect(late.text).toContain("The approval is decided.");
    expect(late.text).toContain("It is declined.");
    expect(late.html).toContain("my long note</textarea>");
  });

  it("keeps the note when the session is over", async () => {
    const { votes, statement_hash } = await asked();
    const form = { statement_hash, vote: "approve", note: "my note", csrf: "x" };
    const sent = await pages.turn(votes, { form });
    expect([sent.status, sent.html]).toEqual([401, expect.stringContaining("my note</textarea>")]);
  });

  it("takes a note of VOTE_NOTE_CHARS_MAX of the widest characters in a form below FORM_BYTES_MAX, and not one more", async () => {
    const { id, votes, statement_hash } = await asked();
    const note = "你".repeat(VOTE_NOTE_CHARS_MAX);
    const body = new URLSearchParams({ statement_hash, vote: "approve", note, csrf: "0".repeat(64) }).toString();
    expect(body.length).toBeLessThan(FORM_BYTES_MAX);
    const past = await pages.send(votes, ada.secret, { statement_hash, vote: "approve", note: `${note}a` });
    expect(past.status).toBe(400);
    expect(past.html).toContain(`${note}a</textarea>`);
    await pages.send(votes, ada.secret, { statement_hash, vote: "approve", note });
    expect(await statusOf(id)).toBe("approved");
  });
});

describe("an approval that is not pending", () => {
  it("is approved and not started: one decline of somebody else still ends it", async () => {
    const { id, path, votes, statement_hash } = await asked();
    await pages.send(votes, ada.secret, { statement_hash, vote: "approve" });
    expect((await read(path, ada)).text).toContain("You may not vote on this. You have approved it.");
    const { text, html } = await read(path, bob);
    expect(text).toContain("One decline still ends it");
    expect(html).not.toContain('value="approve"');
    await pages.send(votes, bob.secret, { statement_hash, vote: "decline", note: "stop" });
    expect(await statusOf(id)).toBe("declined");
  });

  it("needs more people, and says how many", async () => {
    const { path, votes, statement_hash } = await asked({}, 2);
    expect((await read(path)).text).toContain("It takes 2 more approvals, of different people.");
    await pages.send(votes, ada.secret, { statement_hash, vote: "approve" });
    expect((await read(path, bob)).text).toContain("Your approval decides it");
    expect((await read(path, ada)).text).toContain("1 of 2");
  });

  it("was superseded: the page leads to what took its place", async () => {
    const first = await asked();
    const second = await pages.house.ask({ ...first.draft, subject_id: pages.house.ids("run") });
    const { text, html } = await read(first.path);
    expect(text).toContain("A newer request for the same has taken its place");
    expect(html).toContain(`href="/approvals/${second.id}"`);
  });

  it("has started: the page says when, and leads to the run", async () => {
    const { id, path, votes, statement_hash, draft } = await asked();
    await pages.send(votes, ada.secret, { statement_hash, vote: "approve" });
    expect(await pages.house.start(id, draft)).toBeUndefined();
    const { text, html } = await read(path);
    expect(text).toContain("It is approved, and has started.");
    expect(html).toContain(`href="/runs/${draft.subject_id}"`);
  });

  it("broke the glass: the page says who, why and until when, and the inbox asks for the review", async () => {
    const { id, path, statement_hash } = await asked();
    const glass = { reason: "checkout is down since noon", minutes: 30, statement_hash };
    await pages.house.gates.breakGlass(ada.who, id, glass);
    expect((await read(path)).text).toMatch(/Somebody broke the glass[\s\S]*checkout is down since noon/);
    const inbox = await read("/", bob);
    expect(inbox.text).toContain("1 review of a broken glass is owed");
    expect(inbox.html).toContain(`href="${path}#review"`);
    expect((await read("/", ada)).text).toContain("You broke the glass, so somebody else reviews it.");
  });
});

it("knows the names of NAMES_MAX actors, and shows the id of the one past them", async () => {
  const crowd = await openInboxPages();
  try {
    const { house } = crowd;
    const { n } = (await house.storage.get("SELECT COUNT(*) AS n FROM actors", [])) as { n: number };
    for (let i = n; i < NAMES_MAX - 1; i++)
      await house.identity.createActor(house.owner, { kind: "human", name: `h${i}` });
    const last = await house.human("known by name");
    const past = await house.human("known by id");
    const plain = house.draft();
    const { id, statement_hash } = await house.ask({ ...plain, gate: { ...plain.gate, quorum: 3 } });
    for (const { who } of [last, past]) await house.gates.vote(who, id, { vote: "approve", statement_hash });
    const { text } = await crowd.turn(`/approvals/${id}`, { as: last.secret });
    expect(text).toContain("approveknown by name");
    expect(text).toContain(`approve${past.who.actor}`);
    expect(text).not.toContain("known by id");
  } finally {
    await crowd.remove();
  }
});
