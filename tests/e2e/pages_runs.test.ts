import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, beforeEach, describe, expect, it } from "vitest";
import type { RunView } from "../../sdk/src/types.ts";
import { PAGE_BYTES_MAX, PAGE_ROWS, SESSION_COOKIE, SHOWN_LOG_LINES_MAX } from "../../server/src/pages/contract.ts";
import {
  faultsOf,
  needBrowser,
  openBrowser,
  overhangOf,
  shoot,
  type TestBrowser,
  type Window,
} from "../fixtures/browser.ts";
import { eventually } from "../fixtures/eventually.ts";
import { cli } from "../fixtures/processes.ts";
import { peopleOf } from "../fixtures/served_people.ts";
import { startServer, type TestServer } from "../fixtures/server.ts";

/** The pages of runs and ledger in a real browser, over a real server whose guests ran in real jails. */

let server: TestServer;
let browser: TestBrowser | undefined;
let window: Window;
let human: string;
/** The list before anything ran: its text, and what is wrong with it. */
let empty: { text: string; faults: string[] };
const runs: Record<string, RunView> = {};

/** What a guest throws that wants to be more than text. */
const HOSTILE = `<script>document.title="owned"</script>\u202e<img src=x onerror='document.title="owned"'>`;
const SOURCES: Record<string, string> = {
  completed: `export default (input) => {
    for (let n = 1; n <= ${SHOWN_LOG_LINES_MAX + 5}; n++) console.log("line number " + n + ".");
    console.warn("careful");
    console.error("\\u001b[31mred\\u001b[0m");
    return { sum: input.a + input.b };
  }`,
  runaway: "export default () => { for (;;); }",
  blocked: `export default async () => {
    for (const url of ["http://169.254.169.254/latest", "https://example.com/"]) await fetch(url).catch(() => {});
    return "tried";
  }`,
  threw: `function pay(): never { throw new TypeError(${JSON.stringify(HOSTILE)}); }
export default () => pay();`,
};

beforeAll(async () => {
  server = await startServer();
  ({ human } = await peopleOf(server));
  browser = await openBrowser();
  if (browser === undefined) return;
  window = await windowOf(browser);
  await look("/runs");
  empty = { text: await told(), faults: await faultsOf(window.page) };
  await shoot(window.page, "runs_empty");
  for (const [name, source] of Object.entries(SOURCES)) {
    const json = { code: { source }, input: { a: 1, b: 2 }, limits: { cpu_ms: name === "runaway" ? 100 : 1_000 } };
    runs[name] = await server.json<RunView>("/v1/runs", { json });
  }
  for (let n = 0; n < PAGE_ROWS; n++) {
    await server.json<RunView>("/v1/runs", {
      json: { code: { source: `export default () => ${n}` }, session: "many" },
    });
  }
  await eventually(async () => {
    const { items } = await server.json<{ items: { sealed: boolean }[] }>("/v1/evidence/entries?order=newest&limit=10");
    return items.every(({ sealed }) => sealed);
  });
});
afterAll(async () => {
  await browser?.close();
  await server?.dispose();
});
beforeEach((context) => needBrowser(context));

/** A window of somebody who has logged in. */
async function windowOf(from: TestBrowser, how: Parameters<TestBrowser["window"]>[0] = {}): Promise<Window> {
  const opened = await from.window(how);
  const cookie = { name: SESSION_COOKIE, value: human, url: server.url, httpOnly: true, sameSite: "Strict" as const };
  await opened.context.addCookies([cookie]);
  return opened;
}

async function look(path: string, { page } = window): Promise<void> {
  const answer = await page.goto(`${server.url}${path}`);
  expect(answer?.status(), path).toBe(200);
}
/** Clicks what leads to another page, and waits until that is whole. */
async function follow(click: () => Promise<void>): Promise<void> {
  await Promise.all([window.page.waitForEvent("load"), click()]);
}
const told = () => window.page.innerText("main");
const idOf = (name: string): string => runs[name]?.id ?? "";

describe("the list of runs", () => {
  it("teaches how a first run is made, while there is none", () => {
    expect(empty.text).toContain("Nothing has run yet.");
    expect(empty.text).toContain("npx gantry run sum.ts");
    expect(empty.faults).toEqual([]);
  });

  it("leads back page by page to the first run, and to each run's page", async () => {
    await look("/runs");
    expect(await window.page.locator("tbody tr").count()).toBe(PAGE_ROWS);
    await follow(() => window.page.click("text=Older runs"));
    expect(await told()).toContain(idOf("completed"));
    await follow(() => window.page.click(`text=${idOf("runaway")}`));
    expect(new URL(window.page.url()).pathname).toBe(`/runs/${idOf("runaway")}`);
  });

  it("is narrowed by its form", async () => {
    await look("/runs");
    await window.page.selectOption("#termination", "threw");
    await follow(() => window.page.click("text=Show"));
    expect(await window.page.locator("tbody tr").count()).toBe(1);
    expect(await told()).toContain(idOf("threw"));
    expect(await window.page.inputValue("#termination")).toBe("threw");
  });
});

