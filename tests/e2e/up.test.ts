import { spawnSync } from "node:child_process";
import { existsSync, readdirSync, readFileSync, statSync } from "node:fs";
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, afterEach, beforeAll, describe, expect, it } from "vitest";
import type { Entry, Page, RunView } from "../../sdk/src/types.ts";
import { descendantsOf, survivorsOf } from "../fixtures/descendants.ts";
import { eventually } from "../fixtures/eventually.ts";
import { ENDLESS, SLEEP } from "../fixtures/guest_sources.ts";
import { need } from "../fixtures/need.ts";
import { problemOf } from "../fixtures/problem.ts";
import { run as runProcess } from "../fixtures/processes.ts";
import { SERVER_FILE, startServer, type TestServer, withDeadline } from "../fixtures/server.ts";
import { warmedUp } from "../fixtures/traces.ts";

const servers: TestServer[] = [];
async function started(...args: Parameters<typeof startServer>): Promise<TestServer> {
  const server = await startServer(...args);
  servers.push(server);
  return server;
}
afterEach(async () => {
  for (const server of servers.splice(0)) await server.dispose();
});

const submit = (source: string, members: object = {}) => ({ json: { code: { source }, ...members } });
const runOf = (server: TestServer, id: string) => server.json<RunView>(`/v1/runs/${id}`);

async function running(server: TestServer, source: string, members: object = {}): Promise<string> {
  const { id } = await server.json<RunView>("/v1/runs", submit(source, { wait_ms: 0, ...members }), 202);
  await eventually(async () => (await runOf(server, id)).state === "running", "the run to run", 20_000);
  return id;
}

const says = (server: TestServer, text: string) => () => server.log.some((line) => line.includes(text));

describe("a stop", () => {
  it("lets what runs end and answers it, refuses what is new, and leaves nothing behind", async () => {
    const server = await started();
    await warmedUp(server);
    const answer = server.request("/v1/runs", submit(SLEEP, { input: 1_000 }));
    const isRunning = async () => (await server.json<Page<RunView>>("/v1/runs?state=running")).items.length === 1;
    await eventually(isRunning, "the run to run", 20_000);
    const processes = descendantsOf(server.pid);
    expect(processes.some(({ command }) => command.startsWith("workerd"))).toBe(true);
    expect(server.runtimeDirs()).toHaveLength(1);
    expect(existsSync(join(server.data, "server.json"))).toBe(true);

    const stopped = server.stop();
    await eventually(says(server, "new ones are refused"), "the stop to begin");
    const refused = await server.request("/v1/runs", submit("export default () => 1")).catch((error: Error) => error);
    // A connection that is open is answered; a new one is not taken any more.
    if (refused instanceof Error) expect(refused.cause).toMatchObject({ code: expect.stringMatching(/^ECONN|SOCKET/) });
    else expect((await problemOf(refused, 503, "RUN_CAPACITY")).detail).toMatch(/shutting down/);
    const ended = (await (await answer).json()) as RunView;
    expect(ended).toMatchObject({ state: "ended", termination: "completed", result: "slept" });
    await stopped;

    expect(survivorsOf(processes)).toEqual([]);
    expect(server.runtimeDirs()).toEqual([]);
    expect(existsSync(join(server.data, "server.json"))).toBe(false);
  });

  it("cancels what still runs after drain_ms, and says so in the record", async () => {
    const server = await started({ config: { drain_ms: 200 } });
    const id = await running(server, ENDLESS, { limits: { wall_ms: 600_000 } });
    await server.restart();
    const view = await runOf(server, id);
    expect(view).toMatchObject({ state: "ended", termination: "cancelled" });
    const entries = await server.json<Page<Entry>>(`/v1/evidence/entries?ref=${id}`);
    expect(entries.items.map(({ kind }) => kind)).toEqual(["run.admitted", "run.ended"]);
  });

  it("asked for twice is at once; what was lost is found at the next start, what waited runs then", async () => {
    const server = await started({ config: { drain_ms: 600_000, slots: 1 } });
    const id = await running(server, ENDLESS, { limits: { wall_ms: 600_000 } });
    const later = { on_busy: "delay", wait_ms: 0, lane: "batch" };
    const waiting = await server.json<RunView>("/v1/runs", submit("export default () => 'late'", later), 202);
    expect(waiting.state).toBe("queued");
    const processes = descendantsOf(server.pid);
    process.kill(server.pid, "SIGTERM");
    await eventually(says(server, "told to stop"), "the stop to begin");
    process.kill(server.pid, "SIGTERM");
    expect(await server.exit()).toEqual({ code: 130, signal: null });
    await eventually(() => survivorsOf(processes).length === 0, "the runners' end");

    await server.restart();
    expect(await runOf(server, id)).toMatchObject({
      state: "ended",
      termination: "node_lost",
      retry_class: "capacity",
    });
    const late = await server.json<RunView>(`/v1/runs/${waiting.id}?wait_ms=30000`);
    expect(late).toMatchObject({ termination: "completed", result: "late" });
  });
});

