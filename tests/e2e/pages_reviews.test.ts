import type { Page } from "playwright-core";
import { afterAll, afterEach, beforeAll, describe, expect, it, type TestContext } from "vitest";
import type { Approval } from "../../sdk/src/approval_types.ts";
import type { RunView } from "../../sdk/src/types.ts";
import { PAGE_BYTES_MAX } from "../../server/src/pages/contract.ts";
import {
  faultsOf,
  type Look,
  needBrowser,
  openBrowser,
  overhangOf,
  shoot,
  type TestBrowser,
  tabTo,
  type Window,
} from "../fixtures/browser.ts";
import { addHumans, linksFor, tokenBy } from "../fixtures/served_links.ts";
import { peopleOf, type ServedPeople } from "../fixtures/served_people.ts";
import { startServer, type TestServer } from "../fixtures/server.ts";

/** One person decides alone at a real browser, and another looks at what came of it. */

let server: TestServer;
let browser: TestBrowser | undefined;
let people: ServedPeople;
/** Of a human who never broke a glass. */
let grace: string;
const open: Window[] = [];

const CONTRACT = {
  kind: "Contract",
  name: "prod",
  extends: "production",
  targets: ["*"],
  require: [],
  gates: [{ on: "*", name: "production", quorum: 2 }],
};
const SOURCE = "export default async () => { await fetch('https://shop.example/').catch(() => 0); return 42; };\n";
const REASON = "checkout is down since noon, and nobody else answers";
const LOOKS = [
  ["light", { scheme: "light" }],
  ["dark", { scheme: "dark" }],
  ["phone", { scheme: "light", phone: true }],
  ["phone-dark", { scheme: "dark", phone: true }],
] as const;

beforeAll(async () => {
  browser = await openBrowser();
  server = await startServer();
  people = await peopleOf(server);
  const [actor] = await addHumans(server, "Grace");
  const [link = ""] = await linksFor(server, actor);
  grace = await tokenBy(server, link);
  await people.apply("prod", CONTRACT);
  const { items } = await server.json<{ items: Approval[] }>("/v1/approvals?status=pending");
  for (const { id, statement_hash } of items) {
    await server.json(`/v1/approvals/${id}/votes`, { json: { vote: "approve", statement_hash }, token: grace });
  }
});
afterAll(async () => {
  await browser?.close();
  await server.dispose();
});
afterEach(async () => {
  for (const { context } of open.splice(0)) await context.close();
});

async function windowOf(test: TestContext, token: string, look: Look = {}): Promise<Window> {
  needBrowser(test);
  const window = await (browser as TestBrowser).window(look);
  open.push(window);
  await window.context.addCookies([{ name: "gantry_session", value: token, url: server.url, sameSite: "Strict" }]);
  return window;
}

const text = (page: Page) => page.locator("main").innerText();
const approval = (id: string) => server.json<Approval>(`/v1/approvals/${id}`);

let asks = 0;

/** As the agent, a privileged run; of code of its own, for the like takes its place. */
async function askForRun(): Promise<RunView & { approval: string }> {
  const json = {
    code: { source: `${SOURCE}// ${++asks}\n` },
    contract: "prod",
    target: "shop",
    why: "the refund of order 12",
  };
  const parked = await server.json<RunView>("/v1/runs", { json, token: people.agent }, 202);
  return { ...parked, approval: parked.approval ?? "" };
}

/** Breaks the glass of a new request over the API. */
async function brokenRun(): Promise<{ id: string; approval: string; glass: string }> {
  const asked = await askForRun();
  const { statement_hash } = await approval(asked.approval);
  const json = { reason: REASON, minutes: 30, statement_hash };
  const token = people.human;
  const view = await server.json<Approval>(`/v1/approvals/${asked.approval}/break-glass`, { json, token });
  await server.json<RunView>(`/v1/runs/${asked.id}?wait_ms=30000`);
  return { id: asked.id, approval: asked.approval, glass: view.break_glass?.id ?? "" };
}

async function closeAll(): Promise<void> {
  const { items } = await server.json<{ items: { id: string }[] }>("/v1/review-debts");
  for (const { id } of items) {
    await server.json(`/v1/review-debts/${id}/close`, { json: { note: "looked" }, token: grace });
  }
}

/** Fails unless the page is fit to be read in this look. */
async function looksRight({ page }: Window, name: string): Promise<void> {
  await shoot(page, name);
  expect(await faultsOf(page), name).toEqual([]);
  expect(await overhangOf(page), name).toBeLessThanOrEqual(0);
}

