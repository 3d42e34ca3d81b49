import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, expect, it } from "vitest";
import type { Command, Group } from "../../cli/src/arguments.ts";
import { commandTree, runProgram } from "../../cli/src/program.ts";
import { testTerminal } from "../../cli/src/testing.ts";
import type { RunView } from "../../sdk/src/types.ts";
import { eventually } from "../fixtures/eventually.ts";
import type { ApiDocument } from "../fixtures/openapi.ts";
import { startServer, type TestServer } from "../fixtures/server.ts";

/**
 * Walks every operation that the server describes and every command that there is, as everybody who could ask, for a
 * privileged run. What starts guest code is found by what the ledger says, and not by a list of what should: a new
 * operation or command that starts something stands out here.
 */

let server: TestServer;
let home: string;
/** Bearer tokens: the owner's file, the owner logged in, the agent. */
const tokens: Record<string, string> = {};

const CONTRACT = 'kind: Contract\nname: prod\nextends: production\ntargets: ["*"]\nrequire: []\n';
const installation = { server: "", examples: "", version: "0" };
let target = 0;

beforeEach(async () => {
  home = await mkdtemp(join(tmpdir(), "gantry-doors-"));
  await writeFile(join(home, "prod.yaml"), CONTRACT);
  await writeFile(join(home, "main.ts"), "export default () => 1;\n");
  server = await startServer({ config: { contracts: [join(home, "prod.yaml")] } });
  const [link = ""] = /gtr_lnk_[0-9A-Za-z]{36}/.exec(server.printed) ?? [];
  const login = await server.json<{ token: { secret: string } | string }>("/v1/login", { json: { link }, token: null });
  const secret = JSON.stringify(login).match(/gtr_hum_[0-9A-Za-z]{36}/)?.[0];
  tokens["file"] = server.token;
  tokens["human"] = secret ?? "";
  const { items } = await server.json<{ items: { id: string; name: string }[] }>("/v1/actors");
  const agent = items.find(({ name }) => name === "local")?.id;
  const minted = await server.request("/v1/tokens", {
    json: { actor: agent, scopes: ["run:submit", "run:read", "run:cancel", "gate:read", "contract:read"] },
  });
  tokens["agent"] = (await minted.text()).match(/gtr_agt_[0-9A-Za-z]{36}/)?.[0] ?? "";
  const [waiting] = (await approvals()).filter(({ status }) => status === "pending");
  await vote(waiting?.id ?? "");
}, 120_000);
afterEach(async () => {
  await server.dispose();
  await rm(home, { recursive: true, force: true });
});

interface Listed {
  id: string;
  status: string;
  statement_hash: string;
}
const approvals = async () =>
  (await server.json<{ items: Listed[] }>("/v1/approvals?limit=200", { token: tokens["human"] ?? "" })).items;
const hashOf = async (id: string) =>
  (await server.json<Listed>(`/v1/approvals/${id}`, { token: tokens["human"] ?? "" })).statement_hash;
const vote = async (id: string) =>
  server.json(`/v1/approvals/${id}/votes`, {
    json: { vote: "approve", statement_hash: await hashOf(id) },
    token: tokens["human"] ?? "",
  });
/** A privileged run by the agent, waiting; each for a target of its own, so that none takes another's place. */
async function parked(): Promise<RunView> {
  target += 1;
  return server.json<RunView>("/v1/runs", { json: ask(), token: tokens["agent"] ?? "" }, 202);
}
const ask = () => ({
  code: { source: "export default () => 1;" },
  contract: "prod",
  target: `t${target}`,
  why: "to see whether it starts",
  wait_ms: 0,
});
/** Runs that were started, as the ledger has it. */
async function started(): Promise<Set<string>> {
  const found = new Set<string>();
  for (let cursor = ""; ; ) {
    const page = await server.json<{ items: { data: { run: string } }[]; next?: string }>(
      `/v1/evidence/entries?kind=run.admitted&limit=200${cursor}`,
    );
    for (const { data } of page.items) found.add(data.run);
    if (page.next === undefined) return found;
    cursor = `&cursor=${page.next}`;
  }
}
async function kindsOf(ref: string): Promise<string[]> {
  const page = await server.json<{ items: { kind: string }[] }>(`/v1/evidence/entries?ref=${ref}&limit=200`);
  return page.items.map(({ kind }) => kind);
}
/** A run that nothing holds: what starts is seen. */
const CONTROL = "a run without a gate";

/** @returns the doors through which something started, by what `each` does. */
async function walk(doors: string[], each: (door: string) => Promise<void>): Promise<string[]> {
  const open: string[] = [];
  let before = await started();
  for (const door of [CONTROL, ...doors]) {
    if (door === CONTROL) await server.json("/v1/runs", { json: { code: { source: "export default () => 1;" } } });
    else await each(door);
    // What was approved starts in the background.
    await eventually(nothingGoesOn, "nothing to go on", 20_000);
    const now = await started();
    if (now.size > before.size) open.push(door);
    before = now;
  }
  return open;
}
/** Else one whose slot is not recorded yet would be put down to the next door. The newest are enough. */
async function nothingGoesOn(): Promise<boolean> {
  const { items } = await server.json<{ items: RunView[] }>("/v1/runs?limit=200");
  return items.every(({ state }) => state === "ended" || state === "waiting_approval");
}

const GLASS = "/v1/approvals/{id}/break-glass";
const REASON = "a person is needed at once, and only one is there";

