import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { Page } from "playwright-core";
import { afterAll, afterEach, beforeAll, describe, expect, it, type TestContext } from "vitest";
import type { Approval } from "../../sdk/src/approval_types.ts";
import type { RunView } from "../../sdk/src/types.ts";
import { PAGE_BYTES_MAX } from "../../server/src/pages/contract.ts";
import { FIRST_REQUEST } from "../../server/src/pages/first_request.ts";
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
import { cli, run } from "../fixtures/processes.ts";
import { peopleOf, type ServedPeople } from "../fixtures/served_people.ts";
import { CLI_FILE, startServer, type TestServer } from "../fixtures/server.ts";

/** A person at a real browser, a real server, and an agent that asks for real runs. */

let server: TestServer;
let browser: TestBrowser | undefined;
const open: Window[] = [];

const GATED = {
  kind: "Contract",
  name: "gated",
  extends: "scratch",
  gates: [{ on: "run.submit", name: "release", quorum: 1 }],
};
const SOURCE = "export default (input) => ({ doubled: input.n * 2 });\n";

beforeAll(async () => {
  browser = await openBrowser();
});
afterAll(() => browser?.close());
afterEach(async () => {
  for (const { context } of open.splice(0)) await context.close();
});

/** A window of somebody whose session is this token; without one, of nobody. */
async function windowOf(test: TestContext, token?: string, look: Look = {}): Promise<Window> {
  needBrowser(test);
  const window = await (browser as TestBrowser).window(look);
  open.push(window);
  const cookie = { name: "gantry_session", value: token ?? "", url: server.url, sameSite: "Strict" as const };
  if (token !== undefined) await window.context.addCookies([cookie]);
  return window;
}

const ended = (id: string) => server.json<RunView>(`/v1/runs/${id}?wait_ms=30000`);
const approval = (id: string) => server.json<Approval>(`/v1/approvals/${id}`);
const text = (page: Page) => page.locator("main").innerText();

describe("a person who has just started a server", () => {
  beforeAll(async () => {
    server = await startServer();
  });
  afterAll(() => server.dispose());

  it("signs in by the printed address, learns from the empty inbox, and its commands bring the first request", async (test) => {
    const { page, complaints } = await windowOf(test);
    const address = /http:\S+\/login\?link=gtr_lnk_\w+/.exec(server.printed)?.[0] ?? "";
    await page.goto(address);
    await shoot(page, "sign-in-link-light");
    await page.getByRole("button", { name: "Sign in with this link" }).press("Enter");
    await page.waitForURL(`${server.url}/`);
    expect(await text(page)).toContain("Nothing waits for you.");
    await shoot(page, "inbox-empty-light");
    const [cookie] = await page.context().cookies();
    expect(cookie).toMatchObject({ httpOnly: true, sameSite: "Strict", path: "/" });

    const home = await mkdtemp(join(tmpdir(), "gantry-first-"));
    const script = `npx() { shift; ${process.execPath} ${CLI_FILE} "$@"; }\n${FIRST_REQUEST}`;
    const env = { GANTRY_URL: server.url, GANTRY_TOKEN: server.token, XDG_CONFIG_HOME: home, NO_COLOR: "1" };
    const first = await run("bash", ["-c", script], { cwd: home, env });
    await rm(home, { recursive: true, force: true });
    expect(first.stdout, first.stderr).toContain("my-docs-reader@1 waits for people: apr_");
    await page.reload();
    expect(await text(page)).toContain("my-docs-reader");
    await shoot(page, "inbox-first-request-light");
    const token = cookie?.value ?? "";
    expect((await server.request("/v1/me", { token })).status).toBe(200);
    await page.getByRole("button", { name: "Sign out" }).press("Enter");
    await page.getByText("You are signed out.").waitFor();
    await shoot(page, "sign-in-light");
    expect((await server.request("/v1/me", { token })).status).toBe(401);
    expect(complaints).toEqual([]);
  });

  it("finds a spent link explained, and what makes another", async (test) => {
    const { page, complaints } = await windowOf(test);
    await page.goto(`${server.url}/runs`);
    expect(page.url()).toBe(`${server.url}/login?next=%2Fruns`);
    await page
      .getByRole("textbox", { name: "Login link" })
      .fill(/gtr_lnk_[0-9A-Za-z]{36}/.exec(server.printed)?.[0] ?? "");
    await page.keyboard.press("Enter");
    await page.getByRole("alert").waitFor();
    expect(await text(page)).toContain("npx gantry admin login-link");
    await shoot(page, "sign-in-spent-light");
    expect(complaints.filter((one) => !one.includes("410"))).toEqual([]);
  });

  it("signs in by another link, which the operator makes on the stopped server", async (test) => {
    const { page } = await windowOf(test);
    await server.stop();
    const made = await cli(["admin", "login-link", "--data", server.data]);
    await server.restart();
    expect(made.stderr.replaceAll("\n", " ")).toContain("/login?link=LINK");
    await page.goto(`${server.url}/login?link=${made.stdout.trim()}`);
    await page.getByRole("button", { name: "Sign in with this link" }).press("Enter");
    await page.getByRole("button", { name: "Sign out" }).waitFor();
  });
});

