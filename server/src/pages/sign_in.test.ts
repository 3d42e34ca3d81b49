import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { type InboxPages, openInboxPages } from "../../../tests/fixtures/inbox_pages.ts";
import { FORM_BYTES_MAX, SESSION_COOKIE } from "./contract.ts";

/** Signing in and out, and who is sent where, over real identity. */

let pages: InboxPages;
let link: string;
beforeAll(async () => {
  pages = await openInboxPages();
  link = pages.house.owned.link?.secret ?? "";
});
afterAll(() => pages.remove());

const cookieOf = (headers: Headers) => headers.get("set-cookie") ?? "";
const tokenOf = (headers: Headers) => new RegExp(`${SESSION_COOKIE}=([^;]*)`).exec(cookieOf(headers))?.[1] ?? "";

describe("somebody without a session", () => {
  it.each(["/", "/approvals/apr_1?x=1", "/runs", "/ledger"])(
    "is sent from %s to sign in, and knows the way back",
    async (path) => {
      const { status, headers } = await pages.turn(path);
      expect(status).toBe(303);
      expect(headers.get("location")).toBe(path === "/" ? "/login" : `/login?next=${encodeURIComponent(path)}`);
    },
  );

  it("who follows a link of another site is shown a page of ours first, from which a browser sends the cookie", async () => {
    const { status, html } = await pages.turn("/approvals/apr_1", { headers: { "sec-fetch-site": "cross-site" } });
    expect(status).toBe(200);
    expect(html).toContain('http-equiv="refresh" content="0"');
    expect(html).toContain('href="/approvals/apr_1"');
  });

  it("a cookie that is no token, or a dead one, is forgotten", async () => {
    expect((await pages.turn("/", { as: "not a token" })).headers.get("location")).toBe("/login");
    const dead = await pages.turn("/runs", { as: `gtr_hum_${"0".repeat(36)}` });
    expect(dead.headers.get("location")).toBe("/login?next=%2Fruns");
    expect(cookieOf(dead.headers)).toContain("Max-Age=0");
  });
});

describe("the page where one signs in", () => {
  it("has a doctype, no script, and headers that let nothing in", async () => {
    const { html, headers } = await pages.turn("/login");
    expect(html).toMatch(/^<!doctype html><html lang="en">/);
    expect(html).not.toMatch(/<script|style="| on[a-z]+="/);
    expect(Object.fromEntries(headers)).toMatchObject({
      "content-security-policy":
        "default-src 'none'; style-src 'self'; img-src 'self' data:; form-action 'self'; base-uri 'none'; frame-ancestors 'none'",
      "referrer-policy": "no-referrer",
      "x-content-type-options": "nosniff",
      "cache-control": "no-store",
    });
  });

  it("its style sheet may be kept, under an address that changes with it", async () => {
    const path = /href="(\/pages\.css\?v=[0-9a-f]{12})"/.exec((await pages.turn("/login")).html)?.[1] ?? "";
    const { status, headers } = await pages.turn(path);
    expect([status, headers.get("content-type")]).toEqual([200, "text/css; charset=utf-8"]);
    expect(headers.get("cache-control")).toContain("immutable");
  });

  it("a link in the address is used by a button, and not by looking at it", async () => {
    const { status, html, text } = await pages.turn(`/login?link=${link}&next=/runs`);
    expect(status).toBe(200);
    expect(text).toContain(`ends in ${link.slice(-4)}`);
    expect(pages.field(html, "link")).toBe(link);
    expect(pages.field(html, "next")).toBe("/runs");
    expect((await pages.turn(`/login?link=${link}`)).status).toBe(200);
  });

  it.each([
    ["from another site, says the browser", { "sec-fetch-site": "cross-site" }],
    ["from a neighbour of ours", { "sec-fetch-site": "same-site" }],
    ["from another origin", { origin: "http://evil.example" }],
    ["from another port", { origin: "http://gantry.example:4281" }],
  ])("takes no form that comes %s", async (_, headers) => {
    const { status, text } = await pages.turn("/login", { form: { link }, headers });
    expect([status, text]).toEqual([403, expect.stringContaining("does not come from your own page")]);
  });

  it("keeps what was typed when it is no link, and says what one looks like", async () => {
    const { status, html, text } = await pages.turn("/login", { form: { link: "gtr_agt_abc", next: "/runs" } });
    expect(status).toBe(400);
    expect(html).toContain('value="gtr_agt_abc"');
    expect(text).toContain("A login link begins with gtr_lnk_");
    expect(pages.field(html, "next")).toBe("/runs");
  });

  it("a form at FORM_BYTES_MAX is read, and one byte more is not", async () => {
    const fixed = "next=%2F&link=".length;
    const at = await pages.turn("/login", { form: { next: "/", link: "x".repeat(FORM_BYTES_MAX - fixed) } });
    expect(at.status).toBe(400);
    const past = await pages.turn("/login", { form: { next: "/", link: "x".repeat(FORM_BYTES_MAX - fixed + 1) } });
    expect([past.status, past.text]).toEqual([413, expect.stringContaining(`at most ${FORM_BYTES_MAX} bytes`)]);
  });
});

describe("a session", () => {
  it("begins with a link, also pasted as an address; the same link is spent, and how to get another is said", async () => {
    const typed = ` http://gantry.example:4280/login?link=${link}\n`;
    const signed = await pages.turn("/login", { form: { link: typed, next: "/approvals/apr_1" } });
    expect([signed.status, signed.headers.get("location")]).toEqual([303, "/approvals/apr_1"]);
    const cookie = cookieOf(signed.headers);
    for (const part of ["HttpOnly", "SameSite=Strict", "Path=/", "Max-Age=43200"]) expect(cookie).toContain(part);
    expect(cookie).not.toContain("Secure");
    const inbox = await pages.turn("/", { as: tokenOf(signed.headers) });
    expect([inbox.status, inbox.text]).toEqual([200, expect.stringContaining("Sign out")]);
    const spent = await pages.turn("/login", { form: { link } });
    expect([spent.status, spent.text]).toEqual([410, expect.stringContaining("npx gantry admin login-link")]);
    expect(spent.html).not.toContain(link);
  });

  it("is Secure when the page came over TLS", async () => {
    const { human } = await secondLink();
    const answer = await pages.turn("/login", { form: { link: human }, base: "https://gantry.example:4280" });
    expect(cookieOf(answer.headers)).toContain("Secure");
  });

  it("ends when one signs out: the cookie goes, and its token is dead wherever a copy of it is", async () => {
    const { secret } = await pages.house.human("carol");
    const out = await pages.send("/logout", secret);
    expect([out.status, out.headers.get("location")]).toEqual([303, "/login?signed_out"]);
    expect(cookieOf(out.headers)).toContain("Max-Age=0");
    expect((await pages.turn("/", { as: secret })).status).toBe(303);
    expect((await pages.turn("/login?signed_out")).text).toContain("You are signed out.");
  });

  it("goes on without the page where one signs in", async () => {
    const { secret } = await pages.house.human("dave");
    expect((await pages.turn("/login?next=/runs", { as: secret })).headers.get("location")).toBe("/runs");
  });
});

/** A login link of a human that nobody has used. */
async function secondLink(): Promise<{ human: string }> {
  const { house } = pages;
  const { id } = await house.identity.createActor(house.owner, { kind: "human", name: "erin" });
  return { human: await pages.linkOf(id) };
}
