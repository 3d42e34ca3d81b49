import { mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, afterEach, beforeAll, describe, expect, it } from "vitest";
import type { Figures } from "../../sdk/src/stats.ts";
import type { RunView } from "../../sdk/src/types.ts";
import { STATS_WINDOW_MS_MAX, STATS_WINDOW_MS_MIN } from "../../server/src/intent/contract.ts";
import { eventually } from "../fixtures/eventually.ts";
import { need } from "../fixtures/need.ts";
import { problemOf } from "../fixtures/problem.ts";
import { cli as command } from "../fixtures/processes.ts";
import { peopleOf } from "../fixtures/served_people.ts";
import { CLI_FILE, startServer, type TestServer } from "../fixtures/server.ts";
import { type OnTerminal, onTerminal, terminalMissing } from "../fixtures/terminal.ts";

/** What is told in numbers is what happened: the test counts for itself. */

let server: TestServer;
/** How runs ended, and in which lane, as the test saw it. */
const counted: Record<string, number> = {};
const ended = { interactive: 0, batch: 0 };
const SLEEP = "export default () => new Promise((done) => setTimeout(done, 60_000))";

beforeAll(async () => {
  server = await startServer({ config: { slots: 1 } });
  await server.json("/v1/contracts/narrow", {
    method: "PUT",
    json: { kind: "Contract", name: "narrow", extends: "scratch", limits: { cpu_ms: 100 } },
  });
  for (let i = 0; i < 3; i++) await run("export default () => 1");
  await run("export default () => 1", { lane: "batch" });
  await run("export default () => { for (;;); }", { limits: { cpu_ms: 50 } });
  for (let i = 0; i < 2; i++) await run("export default () => 1", { contract: "narrow", limits: { cpu_ms: 200 } });
  await run("export default async () => { await fetch('http://a.example').catch(() => 0); return 1 }");
  expect(counted).toEqual({ completed: 5, cpu_exceeded: 1, denied: 2 });
});
afterAll(() => server.dispose());

/** Resolves when the run has ended, and counts how. */
async function run(source: string, more: { lane?: "batch"; [name: string]: unknown } = {}): Promise<void> {
  const answer = await server.request("/v1/runs", { json: { code: { source }, wait_ms: 60_000, ...more } });
  const body = (await answer.json()) as { termination?: string; code?: string };
  const termination = body.termination ?? (answer.status === 403 ? "denied" : `refused ${body.code}`);
  counted[termination] = (counted[termination] ?? 0) + 1;
  ended[more.lane ?? "interactive"] += 1;
}
const stats = (query = "") => server.json<Figures>(`/v1/stats${query}`);
const sum = (counts: Record<string, number>) => Object.values(counts).reduce((all, n) => all + n, 0);

