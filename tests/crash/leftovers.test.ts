import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { existsSync, mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { eventually } from "../fixtures/eventually.ts";
import { startServer, type TestServer } from "../fixtures/server.ts";
import { disposeWithRunners, RUNTIME_ENV, runtimeOf, startTicksOf } from "./runner_processes.ts";

let server: TestServer;
let sleeper: ChildProcess;

beforeEach(async () => {
  server = await startServer({ config: { warm_runners: 1 }, env: RUNTIME_ENV });
  sleeper = spawn("sleep", ["3600"], { stdio: "ignore" });
  await once(sleeper, "spawn");
  await server.kill();
});
afterEach(async () => {
  sleeper.kill("SIGKILL");
  await disposeWithRunners(server);
});

/** Writes the directory of a runner that an earlier start might have left. */
function leave(name: string, pid: string): string {
  const path = join(runtimeOf(server.data), "r", name);
  mkdirSync(path, { recursive: true });
  writeFileSync(join(path, "pid"), pid);
  return path;
}

describe("at its start the server finds the directory of a runner that an earlier start left, and", () => {
  it("kills its process, if pid and start time are those of one that lives", async () => {
    const gone = once(sleeper, "exit");
    const path = leave("aaaaaaaa", `${sleeper.pid} ${startTicksOf(sleeper.pid!)}\n`);
    await server.restart();
    expect(await gone).toEqual([null, "SIGKILL"]);
    expect(existsSync(path)).toBe(false);
    await eventually(() => server.log.some((line) => line.includes("killed runners")), "the kill to be logged");
    await server.stop();
  });

  it("leaves a process alone that has the pid by chance, and one that a broken file names", async () => {
    const paths = [
      leave("aaaaaaaa", `${sleeper.pid} ${startTicksOf(sleeper.pid!)! + 1}\n`),
      leave("bbbbbbbb", `${sleeper.pid}\n`),
      leave("cccccccc", `${sleeper.pid} 0\n`),
      leave("dddddddd", ""),
      leave("eeeeeeee", "-1 1\n"),
    ];
    await server.restart();
    expect(startTicksOf(sleeper.pid!)).toBeDefined();
    expect(paths.filter((path) => existsSync(path))).toEqual([]);
    await server.stop();
  });

  it("leaves another server's runners alone", async () => {
    const other = await startServer({ config: { warm_runners: 1 }, env: RUNTIME_ENV });
    try {
      const run = (ms: number) => ({
        json: { code: { source: `export default () => new Promise((done) => setTimeout(() => done(5), ${ms}));` } },
      });
      const neighbour = other.json<{ result: unknown }>("/v1/runs", run(3_000));
      await server.restart();
      expect((await neighbour).result).toBe(5);
      await server.stop();
      await other.stop();
    } finally {
      await disposeWithRunners(other);
    }
  });
});
