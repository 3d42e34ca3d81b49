import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { eventually } from "../../../tests/fixtures/eventually.ts";
import { agentOf, applyApproved } from "../../../tests/fixtures/people.ts";
import { openRecordPages, type RecordPages } from "../../../tests/fixtures/record_pages.ts";
import { ask } from "../../../tests/fixtures/runs_ground.ts";
import { heldScript } from "../../../tests/fixtures/scripted_pool.ts";
import type { LogLine } from "../execution/contract.ts";
import {
  FULL_PAGE_BYTES_MAX,
  SHOWN_CALLS_MAX,
  SHOWN_CHILDREN_MAX,
  SHOWN_ENTRIES_MAX,
  SHOWN_JSON_CHARS_MAX,
  SHOWN_LOG_LINE_CHARS_MAX,
  SHOWN_LOG_LINES_MAX,
  SHOWN_STACK_LINES_MAX,
} from "./contract.ts";
import { STYLE } from "./style.ts";

/** The page of one run, over real rooms: what a reader is told, and what they are not. */

let pages: RecordPages;
beforeAll(async () => {
  pages = await openRecordPages();
});
afterAll(() => pages.remove());

type Script = RecordPages["house"]["pool"]["script"];

/** Runs once as the script says. @returns its page, when its entries are sealed */
async function pageOf(script: Script, path = "", token?: string) {
  const { house } = pages;
  house.pool.script = script;
  const run = await house.runs.submit(house.owner, ask());
  await house.ground.seal();
  return { id: run.id, ...(await pages.see(`/runs/${run.id}${path}`, token)) };
}

const line = (text: string, level: LogLine["level"] = "log"): LogLine => ({ level, text }) as LogLine;

describe("a completed run", () => {
  it("shows its result, what it used of its limits, and who asked for it", async () => {
    const { status, text, html } = await pageOf(() => ({ result: '{"sum":3,"of":["a","b"]}', cpu_ms: 250 }));
    expect(status).toBe(200);
    expect(text).toContain("It completed.");
    expect(text).toContain('{\n "sum": 3,\n "of": [\n "a",\n "b"\n ]\n}');
    expect(text).toMatch(/scratch@\d+/);
    expect(html).toMatch(/<meter[^>]*max="1000"[^>]*value="250"[^>]*aria-label="CPU time, share of its limit"/);
    expect(text).toMatch(/asked for by human \S/);
  });

  it("is proved by this server's data, which it says is no proof, and by commands that need no server", async () => {
    const { id, text } = await pageOf(() => ({}));
    expect(text).toContain("All of 2 entries are sealed into the signed log.");
    expect(text).toContain("lead to the root that the checkpoint names");
    expect(text).toContain("A page of this server is no proof");
    expect(text).toContain(`npx gantry evidence export --run ${id} -o run.bundle`);
    expect(text).toContain("npx gantry evidence verify run.bundle --key log.pub");
  });

  it("tells its story from the ledger, and links each entry", async () => {
    const { id, html } = await pageOf(() => ({}));
    const entries = await pages.house.entriesOf(id);
    expect(entries.map(({ kind }) => kind)).toEqual(["run.admitted", "run.ended"]);
    for (const entry of entries) expect(html).toContain(`href="/ledger/${entry.id}"`);
  });

  it("shows a result of SHOWN_JSON_CHARS_MAX characters whole, and of a longer one says how to see it", async () => {
    const whole = await pageOf(() => ({ result: JSON.stringify("x".repeat(SHOWN_JSON_CHARS_MAX)) }));
    expect(whole.text).toContain("x".repeat(SHOWN_JSON_CHARS_MAX));
    expect(whole.text).not.toContain("characters are shown here");
    const longer = await pageOf(() => ({ result: JSON.stringify("x".repeat(SHOWN_JSON_CHARS_MAX + 1)) }));
    expect(longer.text).not.toContain("x".repeat(SHOWN_JSON_CHARS_MAX + 1));
    expect(longer.text).toContain("Only the first 6,000 characters are shown here");
    expect(longer.text).toContain(`npx gantry runs show ${longer.id} --json`);
  });
});

it("of SHOWN_ENTRIES_MAX entries all are shown, and of more the commands that show the rest", async () => {
  const { house } = pages;
  const { id } = await pageOf(() => ({}));
  const name = (count: number) =>
    house.storage.write((tx) => {
      for (let n = 0; n < count; n++) {
        house.ledger.append(tx, {
          kind: "token.revoked",
          tenant: house.owned.tenant,
          actor: [],
          refs: [id],
          data: { token: `tok_${n}`, actor: "act_1", cause: "asked" },
        });
      }
    });
  await name(SHOWN_ENTRIES_MAX - 2);
  const whole = await pages.see(`/runs/${id}`);
  expect(whole.text).not.toContain("npx gantry evidence list");
  expect(whole.text).not.toContain("npx gantry timeline");
  await name(1);
  await house.ground.seal();
  const more = await pages.see(`/runs/${id}`);
  expect(more.text).toContain(`These are the first ${SHOWN_ENTRIES_MAX}. All: npx gantry evidence list --ref ${id}`);
  expect(more.text).toContain(`npx gantry timeline ${id}`);
});