describe("a person in an emergency", () => {
  afterEach(closeAll);

  it("decides alone by keyboard, the real run completes, and another person closes the review", async (test) => {
    const asked = await askForRun();
    const { page, complaints } = await windowOf(test, people.human);
    await page.goto(`${server.url}/approvals/${asked.approval}`);
    await tabTo(page, "#glass summary");
    await page.keyboard.press("Enter");
    await tabTo(page, "textarea[name=reason]");
    await page.keyboard.type("too short");
    await page.keyboard.press("Tab");
    expect(await page.locator("#minutes").inputValue()).toBe("30");
    await tabTo(page, "#glass button");
    await page.keyboard.press("Enter");
    // The browser itself asks for a reason that says something: nothing was sent.
    expect(page.url()).not.toContain("break-glass");
    expect((await approval(asked.approval)).status).toBe("pending");
    await page.locator("#reason").fill(REASON);
    await shoot(page, "glass-form-light");
    await tabTo(page, "#glass button");
    await page.keyboard.press("Enter");
    await page.getByText("Somebody broke the glass").waitFor();
    const ended = await server.json<RunView>(`/v1/runs/${asked.id}?wait_ms=30000`);
    expect(ended).toMatchObject({ termination: "completed", result: 42 });
    await page.reload();
    expect(await text(page)).toContain("You broke the glass, so somebody else reviews it.");
    await shoot(page, "review-own-light");
    expect(complaints).toEqual([]);

    const other = await windowOf(test, grace);
    await other.page.goto(server.url);
    expect(await text(other.page)).toContain("1 review of a broken glass is owed");
    await shoot(other.page, "inbox-review-owed-light");
    await tabTo(other.page, 'nav a[href="/reviews"]');
    await other.page.keyboard.press("Enter");
    await other.page.waitForURL("**/reviews");
    await tabTo(other.page, `a[href="/approvals/${asked.approval}#review"]`);
    await other.page.keyboard.press("Enter");
    await other.page.waitForURL("**#review");
    const told = await text(other.page);
    for (const words of [REASON, "What was done under the broken glass", "completed", "shop.example"]) {
      expect(told).toContain(words);
    }
    await shoot(other.page, "review-light");
    await tabTo(other.page, "textarea[name=note]");
    await other.page.keyboard.type("read the code and the calls; the refund was right");
    await tabTo(other.page, "main form button");
    await other.page.keyboard.press("Enter");
    await other.page.getByText("Reviewed by").waitFor();
    expect(await text(other.page)).toContain("the refund was right");
    await shoot(other.page, "review-closed-light");
    expect((await approval(asked.approval)).break_glass).toMatchObject({ debt: "closed" });
    await other.page.goto(`${server.url}/reviews`);
    expect(await text(other.page)).toContain("No review is owed.");
    expect(other.complaints).toEqual([]);
  });

  it("whose first glass nobody has reviewed cannot break another, and loses nothing of what was written", async (test) => {
    const waiting = await askForRun();
    await brokenRun();
    const { page } = await windowOf(test, people.human);
    await page.goto(`${server.url}/approvals/${waiting.approval}`);
    await page.locator("#glass summary").press("Enter");
    await page.locator("#reason").fill(REASON);
    await page.locator("#minutes").fill("45");
    await page.getByRole("button", { name: "Break the glass" }).press("Enter");
    await page.getByRole("alert").waitFor();
    expect(await text(page)).toContain("A broken glass is not reviewed yet.");
    expect(await page.locator("#reason").inputValue()).toBe(REASON);
    expect(await page.locator("#minutes").inputValue()).toBe("45");
    await shoot(page, "glass-refused-light");
    expect((await approval(waiting.approval)).status).toBe("pending");
  });
});

describe.each(LOOKS)("as %s", (name, look) => {
  afterEach(closeAll);

  it("each page has nothing that axe would object to, nothing to scroll sideways, and no complaint of the browser", async (test) => {
    const pending = await askForRun();
    const window = await windowOf(test, grace, look);
    await window.page.goto(`${server.url}/reviews`);
    await looksRight(window, `reviews-empty-${name}`);
    await window.page.goto(`${server.url}/approvals/${pending.approval}`);
    await window.page.locator("#glass summary").press("Enter");
    await looksRight(window, `glass-form-${name}`);
    const { approval: broken } = await brokenRun();
    for (const [place, path] of Object.entries({ reviews: "/reviews", review: `/approvals/${broken}`, inbox: "/" })) {
      await window.page.goto(`${server.url}${path}`);
      await looksRight(window, `${place}-owed-${name}`);
    }
    await closeAll();
    await window.page.goto(`${server.url}/approvals/${broken}`);
    await looksRight(window, `review-closed-${name}`);
    expect(window.complaints).toEqual([]);
  });
});

it("loads the reviews, one of them and the form within PAGE_BYTES_MAX", async () => {
  const pending = await askForRun();
  const { approval: broken } = await brokenRun();
  for (const path of ["/reviews", `/approvals/${broken}`, `/approvals/${pending.approval}`]) {
    const headers = { cookie: `gantry_session=${grace}` };
    const document = await (await server.request(path, { token: null, headers })).text();
    const sheet = /href="(\/pages\.css[^"]*)"/.exec(document)?.[1] ?? "";
    const style = await (await server.request(sheet, { token: null })).text();
    expect(Buffer.byteLength(document) + Buffer.byteLength(style), path).toBeLessThan(PAGE_BYTES_MAX);
  }
  await closeAll();
});