describe("GET /v1/stats", () => {
  it("counts what completed, looped, was denied and was refused a call, by lane", async () => {
    const before = Date.now();
    const { runs, denials, at } = await stats();
    expect(runs.all.by_termination).toEqual(counted);
    expect(runs.interactive.ended).toBe(ended.interactive);
    expect(runs.batch.ended).toBe(ended.batch);
    expect(runs).toMatchObject({ sampled: false, all: { ended: sum(counted) } });
    // All but the two that were denied, and one that was cancelled while it waited, if it was by now.
    expect(runs.all.executed).toBe(sum(counted) - 2 - (counted["cancelled"] ?? 0) / 2);
    expect(at).toBeGreaterThanOrEqual(before);
    // One call of one run, which had no way out; two runs that asked for more than their contract gives.
    expect(denials).toEqual({
      sampled: false,
      items: [
        { what: "run", code: "CONTRACT_LIMIT", count: 2 },
        { what: "call", code: null, count: 1 },
      ],
    });
  });

  it("its times are those that the runs themselves report", async () => {
    const { items } = await server.json<{ items: RunView[] }>("/v1/runs?limit=200");
    const times = items.flatMap(({ timing, lane }) => (timing && lane === "interactive" ? [timing] : []));
    const { startup, completion, executed } = (await stats()).runs.interactive;
    expect(executed).toBe(times.length);
    const nearest = (values: number[], p: number) => values.sort((a, b) => a - b)[Math.ceil(p * values.length) - 1];
    expect(startup.p50_ms).toBe(
      nearest(
        times.map(({ startup_ms }) => startup_ms),
        0.5,
      ),
    );
    expect(completion.p99_ms).toBe(
      nearest(
        times.map(({ completion_ms }) => completion_ms),
        0.99,
      ),
    );
  });

  it("tells what runs and what waits now", async () => {
    const going = await server.json<RunView>("/v1/runs", { json: { code: { source: SLEEP }, wait_ms: 0 } }, 202);
    const more = { code: { source: SLEEP }, wait_ms: 0, on_busy: "delay", lane: "batch" };
    const waits = await server.json<RunView>("/v1/runs", { json: more }, 202);
    const stateOf = async () => (await server.json<RunView>(`/v1/runs/${going.id}`)).state;
    await eventually(async () => (await stateOf()) === "running", "the guest to be called", 30_000);
    await eventually(async () => (await stats()).waiting.batch.oldest_ms > 0, "a wait that is told");
    const now = await stats();
    expect(now).toMatchObject({ running: 1, waiting: { batch: { count: 1 }, interactive: { count: 0 } } });
    expect(now.machine?.slots).toEqual({ used: 1, of: 1 });
    expect(now.machine?.runners.busy).toBe(1);
    for (const { id } of [waits, going]) await server.json(`/v1/runs/${id}/cancel`, { method: "POST" });
    counted["cancelled"] = 2;
    ended.interactive += 1;
    ended.batch += 1;
    await eventually(async () => (await stats()).running === 0, "the end of what was cancelled");
    expect((await stats()).runs.all.by_termination).toEqual(counted);
  });

  it("shows the machine to whoever may read it, and the ledger as it is", async () => {
    const { items } = await server.json<{ items: { id: string; kind: string }[] }>("/v1/actors");
    const agent = items.find(({ kind }) => kind === "agent")?.id;
    const minted = await server.json<{ secret: string }>(
      "/v1/tokens",
      { json: { actor: agent, scopes: ["run:read"] } },
      201,
    );
    const narrow = await server.json<Figures>("/v1/stats", { token: minted.secret });
    expect(narrow.machine).toBeNull();
    expect(narrow.runs.all.by_termination).toEqual(counted);

    await eventually(async () => (await stats()).machine?.ledger.lag_ms === 0, "everything to be sealed");
    const ledger = (await stats()).machine?.ledger;
    const log = await (await server.request("/log/checkpoint", { token: null })).text();
    expect(ledger).toEqual({ entries: ledger?.sealed, sealed: Number(log.split("\n")[1]), lag_ms: 0 });
    const blind = await server.json<{ secret: string }>(
      "/v1/tokens",
      { json: { actor: agent, scopes: ["contract:read"] } },
      201,
    );
    await problemOf(await server.request("/v1/stats", { token: blind.secret }), 403, "SCOPE_MISSING");
  });

  it("takes a window from STATS_WINDOW_MS_MIN to STATS_WINDOW_MS_MAX", async () => {
    for (const window_ms of [STATS_WINDOW_MS_MIN, STATS_WINDOW_MS_MAX]) {
      expect((await stats(`?window_ms=${window_ms}`)).window_ms).toBe(window_ms);
    }
    for (const window_ms of [STATS_WINDOW_MS_MIN - 1, STATS_WINDOW_MS_MAX + 1, "1h"]) {
      const problem = await problemOf(await server.request(`/v1/stats?window_ms=${window_ms}`), 400, "REQUEST_INVALID");
      expect(JSON.stringify(problem)).toContain("window_ms");
    }
  });

  it("decisions are counted by what was asked, the verdict and the code", async () => {
    const metrics = await (await server.request("/metrics")).text();
    const denied = /gantry_policy_decisions_total\{point="run.submit",verdict="deny",code="CONTRACT_LIMIT"\} 2/;
    expect(metrics).toMatch(denied);
    expect(metrics).toMatch(/gantry_policy_decisions_total\{point="run.submit",verdict="allow",code=""\} \d+/);
  });
});

describe("on the command line", () => {
  it("gantry stats and a frame of gantry top say the same", async () => {
    const out = await command(["stats", "--data", server.data]);
    expect(out.code, out.stderr).toBe(0);
    expect(out.stdout).toMatch(new RegExp(`^all +${sum(counted)} `, "m"));
    expect(out.stdout).toContain(`completed ${counted["completed"]}`);
    expect(out.stdout).toMatch(/^runs +CONTRACT_LIMIT +2$/m);
    expect(out.stdout).toMatch(/^slots +0 of 1 used$/m);
    const json = await command(["top", "--frames", "1", "--json", "--data", server.data]);
    const frame = JSON.parse(json.stdout) as { figures: Figures; running: unknown[] };
    expect(frame.figures.runs.all.by_termination).toEqual(counted);
    expect(frame.running).toEqual([]);
  });
});