describe("a log", () => {
  it("has its newest page first, an earlier one behind a link, and no line twice", async () => {
    const { id, text, html } = await pageOf((_job, door) => {
      for (let n = 1; n <= SHOWN_LOG_LINES_MAX + 1; n++) door.log(line(`number-${n}.`));
      return {};
    });
    expect(text).toContain(`100 lines, number 2 to ${SHOWN_LOG_LINES_MAX + 1}: the newest`);
    expect(text).not.toContain("number-1.");
    expect(html).toContain(`/runs/${id}?log_before=2#log`);
    const earlier = await pages.see(`/runs/${id}?log_before=2`);
    expect(earlier.text).toContain("number-1.");
    expect(earlier.text).not.toContain("number-2.");
    expect(earlier.text).not.toContain("Earlier lines");
  });

  it("of SHOWN_LOG_LINES_MAX lines is shown whole", async () => {
    const { text } = await pageOf((_job, door) => {
      for (let n = 1; n <= SHOWN_LOG_LINES_MAX; n++) door.log(line(`number-${n}.`));
      return {};
    });
    expect(text).toContain("number-1.");
    expect(text).not.toContain("Earlier lines");
  });

  it("marks levels, cuts a line behind SHOWN_LOG_LINE_CHARS_MAX, and names what is not seen", async () => {
    const { text, html } = await pageOf((_job, door) => {
      door.log(line("careful", "warn"));
      door.log(line("y".repeat(SHOWN_LOG_LINE_CHARS_MAX)));
      door.log(line("z".repeat(SHOWN_LOG_LINE_CHARS_MAX + 1)));
      door.log(line("\u001b[2Jgone\u202eevil"));
      return {};
    });
    expect(html).toContain('<li class="is-warn">');
    expect(text).toMatch(/warn ?careful/);
    expect(text).toContain("y".repeat(SHOWN_LOG_LINE_CHARS_MAX));
    expect(text).not.toContain("z".repeat(SHOWN_LOG_LINE_CHARS_MAX + 1));
    expect(text.match(/… cut/g)).toHaveLength(1);
    expect(text).toContain("U+001B[2JgoneU+202Eevil");
    expect(html).not.toMatch(/[\u001b\u202e]/);
  });
});

describe("a run that failed", () => {
  it("shows hostile text as text", async () => {
    const detail = "</code><script>alert(1)</script>\u202e<img src=x onerror=alert(2)>";
    const { html, text } = await pageOf(() => ({
      ending: "threw",
      error: { code: "RUN_THREW", detail, name: "<b>Error</b>", stack: `${detail}\n    at <i>main.ts</i>:1:1` },
    }));
    expect(html).not.toMatch(/<(script|img|b>Error|i>main)/);
    expect(html).not.toContain("\u202e");
    expect(text).toContain("Its code threw an error.");
    expect(text).toContain("<b>Error</b>: </code><script>alert(1)</script>U+202E<img src=x onerror=alert(2)>");
    expect(text).toContain("at <i>main.ts</i>:1:1");
  });

  it("shows SHOWN_STACK_LINES_MAX lines of a stack, and says that a longer one goes on", async () => {
    const stackOf = (lines: number) => Array.from({ length: lines }, (_, n) => `    at f${n}. (m:1:1)`).join("\n");
    const threw = (lines: number) =>
      pageOf(() => ({ ending: "threw", error: { code: "RUN_THREW", detail: "no", stack: stackOf(lines) } }));
    const whole = await threw(SHOWN_STACK_LINES_MAX);
    expect(whole.text).toContain(`f${SHOWN_STACK_LINES_MAX - 1}.`);
    expect(whole.text).not.toContain("The stack goes on");
    const longer = await threw(SHOWN_STACK_LINES_MAX + 1);
    expect(longer.text).not.toContain(`f${SHOWN_STACK_LINES_MAX}.`);
    expect(longer.text).toContain("The stack goes on");
  });

  it("says which limit ended it, in words", async () => {
    const { text } = await pageOf(() => ({
      ending: "cpu_exceeded",
      cpu_ms: 1_010,
      error: { code: "LIMIT_CPU", detail: "The program used 1010 ms of CPU; its limit is 1000 (cpu_ms)." },
    }));
    expect(text).toContain("It used more CPU time than its limit, and was stopped from outside.");
    expect(text).toContain("The program used 1010 ms of CPU; its limit is 1000 (cpu_ms).");
    expect(text).toContain("101 %");
    expect(text).toContain("There is none: it did not complete.");
  });
});

