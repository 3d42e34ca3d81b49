import { afterEach, beforeEach, describe, expect, it } from "vitest";
import type { RunRequest, RunView } from "../../server/src/intent/contract.ts";
import { eventually } from "../fixtures/eventually.ts";
import { startServer, type TestServer } from "../fixtures/server.ts";
import { readData, storyFaults } from "./audit.ts";
import { disposeWithRunners, liveRunnersOf, processesOf, RUNTIME_ENV } from "./runner_processes.ts";

/** A server that the host stops for a while: a suspended machine, a debugger, a frozen container. */
const PAUSE_MS = 2_000;
/** From the end of the pause until a run that is past its limit has ended. */
const LATE_MS = 3_000;

const RUNNERS = 3;

let server: TestServer;
beforeEach(async () => {
  server = await startServer({ config: { warm_runners: RUNNERS, slots: RUNNERS }, env: RUNTIME_ENV });
});
afterEach(() => disposeWithRunners(server));

const SLEEPS = "export default (ms) => new Promise((done) => setTimeout(() => done('slept'), ms));";
const submit = (source: string, input: number, more: Partial<RunRequest> = {}) =>
  server.json<RunView>("/v1/runs", { json: { code: { source }, input, wait_ms: 0, ...more } }, 202);
const get = (id: string, wait_ms = 0) => server.json<RunView>(`/v1/runs/${id}?wait_ms=${wait_ms}`);

async function pause(pids: number[]): Promise<void> {
  for (const pid of pids) signal(pid, "SIGSTOP");
  await new Promise((done) => setTimeout(done, PAUSE_MS)); // the pause itself, not a wait for something
  for (const pid of pids) signal(pid, "SIGCONT");
}

/** A runner whose run has just ended may be gone by then. */
function signal(pid: number, name: NodeJS.Signals): void {
  try {
    process.kill(pid, name);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== "ESRCH") throw error;
  }
}

describe.for([
  { who: "the server alone", pids: () => [server.pid] },
  {
    who: "the server and all its runners",
    pids: () => [server.pid, ...processesOf(server.data).map(({ pid }) => pid)],
  },
])("when $who stands still for two seconds", ({ pids }) => {
  it("runs end within their limits, what waits is run, and nothing is lost", async () => {
    await eventually(() => liveRunnersOf(server.data).length === RUNNERS, "warm runners");
    const short = await submit(SLEEPS, 1_000);
    const late = await submit(SLEEPS, 3_600_000, { limits: { wall_ms: 1_500 } });
    const loop = await submit("export default () => { for (;;); };", 0, { limits: { cpu_ms: 60_000, wall_ms: 2_500 } });
    const queued = await submit(SLEEPS, 0, { lane: "batch" });
    for (const { id } of [short, late, loop]) {
      await eventually(async () => ["running", "ended"].includes((await get(id)).state), "the run to be running");
    }
    await pause(pids());
    const from = performance.now();
    expect(await get(late.id, 30_000)).toMatchObject({ termination: "wall_exceeded" });
    expect(await get(loop.id, 30_000)).toMatchObject({ termination: "wall_exceeded" });
    expect(performance.now() - from, JSON.stringify([await get(late.id), await get(loop.id)])).toBeLessThan(LATE_MS);
    expect(await get(short.id, 30_000)).toMatchObject({ termination: "completed", result: "slept" });
    expect(await get(queued.id, 30_000)).toMatchObject({ termination: "completed", result: "slept" });
    expect((await server.request("/readyz")).status).toBe(200);
    await server.stop();
    const { runs, entries_of } = readData(server.data);
    expect(runs.size).toBe(4);
    expect([...runs.values()].flatMap((run) => storyFaults(run, entries_of(run.id)))).toEqual([]);
  });
});