describe("what waits for people", () => {
  it("is told by what it is for, also where no run waits, and to nobody who may not read approvals", async () => {
    const { agent } = await peopleOf(server);
    const change = await server.json<{ approval: string }>(
      "/v1/contracts/narrow",
      {
        ...{ method: "PUT", token: agent },
        json: { kind: "Contract", name: "narrow", extends: "scratch", limits: { cpu_ms: 150 } },
      },
      202,
    );
    expect(change.approval).toMatch(/^apr_/);
    await eventually(async () => ((await stats()).approvals?.oldest_ms ?? 0) > 0, "a wait that is told");
    const told = await stats();
    expect(told.approvals).toMatchObject({ count: 1, by_subject: { contract: 1 } });
    expect(told.waiting.approval).toEqual({ count: 0, oldest_ms: 0 });
    for (const words of [["stats"], ["top", "--frames", "1"]]) {
      const out = await command([...words, "--data", server.data]);
      expect(out.stdout, out.stderr).toContain("1 for people (contract 1)");
    }
    const { items } = await server.json<{ items: { id: string; kind: string }[] }>("/v1/actors");
    const actor = items.find(({ kind }) => kind === "agent")?.id;
    const minted = { json: { actor, scopes: ["run:read"] } };
    const { secret } = await server.json<{ secret: string }>("/v1/tokens", minted, 201);
    expect((await server.json<Figures>("/v1/stats", { token: secret })).approvals).toBeNull();
  });
});

describe("gantry top on a terminal", () => {
  let directory: string;
  let shown: OnTerminal | undefined;
  beforeAll(async () => {
    directory = await mkdtemp(join(tmpdir(), "gantry-top-"));
  });
  afterEach(() => shown?.kill());
  afterAll(() => rm(directory, { recursive: true, force: true }));

  const LEAVE = "\u001b[?25h\u001b[?1049l";
  /** The command between two looks at the terminal's settings. */
  function top(more: { env?: Record<string, string> } = {}): OnTerminal {
    const line = `stty -a > before; "${process.execPath}" "${CLI_FILE}" top --data "${server.data}"; code=$?; stty -a > after; exit $code`;
    return onTerminal(`cd "${directory}" && { ${line}; }`, {
      GANTRY_URL: undefined,
      GANTRY_TOKEN: undefined,
      ...more.env,
    });
  }
  async function expectRestored(terminal: OnTerminal): Promise<void> {
    expect(terminal.raw.split("\u001b[?1049h")).toHaveLength(2);
    expect(terminal.raw.split(LEAVE)).toHaveLength(2);
    const [before, after] = await Promise.all(
      ["before", "after"].map((name) => readFile(join(directory, name), "utf8")),
    );
    expect(before).toMatch(/(^|\s)icanon/);
    expect(after).toBe(before);
  }

  it("shows frame after frame in place; q ends it, and the terminal is as it was", async (context) => {
    need(context, "script", terminalMissing());
    shown = top();
    await eventually(() => (shown?.raw.split("\u001b[H").length ?? 0) > 2, "two frames", 30_000);
    expect(shown.text).toContain(`completed ${counted["completed"]}`);
    expect(shown.raw.split("\u001b[2J")).toHaveLength(2); // once, when it takes the screen
    shown.type("q");
    expect(await shown.finished()).toBe(0);
    await expectRestored(shown);
  });

  it("Ctrl-C ends it as well", async (context) => {
    need(context, "script", terminalMissing());
    shown = top();
    await eventually(() => shown?.text.includes("running") ?? false, "a frame", 30_000);
    shown.type("\u0003");
    expect(await shown.finished()).toBe(0);
    await expectRestored(shown);
  });

  it("a crash gives the terminal back, too", async (context) => {
    need(context, "script", terminalMissing());
    const bomb = join(directory, "bomb.mjs");
    await writeFile(
      bomb,
      `import { writeFileSync } from "node:fs";
       if (process.argv.includes("top")) writeFileSync(${JSON.stringify(join(directory, "pid"))}, String(process.pid));
       process.on("SIGUSR2", () => { throw new Error("a crash") });`,
    );
    shown = top({ env: { NODE_OPTIONS: `--import ${bomb}` } });
    await eventually(() => shown?.text.includes("running") ?? false, "a frame", 30_000);
    process.kill(Number(await readFile(join(directory, "pid"), "utf8")), "SIGUSR2");
    expect(await shown.finished()).not.toBe(0);
    expect(shown.text).toContain("a crash");
    await expectRestored(shown);
  });
});