it("a page whose guest wrote as much as it could, in what takes the most room, has FULL_PAGE_BYTES_MAX at most", async () => {
  const full = (chars: number) => '"'.repeat(chars);
  const noisy: Script = (_job, door) => {
    for (let n = 0; n <= SHOWN_LOG_LINES_MAX; n++) door.log(line(full(1_000)));
    const calls = Array.from({ length: 64 }, (_, n) => ({ host: `${full(500)}${n}`, method: full(500), count: 1 }));
    return { result: JSON.stringify(full(100_000)), blocked: calls };
  };
  const completed = await pageOf(noisy);
  const threw = await pageOf((job, door, signal) => ({
    ...noisy(job, door, signal),
    ending: "threw",
    error: { code: "RUN_THREW", detail: full(4_000), name: full(100), stack: `\n    at ${full(16_000)}` },
  }));
  for (const { status, html } of [completed, threw]) {
    expect(status).toBe(200);
    expect(Buffer.byteLength(html)).toBeGreaterThan(FULL_PAGE_BYTES_MAX / 2);
    expect(Buffer.byteLength(html) + Buffer.byteLength(STYLE)).toBeLessThanOrEqual(FULL_PAGE_BYTES_MAX);
  }
});

describe("calls", () => {
  const blocked = (count: number) =>
    Array.from({ length: count }, (_, n) => ({ host: `h${n}.example`, method: "GET", count: 1 }));

  it("that went nowhere stand in a table", async () => {
    const { text } = await pageOf(() => ({ blocked: [{ host: "169.254.169.254", method: "GET", count: 3 }] }));
    expect(text).toContain("Calls that went nowhere");
    expect(text).toContain("169.254.169.254");
  });

  it("are shown up to SHOWN_CALLS_MAX rows", async () => {
    const whole = await pageOf(() => ({ blocked: blocked(SHOWN_CALLS_MAX) }));
    expect(whole.text).not.toContain("npx gantry runs calls");
    const more = await pageOf(() => ({ blocked: blocked(SHOWN_CALLS_MAX + 1) }));
    expect(more.text).not.toContain(`h${SHOWN_CALLS_MAX}.example`);
    expect(more.text).toContain(`npx gantry runs calls ${more.id}`);
  });
});

describe("a tree of runs", () => {
  it("leads from a run to what it started, up to SHOWN_CHILDREN_MAX, and back", async () => {
    const { house } = pages;
    const held = heldScript();
    house.pool.script = held.script;
    const root = await house.runs.submit(house.owner, ask({ wait_ms: 0, lane: "batch" }));
    await eventually(() => held.waiting.includes(root.id));
    house.pool.script = () => ({});
    const last = house.owner.chain.at(-1)!;
    const spawned = { ...house.owner, chain: [{ ...last, via: "spawn" as const, ref: root.id }] };
    const start = () => house.runs.submit(spawned, ask({ lane: "batch" }));
    const child = await start();
    for (let n = 1; n < SHOWN_CHILDREN_MAX; n++) await start();
    const whole = await pages.see(`/runs/${root.id}`);
    expect(whole.html).toContain(`href="/runs/${child.id}"`);
    expect(whole.text).not.toContain("npx gantry runs tree");
    expect((await pages.see(`/runs/${child.id}`)).text).toContain(`Started by${root.id}`);
    await start();
    const more = await pages.see(`/runs/${root.id}`);
    expect(more.html).not.toContain(`href="/runs/${child.id}"`);
    expect(more.text).toContain(`npx gantry runs tree ${root.id}`);
    expect(more.text).toContain("It runs.");
    held.endAll();
    await house.runs.get(house.owner, root.id, 5_000);
  });
});

it("a run that waits for people leads to where they decide", async () => {
  const { house } = pages;
  const gates = [{ on: "run.submit", name: "nightly", quorum: 1 }];
  const text = JSON.stringify({ kind: "Contract", name: "nightly", extends: "scratch", gates });
  await applyApproved(house, { name: "nightly.yaml", text });
  const run = await house.runs.submit((await agentOf(house)).who, ask({ contract: "nightly" }));
  const { text: told, html } = await pages.see(`/runs/${run.id}`);
  expect(told).toContain("It waits for people");
  expect(html).toContain(`href="/approvals/${run.approval}"`);
  expect(told).toContain(`npx gantry approve ${run.approval}`);
  expect(told).toContain("Look again");
  expect(told).toContain("There is none yet.");
  expect(told).toMatch(/asked for by agent local for human owner/);
});

describe("who lacks a scope", () => {
  it("sees the rest of the page, and what is missing", async () => {
    const token = await pages.tokenWith("run:read");
    const { status, text } = await pageOf(() => ({ result: '"kept"' }), "", token);
    expect(status).toBe(200);
    expect(text).toContain("kept");
    expect(text).toContain("You may not see the timeline");
    expect(text).toContain("evidence:read");
    expect(text).toContain("A page of this server is no proof");
  });

  it("of runs gets a page that says so, and no part of the run", async () => {
    const token = await pages.tokenWith("evidence:read");
    const { status, text } = await pageOf(() => ({ result: '"secret"' }), "", token);
    expect(status).toBe(403);
    expect(text).toContain("run:read");
    expect(text).not.toContain("secret");
  });
});

it("an unknown run is a page with the status 404", async () => {
  const { status, text } = await pages.see("/runs/run_00000000000000000000000000");
  expect(status).toBe(404);
  expect(text).toContain("RUN_NOT_FOUND");
});
