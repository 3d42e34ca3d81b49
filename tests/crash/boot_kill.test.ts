import { spawn } from "node:child_process";
import { once } from "node:events";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { describe, expect, it } from "vitest";
import { probe } from "../../server/src/execution/adapters/choose_jail.ts";
import { bwrapJail, type Jail, noJail, unshareJail } from "../../server/src/execution/adapters/jails.ts";
import { Nursery } from "../../server/src/execution/adapters/nursery.ts";
import { prepareRuntimeDir, sweepRunners } from "../../server/src/execution/adapters/runtime_dir.ts";
import { systemClock } from "../../server/src/kernel/clock.ts";
import { eventually } from "../fixtures/eventually.ts";
import { need } from "../fixtures/need.ts";
import { Dice, seedOfRun } from "./dice.ts";
import { isBlockedBubblewrap, processesOf, runtimeOf } from "./runner_processes.ts";

/** For each jail. */
const KILLS = Math.ceil(Number(process.env["CRASH_KILLS"] ?? 40) / 5);
const TEST_MS = Math.max(120_000, KILLS * 15_000);
const CHILD = fileURLToPath(new URL("./boot_child.ts", import.meta.url));
/** Over which a kill is spread, after the first boot. */
const SPREAD_MS = 400;
const DEATH_MS = 10_000;

const seed = seedOfRun();
const repeat = `SEED=${seed} npx vitest run --project crash tests/crash/boot_kill.test.ts`;

/** Starts a process that boots runners without pause, and kills it in the midst. */
async function killBooting(jail: Jail, data: string, after_ms: number): Promise<void> {
  const env = { ...process.env };
  delete env["XDG_RUNTIME_DIR"];
  const child = spawn(process.execPath, ["--import", "tsx", CHILD, jail.name, data], {
    env,
    stdio: ["ignore", "pipe", "inherit"],
  });
  const exit = once(child, "exit");
  await Promise.race([once(child.stdout, "data"), exit]);
  setTimeout(() => child.kill("SIGKILL"), after_ms);
  expect(await exit).toEqual([null, "SIGKILL"]);
}

describe.for([bwrapJail, unshareJail, noJail])("a server that is killed while runners boot in $name", (jail) => {
  it(
    "leaves no engine behind, and its next start nothing at all",
    async (context) => {
      const data = mkdtempSync(join(tmpdir(), "gb-"));
      const base = "/tmp";
      const runtime = prepareRuntimeDir({ data_dir: data, runner_uid: 65_534, base });
      try {
        expect(runtime.path).toBe(runtimeOf(data));
        const nursery = await Nursery.open(runtime, () => {});
        const report = await probe(jail, { runtime, nursery, clock: systemClock() });
        await nursery.close();
        need(context, jail.name, report.ok ? undefined : report.problems[0]?.fix);
        const dice = new Dice(seed);
        for (let kill = 0; kill < KILLS; kill++) {
          await killBooting(jail, data, dice.whole(0, SPREAD_MS));
          const engines = () => processesOf(data).filter((each) => !isBlockedBubblewrap(each));
          const lives = () => `${repeat}: ${JSON.stringify(engines())}`;
          await eventually(() => engines().length === 0, `the runners' death`, DEATH_MS).catch((error: Error) => {
            throw new Error(`${error.message} (${lives()})`);
          });
          sweepRunners(prepareRuntimeDir({ data_dir: data, runner_uid: 65_534, base }));
          await eventually(() => processesOf(data).length === 0, "the sweep", DEATH_MS);
        }
      } finally {
        for (const { pid } of processesOf(data)) process.kill(pid, "SIGKILL");
        rmSync(runtime.path, { recursive: true, force: true });
        rmSync(data, { recursive: true, force: true });
      }
    },
    TEST_MS,
  );
});