/** An entry without what sealing adds a moment later. */
const recorded = ({ index: _index, sealed: _sealed, ...entry }: Entry) => entry;

describe("the data directory", () => {
  it("is private, and a second start keeps identity, token, runs and contracts", async () => {
    const server = await started({
      config: { contracts: ["own.yaml"] },
      prepare: (data) => writeFile(join(data, "..", "own.yaml"), "kind: Contract\nname: own\nextends: scratch\n"),
    });
    const mode = (name: string) => statSync(join(server.data, name)).mode & 0o777;
    expect(mode("owner.token")).toBe(0o600);
    expect(mode("server.json")).toBe(0o600);
    const keys = readdirSync(join(server.data, "keys"));
    expect(keys.length).toBeGreaterThan(0);
    for (const key of keys) expect(mode(join("keys", key)), key).toBe(0o600);
    expect(JSON.parse(readFileSync(join(server.data, "server.json"), "utf8"))).toEqual({
      url: server.url,
      pid: server.pid,
    });

    const { token } = server;
    const run = await server.json<RunView>(
      "/v1/runs",
      submit("export default () => ({ kept: 1 })", { contract: "own" }),
    );
    const before = await server.json<Page<Entry>>("/v1/evidence/entries?limit=200");
    await server.restart();
    expect(server.token).toBe(token);
    expect(await runOf(server, run.id)).toEqual(run);
    const after = await server.json<Page<Entry>>("/v1/evidence/entries?limit=200");
    // Nothing was made anew: no tenant, no actor, no token, no version of a contract.
    expect(after.items.map(recorded)).toEqual(before.items.map(recorded));
    // A new run goes on in the same order.
    const next = await server.json<RunView>("/v1/runs", submit("export default () => 2"));
    expect((await server.json<Page<RunView>>("/v1/runs")).items.map(({ id }) => id)).toEqual([next.id, run.id]);
    expect(server.log.filter((line) => /"level":"(warn|error)"/.test(line))).toEqual([]);
  });

  it("without its owner.token gets a new one, and the old one is worth nothing", async () => {
    const server = await started();
    const { token } = server;
    await server.stop();
    await rm(join(server.data, "owner.token"));
    await server.restart();
    expect(server.token).not.toBe(token);
    expect((await server.request("/v1/runs")).status).toBe(200);
    await problemOf(await server.request("/v1/runs", { token }), 401, "TOKEN_REVOKED");
  });
});

describe("what is wrong with the command line or the config file is a sentence", () => {
  let home: string;
  beforeAll(async () => {
    home = await mkdtemp(join(tmpdir(), "gantry-up-"));
  });
  afterAll(() => rm(home, { recursive: true, force: true }));

  const up = (...args: string[]) =>
    runProcess(process.execPath, [SERVER_FILE, "up", "--data", join(home, "d"), "--port", "0", ...args], { cwd: home });

  it.each([
    ["an unknown option", ["--prot", "1"], /--prot.*--port/s],
    ["a port that is none", ["--port", "70000"], /70000 is not a number from 0 to 65535/],
    ["another store", ["--store", "mysql"], /mysql.*sqlite/],
    ["a file that is not there", ["--config", "absent.yaml"], /cannot be read.*absent\.yaml/],
  ])("%s", async (_what, args, sentence) => {
    const out = await up(...args);
    expect(out.code, out.stderr).toBe(2);
    expect(out.stderr).toMatch(/^gantry: /);
    expect(out.stderr).toMatch(sentence);
    expect(out.stderr).not.toMatch(/\n\s+at /);
    expect(existsSync(join(home, "d"))).toBe(false);
  });

  it.each([
    ["text that is no YAML", "a: [", /config\.yaml is not YAML/],
    ["an unknown key", "warm_runer: 1", /warm_runer/],
    ["a number past its limit", "warm_runners: 65", /warm_runners: .*64/],
    ["a number that is text", "drain_ms: soon", /drain_ms: .*number/],
    ["a list at the top", "[1]", /config\.yaml.*\(top\)/s],
    ["an alias bomb", "a: &a [1]\nb: *a", /not YAML/],
    ["a contract that is not there", "contracts: [absent.yaml]", /contract.*absent\.yaml/],
    ["a contract with an unknown key", "contracts: [bad.yaml]", /bad\.yaml:4:1: .*did you mean limits/],
  ])("%s", async (_what, text, sentence) => {
    await writeFile(join(home, "config.yaml"), text);
    await writeFile(join(home, "bad.yaml"), "kind: Contract\nname: bad\nextends: scratch\nlimit: {}\n");
    const out = await up("--config", "config.yaml");
    expect(out.code, out.stderr).toBe(2);
    expect(out.stderr).toMatch(sentence);
    expect(out.stderr).not.toMatch(/\n\s+at /);
  });
});