describe("a person whom an agent asks", () => {
  let people: ServedPeople;
  beforeAll(async () => {
    server = await startServer();
    people = await peopleOf(server);
    await people.apply("gated", GATED);
  });
  afterAll(() => server.dispose());

  /** As the agent, under a contract whose gate holds each run. */
  async function askForRun(more: object = {}): Promise<RunView & { approval: string }> {
    const json = { code: { source: SOURCE }, input: { n: 21 }, contract: "gated", why: "the nightly report", ...more };
    const parked = await server.json<RunView>("/v1/runs", { json, token: people.agent }, 202);
    expect(parked.state).toBe("waiting_approval");
    return { ...parked, approval: parked.approval ?? "" };
  }

  it("reads what would run, approves by keyboard alone, and the real run completes", async (test) => {
    const asked = await askForRun();
    const { page, complaints } = await windowOf(test, people.human);
    await page.goto(server.url);
    await shoot(page, "inbox-waiting-light");
    await tabTo(page, `a[href="/approvals/${asked.approval}"]`);
    await page.keyboard.press("Enter");
    await page.waitForURL(`**/approvals/${asked.approval}`);
    expect(await text(page)).toContain("the nightly report");
    expect(await text(page)).toContain("+export default (input) => ({ doubled: input.n * 2 });");
    await shoot(page, "approval-pending-light");
    await tabTo(page, "textarea[name=note]");
    await page.keyboard.type("read it");
    await tabTo(page, "button[value=approve]");
    await page.keyboard.press("Enter");
    await page.getByRole("status").waitFor();
    expect(await text(page)).toMatch(/It is approved/);
    expect(await ended(asked.id)).toMatchObject({ termination: "completed", result: { doubled: 42 } });
    await page.reload();
    expect(await text(page)).toContain("It is approved, and has started.");
    await shoot(page, "approval-executed-light");
    expect((await approval(asked.approval)).votes).toMatchObject([{ vote: "approve", note: "read it" }]);
    expect(complaints).toEqual([]);
  });

  it("declines, is asked for the reason before anything is sent, and the agent's run ends with it", async (test) => {
    const asked = await askForRun();
    const { page } = await windowOf(test, people.human);
    await page.goto(`${server.url}/approvals/${asked.approval}`);
    await page.getByRole("button", { name: "Decline" }).press("Enter");
    expect(
      await page.locator("textarea[name=note]").evaluate((node) => node === node.ownerDocument.activeElement),
    ).toBe(true);
    expect((await approval(asked.approval)).status).toBe("pending");
    await page.keyboard.type("not tonight");
    await page.getByRole("button", { name: "Decline" }).press("Enter");
    await page.getByText("It is declined.").waitFor();
    expect(await text(page)).toContain("not tonight");
    await shoot(page, "approval-declined-light");
    expect(await ended(asked.id)).toMatchObject({ termination: "approval_declined" });
  });

  it("is told when somebody was faster, and keeps what was written", async (test) => {
    const asked = await askForRun();
    const { page } = await windowOf(test, people.human);
    await page.goto(`${server.url}/approvals/${asked.approval}`);
    await page.getByLabel("Note").fill("a long thought");
    await people.approve(asked.approval);
    await page.getByRole("button", { name: "Approve" }).press("Enter");
    await page.getByRole("alert").waitFor();
    expect(await text(page)).toContain("Your vote was not taken.");
    expect(await page.getByLabel("What you had written").inputValue()).toBe("a long thought");
    await shoot(page, "approval-too-late-light");
  });

  it("does not vote by a form of another site, nor by one with another hash", async (test) => {
    const asked = await askForRun();
    const { page } = await windowOf(test, people.human);
    const votes = `${server.url}/approvals/${asked.approval}/votes`;
    const { statement_hash } = await approval(asked.approval);
    const forged = `<form method="post" action="${votes}"><input name="statement_hash" value="${statement_hash}">
      <input name="vote" value="approve"><button>go</button></form>`;
    await page.goto(`data:text/html,${encodeURIComponent(forged)}`);
    await page.getByRole("button", { name: "go" }).press("Enter");
    await page.waitForURL(votes);
    expect(await text(page)).toMatch(/not signed in|not come from your own page/);
    expect((await approval(asked.approval)).status).toBe("pending");

    await page.goto(`${server.url}/approvals/${asked.approval}`);
    await page
      .locator(".vote input[name=statement_hash]")
      .evaluate((node) => node.setAttribute("value", "0".repeat(64)));
    await page.getByRole("button", { name: "Approve" }).press("Enter");
    await page.getByRole("alert").waitFor();
    expect(await text(page)).toContain("The hash is not that of the statement.");
    await page.locator(".who input[name=csrf], .vote input[name=csrf]").first().waitFor({ state: "attached" });
    await page.locator(".vote input[name=csrf]").evaluate((node) => node.setAttribute("value", "0".repeat(64)));
    await page.getByRole("button", { name: "Approve" }).press("Enter");
    await page.getByText("does not come from your own page").waitFor();
    await shoot(page, "refused-forged-light");
    expect((await approval(asked.approval)).status).toBe("pending");
  });

  it("follows a link of another site without signing in again", async (test) => {
    const asked = await askForRun();
    const { page } = await windowOf(test, people.human);
    const path = `${server.url}/approvals/${asked.approval}`;
    await page.goto(`data:text/html,${encodeURIComponent(`<a href="${path}">see</a>`)}`);
    await page.getByRole("link", { name: "see" }).press("Enter");
    await page.getByRole("button", { name: "Approve" }).waitFor();
    expect(page.url()).toBe(path);
  });

  describe.each([
    ["light", { scheme: "light" }],
    ["dark", { scheme: "dark" }],
    ["phone", { scheme: "light", phone: true }],
    ["phone-dark", { scheme: "dark", phone: true }],
  ] as const)("as %s", (name, look) => {
    it("finds nothing that axe would object to, nothing to scroll sideways, and no complaint of the browser", async (test) => {
      const pending = await askForRun({
        code: { source: `${SOURCE}// ${"long ".repeat(80)}\n// ${"x".repeat(300)}\n` },
      });
      const { page, complaints } = await windowOf(test, people.human, look);
      const done = (await server.json<{ items: Approval[] }>("/v1/approvals?status=executed")).items[0]?.id ?? "";
      const places = {
        inbox: "/",
        pending: `/approvals/${pending.approval}`,
        executed: `/approvals/${done}`,
        missing: "/approvals/apr_01j9zq3v6we8k9m4t2x7c5d0ab",
        "login-malformed": "/login?link=nonsense",
      };
      for (const [place, path] of Object.entries(places)) {
        await page.goto(`${server.url}${path}`);
        await shoot(page, `${place}-${name}`);
        expect(await faultsOf(page), place).toEqual([]);
        expect(await overhangOf(page), place).toBeLessThanOrEqual(0);
      }
      // Chromium says of every document with such a status that it did not load.
      expect(complaints.filter((one) => !/status of 40[04]/.test(one))).toEqual([]);
    });
  });

  it("is looked after by checks that see a fault where there is one", async (test) => {
    const { page, complaints } = await windowOf(test, people.human, { phone: true });
    await page.goto(server.url);
    await page.evaluate(`document.documentElement.lang = "";
      document.querySelector("h1").style.width = "900px";
      const script = document.createElement("script");
      script.textContent = "globalThis.ran = true";
      document.body.append(script);`);
    expect(await faultsOf(page)).toEqual([expect.stringContaining("html-has-lang")]);
    expect(await overhangOf(page)).toBeGreaterThan(100);
    expect(complaints).toEqual([expect.stringContaining("Content Security Policy")]);
    expect(await page.evaluate("globalThis.ran")).toBeUndefined();
  });

  it("loads an inbox and an approval, each with its style sheet, within PAGE_BYTES_MAX", async () => {
    const asked = await askForRun();
    for (const path of ["/", `/approvals/${asked.approval}`, "/login"]) {
      const headers = { cookie: path === "/login" ? "" : `gantry_session=${people.human}` };
      const document = await (await server.request(path, { token: null, headers })).text();
      const sheet = /href="(\/pages\.css[^"]*)"/.exec(document)?.[1] ?? "";
      const style = await (await server.request(sheet, { token: null })).text();
      const bytes = Buffer.byteLength(document) + Buffer.byteLength(style);
      expect(bytes, path).toBeLessThan(PAGE_BYTES_MAX);
      expect(Buffer.byteLength(style)).toBeGreaterThan(1_000);
    }
  });
});