/** A body for every operation: what would start a run if any of it did. */
async function bodyOf(path: string): Promise<object> {
  if (path.endsWith("/votes")) {
    const view = await parked();
    return { at: view.approval, body: { vote: "approve", statement_hash: view.statement_hash } };
  }
  if (path === GLASS) {
    const view = await parked();
    return { at: view.approval, body: { reason: REASON, minutes: 5, statement_hash: view.statement_hash } };
  }
  return { at: (await parked()).id, body: ask() };
}

it("no operation of the API starts privileged code, but a decision of people", { timeout: 600_000 }, async () => {
  const document = await server.json<ApiDocument>("/v1/openapi.json");
  const doors = Object.entries(document.paths).flatMap(([path, operations]) =>
    Object.keys(operations).map((method) => `${method.toUpperCase()} ${path}`),
  );
  expect(doors).toContain("POST /v1/runs");
  expect(doors.length).toBeGreaterThan(30);
  const last = doors.filter((door) => !door.endsWith(GLASS)).concat(doors.filter((door) => door.endsWith(GLASS)));
  const open = await walk(last, async (door) => {
    const [method = "", path = ""] = door.split(" ");
    const { at, body } = (await bodyOf(path)) as { at: string; body: object };
    const url = path.replace(/\{[^}]+\}/g, at);
    for (const token of [null, ...Object.values(tokens)]) {
      await server
        .request(url, {
          method,
          token,
          signal: AbortSignal.timeout(5_000),
          ...(method === "GET" ? {} : { json: body }),
        })
        .then(
          (answer) => answer.body?.cancel(),
          () => undefined,
        );
    }
  });
  expect(open.sort()).toEqual([`POST ${GLASS}`, "POST /v1/approvals/{id}/votes", CONTROL].sort());
  await expectGates(2);
});

/** Words for a command: every positional and every flag that leads towards a run. */
async function wordsFor(path: string[], { args }: Command): Promise<string[]> {
  const view = await parked();
  const name = path.join(" ");
  const positionals: Record<string, string> = {
    file: /^(run|tasks)/.test(name) ? "main.ts" : "prod.yaml",
    id: /^(approve|decline|break-glass|approvals|reviews)/.test(name) ? (view.approval ?? "") : view.id,
    name: "prod",
    run: view.id,
  };
  const flags: Record<string, string> = {
    contract: "prod",
    target: `t${target}`,
    why: "to see whether it starts",
    reason: REASON,
    minutes: "5",
    "statement-hash": view.statement_hash ?? "",
    key: "agent.key",
  };
  const words = [...path];
  for (const [arg, { type }] of Object.entries(args)) {
    if (type === "positional") words.push(positionals[arg] ?? view.id);
    else if (flags[arg] !== undefined) words.push(`--${arg}`, flags[arg]);
    else if (arg === "async") words.push("--async");
  }
  return words;
}

function leavesOf(node: Command | Group, path: string[] = []): { path: string[]; command: Command }[] {
  if (node.kind === "command") return [{ path, command: node }];
  return Object.entries(node.commands).flatMap(([name, child]) => leavesOf(child, [...path, name]));
}

/** They start servers or looks at the host in processes of their own, and talk to no server that runs. */
const ELSEWHERE = ["up", "doctor", "demo", "admin login-link", "evidence audit"];

it("no command starts privileged code, but a decision of people", { timeout: 600_000 }, async () => {
  const leaves = leavesOf(commandTree(testTerminal(), installation));
  const names = leaves.map(({ path }) => path.join(" "));
  expect(names).toEqual(
    expect.arrayContaining(["run", "tasks submit", "approve", "runs list", ...ELSEWHERE.slice(0, 3)]),
  );
  const walked = names.filter((name) => !ELSEWHERE.includes(name) && !/^(login|logout|break-glass)$/.test(name));
  const open = await walk([...walked, "break-glass"], async (name) => {
    const leaf = leaves.find(({ path }) => path.join(" ") === name);
    if (leaf === undefined) return;
    const words = await wordsFor(leaf.path, leaf.command);
    for (const token of Object.values(tokens)) {
      const io = testTerminal({ cwd: home, env: { GANTRY_URL: server.url, GANTRY_TOKEN: token }, stdin: "null" });
      const done = runProgram(words, io, installation).catch(() => undefined);
      // Some follow until they are told to stop.
      await Promise.race([done, new Promise((resolve) => setTimeout(resolve, 5_000))]);
      io.interrupt();
    }
  });
  expect(open.sort()).toEqual(["approve", "break-glass", CONTROL].sort());
  await expectGates(2);
});

/** Everything privileged that was started has its gate in the ledger, used up before it was admitted. */
async function expectGates(count: number): Promise<void> {
  const views = await Promise.all([...(await started())].map((id) => server.json<RunView>(`/v1/runs/${id}`)));
  const runs = views.filter(({ contract }) => contract.name !== "scratch").map(({ id }) => id);
  expect(runs).toHaveLength(count);
  for (const id of runs) {
    const { approval, contract } = await server.json<RunView>(`/v1/runs/${id}`);
    expect(contract.name).toBe("prod");
    const kinds = await kindsOf(id);
    expect(kinds.indexOf("run.parked"), id).toBeGreaterThanOrEqual(0);
    expect(kinds.indexOf("approval.executed"), id).toBeGreaterThan(kinds.indexOf("run.parked"));
    expect(kinds.indexOf("run.admitted"), id).toBeGreaterThan(kinds.indexOf("approval.executed"));
    const decided = (await kindsOf(approval ?? "")).filter((kind) => /^(approval\.approved|glass\.broken)$/.test(kind));
    expect(decided.length, id).toBeGreaterThan(0);
  }
}