describe("without a jail", () => {
  it("--insecure-no-jail is in the banner, in each run and in its entry, and a contract that asks for a jail is refused", async () => {
    const server = await started({
      args: ["--insecure-no-jail"],
      config: { contracts: ["jailed.yaml"] },
      prepare: (data) =>
        writeFile(join(data, "..", "jailed.yaml"), "kind: Contract\nname: jailed\nextends: scratch\njail: required\n"),
    });
    expect(server.printed).toMatch(/Jail\s+NONE/);
    await eventually(says(server, "WITHOUT A JAIL"), "the log to say so");
    const view = await server.json<RunView>("/v1/runs", submit("export default () => 1"));
    expect(view).toMatchObject({ termination: "completed", jail: "none" });
    const entries = await server.json<Page<Entry>>(`/v1/evidence/entries?ref=${view.id}&kind=run.ended`);
    expect(entries.items[0]?.data).toMatchObject({ jail: "none" });

    const refused = await server.request("/v1/runs", submit("export default () => 1", { contract: "jailed" }));
    const problem = await problemOf(refused, 403, "ISOLATION_FLOOR");
    expect(problem.reasons?.[0]?.code).toBe("ISOLATION_FLOOR");
    expect(await runOf(server, problem.run ?? "")).toMatchObject({
      termination: "denied",
      contract: { name: "jailed" },
    });
  });

  it("reads work, runs are refused with RUNNER_NO_JAIL, and nothing is recorded of them", async (context) => {
    // As root of a user namespace that knows no other uid, no jail can be made: there is no uid to drop to.
    const prefix = ["unshare", "--user", "--map-root-user"];
    const probe = spawnSync("unshare", [...prefix.slice(1), "true"], { encoding: "utf8" });
    need(context, "userns", probe.status === 0 ? undefined : `unshare --user: ${probe.stderr}`);
    const server = await started({ prefix });
    expect(server.printed).toMatch(/Jail\s+none works on this host/);
    const problem = await problemOf(
      await server.request("/v1/runs", submit("export default () => 1")),
      503,
      "RUNNER_NO_JAIL",
    );
    expect(problem.reasons?.length).toBeGreaterThan(0);
    expect(problem.next_steps?.[0]?.text).toBeTruthy();
    expect((await server.json<Page<RunView>>("/v1/runs")).items).toEqual([]);
    await server.json("/v1/contracts/scratch");
    const ready = await server.json<{ causes: { name: string }[] }>("/readyz", { token: null }, 503);
    expect(ready.causes.map(({ name }) => name)).toEqual(["runners"]);
    await server.json("/healthz", { token: null });
    // What is wrong with the code is said first, whatever the host lacks.
    await problemOf(await server.request("/v1/runs", submit("export default (")), 400, "CODE_SYNTAX");
    await server.stop();
  });
});

describe("health", () => {
  it("/readyz and /healthz need no token; /metrics is open to this machine and closed to a proxy", async () => {
    const server = await started();
    expect(await server.json("/readyz", { token: null })).toEqual({ ready: true, causes: [] });
    expect(await server.json("/healthz", { token: null })).toEqual({ status: "ok" });
    expect((await server.request("/metrics", { token: null })).status).toBe(200);
    const forwarded = { token: null, headers: { "x-forwarded-for": "203.0.113.5" } };
    await problemOf(await server.request("/metrics", forwarded), 401, "AUTH_REQUIRED");
    await withDeadline(server.stop(), 15_000, "an idle server's stop");
  });
});
