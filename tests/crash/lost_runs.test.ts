import { writeFileSync } from "node:fs";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import type { RunRequest, RunView } from "../../server/src/intent/contract.ts";
import { eventually } from "../fixtures/eventually.ts";
import { startServer, type TestServer } from "../fixtures/server.ts";
import { readData, storyFaults } from "./audit.ts";
import { disposeWithRunners, liveRunnersOf, RUNTIME_ENV, startTicksOf } from "./runner_processes.ts";

/** Runs whose server, or whose own process, is killed while they go on. */

const SLEEPS = "export default ({ n, ms }) => new Promise((done) => setTimeout(() => done(n), ms));";
const FOR_EVER = 3_600_000;

let server: TestServer;
let contracts: string;

async function start(config: Record<string, unknown> = {}): Promise<void> {
  contracts = await mkdtemp(join(tmpdir(), "gc-"));
  const path = join(contracts, "once.yaml");
  writeFileSync(path, "kind: Contract\nname: once\nextends: scratch\nidempotent: false\n");
  server = await startServer({ config: { warm_runners: 1, contracts: [path], ...config }, env: RUNTIME_ENV });
}
afterEach(async () => {
  await disposeWithRunners(server);
  await rm(contracts, { recursive: true, force: true });
});

const get = (id: string, wait_ms = 0) => server.json<RunView>(`/v1/runs/${id}?wait_ms=${wait_ms}`);
const submit = (n: number, ms: number, more: Partial<RunRequest> = {}) =>
  server.json<RunView>(
    "/v1/runs",
    { json: { code: { source: SLEEPS }, input: { n, ms }, wait_ms: 0, limits: { wall_ms: 900_000 }, ...more } },
    202,
  );
/** Waits until a run's guest is being called, in its n-th attempt. */
const running = (id: string, attempt = 1) =>
  eventually(async () => {
    const view = await get(id);
    return view.state === "running" && view.attempt === attempt;
  }, "the run to be running");

async function killAndRestart(): Promise<void> {
  await server.kill();
  await server.restart();
}

describe("a run that is going on when its server is killed", () => {
  beforeEach(() => start());

  it("ends node_lost, is told so with a code, and is not run again", async () => {
    const { id } = await submit(1, FOR_EVER);
    await running(id);
    await killAndRestart();
    const lost = { state: "ended", termination: "node_lost", retry_class: "capacity", attempt: 1 };
    expect(await get(id)).toMatchObject({ ...lost, error: { code: "RUN_LOST" } });
    expect(await get(id)).not.toHaveProperty("result");
  });

  it("runs again if it said if_lost, and its second attempt's result is its result", async () => {
    const { id } = await submit(7, 3_000, { retry: "if_lost" });
    await running(id);
    await killAndRestart();
    expect(await get(id, 30_000)).toMatchObject({ termination: "completed", attempt: 2, result: 7 });
  });

  it("is run three times in all, and then it is lost", async () => {
    const { id } = await submit(1, FOR_EVER, { retry: "if_lost" });
    for (const attempt of [1, 2, 3]) {
      await running(id, attempt);
      await killAndRestart();
    }
    expect(await get(id)).toMatchObject({ termination: "node_lost", attempt: 3 });
    await server.stop();
    const { runs, entries_of } = readData(server.data);
    expect(storyFaults(runs.get(id)!, entries_of(id))).toEqual([]);
    const told = ["run.admitted", "run.queued", "run.admitted", "run.queued", "run.admitted", "run.ended"];
    expect(entries_of(id).map(({ kind }) => kind)).toEqual(told);
  });

  it("is not repeated where the contract does not say that it may be", async () => {
    const { id } = await submit(1, FOR_EVER, { retry: "if_lost", contract: "once" });
    await running(id);
    await killAndRestart();
    expect(await get(id)).toMatchObject({ termination: "node_lost", attempt: 1 });
  });
});

describe("a runner that is killed from outside", () => {
  beforeEach(() => start());

  it("costs its own run alone, and another takes its place", async () => {
    const warm = async (known: number[]) => {
      await eventually(() => liveRunnersOf(server.data).length === known.length + 1, "a warm runner");
      return liveRunnersOf(server.data).find(({ pid }) => !known.includes(pid))!.pid;
    };
    const of_victim = await warm([]);
    const victim = await submit(2, FOR_EVER);
    await running(victim.id);
    const of_neighbour = await warm([of_victim]);
    const refilling = [of_victim, of_neighbour];
    // The last thing before the kill: it must still be going on then, however long runners take to boot.
    const neighbour = await submit(1, 5_000);
    await running(neighbour.id);

    const told = get(victim.id, 30_000);
    process.kill(of_victim, "SIGKILL");
    expect(await told).toMatchObject({
      termination: "runner_lost",
      retry_class: "capacity",
      error: { code: "RUNNER_LOST" },
    });
    expect(startTicksOf(of_neighbour)).toBeDefined();
    expect(await get(neighbour.id, 30_000)).toMatchObject({ termination: "completed", result: 1 });

    // The warm one dies before anyone claims it: it is replaced, and the next run knows nothing of it.
    const fresh = (known: number[]) => liveRunnersOf(server.data).find(({ pid }) => !known.includes(pid))?.pid;
    await eventually(() => fresh(refilling) !== undefined, "a warm runner");
    const refilled = fresh(refilling)!;
    process.kill(refilled, "SIGKILL");
    await eventually(() => fresh([...refilling, refilled]) !== undefined, "another warm runner");
    const next = await submit(3, 0);
    expect(await get(next.id, 30_000)).toMatchObject({ termination: "completed", result: 3 });
    expect((await server.request("/readyz")).status).toBe(200);
  });
});