describe("the page of a run", () => {
  it("that completed has result, log and usage, and the log goes back page by page", async () => {
    await look(`/runs/${idOf("completed")}`);
    const text = await told();
    expect(text).toContain("It completed.");
    expect(text).toContain('"sum": 3');
    expect(text).toContain("\\u001b[31mred");
    expect(text).not.toContain("line number 1.");
    expect(await window.page.locator("meter").count()).toBe(5);
    await follow(() => window.page.click("text=Earlier lines"));
    expect(await told()).toContain("line number 1.");
    await follow(() => window.page.click("text=Newest lines"));
    expect(await told()).not.toContain("line number 1.");
  });

  it("that ran away says who stopped it and at what", async () => {
    await look(`/runs/${idOf("runaway")}`);
    const text = await told();
    expect(text).toContain("It used more CPU time than its limit, and was stopped from outside.");
    expect(text).toMatch(/its limit is 100 \(cpu_ms\)/);
  });

  it("whose calls were blocked lists them", async () => {
    await look(`/runs/${idOf("blocked")}`);
    const text = await told();
    expect(text).toContain("169.254.169.254");
    expect(text).toContain("example.com");
  });

  it("that threw hostile text shows it as text, and nothing of it runs", async () => {
    await look(`/runs/${idOf("threw")}`);
    const text = await told();
    expect(text).toContain("Its code threw an error.");
    expect(text).toContain('<script>document.title="owned"</script>');
    expect(text).toContain("U+202E");
    expect(text).toMatch(/at pay \(main\.ts:1:\d+\)/);
    expect(await window.page.title()).not.toBe("owned");
    expect(await window.page.locator("main script, main img").count()).toBe(0);
  });

  it("leads to its entries and they to their proof, which is there and checked", async () => {
    await look(`/runs/${idOf("completed")}`);
    await follow(() => window.page.locator("a", { hasText: /^ent_/ }).first().click());
    expect(new URL(window.page.url()).pathname).toMatch(/^\/ledger\/ent_/);
    const text = await told();
    expect(text).toContain("run.admitted");
    expect(text).toContain("lead to the root that the checkpoint names");
    expect(text).toContain("A page of this server is no proof");
  });
});

it("the commands that a run's page shows make a file and a key that verify without the server", async () => {
  await look(`/runs/${idOf("completed")}`);
  const shown = (await window.page.locator("section.code").allInnerTexts()).join("\n");
  const commands = shown.split("\n").filter((line) => line.startsWith("npx gantry "));
  expect(commands).toHaveLength(3);
  const home = await mkdtemp(join(tmpdir(), "gantry-page-"));
  let said = "";
  for (const [at, command] of commands.entries()) {
    const [words = "", file] = command.slice("npx gantry ".length).split(" > ");
    const reach = at < 2 ? { GANTRY_URL: server.url, GANTRY_TOKEN: human } : { GANTRY_TOKEN: undefined };
    const done = await cli(words.split(" "), { cwd: home, env: { ...reach, XDG_CONFIG_HOME: home } });
    expect(done.code, `${command}\n${done.stderr}`).toBe(0);
    if (file !== undefined) await writeFile(join(home, file), done.stdout);
    said = done.stdout;
  }
  expect(said).toContain("verified bundle");
  await rm(home, { recursive: true, force: true });
});

describe("the ledger", () => {
  it("has the newest entries first, is narrowed by its form, and leads back page by page", async () => {
    await look("/ledger");
    const first = Number(await window.page.locator("tbody td").first().innerText());
    await follow(() => window.page.click("text=Older entries"));
    expect(Number(await window.page.locator("tbody td").first().innerText())).toBe(first - PAGE_ROWS);
    await window.page.fill("#kind", "run.ended");
    await window.page.fill("#ref", idOf("threw"));
    await follow(() => window.page.click("text=Show"));
    expect(await window.page.locator("section[aria-label^=Entries] tbody tr").count()).toBe(1);
  });
});

const STATES = ["runs", "ledger", ...Object.keys(SOURCES), "entry"];
function pathOf(state: string): string {
  if (state === "runs" || state === "ledger") return `/${state}`;
  if (state === "entry") return `/ledger/${runs["threw"]?.evidence.entries[0]}`;
  return `/runs/${idOf(state)}`;
}

describe.each(STATES)("the page in the state %s", (state) => {
  it.each([
    ["dark", false],
    ["light", true],
  ] as const)("has no fault in %s, on a phone: %s, and no complaint of the browser", async (scheme, phone) => {
    const opened = await windowOf(browser as TestBrowser, { scheme, phone });
    await look(pathOf(state), opened);
    expect(await faultsOf(opened.page)).toEqual([]);
    // What is wide scrolls in a box of its own.
    expect(await overhangOf(opened.page)).toBe(0);
    expect(opened.complaints).toEqual([]);
    await shoot(opened.page, `${state}_${scheme}${phone ? "_phone" : ""}`);
    await opened.context.close();
  });

  it("takes no more at the first look than its limit", async () => {
    const opened = await windowOf(browser as TestBrowser);
    const bodies: Promise<Buffer>[] = [];
    opened.page.on("response", (answer) => bodies.push(answer.body()));
    await look(pathOf(state), opened);
    await opened.page.waitForLoadState("networkidle");
    const bytes = (await Promise.all(bodies)).reduce((sum, { byteLength }) => sum + byteLength, 0);
    await opened.context.close();
    expect(bytes).toBeGreaterThan(5_000);
    expect(bytes).toBeLessThanOrEqual(PAGE_BYTES_MAX);
  });
});
